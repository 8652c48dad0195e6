"""Making a bundle around a network of another recipe, and a picture of what it does."""

from __future__ import annotations

import hashlib
import math
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from flight.bundle import Bundle, load_bundle
from flight.client import pictures
from flight.client.bit_depth import scale_to_grey
from flight.inference.centering import center
from flight.inference.engine import Engine, Maps
from flight.inference.output_kind import expected_channels
from flight.inference.self_test import run_self_test
from flight.inference.uncertainty import predictive_entropy
from flight.segment import warn
from flight.settings import default_settings
from ground_tools.export.bundle_folder import add_self_test, check_place, put_in_place, record_self_test, write_manifest
from ground_tools.foundation.files import write_whole
from ground_tools.own_networks.classes import NamedClass
from ground_tools.own_networks.inspection import Tensors
from ground_tools.own_networks.scenes import draw_scene
from ground_tools.pages.templates import render
from hil.images.folder import list_folder, open_images

_DRAWN = 4
_SHOWN = 6
# With fewer images a percentile of their entropies says nothing.
_LEAST_FOR_ENTROPY = 20
# Of the classes' entropy over all pixels, what the maps must tell of it, nats.
_LEAST_INFORMATION = 0.02


@dataclass(frozen=True)
class Statement:
    """What a manifest says of a network that its file does not.

    Attributes:
        name, version, description: of the bundle.
        classes: in the order of the channels.
        output: one of flight's OUTPUT_KINDS.
        pixels: as a manifest has it.
        pixels_assumed: nobody has said so, and the file does not tell.
        threshold: default of the uncertainty threshold.
        place: `input` of the manifest: the map's height, width and channels, and the tiles if it has any.
    """

    name: str
    version: str
    description: str
    classes: list[NamedClass]
    output: str
    pixels: dict[str, Any]
    pixels_assumed: bool
    threshold: float
    place: dict[str, Any]


@dataclass(frozen=True)
class Look:
    """A network's maps of some images. information: what the maps tell of a pixel's class, nats."""

    names: list[str]
    frames: list[np.ndarray]
    maps: list[Maps]
    information: float


def read_images(path: Path | None, count: int, height: int, width: int) -> tuple[list[str], list[np.ndarray]]:
    """Images to look at: of a folder, evenly spread over it, or drawn scenes where there is none.

    Raises:
        ValueError: no such folder, no images in it, or one that cannot be read.
    """
    if path is None:
        generator = np.random.default_rng(1)
        drawn = [draw_scene(generator, max(height, 16), max(width, 16))[0] for _ in range(_DRAWN)]
        return [f"drawn scene {number}" for number in range(1, _DRAWN + 1)], drawn
    images = open_images(list_folder(path).files if path.is_dir() else [path], warn=warn)
    chosen = np.unique(np.linspace(0, len(images) - 1, min(count, len(images))).round().astype(int))
    return [images.items[i].path.name for i in chosen], [scale_to_grey(*images.samples(int(i))) for i in chosen]


def count_classes(tensors: Tensors, output: str, given: int | None) -> int:
    """How many classes a network has: as many as its output has channels, or one more.

    Args:
        tensors: of the network.
        output: one of flight's OUTPUT_KINDS.
        given: how many have names; None if none has.

    Raises:
        ValueError: another number has names.
    """
    channels = tensors.output_channels
    possible = [
        count for count in (channels, channels + 1) if count > 1 and channels in expected_channels(output, count)
    ]
    if given is None:
        return possible[0]
    if given not in possible:
        wanted = " or ".join(map(str, possible))
        raise ValueError(f"--classes: expected {wanted} for {channels} channels of {output}, got {given}")
    return given


def write_own_bundle(
    content: bytes, tensors: Tensors, statement: Statement, names: list[str], frames: list[np.ndarray], out: Path
) -> tuple[Bundle, Look]:
    """Write a bundle around a network, and put it in place once it passes its self-test.

    Args:
        content: of the .tflite file.
        tensors: from inspect_network.
        statement: for the manifest.
        names, frames: images to look at; the one with the most classes in its map becomes the self-test's.
        out: the bundle's folder. The picture goes beside it, with .png at the end.

    Raises:
        ValueError: the network does not fit the statement, or says nothing of the images.
    """
    check_place(out)
    manifest = _make_manifest(content, tensors, statement)
    with tempfile.TemporaryDirectory(prefix="rubblemap_bundle_") as scratch:
        folder = Path(scratch) / "bundle"
        folder.mkdir()
        (folder / "network.tflite").write_bytes(content)
        add_self_test(folder, manifest, _shrink(frames[0], statement))
        write_manifest(folder, manifest)
        look = _look(load_bundle(folder), names, frames)
        _check_information(look, statement)
        best = max(range(len(frames)), key=lambda number: _worth_testing(look.maps[number]))
        add_self_test(folder, manifest, _shrink(frames[best], statement))
        if len(frames) >= _LEAST_FOR_ENTROPY:
            entropies = [float(maps.predictive_entropy.mean()) for maps in look.maps]
            shares = {"median": np.median(entropies), "percentile_99": np.percentile(entropies, 99)}
            manifest["validation_entropy"] = {
                "images": len(frames),
                **{k: round(float(v), 4) for k, v in shares.items()},
            }
        record_self_test(folder, manifest)
        (folder / "card.md").write_text(_card(manifest, tensors, statement, look), encoding="utf-8")
        write_manifest(folder, manifest)
        engine = Engine(load_bundle(folder))
        run_self_test(engine)
        engine.close()
        put_in_place(folder, out)
    bundle = load_bundle(out)
    write_whole(out.with_name(f"{out.name}.png"), _draw(bundle, look))
    return bundle, look


def _worth_testing(maps: Maps) -> tuple[int, float]:
    """An image with many classes, about which the network is sure, makes the better self-test."""
    return len(np.unique(maps.class_map)), -float(maps.predictive_entropy.mean())


def _make_manifest(content: bytes, tensors: Tensors, statement: Statement) -> dict[str, Any]:
    network = {
        "role": "network",
        "file": "network.tflite",
        "sha256": hashlib.sha256(content).hexdigest(),
        "quantization": tensors.quantization,
        "image_input": tensors.image_input,
        "pixels": statement.pixels,
        "scores_output": tensors.scores_output,
        "output": statement.output,
        "dropout_masks": [],
    }
    return {
        "schema": 1,
        "name": statement.name,
        "version": statement.version,
        "description": statement.description,
        "classes": [one.entry(index) for index, one in enumerate(statement.classes)],
        "input": statement.place,
        "networks": [network],
        "defaults": {"passes": 1, "gamma": 1.0, "uncertainty_threshold": statement.threshold},
        "training": {},
        "metrics": {},
        "parity": {},
        "limits": [
            "Made by another recipe: what it was trained on is not known here, and nothing was measured.",
            "One pass without dropout: the entropy is the network's own, the mutual information is 0.",
            *["How pixels become its input was assumed."] * statement.pixels_assumed,
        ],
    }


def _shrink(frame: np.ndarray, statement: Statement) -> np.ndarray:
    """A frame as large as the map, (H, W) uint8."""
    height, width = statement.place["height"], statement.place["width"]
    image = center(frame, 8 * frame.dtype.itemsize, height, width, 1, locate=False).image
    return np.rint(image[:, :, 0] * 255.0).astype(np.uint8)


def _look(bundle: Bundle, names: list[str], frames: list[np.ndarray]) -> Look:
    engine = Engine(bundle)
    maps = [
        engine.segment(
            frame, bit_depth=8 * frame.dtype.itemsize, centered=False, seed=1, settings=default_settings(bundle)
        )
        for frame in frames
    ]
    engine.close()
    # Mutual information of pixel and class: entropy of the mean less mean of the entropies, where something is seen.
    seen = [one.class_map < len(bundle.classes) for one in maps]
    mean = np.concatenate([one.mean_probability[:, part] for one, part in zip(maps, seen, strict=True)], axis=1)
    own = np.concatenate([one.predictive_entropy[part] for one, part in zip(maps, seen, strict=True)])
    of_mean = predictive_entropy(mean.mean(axis=1, keepdims=True)[:, None].astype(np.float32))
    return Look(names, frames, maps, float(of_mean.item()) - float(own.mean()))


def _check_information(look: Look, statement: Statement) -> None:
    if look.information >= _LEAST_INFORMATION:
        return
    hint = "state how pixels become inputs (--range LOW HIGH, or --mean and --std)"
    if not statement.pixels_assumed:
        hint = "look at other images (--images), or at the network"
    raise ValueError(
        f"maps: expected classes that depend on the image, got {look.information:.3f} nats of information over "
        f"{len(look.frames)} images: {hint}"
    )


def _card(manifest: dict[str, Any], tensors: Tensors, statement: Statement, look: Look) -> str:
    count = len(statement.classes)
    shares = [
        float(np.mean([np.mean(maps.class_map == index) for maps in look.maps]))
        for index in range(len(statement.classes))
    ]
    return render(
        "own_networks/card.md.j2",
        manifest=manifest,
        tensors=tensors,
        statement=statement,
        shares=shares,
        images=len(look.frames),
        entropy=float(np.mean([maps.predictive_entropy.mean() for maps in look.maps])) / math.log(count),
    )


def _draw(bundle: Bundle, look: Look) -> bytes:
    """A row for each of a few images: input, class map, with uncertain pixels, entropy. PNG."""
    import cv2

    count, colors = len(bundle.classes), tuple(c.color for c in bundle.classes)
    legend = pictures.make_legend([c.name for c in bundle.classes], colors)
    rows = []
    for name, frame, maps in list(zip(look.names, look.frames, look.maps, strict=True))[:_SHOWN]:
        seen = maps.class_map < count
        depth = 8 * frame.dtype.itemsize
        panels = [
            ("input", pictures.resample_frame(frame, depth, list(maps.map_to_sensor), bundle.height, bundle.width)),
            ("class map", pictures.draw_class_map(maps.class_map, colors, count, seen)),
            ("with uncertain pixels", pictures.draw_class_map(maps.enhanced_class_map, colors, count, seen)),
            (f"entropy, 0..{math.log(count):.2f} nat", pictures.draw_entropy(maps.predictive_entropy, count)),
        ]
        rows.append(pictures.join_panels(panels, legend, name))
    picture = np.concatenate(rows)
    return cv2.imencode(".png", np.ascontiguousarray(picture[:, :, ::-1]))[1].tobytes()
