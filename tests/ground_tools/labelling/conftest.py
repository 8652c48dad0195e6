"""Drawn images and their labels."""

from __future__ import annotations

from pathlib import Path

import pytest

from ground_tools.labelling.collection import (
    read_manifest,
)
from tests.ground_tools.labelling.drawn import (
    write_images,
    write_labels,
)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    write_images(tmp_path / "images")
    return tmp_path / "images"


@pytest.fixture
def labels(tmp_path: Path, images: Path) -> Path:
    write_labels(tmp_path / "labels", read_manifest(images))
    return tmp_path / "labels"
