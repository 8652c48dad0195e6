"""What each choice of a recipe gains: short trainings that differ in one thing, on the validation split.

python -m ground_tools.training.compare unet-s --dataset datasets/d1 --begin out/train/encoder/encoder.weights.h5 \\
    --out out/comparisons/unet_s --write docs

A run that was stopped goes on when the same command is given again. Test splits are not looked at.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from msgspec import UNSET
from tqdm import tqdm

from ground_tools.datasets.noise import network_inputs
from ground_tools.datasets.store import read_description
from ground_tools.foundation.descriptions import find_file, read_toml
from ground_tools.foundation.files import write_whole
from ground_tools.labels.classes import CLASS_NAMES
from ground_tools.metrics.iou import iou_per_class, mean_iou
from ground_tools.training.comparison_figures import (
    AS_IT_IS,
    ComparisonFigures,
    Run,
    SetOrigin,
    change_figures,
    check_place,
    comparison_section,
    write_comparisons,
)
from ground_tools.training.origins import start_digest
from ground_tools.training.pixels import read_pixels
from ground_tools.training.recipes import Recipe, load_recipe
from ground_tools.training.records import provenance

COMPARISONS = Path(__file__).with_name("comparisons")


@dataclass(frozen=True)
class Comparison:
    """title: of the table. recipe: by name. begin: "encoder" or "unet", which weights it starts from. seeds: of the
    runs of each change; more_seeds: of further runs of the recipe as it is, whose spread is what the draw of batches
    and weights alone does. changes: by what a row says, the fields set to other values, "dropout.head" being one.
    """

    name: str
    title: str
    recipe: str
    begin: str
    seeds: tuple[int, ...]
    more_seeds: tuple[int, ...]
    changes: dict[str, dict[str, Any]]


def load_comparison(name_or_path: str) -> Comparison:
    """Read a comparison: the name of one that is shipped with the project, or a TOML file.

    Raises ValueError naming the file and what is wrong in it, also for a recipe or value that the recipe does not take.
    """
    path = find_file(name_or_path, COMPARISONS)
    table = read_toml("comparison", path, COMPARISONS)
    fields = {
        "title": str,
        "recipe": str,
        "begin": str,
        "seeds": list,
        "more_seeds": list,
        "common": dict,
        "changes": dict,
    }
    table = {"more_seeds": [], **table}
    for field, kind in fields.items():
        if not isinstance(table.get(field), kind):
            raise ValueError(f"comparison {path}: {field}: expected a {kind.__name__}, got {table.get(field)!r}")
    unknown = sorted(set(table) - set(fields))
    if unknown:
        raise ValueError(f"comparison {path}: unknown field {unknown[0]}")
    if table["begin"] not in ("encoder", "unet"):
        raise ValueError(f'comparison {path}: begin: expected "encoder" or "unet", got {table["begin"]!r}')
    seeds, more_seeds = table["seeds"], table["more_seeds"]
    if not seeds or not all(type(seed) is int for seed in seeds):
        raise ValueError(f"comparison {path}: seeds: expected whole numbers, got {seeds!r}")
    if not all(type(seed) is int and seed not in seeds for seed in more_seeds):
        raise ValueError(f"comparison {path}: more_seeds: expected whole numbers not in seeds, got {more_seeds!r}")
    for name, change in table["changes"].items():
        if not isinstance(change, dict):
            raise ValueError(f"comparison {path}: {name}: expected a table of fields, got {change!r}")
    common = _flat(table["common"])
    changes = {AS_IT_IS: common, **{name: {**common, **_flat(change)} for name, change in table["changes"].items()}}
    for name, change in changes.items():
        try:
            load_recipe(table["recipe"], change)
        except ValueError as error:
            raise ValueError(f"comparison {path}: {name}: {error}") from error
    return Comparison(
        path.stem, table["title"], table["recipe"], table["begin"], tuple(seeds), tuple(more_seeds), changes
    )


def _flat(table: dict[str, Any], before: str = "") -> dict[str, Any]:
    """{"dropout": {"head": 0.1}} as {"dropout.head": 0.1}, as the recipe's overrides have it."""
    flat: dict[str, Any] = {}
    for name, value in table.items():
        flat |= _flat(value, f"{before}{name}.") if isinstance(value, dict) else {before + name: value}
    return flat


def compare(
    comparison: Comparison, dataset: Path, begin: Path, out: Path, also: list[Path], beside: Path | None
) -> ComparisonFigures:
    """Train what is not trained yet, each in a folder of OUT and a process of its own; returns the figures.

    also: further sets on whose validation splits the networks are evaluated. beside: the set for changes that
    have images of another one in each batch. Raises RuntimeError naming the log of a training that failed, ValueError
    where the folder holds another training or a set is missing.
    """
    runs = [(name, seed) for name in comparison.changes for seed in comparison.seeds]
    runs += [(AS_IT_IS, seed) for seed in comparison.more_seeds]
    trained: dict[str, list[Run]] = {name: [] for name in comparison.changes}
    for name, seed in (bar := tqdm(runs, unit="training", disable=None)):
        bar.set_postfix_str(f"{name}, seed {seed}")
        folder = out / f"{list(comparison.changes).index(name):02d}_seed_{seed}"
        trained[name].append(_train(comparison, name, seed, dataset, begin, folder, also, beside))
    recipe = load_recipe(comparison.recipe, comparison.changes[AS_IT_IS])
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
    begin: Path,
    out: Path,
    also: list[Path],
    beside: Path | None,
) -> Run:
    fields = {**comparison.changes[name], "seed": seed}
    recipe = load_recipe(comparison.recipe, fields)
    if recipe.beside and beside is None:
        raise ValueError(f"--beside: {name} needs a set of which images are in each batch")
    command = [sys.executable, "-m", "ground_tools.commands.main", "train", "--recipe", comparison.recipe]
    command += ["--dataset", str(dataset), "--out", str(out)]
    command += ["--encoder" if comparison.begin == "encoder" else "--start-from", str(begin)]
    if recipe.beside:
        command += ["--beside", str(beside)]
    for field, value in fields.items():
        command += ["--set", f"{field}={json.dumps(value)}"]
    if not (out / "training.json").exists():
        out.mkdir(parents=True, exist_ok=True)
        with (out / "output.txt").open("a", encoding="utf-8") as output:
            done = subprocess.run(command, stdout=output, stderr=output, check=False)
        if done.returncode:
            raise RuntimeError(f"training {out}: exit code {done.returncode}; see {out / 'output.txt'}")
    record = json.loads((out / "training.json").read_text())
    _check(record, recipe, dataset, begin, out)
    known = {name: record["validation"][name] for name in ("epoch", "miou", "iou")}
    mious = _evaluate_once(out, also, recipe.minimum_boulder_pixels) if also else UNSET
    return Run(seed=seed, minutes=record["minutes"], **known, also=mious)


def _evaluate_once(out: Path, sets: list[Path], minimum_boulder_pixels: int) -> dict[str, float]:
    """Name of a set -> validation mIoU of the training in OUT, which keeps it there."""
    file = out / "also.json"
    known = json.loads(file.read_text()) if file.exists() else {}
    mious = {}
    for path in sets:
        name, of = read_description(path)["name"], provenance(path)
        if known.get(name, {}).get("dataset") != of:
            miou = validation_miou(out / "unet.weights.h5", path, minimum_boulder_pixels)
            known[name] = {"dataset": of, "miou": miou}
            write_whole(file, (json.dumps(known, indent=1) + "\n").encode())
        mious[name] = known[name]["miou"]
    return mious


def _check(record: dict[str, Any], recipe: Recipe, dataset: Path, begin: Path, out: Path) -> None:
    """Raise ValueError when a training that is there is not the one that is asked for."""
    asked = {
        "recipe": json.loads(json.dumps(asdict(recipe))),
        "dataset": provenance(dataset),
        "began_from": {"weights_sha256": start_digest(begin)},
    }
    for part, values in asked.items():
        for field, value in values.items():
            if record[part].get(field) != value:
                raise ValueError(
                    f"{out}: holds another training; choose another --out ({part}, {field}: expected {value!r}, got "
                    f"{record[part].get(field)!r})"
                )


def validation_miou(weights: Path, dataset: Path, minimum_boulder_pixels: int) -> float:
    """mIoU, as the paper defines it, of a UNet's float weights without dropout on a set's validation split."""
    from ground_tools.networks.unet import UNetDropout, build_unet
    from ground_tools.training.heads import fold_head

    pixels = read_pixels(dataset, "validation", minimum_boulder_pixels)
    unet = build_unet(len(CLASS_NAMES), UNetDropout(0.0, 0.0), size=pixels.images.shape[1])
    unet.load_weights(weights)
    inputs = network_inputs(pixels.images, read_description(dataset)["noise"])
    labels = fold_head(unet).predict(inputs, batch_size=16, verbose=0).argmax(axis=-1)
    return mean_iou(iou_per_class(np.asarray(pixels.masks), labels, len(CLASS_NAMES)))


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns the exit code: 0, or 2 with one line that says what is wrong and where."""
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    parser = argparse.ArgumentParser(
        prog="python -m ground_tools.training.compare",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("comparison", help="a name from ground_tools/training/comparisons, or a TOML file")
    parser.add_argument("--dataset", type=Path, required=True, metavar="DIR", help="to train on")
    parser.add_argument("--begin", type=Path, required=True, metavar="H5", help="weights, or a bundle, to start from")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="a folder per training comes there")
    parser.add_argument("--beside", type=Path, metavar="DIR", help="for changes with images of another set in a batch")
    parser.add_argument(
        "--also", type=Path, action="append", default=[], metavar="DIR", help="evaluate on this set, too"
    )
    parser.add_argument("--write", type=Path, metavar="DOCS", help="put the table into DOCS/training.md")
    arguments = parser.parse_args(argv)
    try:
        comparison = load_comparison(arguments.comparison)
        if arguments.write is not None:
            check_place(arguments.write)
        figures = compare(
            comparison, arguments.dataset, arguments.begin, arguments.out, arguments.also, arguments.beside
        )
        print(comparison_section({comparison.name: figures}))
        if arguments.write is not None:
            write_comparisons({comparison.name: figures}, arguments.write)
    except (ValueError, OSError, RuntimeError) as error:
        print(f"compare: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
