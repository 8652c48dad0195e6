"""The figures of comparisons of recipes: what comparisons.json holds, as dataclasses, and the tables in training.md."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from msgspec import UNSET, UnsetType

from ground_tools.foundation.json_records import from_plain, read_json, to_plain
from ground_tools.pages.blocks import Block, Heading, Table, Text, percent
from ground_tools.pages.markdown import markdown
from ground_tools.pages.sections import check_section, write_section

AS_IT_IS = "the recipe"
_MARK = "comparisons"
# Whose IoU stands beside the mean; of sets with other classes, that of all.
_CLASSES = ("craters", "boulders")


@dataclass(frozen=True)
class SetOrigin:
    """Which set was trained on: see records.provenance."""

    name: str
    sha256: str
    split_by: str | None
    splits_sha256: str


@dataclass(frozen=True)
class Run:
    """One training. epoch: whose weights were kept. miou, iou: of the validation split, as the paper defines them, by
    fractions; also: name of a further set -> mIoU on its validation split.
    """

    seed: int
    epoch: int
    minutes: float
    miou: float
    iou: dict[str, float | None]
    also: dict[str, float] | UnsetType = UNSET


@dataclass(frozen=True)
class ChangeFigures:
    """The trainings of one change. miou: their median. gain: median of the differences to the recipe of the same seed,
    so that what the draw of batches and weights does is in both.
    """

    runs: list[Run]
    miou: float
    gain: float


@dataclass(frozen=True)
class ComparisonFigures:
    """A comparison: see compare.Comparison for its fields. also: further sets. images: 0 for all. changes: by what a
    row of the table says, the recipe as it is among them.
    """

    title: str
    recipe: str
    dataset: SetOrigin
    also: list[str]
    epochs: int
    images: int
    seeds: list[int]
    more_seeds: list[int]
    changes: dict[str, ChangeFigures]


def change_figures(runs: list[Run], as_it_is: list[Run]) -> ChangeFigures:
    """The figures of a change. as_it_is: the trainings by the recipe, of the same seeds at least."""
    base = {run.seed: run.miou for run in as_it_is}
    miou = statistics.median(run.miou for run in runs)
    return ChangeFigures(runs, miou, statistics.median(run.miou - base[run.seed] for run in runs))


def check_docs(docs: Path) -> None:
    """Raise ValueError unless DOCS/training.md has a place for the tables: before hours of training, not after."""
    check_section(docs / "training.md", _MARK)


def read_comparisons(path: Path) -> dict[str, ComparisonFigures]:
    """The comparisons in a file by their names; none where there is no file. Raises ValueError for another file."""
    return from_plain(dict[str, ComparisonFigures], read_json(path), str(path))


def write_comparisons(comparisons: dict[str, ComparisonFigures], docs: Path) -> None:
    """Add comparisons to DOCS/comparisons.json and to the marked part of DOCS/training.md."""
    file = docs / "comparisons.json"
    all_of = dict(sorted({**read_comparisons(file), **comparisons}.items()))
    write_section(docs / "training.md", _MARK, comparison_section(all_of), to_plain(all_of), file)


def comparison_section(comparisons: dict[str, ComparisonFigures]) -> str:
    """All comparisons as tables, in Markdown."""
    content: list[Block] = []
    for figures in comparisons.values():
        shown = figures.changes[AS_IT_IS].runs[0].iou
        names = list(_CLASSES) if set(_CLASSES) <= set(shown) else list(shown)
        head = ["", "mIoU", "gain", *names, *figures.also, "minutes"]
        base = {run.seed: run.miou for run in figures.changes[AS_IT_IS].runs}
        rows = [_row(name, change, base, names, figures.also) for name, change in figures.changes.items()]
        content += [Heading(figures.title, 3), Text(_caption(figures)), Table(head, rows)]
    return markdown(content)


def _row(name: str, change: ChangeFigures, base: dict[int, float], names: list[str], also: list[str]) -> list[str]:
    """base: mIoU of the recipe as it is by seed. names: of the classes to show."""
    values = [run.miou for run in change.runs]
    spread = f" ({percent(min(values))} to {percent(max(values))})" if len(values) > 1 else ""
    gains = [100 * (run.miou - base[run.seed]) for run in change.runs]
    between = f" ({min(gains):+.1f} to {max(gains):+.1f})" if len(gains) > 1 else ""
    cells = [f"{percent(change.miou)}{spread}", "" if name == AS_IT_IS else f"{100 * change.gain:+.1f}{between}"]
    cells += [_median(run.iou[of] for run in change.runs) for of in names]
    cells += [_median(None if run.also is UNSET else run.also[of] for run in change.runs) for of in also]
    return [name, *cells, f"{statistics.median(run.minutes for run in change.runs):.0f}"]


def _median(values: Iterable[float | None]) -> str:
    known = [value for value in values if value is not None]
    return percent(statistics.median(known) if known else None)


def _caption(figures: ComparisonFigures) -> str:
    images = f"{figures.images} images, " if figures.images else ""
    caption = (
        f"`{figures.recipe}` on {figures.dataset.name}, {images}{figures.epochs} epochs, "
        f"{_seeds(figures.seeds)}. Validation mIoU in %; of several seeds the median, in brackets the lowest and "
        "highest. The gain is the difference to the recipe with the same seed."
    )
    if figures.more_seeds:
        caption += (
            f" The recipe itself was trained with {_seeds(figures.more_seeds)}, too: its spread is what the draw of "
            "batches and weights alone does."
        )
    return caption


def _seeds(seeds: list[int]) -> str:
    return f"seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}"
