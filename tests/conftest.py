"""Fixtures shared by all tests."""

from __future__ import annotations

import os

# Set before Keras or TensorFlow is imported by any test.
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

from tests.tiny_bundle import write_tiny_bundle

SHIPPED_BUNDLE = Path(__file__).parents[1] / "models" / "unet_h"


# Files whose tests share what takes long to make go to one process: what their paths begin with -> a name for all.
SHARED = {
    "tests/flight/gnc/": "the built library",
    "tests/ground_tools/export/": "trained networks",
    "tests/ground_tools/training/test_loop.py": "trained networks",
}


class ByFile(LoadScopeScheduling):
    """Tests of one file go to one process, and so do those of files in SHARED: what fixtures make is made once."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.split("::", 1)[0]
        return next((name for start, name in SHARED.items() if file.startswith(start)), file)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByFile:
    return ByFile(config, log)


@pytest.fixture(scope="session")
def tiny_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two networks with dropout, 4 classes, RGB, 32 x 48 px: nothing like the small-body bundle, and fast."""
    return write_tiny_bundle(tmp_path_factory.mktemp("bundles") / "tiny", networks=("First", "Second"))


@pytest.fixture(scope="session")
def plain_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One network without dropout masks."""
    return write_tiny_bundle(tmp_path_factory.mktemp("bundles") / "plain", networks=("Only",), dropout=False)


@pytest.fixture(scope="session")
def shipped_bundle() -> Path:
    """The bundle that the project ships."""
    return SHIPPED_BUNDLE
