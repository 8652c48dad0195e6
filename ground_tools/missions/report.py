"""Figures and pictures of other missions in docs/: missions.json, and their part of missions.md."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from ground_tools.foundation.json_records import from_plain, read_json, to_plain
from ground_tools.labels.mask_colors import colors_from_mask
from ground_tools.missions.evaluation import SetResult
from ground_tools.missions.figures import MissionFigures, Results
from ground_tools.pages.blocks import Block, Heading, Picture, Table, Text, number, percent
from ground_tools.pages.markdown import markdown
from ground_tools.pages.pictures import write_picture
from ground_tools.pages.sections import check_section, write_section

PAGE, RECORD, SECTION, PICTURES = "missions.md", "missions.json", "figures", "images/missions"
_SHOWN, _GAP, _PAPER = 6, 4, 245


def read_results(docs: Path) -> Results:
    """The results so far; none where there is no file.

    Raises:
        ValueError: docs/missions.md has no place for figures, or the file is malformed.
    """
    check_section(docs / PAGE, SECTION)
    file = docs / RECORD
    if not file.is_file():
        return {}
    return {
        mission: {
            of_set: {name: from_plain(MissionFigures, figures, f"{file}: {mission}") for name, figures in found.items()}
            for of_set, found in sets.items()
        }
        for mission, sets in read_json(file).items()
    }


def add_result(results: Results, mission: str, name: str, result: SetResult) -> None:
    """Put the figures of a network on a set among the results."""
    results.setdefault(mission, {}).setdefault(result.set_name, {})[name] = result.figures


def write_results(docs: Path, results: Results) -> list[Path]:
    """Write missions.json and the figures of missions.md; returns the files."""
    ordered: Results = {
        mission: {of_set: dict(sorted(found.items())) for of_set, found in sorted(sets.items())}
        for mission, sets in sorted(results.items())
    }
    plain = {
        mission: {of_set: {name: to_plain(each) for name, each in found.items()} for of_set, found in sets.items()}
        for mission, sets in ordered.items()
    }
    pictures = {path.name for path in (docs / PICTURES).glob("*.jpg")}
    text = markdown(result_blocks(ordered, pictures), PICTURES)
    write_section(docs / PAGE, SECTION, text, plain, docs / RECORD)
    return [docs / PAGE, docs / RECORD]


def result_blocks(results: Results, pictures: set[str]) -> list[Block]:
    """Tables of all results, and those of their pictures that are there."""
    content: list[Block] = []
    for mission, sets in results.items():
        content.append(Heading(mission.capitalize(), 3))
        for of_set, found in sets.items():
            names = list(next(iter(found.values())).iou)
            first = next(iter(found.values()))
            content.append(
                Text(f"`{of_set}`: {first.images} images, {percent(first.labelled)} % of the pixels have a label.")
            )
            content.append(_main_table(found))
            content.append(_class_table(found, names))
            content += [
                Picture(picture_name(of_set, name), f"{name} on {of_set}: image, truth, map, wrong pixels")
                for name in found
                if picture_name(of_set, name) in pictures
            ]
    return content


def _main_table(found: dict[str, MissionFigures]) -> Table:
    rows = []
    for name, each in found.items():
        low, high = each.miou_interval
        interval = f"{number(low)} to {number(high)}"
        scores = [number(value) for value in (each.accuracy, each.macro_f1, each.miou)]
        rest = [number(value) for value in (each.nll, each.ece, each.auroc)]
        rows.append([f"`{name}`", each.kind, *scores, interval, *rest, f"{each.frame_ms:.0f}"])
    head = ["network", "arithmetic", "accuracy", "macro F1", "mIoU", "95 % of draws", "NLL", "ECE", "AUROC", "ms"]
    return Table(head, rows)


def _class_table(found: dict[str, MissionFigures], names: list[str]) -> Table:
    rows = []
    for name, each in found.items():
        for what, values in (("IoU", each.iou), ("Dice", each.f1), ("recall", each.recall)):
            rows.append([f"`{name}`", what, *(number(values.get(of_class)) for of_class in names)])
    return Table(["network", "", *names], rows)


def picture_name(of_set: str, name: str) -> str:
    """File of the predictions of a network on a set."""
    return f"{of_set}_{name}.jpg"


def draw_predictions(result: SetResult, publish: bool) -> np.ndarray:
    """Some images in columns: image (where it may be passed on), truth, map, wrong pixels; (H, W, 3) uint8."""
    columns = []
    for place in np.linspace(0, len(result.maps) - 1, min(_SHOWN, len(result.maps))).round().astype(int):
        image, truth, found = result.loaded.images[place], result.loaded.masks[place], result.maps[place]
        shown = image if image.ndim == 3 else cv2.cvtColor(image, cv2.COLOR_GRAY2RGB)
        known = truth < len(result.table)
        wrong = np.where((known & (truth != found))[..., None], (220, 40, 40), shown // 2 if publish else 60)
        panels = [colors_from_mask(truth, result.table), colors_from_mask(found, result.table), wrong.astype(np.uint8)]
        panels = [shown, *panels] if publish else panels
        gap = np.full((_GAP, truth.shape[1], 3), _PAPER, dtype=np.uint8)
        column = np.vstack([part for panel in panels for part in (panel, gap)][:-1])
        columns += [column, np.full((len(column), _GAP, 3), _PAPER, dtype=np.uint8)]
    return np.hstack(columns[:-1])


def write_predictions(folder: Path, name: str, result: SetResult, publish: bool) -> Path:
    """Write the picture of a network's predictions on a set; returns it."""
    path = folder / picture_name(result.set_name, name)
    write_picture(path, draw_predictions(result, publish))
    return path
