"""Published sets in the layouts in which people download them."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from ground_tools.datasets.integrity import verify
from ground_tools.datasets.packing import pack
from ground_tools.datasets.store import LoadedSet, load, read_description
from ground_tools.labels.class_table import IGNORED, table_of
from tests.ground_tools.conftest import ground_tools
from tests.ground_tools.missions.folders import (
    lunar_image,
    lunar_mask,
    mars_mask,
    write_ai4mars,
    write_ai4mars_256,
    write_change_frames,
    write_color,
    write_lunar_landscapes,
)


def take(layout: str, folder: Path, out: Path, *options: object) -> LoadedSet:
    done = ground_tools("mission", "import", layout, folder, "--out", out, *options)
    assert done.returncode == 0, done.stderr
    assert verify(out) == []
    return load(out)


def test_lunar_landscapes_are_read_with_blurred_masks(tmp_path: Path) -> None:
    folder = write_lunar_landscapes(tmp_path / "published", 20)
    loaded = take("lunar-landscapes", folder, tmp_path / "set")
    assert loaded.images.shape == (20, 32, 48, 3)
    counts = [int((loaded.splits == split).sum()) for split in ("train", "validation", "test")]
    assert counts == [10, 4, 6]
    order = [int(entry["file"][6:10]) for entry in read_description(tmp_path / "set")["images"]]
    wrong = [(mask != lunar_mask(number)).mean() for number, mask in zip(order, loaded.masks, strict=True)]
    assert max(wrong) < 0.04
    assert np.array_equal(loaded.images[0], lunar_image(lunar_mask(order[0])))
    again = take("lunar-landscapes", folder, tmp_path / "again")
    assert (again.splits == loaded.splits).all()
    assert (take("lunar-landscapes", folder, tmp_path / "other", "--seed", 2).splits != loaded.splits).any()


def test_parts_and_sizes_of_lunar_landscapes(tmp_path: Path) -> None:
    folder = write_lunar_landscapes(tmp_path / "published")
    real = take("lunar-landscapes", folder, tmp_path / "real", "--part", "real", "--size", 16, 16)
    assert real.images.shape == (2, 16, 16, 3)
    assert set(real.bodies) == {"pcam", "tcam"}
    assert set(real.splits) == {"test"}
    assert (take("lunar-landscapes", folder, tmp_path / "clean", "--part", "clean").masks != 1).all()
    assert read_description(tmp_path / "real")["source_sizes"] == [[32, 48, 2]]


def test_polygons_of_change_frames_become_our_classes(tmp_path: Path) -> None:
    folder = write_change_frames(tmp_path / "published")
    loaded = take("change-frames", folder, tmp_path / "set", "--part", "all")
    assert sorted(loaded.splits) == ["test", "train", "validation"]
    mask = loaded.masks[0]
    assert (mask[:15] == 3).all()
    assert mask[45, 15] == 2
    assert mask[41, 41] == 1
    assert mask[60, 10] == IGNORED
    assert mask[55, 55] == 0
    assert set(take("change-frames", folder, tmp_path / "test").splits) == {"test"}


def test_ai4mars_as_published(tmp_path: Path) -> None:
    folder = write_ai4mars(tmp_path / "published", 30)
    loaded = take("ai4mars", folder, tmp_path / "set")
    assert set(loaded.bodies) == {"nla", "nlb"}
    assert int((loaded.splits == "test").sum()) == 3
    # By whole sites of the rover.
    files = [entry["file"].split("_")[2][:4] for entry in read_description(tmp_path / "set")["images"]]
    sites = {
        split: {f for f, s in zip(files, loaded.splits, strict=True) if s == split} for split in set(loaded.splits)
    }
    assert sites["train"]
    assert sites["validation"]
    assert not sites["train"] & sites["validation"]
    assert (loaded.masks[:, -4:] == IGNORED).all()
    assert (loaded.masks[:, :8] == IGNORED).all()
    own = take("ai4mars", folder, tmp_path / "own", "--masked", "classes")
    assert table_of(read_description(tmp_path / "own")).names[4:] == ("rover", "far")
    assert (own.masks[:, -4:] == 4).all()
    assert (own.masks[:, :4] == 5).all()


def test_the_copy_at_256_px_has_the_published_splits(tmp_path: Path) -> None:
    loaded = take("ai4mars-256", write_ai4mars_256(tmp_path / "published"), tmp_path / "set")
    assert sorted(loaded.splits) == ["test"] + ["train"] * 5 + ["validation"] * 2
    assert np.array_equal(loaded.masks[-1], mars_mask(7))
    assert pack(tmp_path / "set", tmp_path / "set.parquet") == 8
    assert np.array_equal(load(tmp_path / "set.parquet").masks, loaded.masks)


class _Code:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (print, ("code of another's",))


@pytest.mark.parametrize(
    ("layout", "options", "message"),
    [
        ("lunar-landscapes", (), "expected a folder"),
        ("lunar-landscapes", ("--part", "moon"), "--part: expected ground or clean or real, got moon"),
        ("change-frames", (), "expected a folder"),
        ("ai4mars", (), "expected a folder"),
        ("ai4mars-256", (), "expected a folder"),
    ],
)
def test_another_folder_is_named(tmp_path: Path, layout: str, options: tuple[str, ...], message: str) -> None:
    (tmp_path / "empty" / "x").mkdir(parents=True)
    done = ground_tools("mission", "import", layout, tmp_path / "empty", "--out", tmp_path / "set", *options)
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_file_of_splits_runs_no_code(tmp_path: Path) -> None:
    folder = write_ai4mars_256(tmp_path / "published")
    (folder / "processed" / "split_indices_msl6k.pkl").write_bytes(pickle.dumps(_Code()))
    done = ground_tools("mission", "import", "ai4mars-256", folder, "--out", tmp_path / "set")
    assert done.returncode == 2
    assert "code of another's" not in done.stdout
    assert "expected plain values" in done.stderr


def test_a_mask_in_other_colours_is_named(tmp_path: Path) -> None:
    folder = write_lunar_landscapes(tmp_path / "published", 3)
    write_color(folder / "images" / "ground" / "ground0002.png", np.full((32, 48, 3), 128, dtype=np.uint8))
    done = ground_tools("mission", "import", "lunar-landscapes", folder, "--out", tmp_path / "set")
    assert done.returncode == 2
    assert "ground0002.png: mask: expected the colours of ground" in done.stderr


def test_another_set_is_not_overwritten(tmp_path: Path) -> None:
    folder = write_change_frames(tmp_path / "published")
    take("change-frames", folder, tmp_path / "set")
    take("change-frames", folder, tmp_path / "set")
    done = ground_tools("mission", "import", "ai4mars", write_ai4mars(tmp_path / "m"), "--out", tmp_path / "set")
    assert done.returncode == 2
    assert "expected an empty folder or an earlier make of ai4mars_min3" in done.stderr
