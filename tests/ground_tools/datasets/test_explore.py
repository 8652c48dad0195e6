"""The page of a set: one file with samples, charts and tables, for colour and grey sets, with and without images."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from ground_tools.datasets.explore import draw_sample
from ground_tools.datasets.store import load, read_description
from ground_tools.labels.class_table import table_of
from tests.ground_tools.conftest import ground_tools
from tests.ground_tools.missions.conftest import mars, moon  # noqa: F401


def page(dataset: Path, out: Path, *options: object) -> str:
    done = ground_tools("dataset", "explore", dataset, "--out", out, *options)
    assert done.returncode == 0, done.stderr
    return out.read_text()


@pytest.mark.slow
def test_the_page_of_a_colour_set(moon: Path, tmp_path: Path) -> None:  # noqa: F811
    text = page(moon, tmp_path / "moon.html", "--count", 3)
    assert "<td>small_rocks</td>" in text
    assert "<code>#00ff00</code>" in text
    assert "32 x 48" in text
    # Three samples, three charts; nothing is fetched from elsewhere.
    assert len(re.findall(r'<img alt="[^"]*" src="data:image', text)) == 6
    assert "is not there" not in text
    assert "http" not in text.replace("http-equiv", "")
    loaded, table = load(moon), table_of(read_description(moon))
    row = draw_sample(loaded, 0, table, mask_alone=False)
    # Image, three channels, mask, both: six panels of 32 px with five gaps.
    assert row.shape == (32, 6 * 32 + 5 * 6, 3)
    assert np.array_equal(row[:, :32], loaded.images[0])
    assert np.array_equal(row[:, 38:70, 1], loaded.images[0][..., 0])


@pytest.mark.slow
def test_the_page_of_a_set_whose_images_may_not_be_passed_on(mars: Path, tmp_path: Path) -> None:  # noqa: F811
    folder = tmp_path / "set"
    shutil.copytree(mars, folder)
    description = json.loads((folder / "dataset.json").read_text())
    (folder / "dataset.json").write_text(json.dumps({**description, "publish_images": False}))
    text = page(folder, tmp_path / "mars.html", "--count", 2)
    assert "may not be passed on" in text
    assert re.search(r"[1-9]\d\.\d % of the pixels have no label", text)
    loaded = load(folder)
    row = draw_sample(loaded, 0, table_of(description), mask_alone=True)
    assert row.shape == (32, 32, 3)
