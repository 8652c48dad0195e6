"""The model card of a bundle, and what a user must know before trusting its maps."""

from __future__ import annotations

from typing import Any

from ground_tools.export.figures import IouFigures, figures_of
from ground_tools.export.parity import parity_table
from ground_tools.labels.class_table import SMALL_BODY_CLASSES, table_of
from ground_tools.pages.blocks import Table, percent
from ground_tools.pages.templates import render
from ground_tools.training.records import Record, chain, sets_in


def description(records: dict[str, Record]) -> str:
    """One line on a bundle. records: of the trainings, by role."""
    parts = [f"{role} on {' and '.join(_sets(record))}" for role, record in records.items()]
    tables = {table_of(record) for record in records.values()}
    if tables != {SMALL_BODY_CLASSES}:
        names = ", ".join(next(iter(tables)).names)
        return f"Segmentation in {names}; trained: {', '.join(parts)}"
    return f"Small-body segmentation in five classes; trained: {', '.join(parts)}"


def limits(records: dict[str, Record]) -> list[str]:
    """What a user must know before trusting the maps. records: of the trainings, by role."""
    found = []
    for role, record in records.items():
        minutes = sum(float(part["minutes"]) for part in chain(record))
        found.append(
            f"{role}: {record['images']['train']} training images in the last of {len(list(chain(record)))} trainings, "
            f"{minutes / 60.0:.1f} hours in all."
        )
    if any(table_of(record) != SMALL_BODY_CLASSES for record in records.values()):
        return [
            *found,
            "Frames unlike the training images are not told apart by the map alone: look at its entropy.",
            "Scores count pixels with labels alone; nobody knows how the others are answered.",
        ]
    if not any(_is_real(part) for record in records.values() for part in chain(record)):
        found.append("Rendered images only: no real image was used in training.")
    else:
        found.append("Few real images, of a few bodies: on others, craters and boulders suffer.")
    farther = any(part["recipe"].get("farther", 0.0) > 0.0 for record in records.values() for part in chain(record))
    smallest = "a third" if farther else "half"
    return [
        *found,
        "The unlit part of a body is labelled as surface in training; on a dark sky it cannot be told from space.",
        f"Bodies smaller than about {smallest} of the image, or filling it entirely, are unlike what was trained on.",
    ]


def card(manifest: dict[str, Any]) -> str:
    """The model card, Markdown, from the manifest's own figures."""
    figures = figures_of(manifest)
    trainings = [_training_row(role, part) for role, record in manifest["training"].items() for part in chain(record)]
    classes = [definition["name"] for definition in manifest["classes"]]
    return render(
        "export/card.md.j2",
        manifest=manifest,
        figures=figures,
        trainings=Table(["network", "recipe", "set", "label rule", "epochs", "time", "backend"], trainings),
        engines=None if figures.engines is None else parity_table(figures.engines.sets),
        tables={name: _iou_table(classes, test) for name, test in figures.test.items()},
    )


def _training_row(role: str, record: Record) -> list[str]:
    recipe = record["recipe"]
    sets = " and ".join(f"{used['name']} ({used['sha256'][:12]})" for used in sets_in(record))
    boulders = f"boulders from {recipe['minimum_boulder_pixels']} visible pixels"
    rules = {"unet": boulders, "segmenter": "the set's own classes"}
    rule = rules.get(recipe["network"], "which body")
    time = f"{record['minutes']:g} min, {record.get('hardware', 'CPU')}"
    return [role, recipe["name"], sets, rule, str(recipe["epochs"]), time, record["backend"]]


def _iou_table(classes: list[str], test: IouFigures) -> Table:
    rows = []
    for mode, figures in test.modes.items():
        shares = [*(figures.iou.get(name) for name in classes), figures.miou]
        rows.append([mode, *("-" if share is None else f"{percent(share)} %" for share in shares)])
    return Table(["mode", *classes, "mean"], rows)


def _sets(record: Record) -> list[str]:
    """Names of the sets that a network was trained on, in that order."""
    return list(dict.fromkeys(used["name"] for part in reversed(list(chain(record))) for used in sets_in(part)))


def _is_real(record: Record) -> bool:
    """Sets of real images are those that state by which rule they are split."""
    return record["dataset"].get("split_by") is not None
