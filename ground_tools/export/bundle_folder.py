"""The files of a bundle, whatever made its networks: manifest, hashes, self-test; put in place when whole."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from flight.bundle import load_bundle, write_sums
from flight.inference.engine import Engine
from flight.inference.self_test import decode_test_image
from flight.settings import default_settings
from ground_tools.datasets.store import png_bytes

_SELF_TEST_PASSES = 4
# Rounding in the runtime's kernels differs between processors; a damaged network differs by far more.
_SELF_TEST_AGREEMENT = 0.95


def check_place(out: Path) -> None:
    """Raise ValueError where a folder holds something else than a bundle, which is not to be replaced."""
    if out.exists() and any(out.iterdir()) and not (out / "manifest.json").is_file():
        raise ValueError(f"{out}: holds something else than a bundle; choose another --out")


def put_in_place(folder: Path, out: Path) -> None:
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


def add_self_test(folder: Path, manifest: dict[str, Any], image: np.ndarray) -> None:
    """Put a self-test's image into a bundle, with a blank class map.

    image: (H, W), or (H, W, 3) red, green, blue, uint8, as large as the input.
    """
    blank = png_bytes(np.zeros(image.shape[:2], dtype=np.uint8))
    # OpenCV's order of colours.
    content = png_bytes(image if image.ndim == 2 else image[..., ::-1])
    (folder / "self_test.png").write_bytes(content)
    (folder / "self_test_class_map.png").write_bytes(blank)
    manifest["self_test"] = {
        "image": "self_test.png",
        "image_sha256": hashlib.sha256(content).hexdigest(),
        "class_map": "self_test_class_map.png",
        "class_map_sha256": hashlib.sha256(blank).hexdigest(),
        "seed": 1,
        "passes": _SELF_TEST_PASSES,
        "minimum_agreement": _SELF_TEST_AGREEMENT,
    }


def record_self_test(folder: Path, manifest: dict[str, Any]) -> None:
    """Put the class map that the final bundle gives for the self-test's image in its place."""
    write_manifest(folder, manifest)
    bundle = load_bundle(folder)
    engine = Engine(bundle)
    settings = replace(default_settings(bundle), passes=bundle.self_test.passes)
    image = decode_test_image(bundle, bundle.self_test.image, "image")
    maps = engine.segment(image, bit_depth=8, centered=True, seed=bundle.self_test.seed, settings=settings)
    engine.close()
    content = png_bytes(maps.class_map)
    (folder / manifest["self_test"]["class_map"]).write_bytes(content)
    manifest["self_test"]["class_map_sha256"] = hashlib.sha256(content).hexdigest()
    write_manifest(folder, manifest)


def write_manifest(folder: Path, manifest: dict[str, Any]) -> None:
    """Write the manifest, and the hashes of all files."""
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
    write_sums(folder)
