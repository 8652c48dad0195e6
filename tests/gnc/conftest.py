"""Fixtures of the C++ tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.gnc.building import compile_targets, configure


@pytest.fixture(scope="session")
def sanitized_build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Everything, with warnings as errors and the address and undefined-behaviour sanitizers on."""
    folder = configure(tmp_path_factory.mktemp("sanitized"), "sanitize")
    compile_targets(folder)
    return folder
