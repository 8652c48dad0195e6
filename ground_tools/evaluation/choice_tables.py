"""The choices of a bundle on validation images, as tables: gamma and the uncertainty threshold."""

from __future__ import annotations

from msgspec import UNSET

from ground_tools.evaluation.results import GammaSweep, SweepFigures, ThresholdSweeps
from ground_tools.evaluation.statistics import rock_range
from ground_tools.pages.blocks import Block, Heading, Table, Text, percent

# The class that gamma is chosen for.
_MIXED = "boulders"


def choice_blocks(choices: dict[str, dict[str, SweepFigures]]) -> list[Block]:
    """The sweeps of every bundle on every set: see results.Results.choices."""
    result: list[Block] = []
    for name, by_bundle in choices.items():
        for bundle, sweeps in by_bundle.items():
            result.append(Heading(f"Choices of {bundle}, on the {sweeps.split} split of {name}", 2))
            result.append(Text(f"{sweeps.images} of {sweeps.of_images} images. No test image has a part in this."))
            if sweeps.gamma is not UNSET:
                result += _gamma(sweeps.gamma, rendered=sweeps.split_by is None)
            result.append(_thresholds(sweeps.threshold))
    return result


def _gamma(sweep: GammaSweep, rendered: bool) -> list[Block]:
    sizes = [size for size, pixels in sweep.rock_pixels.items() if pixels]
    mixed = [_MIXED] if _MIXED in sweep.iou else []
    head = ["gamma", "mIoU, %", *(f"IoU of {name}, %" for name in mixed)]
    rows = []
    for place, gamma in enumerate(sweep.gammas):
        cells = [percent(sweep.miou[place], 2), *(percent(sweep.iou[name][place], 2) for name in mixed)]
        cells += [percent(sweep.rock_recall[size][place]) for size in sizes]
        rows.append([f"{gamma:g}" + (" (shipped)" if gamma == sweep.chosen else ""), *cells])
    rule = (
        "in rendered sets, a rock of 3 to 4 pixels is no boulder by the label rule"
        if rendered
        else "in sets of real images, every labelled boulder is one by the label rule"
    )
    return [
        Text(
            f"Best gamma here: {sweep.best:g}; shipped: {sweep.chosen:g}. Share of the pixels of rocks that are "
            f"called boulders, by how many pixels of the rock are seen; {rule}."
        ),
        Table([*head, *(f"rocks of {rock_range(size)} px found, %" for size in sizes)], rows),
    ]


def _thresholds(sweeps: ThresholdSweeps) -> Table:
    rows = []
    for mode, sweep in sweeps.modes.items():
        best = f"{sweep.best:g}"
        cells = [best, percent(sweep.miou[best], 2), percent(sweep.miou_unmarked, 2), f"{sweeps.chosen:g}"]
        rows.append([mode, *cells])
    return Table(["mode", "best threshold here", "mIoU with it, %", "mIoU unmarked, %", "shipped"], rows)
