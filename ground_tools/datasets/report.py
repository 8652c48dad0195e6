"""The figures and pictures of docs/datasets.md, from the sets themselves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ground_tools.datasets.charts import CHARTS
from ground_tools.datasets.pictures import sheet
from ground_tools.datasets.statistics import describe
from ground_tools.datasets.store import read_description
from ground_tools.datasets.tables import blocks, charts_of
from ground_tools.foundation.files import write_whole
from ground_tools.pages.charts import write_chart
from ground_tools.pages.markdown import markdown
from ground_tools.pages.sections import check_section, write_section

_JPEG_QUALITY = 82


def write_report(sets: list[Path], docs: Path) -> list[Path]:
    """Write DOCS/datasets.json, the figures' part of DOCS/datasets.md, and DOCS/images/datasets/*; returns the files.

    Sets that are not named keep the figures and pictures that they have. Raises ValueError when a set is not finished
    or datasets.md has no place for figures.
    """
    record = _read_record(docs)
    written = []
    for path in sets:
        statistics = {**describe(path), "rendering": rendering_figures(path)}
        if "overview" in (description := read_description(path)):
            statistics["real"] = description["overview"]
        record.setdefault("sets", {})[statistics["name"]] = statistics
        written += _write_pictures(path, statistics, docs / "images" / "datasets")
    record["sets"] = dict(sorted(record.get("sets", {}).items()))
    return [*_write_record(record, docs), *written]


def write_scaling(scaling: dict[str, Any], docs: Path) -> None:
    """Put the scaling over workers into DOCS/datasets.json and the figures' part of DOCS/datasets.md."""
    _write_record({**_read_record(docs), "scaling": scaling}, docs)


def write_agreement(name: str, result: dict[str, Any], docs: Path) -> list[Path]:
    """Put the agreement of two people's labels of a set into DOCS/datasets.json and the figures of DOCS/datasets.md."""
    record = _read_record(docs)
    record["agreement"] = {**record.get("agreement", {}), name: result}
    return _write_record(record, docs)


def _read_record(docs: Path) -> dict[str, Any]:
    """The figures so far. Raises ValueError when DOCS/datasets.md has no place for figures."""
    check_section(docs / "datasets.md", "figures")
    record_file = docs / "datasets.json"
    record: dict[str, Any] = json.loads(record_file.read_text()) if record_file.exists() else {}
    return record


def _write_record(record: dict[str, Any], docs: Path) -> list[Path]:
    page, record_file = docs / "datasets.md", docs / "datasets.json"
    write_section(page, "figures", section(record), record, record_file)
    return [page, record_file]


def section(record: dict[str, Any]) -> str:
    """The figures as Markdown."""
    return markdown(blocks(record), "images/datasets")


def rendering_figures(path: Path) -> dict[str, dict[str, float]]:
    """Per body: seconds per sample of the whole campaign (all workers' seconds, set-up included, over their number and
    the samples), seconds of set-up per worker, and the largest memory of a worker, from rendering.jsonl.
    """
    log = path / "rendering.jsonl"
    if not log.exists():
        return {}
    entries: dict[str, list[dict[str, Any]]] = {}
    for line in log.read_text().splitlines():
        entry = json.loads(line)
        entries.setdefault(entry["shard"].rsplit("-", 2)[0], []).append(entry)
    result = {}
    for body, shards in entries.items():
        seconds = sum(shard["seconds"] / shard["workers"] for shard in shards)
        samples = sum(shard["samples"] for shard in shards)
        set_ups = [shard["set_up_seconds"] for shard in shards if shard["set_up_seconds"] > 0.5]
        result[body] = {
            "samples": samples,
            "workers": max(shard["workers"] for shard in shards),
            "seconds_per_sample": seconds / samples,
            "set_up_seconds": float(np.median(set_ups)) if set_ups else 0.0,
            "peak_memory_mib": max(shard["peak_memory_mib"] for shard in shards),
        }
    return result


def _write_pictures(path: Path, statistics: dict[str, Any], folder: Path) -> list[Path]:
    name = statistics["name"]
    # Images that may not be passed on are shown as their masks alone.
    masks_alone = not read_description(path).get("publish_images", True)
    written = []
    for body in statistics["counts"]:
        written.append(folder / f"{name}_{body}.jpg")
        picture = sheet(path, body=body, masks_alone=masks_alone)[:, :, ::-1]
        write_whole(written[-1], cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])[1].tobytes())
    for what in charts_of(statistics):
        written.append(folder / f"{name}_{what}.png")
        write_chart(written[-1], CHARTS[what](path), all_colors=what == "occurrence")
    return written
