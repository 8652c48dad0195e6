"""A real but tiny bundle for tests: converted networks, hashes, self-test."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from flight.bundle import write_sums
from tests.shared_folders import fill_once
from tests.tiny_networks import CHANNELS, HEIGHT, NETWORK_FILES, WIDTH

ROOT = Path(__file__).parents[1]


def body_frame(rows: int, columns: int, radius: float, seed: int = 2) -> np.ndarray:
    """A rough bright disk in the middle of a dark frame: a body with nothing to complain about."""
    v, u = np.mgrid[:rows, :columns]
    inside = (u - columns / 2) ** 2 + (v - rows / 2) ** 2 <= radius**2
    rough = np.random.default_rng(seed).integers(100, 250, (rows, columns))
    return np.where(inside, rough, 5).astype(np.uint8)


def write_tiny_bundle(folder: Path, networks: tuple[str, ...], dropout: bool = True) -> Path:
    """Write a bundle of tiny networks, whose class follows brightness: dark, grey, bright, and edges."""
    folder.mkdir(parents=True)
    entries = []
    for index, role in enumerate(networks):
        content = _networks()[index, dropout]
        (folder / f"{role}.tflite").write_bytes(content)
        entries.append(
            {
                "role": role,
                "file": f"{role}.tflite",
                "sha256": hashlib.sha256(content).hexdigest(),
                "quantization": "float32",
                "image_input": "image",
                "scores_output": _only_output(content),
                "dropout_masks": (
                    [{"input": "mask_1", "shape": [HEIGHT, WIDTH, 8], "keep_probability": 0.7}] if dropout else []
                ),
            }
        )
    colors = [[0, 0, 0], [120, 120, 120], [250, 250, 250], [250, 0, 0]]
    names, roles = ["dark", "grey", "bright", "edge"], ["background", "safe", "hazard", "terminator"]
    image = np.zeros((HEIGHT, WIDTH), dtype=np.uint8)
    cv2.circle(image, (24, 16), 10, 220, cv2.FILLED)
    image_png = cv2.imencode(".png", image)[1].tobytes()
    manifest = {
        "schema": 1,
        "name": folder.name,
        "version": "1.0",
        "description": "for tests",
        "classes": [
            {"index": i, "name": n, "color": c, "role": r}
            for i, (n, c, r) in enumerate(zip(names, colors, roles, strict=True))
        ],
        "input": {"height": HEIGHT, "width": WIDTH, "channels": CHANNELS},
        "networks": entries,
        "defaults": {"passes": 4, "gamma": 3.0, "uncertainty_threshold": 0.8},
        "validation_entropy": {"images": 1, "median": 0.9, "percentile_99": 1.2},
        "training": {},
        "metrics": {},
        "parity": {},
    }
    if len(networks) > 1:
        first, second = networks
        mixed = {"network": first, "log_gamma_with": second}
        manifest["fusion"] = {"mode": "Fused", "classes": [{"network": first}, mixed, mixed, {"network": second}]}
    (folder / "image.png").write_bytes(image_png)
    test = {
        "image": "image.png",
        "image_sha256": hashlib.sha256(image_png).hexdigest(),
        "class_map": "class_map.png",
        "seed": 3,
        "passes": 3,
        "minimum_agreement": 0.99,
    }
    manifest["self_test"] = test
    record_self_test(folder, manifest)
    return folder


def promise_risks(folder: Path, modes: dict[str, list[tuple[float, float]]]) -> Path:
    """Have a bundle promise risks. modes: name -> risk and threshold, nats, of each line. Returns the folder."""
    tables = [
        {"mode": mode, "thresholds": [{"risk": risk, "threshold": nats, "coverage": 0.5} for risk, nats in lines]}
        for mode, lines in modes.items()
    ]
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["risk_thresholds"] = {"delta": 0.05, "passes": 4, "sets": [{"name": "drawn"}], "modes": tables}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    write_sums(folder)
    return folder


def record_self_test(folder: Path, manifest: dict[str, Any]) -> None:
    """Put the class map that the networks give for the self-test's image into the bundle, and the manifest."""
    size = manifest["input"]["height"], manifest["input"]["width"]
    for class_map in (np.zeros(size, dtype=np.uint8), None):
        if class_map is None:
            class_map = _answer(folder)
        content = cv2.imencode(".png", class_map)[1].tobytes()
        (folder / "class_map.png").write_bytes(content)
        manifest["self_test"]["class_map_sha256"] = hashlib.sha256(content).hexdigest()
        (folder / "manifest.json").write_text(json.dumps(manifest))
        write_sums(folder)


def put_garbage_for_a_network(folder: Path) -> None:
    """Replace First.tflite by what is no model, with the right hashes everywhere."""
    content = b"TFL3 but not really" * 10
    (folder / "First.tflite").write_bytes(content)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["networks"][0]["sha256"] = hashlib.sha256(content).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(manifest))
    write_sums(folder)


@cache
def _networks() -> dict[tuple[int, bool], bytes]:
    """The networks' files, by number and whether they have dropout.

    TensorFlow makes them in a process of its own: it would fill that of the tests with hundreds of megabytes. All
    processes of a test run share what the first one made, in the folder that RUBBLEMAP_TEST_NETWORKS names.
    """

    def make(folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        command = [sys.executable, "-m", "tests.tiny_networks", folder]
        subprocess.run(command, check=True, capture_output=True, cwd=ROOT)

    with tempfile.TemporaryDirectory() as own:
        folder = fill_once(Path(os.environ.get("RUBBLEMAP_TEST_NETWORKS", f"{own}/networks")), make)
        return {key: (folder / name).read_bytes() for key, name in NETWORK_FILES.items()}


def _answer(folder: Path) -> np.ndarray:
    from flight.bundle import load_bundle
    from flight.inference.engine import Engine
    from flight.settings import default_settings

    bundle = load_bundle(folder)
    image = cv2.imread(str(folder / "image.png"), cv2.IMREAD_UNCHANGED)
    settings = replace(default_settings(bundle), passes=bundle.self_test.passes)
    maps = Engine(bundle).segment(image, bit_depth=8, centered=True, seed=3, settings=settings)
    return maps.class_map


def _only_output(content: bytes) -> str:
    from flight.inference.interpreter import make_interpreter

    (detail,) = make_interpreter(content, 1).get_output_details()
    return str(detail["name"]).split(":")[0]
