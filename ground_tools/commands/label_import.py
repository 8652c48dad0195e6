"""`ground-tools label import`: what was drawn in labelme, CVAT or Label Studio, whole or not at all."""

from __future__ import annotations

import argparse
import sys

from ground_tools.labelling.annotations import write_annotations
from ground_tools.labelling.checks import unusable
from ground_tools.labelling.coco import read_coco
from ground_tools.labelling.collection import ImageEntry, Rules
from ground_tools.labelling.image_names import ImageNames, read_renamed
from ground_tools.labelling.intake import Intake, parse_categories, read_drawings, take_in
from ground_tools.labelling.label_files import find_label_files

# So many lines of a kind are told; the others are counted.
_MOST_TOLD = 30


def import_labels(arguments: argparse.Namespace, entries: dict[str, ImageEntry], rules: Rules) -> int:
    """Take labels in; returns the exit code, 1 when something was left out.

    Raises ValueError when something cannot be used and may not be left out: then nothing is written.
    """
    intake = _read(arguments, ImageNames(entries, read_renamed(arguments.name_map) if arguments.name_map else None))
    files = find_label_files(arguments.labels, entries, arguments.real_images)
    annotations = take_in(intake, files, arguments.real_images, arguments.labelled, arguments.clear_empty)
    problems = intake.all_problems()
    for line in [*_shortened(problems), *_shortened(intake.remarks), *intake.losses]:
        print(line, file=sys.stderr)
    if problems and not arguments.skip_unusable:
        raise ValueError(
            f"{arguments.coco or arguments.labelme[0]}: expected labels that can all be used, got {len(problems)} that "
            "cannot; nothing is written (--skip-unusable leaves them out)"
        )
    for annotation in annotations.values():
        for line in unusable(annotation):
            print(f"{line}; samples leave it out", file=sys.stderr)
    write_annotations(annotations)
    shapes = sum(len(annotation.shapes) for annotation in annotations.values())
    print(f"{arguments.labels}: {len(annotations)} images, {shapes} shapes read")
    left = [annotation for annotation in annotations.values() if not annotation.labelled]
    if left:
        print(f"{len(left)} of them not called done yet: `ground-tools label set IMAGE --labelled`")
    return 1 if problems else 0


def _read(arguments: argparse.Namespace, names: ImageNames) -> Intake:
    categories = parse_categories(arguments.category)
    if arguments.coco is None:
        return read_drawings(arguments.labelme, names, arguments.real_images, categories, arguments.line_width)
    if arguments.line_width is not None:
        raise ValueError(f"--line-width: expected with --labelme alone, got it with --coco {arguments.coco}")
    return read_coco(arguments.coco, names, categories)


def _shortened(lines: list[str]) -> list[str]:
    more = len(lines) - _MOST_TOLD
    return lines if more <= 1 else [*lines[:_MOST_TOLD], f"and {more} more"]
