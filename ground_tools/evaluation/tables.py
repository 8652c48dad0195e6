"""The report of an evaluation as blocks of headings, text, tables and pictures."""

from __future__ import annotations

from msgspec import UNSET

from ground_tools.evaluation.accuracy_tables import accuracy_blocks, flyby_blocks
from ground_tools.evaluation.choice_tables import choice_blocks
from ground_tools.evaluation.hazard_tables import hazard_blocks
from ground_tools.evaluation.results import PictureEntry, Results, Target
from ground_tools.evaluation.risk_tables import risk_blocks
from ground_tools.evaluation.uncertainty_tables import disturbance_blocks, uncertainty_blocks
from ground_tools.pages.blocks import Block, Heading, Picture, Table, Text, number, percent


def blocks(results: Results) -> list[Block]:
    """The whole report (see docs/results.md)."""
    if not results.sets:
        return [Text("Nothing has been evaluated yet.")]
    return [
        *_evaluated(results),
        *_targets(results.targets),
        *accuracy_blocks(results),
        *uncertainty_blocks(results),
        *risk_blocks(results),
        *hazard_blocks(results),
        *flyby_blocks(results),
        *choice_blocks(results.choices),
        *disturbance_blocks(results),
        *_pictures(results.pictures),
    ]


def _evaluated(results: Results) -> list[Block]:
    rows = []
    labels = any(f.dataset_labels_sha256 is not UNSET for _, _, f in results.figures())
    for name, _, f in results.figures():
        split = f.split + (f", by {f.split_by}" if f.split_by else "")
        cells = [name, f.mode, split, f"{f.images} of {f.of_images}", str(f.views), str(f.passes)]
        bundle = f"{f.bundle.name} {f.bundle.version} `{f.bundle.sha256[:12]}`"
        rows.append([*cells, bundle, f"`{f.dataset_sha256[:12]}`"])
        if labels:
            rows[-1].append("" if f.dataset_labels_sha256 is UNSET else f"`{f.dataset_labels_sha256[:12]}`")
    result: list[Block] = [Heading("What was evaluated", 2)]
    if any(f.images < f.of_images for _, _, f in results.figures()):
        result.append(
            Text(
                "Where a part of a split was evaluated, it is an even share of every body, evenly through its images. "
                "The interval beside a mean tells how far that of the whole split may be off; with few images, the IoU "
                "of craters and boulders is uncertain by several points."
            )
        )
    head = ["set", "mode", "split", "images", "views", "passes", "bundle", "set's sha256"]
    return [*result, Table([*head, "labels_sha256"] if labels else head, rows)]


def _targets(targets: list[Target]) -> list[Block]:
    verdicts = {True: "met", False: "not met", None: "not measured"}
    rows = []
    for row in targets:
        what = row.what.removeprefix("class/")
        in_percent = not what.startswith(("auroc", "nll"))
        unit = ", %" if in_percent else ", nats" if what.startswith("nll") else ""
        show = percent if in_percent else number
        name = what.replace("miou", "mIoU").replace("nll", "NLL").replace("ece", "ECE").replace("auroc", "AUROC")
        name = f"IoU of {name}" if row.what.startswith("class/") else name
        cells = [row.mode or "-", _goal(row, show(_bound(row))), show(row.value), verdicts[row.met]]
        rows.append([name + unit, row.dataset, *cells])
    return [Heading("Targets", 2), Table(["what", "set", "mode", "target", "measured", ""], rows)]


def _bound(target: Target) -> float | None:
    bounds = (target.at_least, target.at_most, target.than)
    return next((bound for bound in bounds if bound is not UNSET), None)


def _goal(target: Target, bound: str) -> str:
    if bound == "-":
        return bound
    higher = ">" if "higher" in target.what else "<"
    return f"{'>=' if target.at_least is not UNSET else '<=' if target.at_most is not UNSET else higher} {bound}"


def _pictures(pictures: dict[str, list[PictureEntry]]) -> list[Block]:
    result: list[Block] = []
    for name, entries in pictures.items():
        result.append(Heading(f"Pictures of {name}", 2))
        result += [Picture(entry.file, entry.caption) for entry in entries]
    return result
