"""A segmenter of fresh weights as a finished training leaves it: where it does not matter what a network says."""

from __future__ import annotations

from pathlib import Path

from ground_tools.datasets.store import read_description
from ground_tools.labels.class_table import table_of
from ground_tools.training.outcome import SEGMENTER_WEIGHTS, save_weights, write_record
from ground_tools.training.recipes import load_recipe
from ground_tools.training.records import provenance
from ground_tools.training.segmenter import start_segmenter


def write_fresh_training(recipe: Path, dataset: Path, folder: Path, shape: tuple[int, int, int]) -> Path:
    """Write weights and record.

    Args:
        recipe: file of the recipe.
        dataset: the set that it would have been trained on.
        folder: of the training, to be made.
        shape: of the network's input, (H, W, C).

    Returns:
        The folder.
    """
    chosen, table = load_recipe(str(recipe)), table_of(read_description(dataset))
    folder.mkdir()
    made = start_segmenter(chosen, len(table), shape, None, None)
    save_weights(made.network, folder / SEGMENTER_WEIGHTS)
    row = {"epoch": "0", "seconds": "1.0"}
    measured = {"images": {"train": 7, "validation": 3}, "input": [*shape], **table.describe()}
    write_record(chosen, provenance(dataset), folder, folder / SEGMENTER_WEIGHTS, [row], measured)
    return folder
