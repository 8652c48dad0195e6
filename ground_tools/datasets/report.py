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
from ground_tools.foundation.files import write_whole
from ground_tools.pages.charts import write_chart
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
    write_section(page, "figures", figures(record), record, record_file)
    return [page, record_file]


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


def figures(record: dict[str, Any]) -> str:
    """The figures as Markdown."""
    sets = record.get("sets", {})
    # Real images are no part of what anyone can render, or is given.
    rendered = [s for s in sets.values() if "real" not in s]
    total = sum(s["samples"] for s in rendered)
    size = sum(s["bytes"] for s in rendered)
    all_of = "all" if len(rendered) == len(sets) else "all rendered"
    lines = ["", "| set | bodies | train | validation | test | MB | kB a sample | sha256 |", "|---" * 8 + "|"]
    for name, s in sets.items():
        counts = [sum(c[split] for c in s["counts"].values()) for split in ("train", "validation", "test")]
        lines.append(
            f"| {name} | {', '.join(s['counts'])} | {counts[0]} | {counts[1]} | {counts[2]} | {s['bytes'] / 1e6:.1f} | "
            f"{s['bytes'] / s['samples'] / 1e3:.2f} | `{s['sha256'][:16]}` |"
        )
    lines += [f"| {all_of} | | | | {total} samples | {size / 1e6:.1f} | {size / max(total, 1) / 1e3:.2f} | |", ""]
    names = list(next(iter(sets.values()))["class_share"]) if sets else []
    lines += ["Mean share of the pixels, and share of the samples that show the class, per cent:", ""]
    lines += ["| set | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
    for name, s in sets.items():
        cells = [f"{s['class_share'][n] * 100:.2f} / {s['class_present'][n] * 100:.1f}" for n in names]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    lines += [
        "",
        "Range (D0) and phase angle (degrees), least / median / largest:",
        "",
        "| set | range | phase angle |",
    ]
    lines.append("|---|---|---|")
    for name, s in sets.items():
        if s["range_d0"] is None:
            lines.append(f"| {name} | not known | not known |")
            continue
        ranges, angles = ([f"{v:.2f}" for v in s["range_d0"]], [f"{v:.1f}" for v in s["phase_angle_deg"]])
        lines.append(f"| {name} | {' / '.join(ranges)} | {' / '.join(angles)} |")
    lines += _rendering_lines(sets)
    if "scaling" in record:
        lines += _scaling_lines(record["scaling"])
    agreements = record.get("agreement", {})
    for name, s in sets.items():
        lines += ["", f"### {name}", ""]
        if "real" in s:
            lines += [*_real_lines(s["real"]), *_agreement_lines(agreements.get(name)), ""]
        lines += [f"![{body} of {name}](images/datasets/{name}_{body}.jpg)" for body in s["counts"]]
        lines += [f"![{what} of {name}](images/datasets/{name}_{what}.png)" for what in _charts(s)]
    return "\n".join(lines) + "\n\n"


def _charts(statistics: dict[str, Any]) -> list[str]:
    """The charts that a set has: of real images no geometry is known."""
    return [what for what in CHARTS if what != "geometry" or statistics["range_d0"] is not None]


def _real_lines(real: dict[str, Any]) -> list[str]:
    shapes = ", ".join(f"{count} {label}" for label, count in real["shapes"].items())
    lines = [
        f"{real['images']} real images, {real['pairs']} pairs; {real['groups']} groups, "
        "images that show the same being in one.",
        f"Shapes: {shapes}. Outlines inferred by a person: {real['silhouettes_inferred']}.",
        "",
        "| body | images | by image: train / validation / test | by body: train / validation / test |",
        "|---|---|---|---|",
    ]
    by_image, by_body = real["split_by_image"], real["split_by_body"]
    for body, count in real["bodies"].items():
        cells = [" / ".join(map(str, table[body])) if table else "-" for table in (by_image, by_body)]
        lines.append(f"| {body} | {count} | {cells[0]} | {cells[1]} |")
    totals = [
        " / ".join(str(sum(counts[k] for counts in table.values())) for k in range(3)) if table else "-"
        for table in (by_image, by_body)
    ]
    copies = real["pairs"] // real["images"]
    pairs = [
        " / ".join(str(copies * sum(counts[k] for counts in table.values())) for k in range(3)) if table else "-"
        for table in (by_image, by_body)
    ]
    return [
        *lines,
        f"| all | {real['images']} | {totals[0]} | {totals[1]} |",
        f"| all, pairs | {real['pairs']} | {pairs[0]} | {pairs[1]} |",
    ]


def _agreement_lines(result: dict[str, Any] | None) -> list[str]:
    if result is None:
        return []
    names = list(result["iou"])
    cells = ["-" if value is None else f"{value * 100:.1f}" for value in result["iou"].values()]
    return [
        "",
        f"A second pass over {result['images']} images ({result['share'] * 100:.0f} % of the set), made without "
        "sight of the first;",
        "intersection over union of the two masks, all pixels of all images together, per cent:",
        "",
        f"| {' | '.join(names)} | mean | body as a whole | equal pixels |",
        "|---" * (len(names) + 3) + "|",
        f"| {' | '.join(cells)} | {result['mean_iou'] * 100:.1f} | {result['body_iou'] * 100:.1f} | "
        f"{result['pixels'] * 100:.1f} |",
    ]


def _rendering_lines(sets: dict[str, Any]) -> list[str]:
    lines = [
        "",
        "Rendering of these sets, from their logs:",
        "",
        "| set | body | samples | workers | seconds a sample, set-up included | set-up, s | memory of a worker, GB |",
        "|---" * 7 + "|",
    ]
    for name, s in sets.items():
        for body, r in s["rendering"].items():
            lines.append(
                f"| {name} | {body} | {r['samples']} | {r['workers']} | {r['seconds_per_sample']:.3f} | "
                f"{r['set_up_seconds']:.1f} | {r['peak_memory_mib'] / 1024:.2f} |"
            )
    return lines


def _scaling_lines(scaling: dict[str, Any]) -> list[str]:
    lines = [
        "",
        f"Scaling over Dask workers ({scaling['body']}, {scaling['samples']} samples a run, from start to end of the "
        f"command, {scaling['rounds']} rounds in turn; {scaling['machine']}):",
        "",
        "| workers | seconds, median (least to largest) | seconds a sample | speed-up |",
        "|---|---|---|---|",
    ]
    runs = scaling["seconds"]
    base = float(np.median(next(iter(runs.values()))))
    for workers, seconds in runs.items():
        median = float(np.median(seconds))
        lines.append(
            f"| {workers} | {median:.1f} ({min(seconds):.1f} to {max(seconds):.1f}) | "
            f"{median / scaling['samples']:.3f} | {base / median:.2f} |"
        )
    return lines


def _write_pictures(path: Path, statistics: dict[str, Any], folder: Path) -> list[Path]:
    name = statistics["name"]
    # Images that may not be passed on are shown as their masks alone.
    masks_alone = not read_description(path).get("publish_images", True)
    written = []
    for body in statistics["counts"]:
        written.append(folder / f"{name}_{body}.jpg")
        picture = sheet(path, body=body, masks_alone=masks_alone)[:, :, ::-1]
        write_whole(written[-1], cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])[1].tobytes())
    for what in _charts(statistics):
        written.append(folder / f"{name}_{what}.png")
        write_chart(written[-1], CHARTS[what](path), all_colors=what == "occurrence")
    return written
