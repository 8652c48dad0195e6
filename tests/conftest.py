"""Fixtures shared by all tests."""

from __future__ import annotations

import os

# Set before Keras or TensorFlow is imported by any test.
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

import atexit
import signal
import tempfile
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from xdist.scheduler import LoadScopeScheduling

from tests.closed_form_bundle import write_closed_form_bundle
from tests.shared_folders import share_folder
from tests.tiny_bundle import write_tiny_bundle

# Shells start what runs in the background (`make test &`) with Ctrl-C ignored, and every program that a test starts
# would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Where cameras record their epochs: not in the home of whoever runs the tests.
_STATE = tempfile.TemporaryDirectory(prefix="rubblemap_tests_")
atexit.register(_STATE.cleanup)
os.environ["XDG_STATE_HOME"] = _STATE.name
os.environ.pop("STATE_DIRECTORY", None)
# Of the first process of a test run, whose environment the others have.
os.environ.setdefault("RUBBLEMAP_TEST_NETWORKS", str(Path(_STATE.name) / "networks"))

# How long an example takes says more about the computer than about the code.
hypothesis.settings.register_profile("any computer", deadline=None)
hypothesis.settings.load_profile("any computer")

SHIPPED_BUNDLE = Path(__file__).parents[1] / "models" / "unet_h"


# What takes longest begins first, so that no process is left with it at the end: what the paths begin with.
LONGEST_FIRST = (
    # It looks at the memory of the whole process, which grows with every test.
    "tests/flight/service/test_memory_guard.py",
    # Not two that wait for the same shared folder.
    "tests/flight/gnc/test_gnc.py",
    "tests/ground_tools/rendering/test_campaign.py",
    "tests/reliability/",
    "tests/ground_tools/rendering/test_sets.py",
    "tests/ground_tools/training/test_loop.py",
    "tests/flight/service/test_state_folder.py",
    "tests/hil/runs/test_run.py",
    "tests/ground_tools/export/",
    "tests/ground_tools/own_networks/",
    "tests/ground_tools/training/test_compare.py",
    "tests/ground_tools/training/test_guidance.py",
    "tests/ground_tools/training/test_chain.py",
    "tests/ground_tools/evaluation/",
    "tests/flight/service/test_security.py",
    "tests/flight/service/test_health.py",
    "tests/ground_tools/rendering/test_cluster.py",
)
# Then the files of this folder evenly among the others: these compute, while the others often wait for what they
# start, and cores that only waiting tests share are idle.
COMPUTING = "tests/ground_tools/"

# What `make test-fast` leaves out: tests that use what these fixtures make, and files that render, train, compile, or
# start many processes.
SLOW_FIXTURES = {"dataset", "trained", "evaluated", "sanitized_build", "flight_build"}
SLOW_FILES = (
    "tests/flight/gnc/",
    "tests/flight/service/test_bundles.py",
    "tests/flight/service/test_health.py",
    "tests/flight/service/test_limits.py",
    "tests/flight/service/test_memory_guard.py",
    "tests/flight/service/test_own_copy.py",
    "tests/flight/service/test_security.py",
    "tests/flight/service/test_silence.py",
    "tests/flight/service/test_slow_boards.py",
    "tests/flight/service/test_state_folder.py",
    "tests/flight/service/test_systemd.py",
    "tests/ground_tools/export/",
    "tests/ground_tools/own_networks/",
    "tests/ground_tools/rendering/test_campaign.py",
    "tests/ground_tools/rendering/test_cluster.py",
    "tests/ground_tools/rendering/test_sets.py",
    "tests/ground_tools/training/test_loop.py",
    "tests/ground_tools/training/test_compare.py",
    "tests/ground_tools/training/test_chain.py",
    "tests/ground_tools/training/test_chain_augmentation.py",
    "tests/hil/console/",
    "tests/hil/recording/test_replay.py",
    "tests/hil/runs/test_board_target.py",
    "tests/hil/runs/test_run.py",
    "tests/reliability/",
)


def _file_of(nodeid: str) -> str:
    return nodeid.split("::", 1)[0]


def spread_evenly(files: list[str]) -> dict[str, float]:
    """Ranks, 0 to 1, by which files of COMPUTING come evenly among the others, each kind in its own order."""
    computing = [file for file in files if file.startswith(COMPUTING)]
    others = [file for file in files if not file.startswith(COMPUTING)]
    return {file: (i + 0.5) / len(kind) for kind in (computing, others) for i, file in enumerate(kind)}


class ByFile(LoadScopeScheduling):
    """Tests of one file go to one process: what its fixtures make is made once."""

    def _split_scope(self, nodeid: str) -> str:
        return _file_of(nodeid)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByFile:
    # In the order of collection, which is ours, and not by the number of tests.
    config.option.loadscopereorder = False
    return ByFile(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    def place(item: pytest.Item) -> int:
        starts = (number for number, start in enumerate(LONGEST_FIRST) if item.nodeid.startswith(start))
        return next(starts, len(LONGEST_FIRST))

    ranks = spread_evenly(list(dict.fromkeys(_file_of(item.nodeid) for item in items)))
    items.sort(key=lambda item: (place(item), ranks[_file_of(item.nodeid)]))
    for item in items:
        if SLOW_FIXTURES & set(getattr(item, "fixturenames", ())) or item.nodeid.startswith(SLOW_FILES):
            item.add_marker("slow")


@pytest.fixture(scope="session")
def tiny_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two networks with dropout, 4 classes, RGB, 32 x 48 px: nothing like the small-body bundle, and fast."""

    def make(folder: Path) -> None:
        write_tiny_bundle(folder / "tiny", networks=("First", "Second"))

    return share_folder(tmp_path_factory, "tiny_bundle", make) / "tiny"


@pytest.fixture(scope="session")
def closed_form_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two small int8 networks with their heads in closed form."""

    def make(folder: Path) -> None:
        write_closed_form_bundle(folder / "closed_form")

    return share_folder(tmp_path_factory, "closed_form_bundle", make) / "closed_form"


@pytest.fixture(scope="session")
def plain_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One network without dropout masks."""

    def make(folder: Path) -> None:
        write_tiny_bundle(folder / "plain", networks=("Only",), dropout=False)

    return share_folder(tmp_path_factory, "plain_bundle", make) / "plain"


@pytest.fixture(scope="session")
def shipped_bundle() -> Path:
    """The bundle that the project ships."""
    return SHIPPED_BUNDLE
