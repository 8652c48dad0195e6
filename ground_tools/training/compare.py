"""What each choice of a recipe gains: short trainings that differ in one thing, on the validation split.

`ground-tools compare` runs them. Test splits are not looked at.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from msgspec import UNSET, Meta

from ground_tools.datasets.noise import network_inputs
from ground_tools.datasets.store import read_description
from ground_tools.foundation.descriptions import find_file, read_structure
from ground_tools.foundation.files import write_whole
from ground_tools.foundation.json_records import read_json
from ground_tools.foundation.progress import progress
from ground_tools.foundation.structures import FieldError, TomlTable
from ground_tools.labels.classes import CLASS_NAMES
from ground_tools.metrics.iou import iou_per_class, mean_iou
from ground_tools.training.comparison_figures import (
    AS_IT_IS,
    ComparisonFigures,
    Run,
    SetOrigin,
    change_figures,
)
from ground_tools.training.origins import start_digest
from ground_tools.training.outcome import SEGMENTER_WEIGHTS, UNET_WEIGHTS
from ground_tools.training.pixels import read_pixels
from ground_tools.training.recipes import Recipe, Seed, flatten, load_recipe
from ground_tools.training.records import provenance
from ground_tools.training.resumption import read_left

COMPARISONS = Path(__file__).with_name("comparisons")


class Comparison(TomlTable, frozen=True):
    """Short trainings by one recipe that differ in one thing each. Its name is its file's."""

    name: str
    title: Annotated[str, Meta(description="title of the table in docs/training.md")]
    recipe: Annotated[str, Meta(description="recipe of the trainings, a name or a TOML file")]
    begin: Annotated[
        Literal["encoder", "unet", "nothing"], Meta(description="network whose weights the trainings start from")
    ]
    seeds: Annotated[tuple[Seed, ...], Meta(min_length=1, description="seeds of the trainings of each change")]
    common: Annotated[dict[str, Any], Meta(description="other values for fields of the recipe, in every training")]
    changes: Annotated[
        dict[str, dict[str, Any]],
        Meta(description="what each row of the table says, and its other values for fields of the recipe"),
    ]
    more_seeds: Annotated[
        tuple[Seed, ...],
        Meta(
            description="seeds of further trainings by the recipe as it is: their spread is what the draw of "
            "batches and weights alone does"
        ),
    ] = ()

    def __post_init__(self) -> None:
        if both := sorted(set(self.seeds) & set(self.more_seeds)):
            raise FieldError("more_seeds", "seeds that are not in seeds", str(both[0]))

    @property
    def rows(self) -> dict[str, dict[str, Any]]:
        """By what a row of the table says, other values of the recipe by field, as `load_recipe` takes them."""
        common = flatten(self.common)
        return {AS_IT_IS: common, **{name: {**common, **flatten(change)} for name, change in self.changes.items()}}


def load_comparison(name_or_path: str) -> Comparison:
    """Read a comparison: the name of one that is shipped with the project, or a TOML file.

    Raises ValueError naming the file and what is wrong in it, also for a recipe or value that the recipe does not take.
    """
    path = find_file(name_or_path, COMPARISONS)
    comparison = read_structure("comparison", path, Comparison, COMPARISONS, name=path.stem)
    for name, change in comparison.rows.items():
        try:
            load_recipe(comparison.recipe, change)
        except ValueError as error:
            raise ValueError(f"comparison {path}: {name}: {error}") from error
    return comparison


def compare(
    comparison: Comparison, dataset: Path, start_from: Path | None, out: Path, also: list[Path], second_set: Path | None
) -> ComparisonFigures:
    """Train what is not trained yet, each in a folder of OUT and a process of its own; returns the figures.

    also: further sets on whose validation splits the networks are evaluated. second_set: for changes that have images
    of one in each batch. Raises RuntimeError naming the log of a training that failed, ValueError
    where the folder holds another training, a set is missing, or the comparison does not begin as it is told to.
    """
    if (start_from is None) != (comparison.begin == "nothing"):
        expected, got = ("weights", "none") if start_from is None else ("none", "weights")
        raise ValueError(f"--start-from: expected {expected}, as comparison {comparison.name} has it, got {got}")
    runs = [(name, seed) for name in comparison.rows for seed in comparison.seeds]
    runs += [(AS_IT_IS, seed) for seed in comparison.more_seeds]
    trained: dict[str, list[Run]] = {name: [] for name in comparison.rows}
    for name, seed in (bar := progress(runs, unit="training", label=comparison.name)):
        bar.set_postfix_str(f"{name}, seed {seed}")
        folder = out / f"{list(comparison.rows).index(name):02d}_seed_{seed}"
        trained[name].append(_train(comparison, name, seed, dataset, start_from, folder, also, second_set))
    recipe = load_recipe(comparison.recipe, comparison.rows[AS_IT_IS])
    return ComparisonFigures(
        title=comparison.title,
        recipe=comparison.recipe,
        dataset=SetOrigin(**provenance(dataset)),
        also=[read_description(path)["name"] for path in also],
        epochs=recipe.epochs,
        images=recipe.images,
        seeds=list(comparison.seeds),
        more_seeds=list(comparison.more_seeds),
        changes={name: change_figures(runs, trained[AS_IT_IS]) for name, runs in trained.items()},
    )


def _train(
    comparison: Comparison,
    name: str,
    seed: int,
    dataset: Path,
    start_from: Path | None,
    out: Path,
    also: list[Path],
    second_set: Path | None,
) -> Run:
    fields = {**comparison.rows[name], "seed": seed}
    recipe = load_recipe(comparison.recipe, fields)
    if recipe.from_second_set and second_set is None:
        raise ValueError(f"--second-set: {name} needs a set of which images are in each batch")
    command = [sys.executable, "-m", "ground_tools.cli", "train", "--recipe", comparison.recipe]
    command += ["--dataset", str(dataset), "--out", str(out)]
    if start_from is not None:
        command += ["--encoder" if comparison.begin == "encoder" else "--start-from", str(start_from)]
    if recipe.from_second_set:
        command += ["--second-set", str(second_set)]
    for field, value in fields.items():
        command += ["--set", f"{field}={json.dumps(value)}"]
    if not (out / "training.json").exists():
        out.mkdir(parents=True, exist_ok=True)
        with (out / "output.txt").open("a", encoding="utf-8") as output:
            done = subprocess.run(command, stdout=output, stderr=output, check=False)
        if done.returncode:
            raise RuntimeError(f"training {out}: exit code {done.returncode}; see {out / 'output.txt'}")
    record = read_left(out / "training.json", "remove it to go on with the training")
    _check(record, recipe, dataset, start_from, out)
    known = {name: record["validation"][name] for name in ("epoch", "miou", "iou")}
    mious = _evaluate_once(out, also, recipe) if also else UNSET
    return Run(seed=seed, minutes=record["minutes"], **known, also=mious)


def _evaluate_once(out: Path, sets: list[Path], recipe: Recipe) -> dict[str, float]:
    """Name of a set -> validation mIoU of the training in OUT, which keeps it there."""
    file = out / "also.json"
    try:
        known = read_json(file)
    except ValueError:
        known = {}  # is measured again
    mious = {}
    for path in sets:
        name, of = read_description(path)["name"], provenance(path)
        if known.get(name, {}).get("dataset") != of:
            miou = validation_miou(out, path, recipe)
            known[name] = {"dataset": of, "miou": miou}
            write_whole(file, (json.dumps(known, indent=1) + "\n").encode())
        mious[name] = known[name]["miou"]
    return mious


def _check(record: dict[str, Any], recipe: Recipe, dataset: Path, start_from: Path | None, out: Path) -> None:
    """Raise ValueError when a training that is there is not the one that is asked for."""
    ends_early = recipe.optimizer is not None and recipe.optimizer.stop_after > 0
    asked = {
        # Of a training that ended by itself the record has the epochs that it took.
        "recipe": {name: value for name, value in recipe.record().items() if name != "epochs" or not ends_early},
        "dataset": provenance(dataset),
    }
    if start_from is not None:
        asked["began_from"] = {"weights_sha256": start_digest(start_from)}
    for part, values in asked.items():
        for field, value in values.items():
            if record[part].get(field) != value:
                raise ValueError(
                    f"{out}: holds another training; choose another --out ({part}, {field}: expected {value!r}, got "
                    f"{record[part].get(field)!r})"
                )


def validation_miou(out: Path, dataset: Path, recipe: Recipe) -> float:
    """mIoU of a training's float weights without dropout on a set's validation split: as its own validation has it.

    Args:
        out: folder of the training.
        dataset: a set of the same classes.
        recipe: by which it was trained.
    """
    from ground_tools.training.heads import fold_head
    from ground_tools.training.networks import build_recipe_unet
    from ground_tools.training.segmenter import ValidationImages, start_segmenter

    weights = out / (SEGMENTER_WEIGHTS if recipe.network == "segmenter" else UNET_WEIGHTS)
    pixels = read_pixels(dataset, "validation", recipe.minimum_boulder_pixels)
    if recipe.network == "segmenter":
        record = read_left(out / "training.json", "remove it to go on with the training")
        height, width, channels = record["input"]
        made = start_segmenter(recipe, len(record["classes"]), (height, width, channels), None, weights)
        noise = read_description(dataset)["noise"]
        return float(ValidationImages(pixels, noise, recipe).judge(made.network).miou)
    unet = build_recipe_unet(recipe, pixels.images.shape[1])
    unet.load_weights(weights)
    inputs = network_inputs(pixels.images, read_description(dataset)["noise"])
    network = fold_head(unet) if recipe.design is None else unet
    labels = network.predict(inputs, batch_size=16, verbose=0).argmax(axis=-1)
    return mean_iou(iou_per_class(np.asarray(pixels.masks), labels, len(CLASS_NAMES)))
