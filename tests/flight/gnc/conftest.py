"""Fixtures of the C++ tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.flight.gnc.building import compile_targets, configure, run


@pytest.fixture(scope="session")
def sanitized_build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Everything, with warnings as errors and the address and undefined-behaviour sanitizers on."""
    folder = configure(tmp_path_factory.mktemp("sanitized"), "sanitize")
    compile_targets(folder)
    return folder


@pytest.fixture(scope="session")
def flight_build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As it is compiled for flight."""
    folder = configure(tmp_path_factory.mktemp("flight"), "default", "-DCMAKE_BUILD_TYPE=Release")
    names = ("allocation_test", "consumers_benchmark", "decode_benchmark", "receiver_test")
    compile_targets(folder, "rubblemap_gnc", *(f"rubblemap_{name}" for name in names))
    return folder


@pytest.fixture(scope="session")
def prefix(flight_build: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("prefix")
    run("cmake", "--install", flight_build, "--prefix", folder)
    return folder
