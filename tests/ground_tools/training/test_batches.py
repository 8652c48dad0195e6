"""Batches of training: images with their masks, from memory and from a file."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ground_tools.datasets.store import digest, load
from ground_tools.labels.classes import TERMINATOR
from ground_tools.labels.stacking import stack_masks
from ground_tools.training.batches import UNetBatches
from ground_tools.training.pixels import Pixels, read_pixels
from ground_tools.training.recipes import load_recipe


def test_batches_keep_image_and_mask_together_and_repeat() -> None:
    overrides = {"batch": 4, "head": "windowed", "window": 32, "feature_windows": 0.9}
    recipe = load_recipe("best-cpu-unet-as", overrides)
    masks = np.zeros((8, 128, 128), dtype=np.uint8)
    masks[:, 40:60, 70:80] = 3
    images = np.where(masks == 3, 250, 0).astype(np.uint8)
    batches = UNetBatches(Pixels(images, masks), recipe)
    assert len(batches) == 2
    (inputs, offsets), truth = batches[1]
    assert inputs.shape == (4, 128, 128, 1)
    assert truth.shape == (4, recipe.window, recipe.window)
    for image, (row, column), labels in zip(inputs, offsets, truth, strict=True):
        seen = image[row : row + recipe.window, column : column + recipe.window, 0]
        if (labels == 3).any():
            assert seen[labels == 3].mean() > seen[labels == 0].mean() + 0.2
    again = UNetBatches(Pixels(images, masks), recipe)[1]
    assert np.array_equal(again[0][0], inputs)
    # Most windows are laid about the boulder, as the recipe says.
    hits = [(UNetBatches(Pixels(images, masks), recipe)[i % 2][1] == 3).any(axis=(1, 2)).mean() for i in range(2)]
    assert np.mean(hits) > 0.7


def test_a_batch_has_images_of_another_set_beside() -> None:
    recipe = load_recipe(
        "best-cpu-unet-as",
        {"batch": 4, "beside": 2, "augmentation.photometric": 0.0, "augmentation.orientations": False},
    )
    own = Pixels(np.zeros((6, 16, 16), np.uint8), np.zeros((6, 16, 16), np.uint8))
    other = Pixels(np.full((3, 16, 16), 100, np.uint8), np.full((3, 16, 16), 4, np.uint8), noisy=False)
    batches = UNetBatches(own, recipe, other)
    assert len(batches) == 2
    for index, count in ((0, 4), (1, 2)):
        images, labels = batches[index]
        assert [int(mask[0, 0]) for mask in labels] == [0] * count + [4] * 2
        assert images[count:] == pytest.approx(100 / 255)
        assert (images[:count] != 0).any()  # the paper's noise


def test_pixels_unpacked_to_a_file_are_those_in_memory(dataset: Path, tmp_path: Path) -> None:
    loaded = load(dataset, "train", identifiers=True)
    for pixels in (1, 5, 16):
        held, mapped = read_pixels(dataset, "train", pixels), read_pixels(dataset, "train", pixels, tmp_path)
        assert isinstance(mapped.images, np.memmap)
        for read in (held, mapped):
            assert np.array_equal(read.images, loaded.images)
            for mask, identifiers, ground, stored in zip(
                read.masks, loaded.identifiers, loaded.ground, loaded.masks, strict=True
            ):
                assert np.array_equal(mask, stack_masks(identifiers, ground, stored == TERMINATOR, pixels))
    files = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert len(files) == 3
    read_pixels(dataset, "train", 5, tmp_path)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == files
    with pytest.raises(ValueError, match="expected samples in split flyby, got none"):
        read_pixels(dataset, "flyby", 5)


def test_unpacked_pixels_are_not_those_of_other_splits(dataset: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(dataset, other)
    exchanged = {"train": "test", "test": "train"}
    for shard in other.rglob("*.parquet"):
        table = pq.read_table(shard)
        splits = [exchanged.get(split, split) for split in table["split"].to_pylist()]
        place = table.column_names.index("split")
        pq.write_table(table.set_column(place, table.schema.field("split"), pa.array(splits, pa.string())), shard)
    assert digest(other) == digest(dataset)
    read_pixels(dataset, "train", 5, tmp_path / "pixels")
    mapped = read_pixels(other, "train", 5, tmp_path / "pixels")
    assert np.array_equal(mapped.images, load(dataset, "test").images)
