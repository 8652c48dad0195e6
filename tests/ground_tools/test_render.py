"""Rendering through the command line: what is in a set, that it resumes, and that it repeats itself."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from ground_tools.datasets.store import digest, load, png_array, read_description, sample_digest, shard_paths
from ground_tools.rendering.labels import BACKGROUND, BOULDERS
from tests.ground_tools.conftest import ground_tools


def test_what_is_in_a_set(dataset: Path) -> None:
    description = read_description(dataset)
    assert description["samples"] == 10
    assert description["sha256"] == digest(dataset)
    train = load(dataset, "train")
    assert train.images.shape == train.masks.shape == train.identifiers.shape == (6, 128, 128)
    assert sorted(set(train.bodies)) == ["procedural_bilobate", "procedural_top"]
    assert train.masks.max() <= 4
    for image, mask, identifiers in zip(train.images, train.masks, train.identifiers, strict=True):
        assert ((mask != BACKGROUND) == (identifiers > 0)).all()
        assert (mask != BACKGROUND).mean() > 0.1
        assert image[mask != BACKGROUND].max() > 100
        # The sky is black, but for the pixel next to the limb over which the filter spreads the body.
        sky = mask == BACKGROUND
        assert np.mean(image[sky] > 10) < 0.1
    assert (train.masks == BOULDERS).any()


def test_every_row_tells_its_geometry_and_its_digest(dataset: Path) -> None:
    for path in shard_paths(dataset):
        for row in pq.read_table(path).to_pylist():
            arrays = [png_array(row[name]) for name in ("image_png", "mask_png", "identifiers_png")]
            assert row["sha256"] == sample_digest(*arrays)
            assert 0.4 <= row["range_d0"] <= 1.3
            assert np.linalg.norm(row["camera_km"]) == pytest.approx(row["range_km"])
            cosine = np.dot(row["camera_km"], row["sun_direction"]) / row["range_km"]
            assert np.degrees(np.arccos(cosine)) == pytest.approx(row["phase_angle_deg"], abs=1e-6)
            assert sum(row["class_pixels"]) == 128 * 128


def test_a_stopped_campaign_goes_on_and_ends_with_the_same_samples(
    dataset: Path, campaign_file: Path, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(dataset, tmp_path / "copy"))
    lost = shard_paths(copy)[0]
    kept = shard_paths(copy)[1].stat().st_mtime_ns
    lost.unlink()
    done = ground_tools("render", "--campaign", campaign_file, "--out", copy)
    assert done.returncode == 0, done.stderr
    assert digest(copy) == digest(dataset)
    assert shard_paths(copy)[1].stat().st_mtime_ns == kept


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--campaign", "first-flight"], "its shape model 67p.ply is not part of the project"),
        (["--campaign", "nothing"], "the project brings: first-flight, procedural"),
        (["--flyby", "ceres"], "unknown body ceres"),
    ],
)
def test_a_wrong_call_is_one_line(tmp_path: Path, arguments: list[str], message: str) -> None:
    done = ground_tools("render", *arguments, "--out", tmp_path / "out")
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_another_campaign_does_not_mix_into_a_set(dataset: Path, campaign_file: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.toml"
    other.write_text(campaign_file.read_text().replace("seed = 5", "seed = 6"))
    done = ground_tools("render", "--campaign", other, "--out", dataset)
    assert done.returncode == 2
    assert "holds another campaign (tiny)" in done.stderr


def test_an_unfinished_set_is_not_loaded(dataset: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(dataset, tmp_path / "copy"))
    description = read_description(copy)
    del description["sha256"]
    (copy / "dataset.json").write_text(json.dumps(description))
    with pytest.raises(ValueError, match="its rendering is not finished"):
        load(copy, "train")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('name = "x"\nseed = 1\nsamples = 0\n[bodies]\nb = [1, 1, 1]\n', "samples: expected 1..4096, got 0"),
        ('name = "x"\nseed = 1\nsamples = 4\n[bodies]\nb = [1, 1]\n', "bodies.b: expected [train, validation, test]"),
        ('name = "x"\nseed = 1\nsamples = 4\n[bodies]\nvulcan = [1, 1, 1]\n', "unknown body vulcan"),
    ],
)
def test_a_malformed_campaign_is_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "c.toml"
    path.write_text(text)
    done = ground_tools("render", "--campaign", path, "--out", tmp_path / "out")
    assert done.returncode == 2
    assert message in done.stderr
