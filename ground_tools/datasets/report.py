"""The figures and pictures of docs/datasets.md, from the sets themselves."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from msgspec import UNSET

from ground_tools.datasets.charts import CHARTS
from ground_tools.datasets.figures import (
    Agreement,
    DatasetFigures,
    RealImages,
    RenderingFigures,
    Scaling,
    SetFigures,
)
from ground_tools.datasets.pictures import sheet
from ground_tools.datasets.statistics import describe
from ground_tools.datasets.store import read_description
from ground_tools.datasets.tables import blocks, charts_of
from ground_tools.foundation.files import write_whole
from ground_tools.foundation.json_records import from_plain, read_json, to_plain
from ground_tools.foundation.progress import progress
from ground_tools.pages.charts import write_chart
from ground_tools.pages.markdown import markdown
from ground_tools.pages.sections import check_section, write_section

_JPEG_QUALITY = 82
# A worker that goes on with a body has nothing to set up.
_LEAST_SET_UP_S = 0.5


def write_report(sets: list[Path], docs: Path) -> list[Path]:
    """Write DOCS/datasets.json, the figures' part of DOCS/datasets.md, and DOCS/images/datasets/*; returns the files.

    Sets that are not named keep the figures and pictures that they have. Raises ValueError when a set is not finished
    or datasets.md has no place for figures.
    """
    figures = _read_figures(docs)
    measured, written = {}, []
    for path in progress(sets, unit="set", label="report", keep=False):
        of_set = set_figures(path)
        measured[of_set.name] = of_set
        written += _write_pictures(path, of_set, docs / "images" / "datasets")
    return [*write_figures(replace(figures, sets={**figures.sets, **measured}), docs), *written]


def write_scaling(scaling: Scaling, docs: Path) -> None:
    """Put the scaling over workers into DOCS/datasets.json and the figures' part of DOCS/datasets.md."""
    write_figures(replace(_read_figures(docs), scaling=scaling), docs)


def write_agreement(name: str, result: Agreement, docs: Path) -> list[Path]:
    """Put the agreement of two people's labels of a set into DOCS/datasets.json and the figures of DOCS/datasets.md."""
    figures = _read_figures(docs)
    former = {} if figures.agreement is UNSET else figures.agreement
    return write_figures(replace(figures, agreement={**former, name: result}), docs)


def _read_figures(docs: Path) -> DatasetFigures:
    """The figures so far. Raises ValueError when DOCS/datasets.md has no place for figures."""
    check_section(docs / "datasets.md", "figures")
    file = docs / "datasets.json"
    return from_plain(DatasetFigures, read_json(file), str(file))


def write_figures(figures: DatasetFigures, docs: Path) -> list[Path]:
    """Write DOCS/datasets.json, and the figures' part of DOCS/datasets.md; returns the files."""
    page, file = docs / "datasets.md", docs / "datasets.json"
    figures = replace(figures, sets=dict(sorted(figures.sets.items())))
    write_section(page, "figures", markdown(blocks(figures), "images/datasets"), to_plain(figures), file)
    return [page, file]


def set_figures(path: Path) -> SetFigures:
    """The figures of a finished set."""
    real = read_description(path).get("overview")
    return SetFigures(
        **vars(describe(path)),
        rendering=rendering_figures(path),
        real=UNSET if real is None else from_plain(RealImages, real, f"dataset {path}: overview"),
    )


def rendering_figures(path: Path) -> dict[str, RenderingFigures]:
    """The rendering of each body of a set, from its log, rendering.jsonl; of none where there is no log."""
    log = path / "rendering.jsonl"
    if not log.exists():
        return {}
    entries: dict[str, list[dict[str, Any]]] = {}
    for number, line in enumerate(log.read_text().splitlines(), start=1):
        try:
            entry = json.loads(line)
        except ValueError as error:
            raise ValueError(f"{log}: line {number}: damaged ({error}); remove it to do without") from error
        entries.setdefault(entry["shard"].rsplit("-", 2)[0], []).append(entry)
    result = {}
    for body, shards in entries.items():
        seconds = sum(shard["seconds"] / shard["workers"] for shard in shards)
        samples = sum(shard["samples"] for shard in shards)
        set_ups = [shard["set_up_seconds"] for shard in shards if shard["set_up_seconds"] > _LEAST_SET_UP_S]
        result[body] = RenderingFigures(
            samples=samples,
            workers=max(shard["workers"] for shard in shards),
            seconds_per_sample=seconds / samples,
            set_up_seconds=float(np.median(set_ups)) if set_ups else 0.0,
            peak_memory_mib=max(shard["peak_memory_mib"] for shard in shards),
        )
    return result


def _write_pictures(path: Path, figures: SetFigures, folder: Path) -> list[Path]:
    name = figures.name
    # Images that may not be passed on are shown as their masks alone.
    masks_alone = not read_description(path).get("publish_images", True)
    written = []
    for body in figures.counts:
        written.append(folder / f"{name}_{body}.jpg")
        picture = sheet(path, body=body, masks_alone=masks_alone)[:, :, ::-1]
        write_whole(written[-1], cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])[1].tobytes())
    for what in charts_of(figures):
        written.append(folder / f"{name}_{what}.png")
        write_chart(written[-1], CHARTS[what](path), all_colors=what == "occurrence")
    return written
