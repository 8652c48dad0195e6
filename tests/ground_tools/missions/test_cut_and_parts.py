"""Sets of spacecraft's parts, of aerial images, and of frames without masks, in the layouts in which they come."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ground_tools.datasets.store import load, read_description
from ground_tools.labels.class_table import IGNORED
from ground_tools.missions.spacecraft.importers import keep_in_box, read_boxes
from tests.ground_tools.conftest import ground_tools
from tests.ground_tools.missions.folders import (
    craft_colors,
    craft_image,
    craft_mask,
    write_aerial,
    write_color,
    write_mini_test,
    write_spacecraft,
)
from tests.ground_tools.missions.test_importers import take


def test_spacecraft_are_read_as_published(tmp_path: Path) -> None:
    folder = write_spacecraft(tmp_path / "published")
    loaded = take("spacecraft", folder, tmp_path / "set", "--shares", 0.75, 0.25, 0)
    description = read_description(tmp_path / "set")
    assert description["classes"] == ["background", "body", "solar_panel", "antenna"]
    assert description["channels"] == 3
    # Of 16 images one has no mask and one cannot be read.
    files = [entry["file"] for entry in description["images"]]
    assert len(loaded) == 14
    assert not {"img_resize_3.png", "img_resize_1006.png"} & set(files)
    assert set(loaded.bodies) == {"fine", "coarse"}
    tests = {file for file, entry in zip(files, description["images"], strict=True) if entry["split"] == "test"}
    assert tests == {f"img_resize_{number}.png" for number in range(8, 12)}
    assert {"train", "validation"} < set(loaded.splits)
    by_file = dict(zip(files, range(len(files)), strict=True))
    ordered = load(tmp_path / "set")
    assert len(ordered) == len(by_file)
    wrong = [(ordered.masks[row] != craft_mask(int(file[11:-4]))).mean() for file, row in by_file.items()]
    # Blurred edges lie half a pixel beside; the speck of colour is gone.
    assert max(wrong) < 0.04
    assert not ordered.masks[by_file["img_resize_0.png"]][32:].any()


def test_what_is_left_out_is_told(tmp_path: Path) -> None:
    folder = write_spacecraft(tmp_path / "published")
    assert set(take("spacecraft", folder, tmp_path / "coarse", "--part", "coarse").bodies) == {"coarse"}
    done = ground_tools("mission", "import", "spacecraft", folder, "--part", "fine", "--out", tmp_path / "fine")
    assert done.returncode == 0, done.stderr
    assert "1 images without a mask are left out" in done.stderr
    assert "1 images that cannot be read are left out" in done.stderr
    (folder / "all_bbox.txt").write_text("nothing of the kind")
    done = ground_tools("mission", "import", "spacecraft", folder, "--out", tmp_path / "boxes")
    assert done.returncode == 2
    assert "all_bbox.txt: expected a dictionary of boxes by number" in done.stderr


def test_boxes_take_away_specks_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "boxes.txt").write_text("{'3': [40, 30, 10, 5], 4: [[8, 8, 1, 1], [20, 9, 12, 2]]}")
    boxes = read_boxes(tmp_path / "boxes.txt")
    assert boxes == {3: (10, 40, 5, 30), 4: (1, 20, 1, 9)}
    mask = craft_mask(0)
    rows, columns = np.nonzero(mask)
    box = (int(columns.min()), int(columns.max()), int(rows.min()), int(rows.max()))
    assert np.array_equal(keep_in_box(mask, box), mask)
    speck = mask.copy()
    speck[34, 62] = 3
    assert np.array_equal(keep_in_box(speck, box), mask)
    # A box that most of the craft lies outside of is not believed.
    assert np.array_equal(keep_in_box(speck, (0, 3, 0, 3)), speck)


def test_pairs_to_test_on_and_pairs_in_splits(tmp_path: Path) -> None:
    folder = write_mini_test(tmp_path / "curated")
    loaded = take("spacecraft-curated", folder, tmp_path / "mini")
    assert set(loaded.splits) == {"test"}
    assert loaded.images.shape == (4, 36, 64, 3)
    assert np.array_equal(loaded.images[0], craft_image(craft_mask(1001)))
    for split in ("train", "valid", "test"):
        mask = craft_mask(1)
        write_color(tmp_path / "splits" / split / "images" / "1.png", craft_image(mask))
        write_color(tmp_path / "splits" / split / "masks" / "1.png", craft_colors(mask))
    loaded = take("spacecraft-curated", tmp_path / "splits", tmp_path / "set", "--part", "splits")
    assert sorted(loaded.splits) == ["test", "train", "validation"]


def test_aerial_images_are_cut_and_split_by_area(tmp_path: Path) -> None:
    folder = write_aerial(tmp_path / "published")
    loaded = take("aerial", folder, tmp_path / "set", "--size", 32, 32, "--shares", 0.7, 0.3, 0)
    # 41 to 48 x 50 px: two by two pieces of each picture.
    assert loaded.images.shape == (24 * 4, 32, 32, 3)
    tested = loaded.splits == "test"
    assert set(loaded.bodies[tested]) == {"tile_7", "tile_8"}
    assert tested.sum() == 24
    assert {"train", "validation"} == set(loaded.splits[~tested])
    # A picture goes into one split as a whole.
    entries = read_description(tmp_path / "set")["images"]
    pictures: dict[str, set[str]] = {}
    for entry in entries:
        pictures.setdefault(entry["file"].split(" at ")[0], set()).add(entry["split"])
    assert len(pictures) == 24
    assert all(len(splits) == 1 for splits in pictures.values())
    known = loaded.masks != IGNORED
    assert 0.8 < known.mean() < 1.0
    # JPEG moves grey values by little: no piece is scaled.
    assert np.abs(loaded.images[..., 0][known] - 50.0 * loaded.masks[known]).mean() < 12.0
    classes = take("aerial", folder, tmp_path / "six", "--size", 32, 32, "--masked", "classes")
    assert set(np.unique(classes.masks)) == set(range(6))
    done = ground_tools("mission", "import", "aerial", folder, "--size", 64, 64, "--out", tmp_path / "large")
    assert done.returncode == 2
    assert "expected at least 64 x 64 px, as --size has it, got 41 x 50" in done.stderr


def test_frames_without_masks_have_no_label_anywhere(tmp_path: Path) -> None:
    for number in range(3):
        write_color(tmp_path / "published" / f"{number}.png", craft_image(craft_mask(number)))
    grey = take("frames", tmp_path / "published", tmp_path / "grey", "--size", 32, 32)
    assert grey.images.shape == (12, 32, 32)
    assert set(grey.splits) == {"train"}
    assert (grey.masks == IGNORED).all()
    assert "craters" in read_description(tmp_path / "grey").get("classes", ())
    colored = take("frames", tmp_path / "published", tmp_path / "set", "--part", "spacecraft", "--size", 32, 64)
    assert colored.images.shape == (6, 32, 64, 3)
    with pytest.raises(AssertionError, match="--part: expected small-bodies or moon or mars or spacecraft or aerial"):
        take("frames", tmp_path / "published", tmp_path / "other", "--part", "venus")
