"""Files of the closed-form head for the networks of a bundle: at export, and for a bundle that has none yet."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from flight.bundle import Bundle, NetworkFile, load_bundle, write_sums
from ground_tools.export.bundle_folder import put_in_place, record_self_test
from ground_tools.export.card import card
from ground_tools.export.closed_form import build_closed_form


def write_closed_form(network: NetworkFile, images: np.ndarray, folder: Path) -> dict[str, Any] | None:
    """Write a network's files of the closed-form head into a bundle's folder.

    Args:
        network: in int8.
        images: (N, H, W, C) float32 in [0, 1], for the scores' ranges.
        folder: of the bundle.

    Returns:
        The manifest's entry; None for a network whose head is not linear, which stderr is told.
    """
    try:
        parts = build_closed_form(network, images)
    except ValueError as error:
        print(f"{error}: it keeps whole passes", file=sys.stderr)
        return None
    entry: dict[str, Any] = {}
    contents = {"features": parts.features, "passes": parts.passes, "covariance": parts.covariance}
    for part, content in contents.items():
        name = f"{network.name}_{part}.tflite"
        (folder / name).write_bytes(content)
        entry[part] = {"file": name, "sha256": hashlib.sha256(content).hexdigest()}
    return {**entry, "dropout_masks": [mask.input for mask in parts.dropout_masks]}


def add_closed_form(source: Path, images: np.ndarray, out: Path, version: str) -> Bundle:
    """Write a copy of a bundle whose networks have their heads in closed form, and its self-test's answer with them.

    Args:
        source: the bundle's folder.
        images: (N, H, W, C) float32 in [0, 1], for the scores' ranges.
        out: folder to write; may be the bundle's own.
        version: of the new bundle.

    Raises:
        ValueError: no network of it has a linear head.
    """
    bundle = load_bundle(source)
    with tempfile.TemporaryDirectory(prefix="rubblemap_bundle_") as scratch:
        folder = Path(scratch) / bundle.name
        shutil.copytree(source, folder)
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        manifest["version"] = version
        # Whatever was promised was promised of whole passes: `ground-tools fit-risk` does it of these.
        manifest.pop("risk_thresholds", None)
        found = [write_closed_form(network, images, folder) for network in bundle.networks]
        if not any(found):
            raise ValueError(f"{source}: expected a network with a linear head, got none")
        for entry, closed_form in zip(manifest["networks"], found, strict=True):
            if closed_form is not None:
                entry["closed_form"] = closed_form
        record_self_test(folder, manifest)
        if (folder / "card.md").is_file():
            (folder / "card.md").write_text(card(manifest), encoding="utf-8")
            write_sums(folder)
        load_bundle(folder)
        put_in_place(folder, out)
    return load_bundle(out)
