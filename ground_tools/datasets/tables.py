"""The figures of docs/datasets.md as blocks of text, tables and pictures."""

from __future__ import annotations

import numpy as np
from msgspec import UNSET

from ground_tools.datasets.charts import CHARTS
from ground_tools.datasets.figures import Agreement, DatasetFigures, RealImages, Scaling, SetFigures, Split, Spread
from ground_tools.datasets.store import SPLITS
from ground_tools.pages.blocks import Block, Gallery, Heading, Picture, Table, Text, percent


def blocks(figures: DatasetFigures) -> list[Block]:
    """All figures."""
    sets = figures.sets
    result: list[Block] = [_sizes(sets)]
    if sets:
        result += [Text("Mean share of the pixels, and share of the samples that show the class, per cent:")]
        result += [_classes(sets), Text("Range (D0) and phase angle (degrees), least / median / largest:")]
        result += [_geometry(sets), Text("Rendering of these sets, from their logs:"), _rendering(sets)]
    if figures.scaling is not UNSET:
        result += _scaling(figures.scaling)
    agreements = {} if figures.agreement is UNSET else figures.agreement
    for name, s in sets.items():
        result.append(Heading(name, 3))
        if s.real is not UNSET:
            result += [*_real(s.real), *_agreement(agreements.get(name))]
        sheets = [Picture(f"{name}_{body}.jpg", f"{body} of {name}") for body in s.counts]
        drawn = [Picture(f"{name}_{what}.png", f"{what} of {name}") for what in charts_of(s)]
        result.append(Gallery([*sheets, *drawn]))
    return result


def charts_of(figures: SetFigures) -> list[str]:
    """The charts that a set has, of CHARTS."""
    return [what for what in CHARTS if what != "geometry" or figures.range_d0 is not None]


def _sizes(sets: dict[str, SetFigures]) -> Table:
    # Real images are no part of what anyone can render, or is given.
    rendered = [s for s in sets.values() if s.real is UNSET]
    total = sum(s.samples for s in rendered)
    size = sum(s.bytes for s in rendered)
    rows = []
    for name, s in sets.items():
        counts = [str(sum(c[split] for c in s.counts.values())) for split in SPLITS]
        sizes = [f"{s.bytes / 1e6:.1f}", f"{s.bytes / s.samples / 1e3:.2f}"]
        rows.append([name, ", ".join(s.counts), *counts, *sizes, f"`{s.sha256[:16]}`"])
    more = ["labels_sha256"] if any(s.labels_sha256 is not UNSET for s in sets.values()) else []
    for row, s in zip(rows, sets.values(), strict=True):
        row += ["" if s.labels_sha256 is UNSET else f"`{s.labels_sha256[:16]}`"] * len(more)
    all_of = "all" if len(rendered) == len(sets) else "all rendered"
    sizes = [f"{size / 1e6:.1f}", f"{size / max(total, 1) / 1e3:.2f}"]
    rows.append([all_of, "", "", "", f"{total} samples", *sizes, "", *([""] * len(more))])
    return Table(["set", "bodies", *SPLITS, "MB", "kB a sample", "sha256", *more], rows)


def _classes(sets: dict[str, SetFigures]) -> Table:
    names = list(next(iter(sets.values())).class_share)
    rows = [
        [name, *(f"{percent(s.class_share[n], 2)} / {percent(s.class_present[n])}" for n in names)]
        for name, s in sets.items()
    ]
    return Table(["set", *names], rows)


def _geometry(sets: dict[str, SetFigures]) -> Table:
    rows = [[name, _spread(s.range_d0, 2), _spread(s.phase_angle_deg, 1)] for name, s in sets.items()]
    return Table(["set", "range", "phase angle"], rows)


def _spread(values: Spread, digits: int) -> str:
    return "not known" if values is None else " / ".join(f"{value:.{digits}f}" for value in values)


def _rendering(sets: dict[str, SetFigures]) -> Table:
    head = ["set", "body", "samples", "workers", "seconds a sample, set-up included", "set-up, s"]
    rows = []
    for name, s in sets.items():
        for body, r in s.rendering.items():
            cells = [str(r.samples), str(r.workers), f"{r.seconds_per_sample:.3f}"]
            cells += [f"{r.set_up_seconds:.1f}", f"{r.peak_memory_mib / 1024:.2f}"]
            rows.append([name, body, *cells])
    return Table([*head, "memory of a worker, GB"], rows)


def _scaling(scaling: Scaling) -> list[Block]:
    runs = scaling.seconds
    base = float(np.median(next(iter(runs.values()))))
    rows = []
    for workers, seconds in runs.items():
        median = float(np.median(seconds))
        spread = f"{median:.1f} ({min(seconds):.1f} to {max(seconds):.1f})"
        rows.append([workers, spread, f"{median / scaling.samples:.3f}", f"{base / median:.2f}"])
    return [
        Text(
            f"Scaling over Dask workers ({scaling.body}, {scaling.samples} samples a run, from start to end of "
            f"the command, {scaling.rounds} rounds in turn; {scaling.machine}):"
        ),
        Table(["workers", "seconds, median (least to largest)", "seconds a sample", "speed-up"], rows),
    ]


def _real(real: RealImages) -> list[Block]:
    shapes = ", ".join(f"{count} {label}" for label, count in real.shapes.items())
    splits = [real.split_by_image, real.split_by_body]
    rows = [
        [body, str(count), *(" / ".join(map(str, split[body])) if split else "-" for split in splits)]
        for body, count in real.bodies.items()
    ]
    copies = real.pairs // real.images
    rows.append(["all", str(real.images), *(_totals(split, 1) for split in splits)])
    rows.append(["all, pairs", str(real.pairs), *(_totals(split, copies) for split in splits)])
    by_copy = Text(f"Split by copy, pairs: {_totals(real.split_by_copy, 1)}.")
    return [
        Text(
            f"{real.images} real images, {real.close_ups} of them close-ups, {real.pairs} pairs; {real.groups} groups, "
            "images that show the same being in one.\n"
            f"Shapes: {shapes}. Outlines inferred by a person: {real.silhouettes_inferred}."
        ),
        Table(["body", "images", *(f"by {rule}: train / validation / test" for rule in ("image", "body"))], rows),
        *([by_copy] if real.split_by_copy else []),
    ]


def _totals(split: Split | None, copies: int) -> str:
    """Pairs of all bodies in train / validation / test, so many of each image; a dash for a set not split so."""
    return " / ".join(str(copies * sum(counts[k] for counts in split.values())) for k in range(3)) if split else "-"


def _agreement(result: Agreement | None) -> list[Block]:
    if result is None:
        return []
    cells = [*result.iou.values(), result.mean_iou, result.body_iou, result.pixels]
    return [
        Text(
            f"A second pass over {result.images} images ({result.share * 100:.0f} % of the set), made without "
            "sight of the first;\n"
            "intersection over union of the two masks, all pixels of all images together, per cent:"
        ),
        Table([*result.iou, "mean", "body as a whole", "equal pixels"], [[*map(percent, cells)]]),
    ]
