"""What a training starts from: a file of weights, or a bundle of one network."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from flight.bundle import Bundle, load_bundle
from ground_tools.training.resumption import read_left


def load_single_network(folder: Path) -> Bundle:
    """A bundle that has one network.

    Raises flight.bundle.BundleError when it is damaged, ValueError naming it when it has more networks.
    """
    bundle = load_bundle(folder)
    if len(bundle.networks) > 1:
        roles = " and ".join(network.name for network in bundle.networks)
        raise ValueError(f"bundle {folder}: expected one network to start from, got {roles}")
    return bundle


def start_digest(path: Path) -> str:
    """SHA-256 of a file of weights, or of the network's file in a bundle."""
    content = load_single_network(path).networks[0].content if path.is_dir() else path.read_bytes()
    return hashlib.sha256(content).hexdigest()


def describe_origin(path: Path) -> dict[str, Any]:
    """What is known of a starting point: for `began_from` in the record of the training that starts there."""
    known: dict[str, Any] = {"weights_sha256": start_digest(path)}
    if path.is_dir():
        bundle = load_single_network(path)
        known["bundle"] = bundle.identity
        record = bundle.manifest["training"].get(bundle.networks[0].name)
        return {**known, "training": record} if record else known
    best, file = path.with_suffix(".best.json"), path.with_name("training.json")
    if best.is_file():
        known["validation"] = read_left(best, "go on with its training, which mends it")
    if file.is_file():
        known["training"] = read_left(file, "remove it and go on with its training, which writes it")
    return known
