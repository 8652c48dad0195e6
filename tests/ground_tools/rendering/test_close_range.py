"""Sets of the ground from close by."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from ground_tools.datasets.integrity import verify
from ground_tools.datasets.packing import pack
from ground_tools.datasets.store import digest, load, read_index, shard_paths
from ground_tools.labels.classes import BACKGROUND, BOULDERS, CRATERS
from ground_tools.labels.stacking import MINIMUM_BOULDER_PIXELS, MINIMUM_CRATER_PIXELS
from ground_tools.rendering.campaign import load_campaign
from tests.ground_tools.conftest import ground_tools, render_shared

CAMPAIGN = """name = "close"
seed = 7
samples = 4
[bodies]
procedural_top = [4, 0, 2]
[close_range]
distance_d0 = [0.05, 0.3]
views = 2
rock_cover = [0.08, 0.2]
crater_density = [0.02, 0.1]
emission_deg = [0, 60]
"""


@pytest.fixture(scope="module")
def close_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("close") / "close.toml"
    path.write_text(CAMPAIGN)
    return path


@pytest.fixture(scope="module")
def close_set(tmp_path_factory: pytest.TempPathFactory, close_file: Path) -> Path:
    return render_shared(tmp_path_factory, "close_set", close_file)


def test_images_show_ground_with_rocks_and_craters(close_set: Path) -> None:
    assert verify(close_set) == []
    loaded = load(close_set, identifiers=True)
    assert len(loaded) == 6
    assert np.mean(loaded.masks != BACKGROUND) > 0.7
    assert (loaded.masks == BOULDERS).any()
    assert (loaded.masks == CRATERS).any()
    for image, mask, identifiers, ground in zip(
        loaded.images, loaded.masks, loaded.identifiers, loaded.ground, strict=True
    ):
        assert image.max() > 120
        boulders = np.unique(identifiers[mask == BOULDERS])
        counts = np.unique(identifiers[np.isin(identifiers, boulders)], return_counts=True)[1]
        assert (counts >= MINIMUM_BOULDER_PIXELS).all()
        craters, counts = np.unique(ground[(ground >= 100) & (ground < 1000)], return_counts=True)
        assert (counts >= MINIMUM_CRATER_PIXELS).all(), craters


def test_a_camera_stands_where_the_campaign_says_and_two_views_share_a_site(close_set: Path) -> None:
    rows = [row for path in shard_paths(close_set) for row in pq.read_table(path).to_pylist()]
    description = load_campaign("d5").close_range
    assert description is not None
    assert description.distance_d0 == (0.05, 0.4)
    for row in rows:
        camera, aim, sun = (np.asarray(row[name]) for name in ("camera_km", "aim_km", "sun_direction"))
        # D0 of a body of 0.9 km in a field of 10 degrees.
        distance = np.linalg.norm(camera - aim) / (0.9 / (2.0 * np.tan(np.radians(5.0))))
        assert 0.05 / 1.3 < distance < 0.3 * 1.3
        assert 0.2 < np.linalg.norm(aim) < 0.6
        cosine = (camera - aim) @ sun / np.linalg.norm(camera - aim)
        assert np.degrees(np.arccos(cosine)) == pytest.approx(row["phase_angle_deg"], abs=1e-6)
    aims = np.array([row["aim_km"] for row in rows])
    assert np.array_equal(aims[0], aims[1])
    assert len(np.unique(aims, axis=0)) == 3


def test_a_set_from_close_by_is_reproducible_packs_and_exports(
    close_set: Path, close_file: Path, tmp_path: Path
) -> None:
    # Killed before the last shard, and started again.
    again = shutil.copytree(close_set, tmp_path / "again")
    (shard,) = (again / "shards").glob("*-test-*.parquet")
    before = shard.read_bytes()
    shard.unlink()
    done = ground_tools("render", "--campaign", close_file, "--workers", 1, "--out", again)
    assert done.returncode == 0, done.stderr
    assert shard.read_bytes() == before
    assert digest(again) == digest(close_set)
    assert pack(close_set, tmp_path / "close.parquet") == 6
    assert verify(tmp_path / "close.parquet") == []
    assert "aim_km" in read_index(tmp_path / "close.parquet").column_names
    assert ground_tools("dataset", "export", close_set, "--out", tmp_path / "pairs").returncode == 0
    assert "aim_km" in (tmp_path / "pairs" / "samples.csv").read_text().splitlines()[0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("distance_d0 = [0.4, 0.1]", "close_range.distance_d0: expected [least, most], got [0.4, 0.1]"),
        ("distance_d0 = [0.0, 0.1]", "close_range.distance_d0: expected numbers > 0, got [0.0, 0.1]"),
        ("views = 0", "close_range.views: expected a whole number 1..50, got 0"),
        ("", "close_range.distance_d0: "),
    ],
)
def test_a_campaign_that_says_nothing_sensible_is_refused(change: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "odd.toml"
    needed = "" if "distance" in change or not change else "distance_d0 = [0.1, 0.2]\n"
    path.write_text(
        f'name = "odd"\nseed = 1\nsamples = 4\n[bodies]\nprocedural_top = [1, 0, 0]\n[close_range]\n{needed}{change}\n'
    )
    done = ground_tools("render", "--campaign", path, "--out", tmp_path / "out")
    assert done.returncode == 2
    assert message in done.stderr
