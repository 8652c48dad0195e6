"""The folder of a bundle under construction: its manifest, its self-test's answer, and its move into place."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

from flight.bundle import load_bundle, write_sums
from flight.inference.engine import Engine
from flight.inference.self_test import decode_test_image
from flight.settings import default_settings
from ground_tools.datasets.store import png_bytes


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
    """Write manifest.json and SHA256SUMS."""
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
    write_sums(folder)
