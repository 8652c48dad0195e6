"""Drawn sets of 32 px images, as folders and packed."""

from __future__ import annotations

from pathlib import Path

import pytest

from ground_tools.training.chain.archive import Wanted, write_archive
from tests.ground_tools.training.scenes import write_scenes
from tests.ground_tools.training.small_plan import COUNTS


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_scenes(tmp_path_factory.mktemp("scenes") / "drawn", COUNTS)


@pytest.fixture(scope="module")
def archive(drawn: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    wanted = {"drawn": Wanted((1, 5), True), "real": Wanted((1,), False)}
    real = write_scenes(drawn.parent / "real", COUNTS, real=True)
    return write_archive({"drawn": drawn, "real": real}, wanted, tmp_path_factory.mktemp("archive"), 2)
