"""Bundles whose map is larger than their networks, and such networks."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ground_tools.export.tflite_graph import GraphWriter, Quantization
from tests.tiny_bundle import body_frame, record_self_test, write_tiny_bundle
from tests.tiny_networks import CHANNELS, CLASSES, HEIGHT, WIDTH

# How far the network of `write_network` sees: two convolutions of 3 x 3.
REACH = 2
TILES = {"height": HEIGHT, "width": WIDTH, "overlap": 12, "margin": REACH}


def enlarge_map(bundle: Path, folder: Path, height: int, width: int, tiles: dict[str, int]) -> Path:
    """Copy a bundle of tiny networks, with a larger map that its networks answer for tile by tile."""
    shutil.copytree(bundle, folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["input"] |= {"height": height, "width": width, "tiles": tiles}
    return record(folder, manifest)


def write_network(folder: Path, height: int, width: int, tiles: dict[str, int] | None = None) -> Path:
    """Write a bundle of one int8 network without dropout, which does the same wherever it looks.

    tiles: its size; None for a network of the map's size.
    """
    write_tiny_bundle(folder, ("First",), dropout=False)
    rows, columns = (tiles["height"], tiles["width"]) if tiles else (height, width)
    writer = GraphWriter()
    x = writer.add_new_input((1, rows, columns, CHANNELS), Quantization(1 / 255, -128), "image")
    generator = np.random.default_rng(3)
    for read, made, step in ((CHANNELS, 8, 0.02), (8, CLASSES, 0.05)):
        kernel = generator.normal(0.0, 1.5 / np.sqrt(read), (made, 3, 3, read))
        bias = generator.normal(0.0, 0.3, made)
        x = writer.add_convolution(x, kernel, bias, Quantization(step, 0), same=True)
    writer.add_output(x, "scores")
    content = writer.finish()
    (folder / "First.tflite").write_bytes(content)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["input"] |= {"height": height, "width": width, **({"tiles": tiles} if tiles else {})}
    stated = {"sha256": hashlib.sha256(content).hexdigest(), "quantization": "int8", "scores_output": "scores"}
    manifest["networks"][0] |= stated
    return record(folder, manifest)


def record(folder: Path, manifest: dict[str, Any]) -> Path:
    """Give a bundle a self-test of its map's size."""
    height, width = manifest["input"]["height"], manifest["input"]["width"]
    image = cv2.imencode(".png", body_frame(height, width, min(height, width) / 3))[1].tobytes()
    (folder / "image.png").write_bytes(image)
    manifest["self_test"]["image_sha256"] = hashlib.sha256(image).hexdigest()
    record_self_test(folder, manifest)
    return folder
