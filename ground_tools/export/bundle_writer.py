"""Writing a bundle: networks, choices on the validation set, figures on the test set, self-test, manifest, card."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from flight.bundle import Bundle, DropoutMask, NetworkFile, load_bundle, write_sums
from flight.inference.engine import Engine, default_settings
from flight.inference.interpreter import make_interpreter
from flight.inference.network import Network
from flight.inference.self_test import decoded
from ground_tools.classes import CLASS_NAMES, COLORS
from ground_tools.datasets.store import LoadedSet, load, png_bytes, read_description
from ground_tools.evaluation.choices import GAMMAS, choose_threshold
from ground_tools.evaluation.passes import mode_result, passes_over, set_inputs
from ground_tools.export.convert import convert
from ground_tools.export.graph import (
    MASK_INPUTS,
    flight_graph,
    keep_probabilities,
    mask_shapes,
)
from ground_tools.networks.unet import UNetDropout, build_unet
from ground_tools.training.augmentation import disturbed
from ground_tools.training.batches import relabelled
from ground_tools.training.metrics import iou_per_class, mean_iou

ROLES = {
    "background": "background",
    "surface": "safe",
    "craters": "hazard",
    "boulders": "hazard",
    "terminator": "terminator",
}
PASSES = 20
_CALIBRATION_IMAGES = 96
_PARITY_IMAGES = 16
_SELF_TEST_PASSES = 4
# Rounding in the runtime's kernels differs between processors; a damaged network differs by far more.
_SELF_TEST_AGREEMENT = 0.95


@dataclass(frozen=True)
class TrainedNetwork:
    """A trained UNet: its folder holds unet.weights.h5 and training.json, as `ground-tools train` writes them."""

    role: str
    record: dict[str, Any]
    weights: Path


def read_trained(folder: Path) -> TrainedNetwork:
    """Read what a training left. Raises ValueError naming the folder when it is no finished training."""
    record_path, weights = folder / "training.json", folder / "unet.weights.h5"
    if not record_path.is_file() or not weights.is_file():
        raise ValueError(f"{folder}: expected unet.weights.h5 and training.json of a finished training")
    record = json.loads(record_path.read_text(encoding="utf-8"))
    return TrainedNetwork(record["recipe"]["role"], record, weights)


def write_bundle(
    trained: list[TrainedNetwork],
    dataset: Path,
    out: Path,
    name: str,
    version: str,
    test_images: int | None = None,
    passes: int = PASSES,
) -> Bundle:
    """Export one network, or two to be fused as UNetH (the first one UNetS, the second UNetAS), into a bundle.

    gamma and the uncertainty threshold are chosen on the validation split, the figures computed on the test
    split, both from the int8 files by the flight code. test_images: use only so many of each split, evenly
    spread over it. The folder is replaced only when the new bundle is whole and passes its checks.
    """
    trained = _in_order(trained)
    if out.exists() and any(out.iterdir()) and not (out / "manifest.json").is_file():
        raise ValueError(f"{out}: holds something else than a bundle; choose another --out")
    train, validation, test = (load(dataset, split, identifiers=True) for split in ("train", "validation", "test"))
    unseen = set_inputs(_spread(test, _PARITY_IMAGES).images)[..., None] / np.float32(255.0)
    calibration = _calibration(train)
    with tempfile.TemporaryDirectory(prefix="rubblemap_bundle_") as scratch:
        folder = Path(scratch) / name
        folder.mkdir()
        networks, parity = [], {}
        for network in trained:
            entry, report = _export_network(network, calibration, unseen, folder)
            networks.append(entry)
            parity[network.role] = report
        manifest = _manifest(trained, networks, parity, name, version, passes, read_description(dataset)["name"])
        _add_self_test(folder, manifest, set_inputs(test.images[:1])[0])
        _write_manifest(folder, manifest)
        chosen = _choose(load_bundle(folder), _spread(validation, test_images), trained, passes)
        manifest["defaults"].update(chosen["defaults"])
        manifest["validation_entropy"] = chosen["validation_entropy"]
        manifest["metrics"]["validation"] = chosen["report"]
        _write_manifest(folder, manifest)
        manifest["metrics"]["test"] = _measure(load_bundle(folder), _spread(test, test_images), trained, passes)
        _record_self_test(folder, manifest)
        (folder / "card.md").write_text(_card(manifest), encoding="utf-8")
        write_sums(folder)
        load_bundle(folder)
        _put_in_place(folder, out)
    return load_bundle(out)


def _in_order(trained: list[TrainedNetwork]) -> list[TrainedNetwork]:
    """UNetS before UNetAS, whichever way they were named; a single network may have any role."""
    roles = sorted(network.role for network in trained)
    if len(trained) == 1:
        return trained
    if roles != ["UNetAS", "UNetS"]:
        raise ValueError(f"--network: expected one network, or UNetS and UNetAS, got {' and '.join(roles)}")
    return sorted(trained, key=lambda network: network.role, reverse=True)


def _put_in_place(folder: Path, out: Path) -> None:
    """Replace a bundle by renaming, so that there is a whole one at any moment but the one between two renames."""
    out.parent.mkdir(parents=True, exist_ok=True)
    part, old = out.with_name(f".{out.name}.part"), out.with_name(f".{out.name}.old")
    for leftover in (part, old):
        shutil.rmtree(leftover, ignore_errors=True)
    shutil.copytree(folder, part)
    if out.exists():
        out.rename(old)
    part.rename(out)
    shutil.rmtree(old, ignore_errors=True)


def _calibration(train: LoadedSet) -> np.ndarray:
    """Images for the int8 ranges: evenly spread over the training split, disturbed as in training."""
    chosen = np.linspace(0, len(train.images) - 1, min(_CALIBRATION_IMAGES, len(train.images))).astype(int)
    return np.stack([disturbed(train.images[i], 0.7, np.random.default_rng([7, int(i)])) for i in chosen])[..., None]


def _spread(loaded: LoadedSet, count: int | None) -> LoadedSet:
    """`count` samples evenly spread over a split, or all of them."""
    if count is None or count >= len(loaded.images):
        return loaded
    return loaded.chosen(np.linspace(0, len(loaded.images) - 1, count).astype(int))


def _export_network(
    network: TrainedNetwork, calibration: np.ndarray, unseen: np.ndarray, folder: Path
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Convert one network; returns its manifest entry and the parity of int8 with float32 on equal masks."""
    recipe = network.record["recipe"]
    unet = build_unet(len(CLASS_NAMES), UNetDropout(recipe["dropout_blocks"], recipe["dropout_head"]))
    unet.load_weights(network.weights)
    module = flight_graph(unet, equalize_on=calibration)
    shapes, keep = mask_shapes(unet), keep_probabilities(unet)
    content = convert(module, calibration, shapes, keep)
    file = f"{network.role}.tflite"
    (folder / file).write_bytes(content)
    entry = {
        "role": network.role,
        "file": file,
        "sha256": hashlib.sha256(content).hexdigest(),
        "quantization": "int8",
        "image_input": "image",
        "scores_output": output_name(content),
        "dropout_masks": [
            {"input": mask, "shape": list(shape), "keep_probability": round(p, 6)}
            for mask, shape, p in zip(MASK_INPUTS, shapes, keep, strict=True)
        ],
    }
    return entry, _parity(module, entry, content, unseen)


def output_name(content: bytes) -> str:
    """The name of the only output tensor of a .tflite file."""
    (detail,) = make_interpreter(content, 1).get_output_details()
    return str(detail["name"]).split(":")[0]


def _parity(module: Any, entry: dict[str, Any], content: bytes, images: np.ndarray) -> dict[str, Any]:
    """int8 against the float32 graph, pass by pass with the very same dropout masks."""
    masks = tuple(DropoutMask(m["input"], tuple(m["shape"]), m["keep_probability"]) for m in entry["dropout_masks"])
    file = NetworkFile(entry["role"], content, entry["image_input"], entry["scores_output"], masks)
    _, height, width, channels = images.shape
    network = Network(file, 0, (height, width, channels), len(CLASS_NAMES), 2)
    same, squares = [], []
    for seed, image in enumerate(images):
        network.begin(image, seed, 1)
        flown = network.run(0).transpose(1, 2, 0)
        exact = module.forward(image[None], *network.float_masks(0))["scores"].numpy()[0]
        same.append(np.mean(flown.argmax(axis=-1) == exact.argmax(axis=-1)))
        squares.append(np.mean((flown - exact) ** 2) / np.var(exact))
    return {
        "test_images": len(images),
        "class_agreement": round(float(np.mean(same)), 4),
        "relative_score_error": round(float(np.sqrt(np.mean(squares))), 4),
    }


def _manifest(
    trained: list[TrainedNetwork],
    networks: list[dict[str, Any]],
    parity: dict[str, Any],
    name: str,
    version: str,
    passes: int,
    dataset: str,
) -> dict[str, Any]:
    manifest: dict[str, Any] = {
        "schema": 1,
        "name": name,
        "version": version,
        "description": f"Small-body segmentation in five classes; trained on {dataset}, "
        f"{trained[0].record['images']['train']} rendered images",
        "classes": [
            {"index": index, "name": c, "color": COLORS[c], "role": ROLES[c]} for index, c in enumerate(CLASS_NAMES)
        ],
        "input": {"height": 128, "width": 128, "channels": 1},
        "networks": networks,
        "defaults": {"passes": passes, "gamma": 3.0, "uncertainty_threshold": 0.9},
        "training": {network.role: network.record for network in trained},
        "metrics": {},
        "parity": parity,
        "limits": _limits(trained),
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


def _choose(bundle: Bundle, validation: LoadedSet, trained: list[TrainedNetwork], passes: int) -> dict[str, Any]:
    """gamma by the mIoU and the threshold by the enhanced maps' mIoU, on the validation split."""
    truths = _truths(validation, trained[0])
    mode, classes = bundle.modes[0], len(bundle.classes)
    gammas = GAMMAS if bundle.fusion is not None else (bundle.gamma,)
    maps: dict[float, list[tuple[np.ndarray, np.ndarray]]] = {gamma: [] for gamma in gammas}
    for scores in passes_over(bundle, set_inputs(validation.images), passes):
        for gamma in gammas:
            maps[gamma].append(mode_result(bundle, scores, mode, gamma))
    mious = {
        gamma: mean_iou(iou_per_class(truths, np.stack([m for m, _ in results]), classes))
        for gamma, results in maps.items()
    }
    gamma = max(mious, key=lambda g: mious[g])
    class_maps, entropies = (np.stack(arrays) for arrays in zip(*maps[gamma], strict=True))
    threshold = choose_threshold(class_maps, entropies, truths, classes)
    means = entropies.mean(axis=(1, 2), dtype=np.float64)
    return {
        "validation_entropy": {
            "images": len(means),
            "median": round(float(np.median(means)), 5),
            "percentile_99": round(float(np.percentile(means, 99)), 5),
        },
        "defaults": {"gamma": gamma, "uncertainty_threshold": threshold},
        "report": {"images": len(truths), "miou_by_gamma": {f"{g:g}": round(m, 4) for g, m in mious.items()}},
    }


def _measure(bundle: Bundle, test: LoadedSet, trained: list[TrainedNetwork], passes: int) -> dict[str, Any]:
    """IoU per class of every mode on the test split, from the int8 files."""
    truths = {network.role: _truths(test, network) for network in trained}
    results: dict[str, list[np.ndarray]] = {mode: [] for mode in bundle.modes}
    for scores in passes_over(bundle, set_inputs(test.images), passes):
        for mode, predicted in results.items():
            predicted.append(mode_result(bundle, scores, mode, bundle.gamma)[0])
    report: dict[str, Any] = {"images": len(test.images), "passes": passes, "definition": "mean over images"}
    for mode, predicted in results.items():
        truth = truths.get(mode, truths[trained[0].role])
        iou = iou_per_class(truth, np.stack(predicted), len(bundle.classes))
        report[mode] = {
            "miou": round(mean_iou(iou), 4),
            "iou": {c.name: round(float(v), 4) for c, v in zip(bundle.classes, iou, strict=True)},
        }
    return report


def _truths(loaded: LoadedSet, network: TrainedNetwork) -> np.ndarray:
    """The split's masks by the label rule that the network was trained with."""
    return relabelled(loaded, network.record["recipe"]["minimum_boulder_pixels"])


def _add_self_test(folder: Path, manifest: dict[str, Any], image: np.ndarray) -> None:
    blank = png_bytes(np.zeros(image.shape, dtype=np.uint8))
    (folder / "self_test.png").write_bytes(png_bytes(image))
    (folder / "self_test_class_map.png").write_bytes(blank)
    manifest["self_test"] = {
        "image": "self_test.png",
        "image_sha256": hashlib.sha256(png_bytes(image)).hexdigest(),
        "class_map": "self_test_class_map.png",
        "class_map_sha256": hashlib.sha256(blank).hexdigest(),
        "seed": 1,
        "passes": _SELF_TEST_PASSES,
        "minimum_agreement": _SELF_TEST_AGREEMENT,
    }


def _record_self_test(folder: Path, manifest: dict[str, Any]) -> None:
    """Put the class map that the final bundle gives for the self-test's image in its place."""
    _write_manifest(folder, manifest)
    bundle = load_bundle(folder)
    engine = Engine(bundle)
    settings = replace(default_settings(bundle), passes=bundle.self_test.passes)
    image = decoded(bundle, bundle.self_test.image, "image")
    maps = engine.segment(image, bit_depth=8, centered=True, seed=bundle.self_test.seed, settings=settings)
    engine.close()
    content = png_bytes(maps.class_map)
    (folder / "self_test_class_map.png").write_bytes(content)
    manifest["self_test"]["class_map_sha256"] = hashlib.sha256(content).hexdigest()
    _write_manifest(folder, manifest)


def _write_manifest(folder: Path, manifest: dict[str, Any]) -> None:
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
    write_sums(folder)


def _limits(trained: list[TrainedNetwork]) -> list[str]:
    """What a user must know before trusting the maps."""
    images = max(network.record["images"]["train"] for network in trained)
    minutes = sum(network.record["minutes"] for network in trained)
    limits = [
        f"{images} training images, {minutes:.0f} minutes of training.",
        "Rendered images only: no real image was used in training or for any figure.",
        "The unlit part of a body is labelled as surface in training; on a dark sky it cannot be told from space.",
        "Bodies smaller than about half the image, or filling it entirely, are outside the training shell.",
    ]
    if any(network.role == "UNetAS" for network in trained):
        limits.insert(
            2, "UNetAS was adapted on disturbed renderings, not on hand-labelled real images as in the paper."
        )
    return limits


def _card(manifest: dict[str, Any]) -> str:
    """The model card, from the manifest's own figures."""
    test = manifest["metrics"]["test"]
    names = [c["name"] for c in manifest["classes"]]
    lines = [
        f"# {manifest['name']} {manifest['version']}",
        "",
        f"{manifest['description']}. Made by `ground-tools export`; every figure below is in manifest.json.",
        "",
        "## Data and training",
        "",
        "| network | recipe | set | label rule | epochs | time | backend |",
        "|---|---|---|---|---|---|---|",
    ]
    for role, record in manifest["training"].items():
        recipe = record["recipe"]
        lines.append(
            f"| {role} | {recipe['name']} | {record['dataset']['name']} ({record['dataset']['sha256'][:12]}) | "
            f"boulders from {recipe['minimum_boulder_pixels']} visible pixels | {recipe['epochs']} | "
            f"{record['minutes']:g} min, {record.get('hardware', 'CPU')} | {record['backend']} |"
        )
    lines += [
        "",
        f"## IoU on the test split ({test['images']} images, {test['passes']} passes, int8 files)",
        "",
        f"| mode | {' | '.join(names)} | mean |",
        f"|---|{'---|' * (len(names) + 1)}",
    ]
    for mode, figures in test.items():
        if isinstance(figures, dict):
            cells = " | ".join(f"{100 * figures['iou'][name]:.1f} %" for name in names)
            lines.append(f"| {mode} | {cells} | {100 * figures['miou']:.1f} % |")
    lines += [
        "",
        "IoU per class: the mean over the images that show the class."
        + (
            " A network's own row is judged by the labels it was trained on, the fused row by those of the first."
            if len(manifest["networks"]) > 1
            else ""
        ),
        f"gamma {manifest['defaults']['gamma']:g} and uncertainty threshold "
        f"{manifest['defaults']['uncertainty_threshold']:g} were chosen on the validation split.",
        "",
        "## Quantization",
        "",
        "int8 against the float32 graph on test images, pass by pass with the same dropout masks: "
        + "; ".join(
            f"{role}: {100 * report['class_agreement']:.1f} % of the pixels of one class, relative score error "
            f"{report['relative_score_error']:.3f}"
            for role, report in manifest["parity"].items()
        )
        + ".",
        "",
        "## Limits",
        "",
        *(f"- {limit}" for limit in manifest["limits"]),
        "",
    ]
    return "\n".join(lines)
