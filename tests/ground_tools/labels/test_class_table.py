"""Class tables, and masks as colours and one-hot."""

from __future__ import annotations

import re
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ground_tools.labels.class_table import IGNORED, SMALL_BODY_CLASSES, ClassTable, read_class_table, table_of
from ground_tools.labels.mask_colors import (
    colors_from_mask,
    mask_from_colors,
    mask_from_one_hot,
    one_hot_from_mask,
)

TABLE = ClassTable(
    ("ground", "small_rocks", "large_rocks", "sky"),
    ((0, 0, 0), (0, 255, 0), (0, 0, 255), (255, 0, 0)),
    ("safe", "hazard", "hazard", "background"),
    (255, 255, 255),
)


def test_a_description_gives_its_table_again() -> None:
    assert table_of(TABLE.describe()) == TABLE
    assert table_of({"classes": list(SMALL_BODY_CLASSES.names)}) == SMALL_BODY_CLASSES
    with pytest.raises(ValueError, match="expected 3 colours"):
        table_of({**TABLE.describe(), "classes": ["a", "b", "c"]})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("classes = [{A, 0, 0]}]", r"classes: expected 2\.\.64 classes, got 1"),
        (
            'classes = [{A, 0, 0], role = "nice"}, {B, 1, 1]}]',
            r"classes\[0\]\.role: expected background or safe",
        ),
        (
            "classes = [{A, 0, 0]}, {A, 1, 1]}]",
            "expected different names",
        ),
        (
            "classes = [{A, 0, 256]}, {B, 1, 1]}]",
            r"classes\[0\]\.color\[2\]",
        ),
    ],
)
def test_a_malformed_file_of_classes_is_named(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "classes.toml"
    content = content.replace("{A", '{name = "a", color = [0').replace("{B", '{name = "b", color = [1')
    path.write_text(re.sub(r"(\d)\]\}", r'\1], role = "safe"}', content))
    with pytest.raises(ValueError, match=message):
        read_class_table(path)


@given(st.data())
@settings(max_examples=25, deadline=None)
def test_masks_are_the_same_after_colours_and_one_hot(data: st.DataObject) -> None:
    seed = data.draw(st.integers(0, 2**31))
    mask = np.random.default_rng(seed).choice([0, 1, 2, 3, IGNORED], (7, 9)).astype(np.uint8)
    assert np.array_equal(mask_from_colors(colors_from_mask(mask, TABLE), TABLE), mask)
    one_hot = one_hot_from_mask(mask, len(TABLE))
    assert one_hot.shape == (7, 9, 4)
    assert np.array_equal(one_hot.sum(axis=-1), (mask != IGNORED).astype(np.float32))
    assert np.array_equal(mask_from_one_hot(one_hot), mask)


def test_an_impure_edge_takes_the_class_beside_it() -> None:
    """Half sky and half large rock is nearer to neither; at an edge of theirs no third class may come up."""
    mask = np.full((16, 16), 3, dtype=np.uint8)
    mask[:, 8:] = 1
    blurred = cv2.blur(colors_from_mask(mask, TABLE), (3, 1))
    read = mask_from_colors(blurred, TABLE)
    assert set(np.unique(read)) == {1, 3}
    assert (read != mask).mean() < 0.07


def test_a_lossy_mask_is_read(tmp_path: Path) -> None:
    mask = np.zeros((48, 48), dtype=np.uint8)
    mask[:12], mask[20:40, 10:30] = 3, 2
    assert cv2.imwrite(str(tmp_path / "mask.jpg"), colors_from_mask(mask, TABLE)[..., ::-1])
    read = mask_from_colors(cv2.imread(str(tmp_path / "mask.jpg"))[..., ::-1], TABLE)
    assert (read == mask).mean() > 0.97


def test_a_photograph_is_no_mask() -> None:
    with pytest.raises(ValueError, match="expected the colours of ground"):
        mask_from_colors(np.full((8, 8, 3), 128, dtype=np.uint8), TABLE)
