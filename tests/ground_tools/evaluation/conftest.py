"""Bundles and sets to evaluate."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.ground_tools.evaluation.sets import stated
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
