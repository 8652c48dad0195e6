"""Rendered lunar landscapes: what they show, that they are the same again, and go on where they were stopped."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from ground_tools.datasets.integrity import verify
from ground_tools.datasets.store import load, read_description
from ground_tools.missions.moon.landscapes import draw_landscape
from ground_tools.missions.moon.rocks import label_rocks
from tests.ground_tools.conftest import ground_tools

SIZE = 64


def test_rocks_are_large_from_a_sixteenth_of_the_side_on() -> None:
    """A disk of the same area decides; too small a rock is what lies behind it."""
    rocks = np.zeros((256, 256), dtype=np.int32)
    rows, columns = np.mgrid[:256, :256]
    for number, (row, column, radius) in enumerate([(50, 50, 7.5), (50, 150, 8.5), (150, 50, 1.0)], start=1):
        rocks[(rows - row) ** 2 + (columns - column) ** 2 <= radius**2] = number
    mask = label_rocks(np.full((256, 256), 3, dtype=np.uint8), rocks)
    assert [int(mask[50, 50]), int(mask[50, 150]), int(mask[150, 50]), int(mask[0, 0])] == [1, 2, 3, 3]


@pytest.mark.slow
def test_landscapes_show_what_their_masks_say() -> None:
    """Sky above and black, ground lit, rocks on it: over several landscapes, the same at every drawing."""
    made = [draw_landscape(7, number, SIZE, rays=4) for number in range(6)]
    masks = np.stack([one.mask for one in made])
    images = np.stack([one.image for one in made]).mean(axis=-1)
    assert set(np.unique(masks)) >= {0, 1, 3}
    assert images[masks == 3].mean() < 12.0
    assert images[masks == 0].mean() > 50.0
    horizon = masks[:, 0] == 3
    assert horizon.any()
    # Sky is above everything, and none is below.
    sky_rows = [np.flatnonzero((mask == 3).any(axis=1)) for mask in masks]
    assert all(len(rows) == 0 or rows[0] == 0 for rows in sky_rows)
    again = draw_landscape(7, 3, SIZE, rays=4)
    assert np.array_equal(again.image, made[3].image)
    assert np.array_equal(again.mask, made[3].mask)


@pytest.mark.slow
def test_rendering_goes_on_where_it_was_stopped(tmp_path: Path) -> None:
    common = ("mission", "render-moon", "--count", 22, "--size", 32, "--seed", 3)
    done = ground_tools(*common, "--out", tmp_path / "set")
    assert done.returncode == 0, done.stderr
    assert verify(tmp_path / "set") == []
    loaded = load(tmp_path / "set")
    assert loaded.images.shape == (22, 32, 32, 3)
    assert [int((loaded.splits == s).sum()) for s in ("train", "validation", "test")] == [11, 4, 7]
    whole = read_description(tmp_path / "set")
    # Stopped before the second shard was written: the first one stays, the rest is made.
    stopped = tmp_path / "stopped"
    shutil.copytree(tmp_path / "set", stopped)
    first, second = sorted((stopped / "shards").iterdir())
    second.unlink()
    (stopped / "index.parquet").unlink()
    written = first.stat().st_mtime_ns
    assert ground_tools(*common, "--out", stopped).returncode == 0
    assert first.stat().st_mtime_ns == written
    assert read_description(stopped)["sha256"] == whole["sha256"]
    other = ground_tools(*common, "--seed", 4, "--out", stopped)
    assert other.returncode == 2
    assert "expected an empty folder or the same landscapes" in other.stderr
