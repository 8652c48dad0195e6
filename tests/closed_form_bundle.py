"""A bundle of small int8 networks that end in a linear head, with the files of its closed form."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np

from flight.bundle import NetworkFile
from flight.closed_form_files import DropoutMask
from ground_tools.export.closed_form import build_closed_form
from ground_tools.export.tflite_graph import GraphWriter, Quantization
from tests.tiny_bundle import record_self_test, write_tiny_bundle
from tests.tiny_networks import CHANNELS, CLASSES, HEIGHT, WIDTH

WIDTHS = (6, 24, 40)
KEEP = (0.8, 0.6, 0.6)
NAMES = ("mask_1", "mask_2", "mask_3")


def small_network(seed: int) -> NetworkFile:
    """Convolution, mask, and a head of three convolutions with two masks between them."""
    generator = np.random.default_rng(seed)
    writer = GraphWriter()
    x = writer.add_new_input((1, HEIGHT, WIDTH, CHANNELS), Quantization(1 / 255, -128), "image")
    masks, read = [], CHANNELS
    for name, width, keep in zip(NAMES, WIDTHS, KEEP, strict=True):
        shape = (HEIGHT, WIDTH, width)
        mask = writer.add_new_input((1, *shape), Quantization(1 / keep / 255, -128), name)
        x = _add_layer(writer, generator, x, read, width, 0.05)
        if not masks:
            # What is before the head is not linear.
            x = writer.add_product(x, x, Quantization(0.02, -128))
        x = writer.add_product(x, mask, Quantization(0.05, 0))
        masks.append(DropoutMask(name, shape, keep))
        read = width
    writer.add_output(_add_layer(writer, generator, x, read, CLASSES, 0.1), "scores")
    return NetworkFile("", writer.finish(), "image", "scores", tuple(masks), "int8")


def _add_layer(writer: GraphWriter, generator: np.random.Generator, x: int, read: int, width: int, step: float) -> int:
    kernel = generator.normal(0.0, 1.0 / np.sqrt(9 * read), (width, 3, 3, read))
    return writer.add_convolution(x, kernel, generator.normal(0.0, 0.3, width), Quantization(step, 0), same=True)


def write_closed_form_bundle(folder: Path) -> Path:
    """Write the bundle; its networks are those of `small_network`."""
    write_tiny_bundle(folder, ("First", "Second"))
    manifest = json.loads((folder / "manifest.json").read_text())
    images = np.random.default_rng(1).random((4, HEIGHT, WIDTH, CHANNELS)).astype(np.float32)
    for index, entry in enumerate(manifest["networks"]):
        network = small_network(index)
        parts = build_closed_form(network, images)
        contents = {"": network.content, "_features": parts.features, "_passes": parts.passes}
        contents["_covariance"] = parts.covariance
        stated = {}
        for part, content in contents.items():
            name = f"{entry['role']}{part}.tflite"
            (folder / name).write_bytes(content)
            stated[part] = {"file": name, "sha256": hashlib.sha256(content).hexdigest()}
        entry |= stated.pop("") | {"quantization": "int8", "scores_output": "scores"}
        entry["dropout_masks"] = [
            {"input": mask.input, "shape": list(mask.shape), "keep_probability": mask.keep_probability}
            for mask in network.dropout_masks
        ]
        closed_form = {part.removeprefix("_"): where for part, where in stated.items()}
        entry["closed_form"] = {**closed_form, "dropout_masks": [mask.input for mask in parts.dropout_masks]}
    manifest["self_test"]["minimum_agreement"] = 0.9
    record_self_test(folder, manifest)
    return folder
