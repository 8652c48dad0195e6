"""Writing a bundle: networks, choices on the validation set, figures on the test set, self-test, manifest, card."""

from __future__ import annotations

import hashlib
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from flight.bundle import Bundle, NetworkFile, load_bundle, write_sums
from flight.closed_form_files import DropoutMask
from flight.inference.interpreter import make_interpreter
from flight.inference.network import Network
from ground_tools.datasets.noise import with_channels
from ground_tools.datasets.store import read_description
from ground_tools.export.bundle_folder import add_self_test, check_place, put_in_place, record_self_test, write_manifest
from ground_tools.export.bundle_sets import (
    BundleSet,
    choose,
    images_for_ranges,
    measure,
    publishable_image,
    read_set,
    take_evenly,
    validation_images,
)
from ground_tools.export.card import card, description, limits
from ground_tools.export.closed_form_bundle import write_closed_form
from ground_tools.export.conversion import convert, convert_float
from ground_tools.export.figures import (
    BundleFigures,
    Choices,
    EngineParity,
    ParityFigures,
    TemperatureFigures,
    plain_metrics,
)
from ground_tools.export.flight_network import read_flight_network
from ground_tools.export.graph import name_masks
from ground_tools.export.parity import (
    REFERENCE_PASSES,
    find_all_misses,
    float_bundle,
    flying_engines,
    measure_parity,
)
from ground_tools.export.segmenter_graph import read_tiling
from ground_tools.export.temperature import labelled_scores, report, sampled_scores, sampled_truth, score_factor
from ground_tools.foundation.json_records import to_plain
from ground_tools.foundation.names import check_name
from ground_tools.foundation.progress import progress
from ground_tools.labels.class_table import ClassTable, table_of
from ground_tools.networks.tiles import Tiling, take_views
from ground_tools.training.outcome import SEGMENTER_WEIGHTS, UNET_WEIGHTS
from ground_tools.training.records import check_unseen, sets_used
from ground_tools.training.resumption import check_weights, read_left

PASSES = 20
_PARITY_IMAGES = 16
_TEMPERATURE_IMAGES = 64
_TEMPERATURE_PASSES = 8


@dataclass(frozen=True)
class ParityPlan:
    """On how many test images of each set the engines are compared with float32, by how many passes of it.

    forced: a bundle that misses a bound is written all the same.
    """

    images: int = 4
    passes: int = REFERENCE_PASSES
    forced: bool = False


@dataclass(frozen=True)
class TrainedNetwork:
    """A trained network: its folder holds weights and training.json, as `ground-tools train` writes them."""

    role: str
    record: dict[str, Any]
    weights: Path

    @property
    def classes(self) -> ClassTable:
        """The classes that it tells apart."""
        return table_of(self.record)

    @property
    def input(self) -> tuple[int, int, int]:
        """Height, width and channels of its images."""
        height, width, channels = self.record.get("input", (128, 128, 1))
        return height, width, channels


def read_trained(folder: Path) -> TrainedNetwork:
    """Read what a training left. Raises ValueError naming the folder when it is no finished training."""
    record_path = folder / "training.json"
    weights = next((folder / name for name in (SEGMENTER_WEIGHTS, UNET_WEIGHTS) if (folder / name).is_file()), None)
    if not record_path.is_file() or weights is None:
        raise ValueError(f"{folder}: expected {UNET_WEIGHTS} and training.json of a finished training")
    record = read_left(record_path, "remove it and go on with the training, which writes it")
    role = check_name(record["recipe"]["role"], f"{record_path}: recipe.role")
    check_weights(weights, "train it again")
    return TrainedNetwork(role, record, weights)


def write_bundle(
    trained: list[TrainedNetwork],
    datasets: list[Path],
    out: Path,
    name: str,
    version: str,
    test_images: int | None = None,
    passes: int = PASSES,
    self_test_from: Path | None = None,
    parity_plan: ParityPlan = ParityPlan(),
) -> Bundle:
    """Export one network, or two to be fused as UNetH (the first one UNetS, the second UNetAS), into a bundle.

    Orientations, gamma and the uncertainty threshold are chosen on the validation splits of all sets, the figures
    computed on their test splits, both from the int8 files by the flight code. test_images: use only so many of each
    split, evenly spread over it. self_test_from: the set whose first test image becomes the self-test's; None: the
    first of `datasets` whose images may be passed on. parity_plan: on how many images the engines are compared with
    float32. The folder is replaced only when the new bundle is whole and passes its checks, that of parity among them
    unless the plan says otherwise; the manifest states what it misses.

    Raises ValueError for two sets of one name, one that is not finished, one on whose test images a network was
    trained, where no image may go into the bundle, and where the engine that flies misses a bound of parity.
    """
    trained = _in_order(trained)
    if len({(network.classes, network.input) for network in trained}) > 1:
        raise ValueError("--network: expected networks of the same classes and images, got different ones")
    check_name(name, "name")
    check_place(out)
    used = sets_used({network.role: network.record for network in trained}, {})
    for dataset in datasets:
        check_unseen(f"bundle {name}", used, dataset)
    sets = [read_set(dataset, test_images) for dataset in datasets]
    names = [bundle_set.name for bundle_set in sets]
    if len(set(names)) < len(names):
        raise ValueError(f"--dataset: expected sets of different names, got {' and '.join(names)}")
    tiling = _tiling(trained, sets)
    unseen, ranges = (take_views(images, tiling) for images in (_unseen_images(sets), images_for_ranges(sets)))
    self_test = _self_test_image(datasets if self_test_from is None else [self_test_from])
    with tempfile.TemporaryDirectory(prefix="rubblemap_bundle_") as scratch:
        folder = Path(scratch) / name
        folder.mkdir()
        networks, temperature, parity, floats = _export_networks(trained, ranges, sets, unseen, folder)
        place = tiling.place(*sets[0].test.masks.shape[1:]) | {"channels": trained[0].input[2]}
        manifest = _manifest(trained, networks, parity, name, version, passes, place)
        add_self_test(folder, manifest, self_test)
        write_manifest(folder, manifest)
        choices = choose(load_bundle(folder), sets, passes)
        _add_choices(manifest, choices)
        write_manifest(folder, manifest)
        bundle = load_bundle(folder)
        engines = _compare_engines(bundle, floats, sets, parity_plan)
        manifest["engine_parity"] = to_plain(engines)
        tests = {bundle_set.name: measure(bundle, bundle_set, passes) for bundle_set in sets}
        manifest["metrics"] = plain_metrics(BundleFigures(temperature, choices.validation, tests, parity, engines))
        record_self_test(folder, manifest)
        (folder / "card.md").write_text(card(manifest), encoding="utf-8")
        write_sums(folder)
        load_bundle(folder)
        put_in_place(folder, out)
    return load_bundle(out)


def _unseen_images(sets: list[BundleSet]) -> np.ndarray:
    """Test images for the parity, an equal share of every set; (N, H, W) or (N, H, W, 3) uint8."""
    each = _PARITY_IMAGES // len(sets)
    return np.concatenate([bundle_set.frames(take_evenly(bundle_set.test, each)) for bundle_set in sets])


def _tiling(trained: list[TrainedNetwork], sets: list[BundleSet]) -> Tiling:
    """How the networks answer for images of the sets' size. Raises ValueError where they do not."""
    height, width, _ = trained[0].input
    stated = read_tiling(trained[0].record)
    tiling = stated or Tiling(height, width, 1)
    expected = tiling.size if stated is None else sets[0].test.masks.shape[1:]
    for bundle_set in sets:
        size = bundle_set.test.masks.shape[1:]
        if size != expected:
            wanted, got = (" x ".join(map(str, sides)) for sides in (expected, size))
            raise ValueError(f"--dataset: {bundle_set.name}: images: expected {wanted} px, got {got}")
    tiling.lay(*expected)
    return tiling


def _self_test_image(datasets: list[Path]) -> np.ndarray:
    """(H, W) uint8, of the first set that gives one: a bundle goes to other people, mission images may not."""
    for dataset in datasets:
        image = publishable_image(dataset)
        if image is not None:
            return image
    names = " and ".join(read_description(dataset)["name"] for dataset in datasets)
    raise ValueError(
        f"--dataset: images of {names} may not be passed on; expected --self-test-from with a set whose images may"
    )


def _in_order(trained: list[TrainedNetwork]) -> list[TrainedNetwork]:
    """UNetS before UNetAS, whichever way they were named; a single network may have any role."""
    roles = sorted(network.role for network in trained)
    if len(trained) == 1:
        return trained
    if roles != ["UNetAS", "UNetS"]:
        raise ValueError(f"--network: expected one network, or UNetS and UNetAS, got {' and '.join(roles)}")
    return sorted(trained, key=lambda network: network.role, reverse=True)


def _export_networks(
    trained: list[TrainedNetwork], ranges: np.ndarray, sets: list[BundleSet], unseen: np.ndarray, folder: Path
) -> tuple[list[dict[str, Any]], dict[str, TemperatureFigures], dict[str, ParityFigures], dict[str, bytes]]:
    """Convert networks; returns their manifest entries, by role what `_export_network` measures, and float32 files.

    unseen: (N, H, W) uint8 test images, for the parity.
    """
    networks = []
    temperature: dict[str, TemperatureFigures] = {}
    parity: dict[str, ParityFigures] = {}
    floats: dict[str, bytes] = {}
    images = with_channels(unseen) / np.float32(255.0)
    for network in trained:
        entry, fitted, agreement, content = _export_network(network, ranges, sets, images, folder)
        networks.append(entry)
        temperature[network.role], parity[network.role], floats[network.role] = fitted, agreement, content
    return networks, temperature, parity, floats


def _export_network(
    network: TrainedNetwork, ranges: np.ndarray, sets: list[BundleSet], unseen: np.ndarray, folder: Path
) -> tuple[dict[str, Any], TemperatureFigures, ParityFigures, bytes]:
    """Convert one network; returns its manifest entry, what its scores' factor changes, int8's parity, and the float32
    file.
    """
    flight = read_flight_network(network.record, network.weights)
    shapes, keep = flight.shapes, flight.keep
    tiling = _tiling([network], sets)
    images, masks = (take_views(of, tiling) for of in validation_images(network.record, sets, _TEMPERATURE_IMAGES))
    scores = sampled_scores(flight.build(None, 1.0), images, shapes, keep, _TEMPERATURE_PASSES)
    scores, truth = labelled_scores(scores, sampled_truth(masks))
    factor = score_factor(scores, truth)
    module = flight.build(ranges, factor)
    print(f"{network.role}: quantize to int8, by {len(ranges)} images", file=sys.stderr)
    content = convert(module, ranges, shapes, keep)
    file = f"{network.role}.tflite"
    (folder / file).write_bytes(content)
    entry: dict[str, Any] = {
        "role": network.role,
        "file": file,
        "sha256": hashlib.sha256(content).hexdigest(),
        "quantization": "int8",
        "image_input": "image",
        "scores_output": _output_name(content),
        "dropout_masks": [
            {"input": mask, "shape": list(shape), "keep_probability": round(p, 6)}
            for mask, shape, p in zip(name_masks(len(shapes)), shapes, keep, strict=True)
        ],
    }
    closed_form = write_closed_form(_network_file(entry, content), ranges, folder)
    if closed_form is not None:
        entry["closed_form"] = closed_form
    fitted = report(scores, truth, factor, len(images))
    parity = _parity(module, entry, content, unseen, len(network.classes))
    return entry, fitted, parity, convert_float(module)


def _compare_engines(bundle: Bundle, floats: dict[str, bytes], sets: list[BundleSet], plan: ParityPlan) -> EngineParity:
    """The bundle's engines beside float32 whole passes, on test images of each set. Raises ValueError for a miss."""
    reference = float_bundle(bundle, floats)
    results = {}
    for bundle_set in sets:
        few = take_evenly(bundle_set.test, plan.images)
        results[bundle_set.name] = measure_parity(
            reference,
            flying_engines(bundle, bundle.passes),
            bundle_set.frames(few),
            few.masks,
            plan.passes,
            label=f"{bundle_set.name}: engines beside float32",
        )
    misses = find_all_misses(results)
    if misses and not plan.forced:
        raise ValueError(f"parity with float32: {'; '.join(misses)} (--force writes the bundle all the same)")
    return EngineParity(results, misses)


def _output_name(content: bytes) -> str:
    """The name of the only output tensor of a .tflite file."""
    (detail,) = make_interpreter(content, 1).get_output_details()
    return str(detail["name"]).split(":")[0]


def _network_file(entry: dict[str, Any], content: bytes) -> NetworkFile:
    masks = tuple(DropoutMask(m["input"], tuple(m["shape"]), m["keep_probability"]) for m in entry["dropout_masks"])
    return NetworkFile(
        entry["role"], content, entry["image_input"], entry["scores_output"], masks, entry["quantization"]
    )


def _parity(module: Any, entry: dict[str, Any], content: bytes, images: np.ndarray, classes: int) -> ParityFigures:
    """int8 against the float32 graph, pass by pass with the very same dropout masks."""
    file = _network_file(entry, content)
    _, height, width, channels = images.shape
    network = Network(file, 0, (height, width, channels), classes, 2)
    same, squares = [], []
    for seed, image in enumerate(progress(images, unit="image", label=f"{entry['role']}: int8 beside float32")):
        network.begin(image, seed, 1)
        flown = network.run(0).transpose(1, 2, 0)
        exact = module.forward(image[None], *network.float_masks(0))["scores"].numpy()[0]
        same.append(np.mean(flown.argmax(axis=-1) == exact.argmax(axis=-1)))
        squares.append(np.mean((flown - exact) ** 2) / np.var(exact))
    return ParityFigures(
        test_images=len(images),
        class_agreement=round(float(np.mean(same)), 4),
        relative_score_error=round(float(np.sqrt(np.mean(squares))), 4),
    )


def _manifest(
    trained: list[TrainedNetwork],
    networks: list[dict[str, Any]],
    parity: dict[str, ParityFigures],
    name: str,
    version: str,
    passes: int,
    place: dict[str, Any],
) -> dict[str, Any]:
    manifest: dict[str, Any] = {
        "schema": 1,
        "name": name,
        "version": version,
        "description": description({network.role: network.record for network in trained}),
        "classes": trained[0].classes.manifest_entries(),
        "input": place,
        "networks": networks,
        "defaults": {"passes": passes, "gamma": 3.0, "uncertainty_threshold": 0.9},
        "training": {network.role: network.record for network in trained},
        "metrics": {},
        "parity": to_plain(parity),
        "limits": limits({network.role: network.record for network in trained}),
    }
    if len(trained) == 2:
        first, second = (network.role for network in trained)
        manifest["fusion"] = {
            "mode": "UNetH",
            "classes": [
                {"network": first},
                {"network": first},
                {"network": second},
                {"network": first, "log_gamma_with": second},
                {"network": first},
            ],
        }
    return manifest


def _add_choices(manifest: dict[str, Any], choices: Choices) -> None:
    """State what was chosen on the validation splits."""
    chosen = {"gamma": choices.gamma, "uncertainty_threshold": choices.uncertainty_threshold}
    manifest["defaults"].update(chosen)
    manifest["input"]["orientations"] = choices.orientations
    manifest["validation_entropy"] = to_plain(choices.validation_entropy)
