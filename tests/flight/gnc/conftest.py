"""Fixtures of the C++ tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.flight.gnc.building import compile_targets, configure, run
from tests.shared_folders import share_folder

# What prints answers for comparison with Python's: as it is compiled for flight, and checked by the sanitizers.
COMPARED = ("consumers_test", "check_products")


@pytest.fixture(scope="session")
def sanitized_build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All that runs under them, with warnings as errors and the address and undefined-behaviour sanitizers on."""
    tests = ("golden", "encoding", "product", "receiver", "frame_sender", "commander", "slot_pool", "c_api")
    programs = ("judge", "live_consumer", "live_flight", "watch", "navigation_consumer", "hazard_consumer")
    names = (*(f"{name}_test" for name in tests), *programs, *COMPARED)

    def build(folder: Path) -> None:
        compile_targets(configure(folder, "sanitize"), *(f"rubblemap_{name}" for name in names))

    return share_folder(tmp_path_factory, "sanitized_build", build)


@pytest.fixture(scope="session")
def flight_build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As it is compiled for flight."""
    names = ("allocation_test", "consumers_benchmark", "decode_benchmark", "receiver_test", *COMPARED)

    def build(folder: Path) -> None:
        configure(folder, "default", "-DCMAKE_BUILD_TYPE=Release")
        compile_targets(folder, "rubblemap_gnc", *(f"rubblemap_{name}" for name in names))

    return share_folder(tmp_path_factory, "flight_build", build)


@pytest.fixture(params=["flight_build", "sanitized_build"])
def compared_programs(request: pytest.FixtureRequest) -> Path:
    """The folder of the programs whose answers are compared with Python's, of each build in turn."""
    build: Path = request.getfixturevalue(request.param)
    return build / "tests/flight/gnc"


@pytest.fixture(scope="session")
def prefix(flight_build: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `cmake --install` installs."""
    return share_folder(
        tmp_path_factory, "prefix", lambda folder: run("cmake", "--install", flight_build, "--prefix", folder)
    )
