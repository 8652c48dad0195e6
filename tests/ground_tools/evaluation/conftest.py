"""Bundles and sets to evaluate."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.ground_tools.evaluation.sets import REAL, UNSEEN_BODIES, stated, write_set
from tests.tiny_bundle import write_tiny_bundle


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two networks: by its record, the second began from the first and was trained on d3."""
    first = {"dataset": {"name": "d1", "sha256": "x", "split_by": None}}
    second = {"dataset": {"name": "d3", "sha256": "x", "split_by": None}, "began_from": {"training": first}}
    written = write_tiny_bundle(tmp_path_factory.mktemp("bundles") / "tiny", ("UNetS", "UNetAS"))
    return stated(written, training={"UNetS": first, "UNetAS": second})


@pytest.fixture(scope="session")
def second(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of one network without dropout."""
    return write_tiny_bundle(tmp_path_factory.mktemp("bundles") / "plain", ("UNetR",), dropout=False)


@pytest.fixture(scope="session")
def sets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("sets")
    whole = {"train": 1, "validation": 4, "test": 9}
    return {
        "d1": write_set(folder / "d1", "d1", {"a": whole, "b": whole}),
        "d3": write_set(folder / "d3", "d3", {"a": {"test": 7}}, flyby=True),
        "d4": write_set(folder / "d4", "d4", {"a": {"train": 1, "test": 3}}, **REAL),
        "d4_by_body": write_set(folder / "body", "d4", {"a": {"train": 1}, "b": {"test": 3}}, **UNSEEN_BODIES),
    }
