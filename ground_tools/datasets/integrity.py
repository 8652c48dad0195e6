"""Is a set whole, and does it hold what it says? Every pixel is looked at."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ground_tools.datasets.identity import labels_digest
from ground_tools.datasets.store import (
    AIM,
    INDEX_FILE,
    PIXEL_COLUMNS,
    SPLITS,
    channels_of,
    digest,
    read_description,
    read_index,
    sample_digest,
    sample_schema,
    shard_paths,
    webp_array,
)
from ground_tools.foundation.progress import progress
from ground_tools.labels.class_table import IGNORED, table_of
from ground_tools.labels.classes import BACKGROUND

_MOST_PROBLEMS = 20


def verify(path: Path) -> list[str]:
    """Check a finished set (folder or packed file); returns what is wrong, a line each, none when it is sound.

    Raises ValueError when it is no finished set at all.
    """
    description = read_description(path)
    problems: list[str] = []
    try:
        index = read_index(path)
    except (OSError, pa.ArrowInvalid) as error:
        return [f"{path / INDEX_FILE}: not readable ({error})"]
    schema = sample_schema(description)
    columns = [name for name in schema.names if name not in PIXEL_COLUMNS]
    expected = [*columns, *(("shard", "row") if path.is_dir() else ())]
    if index.schema.names != expected:
        return [f"{path}: index: expected columns {', '.join(expected)}, got {', '.join(index.schema.names)}"]
    if digest(path) != description["sha256"]:
        problems.append(f"{path}: the index's samples give another sha256 than dataset.json tells")
    if len(index) != description["samples"]:
        problems.append(f"{path}: expected {description['samples']} samples, the index has {len(index)}")
    problems += _missing(path, description, index)
    indexed = {_key(row): row for row in index.select(columns).to_pylist()}
    with progress(total=len(index), unit="sample", label=path.name, keep=False) as bar:
        for place, table in _tables(path, schema, problems):
            for number, row in enumerate(table.to_pylist()):
                where = f"{place}, row {number}"
                problems += [f"{where}: {what}" for what in _wrong_with(row, description)]
                entry = indexed.pop(_key(row), None)
                if entry is None:
                    problems.append(f"{where}: {_name(_key(row))} is not in the index, or twice in the set")
                elif different := [name for name in columns if _differ(entry[name], row[name])]:
                    problems.append(f"{where}: {different[0]}: expected {entry[different[0]]} as in the index")
                bar.update()
                if len(problems) >= _MOST_PROBLEMS:
                    return [*problems, f"{path}: and perhaps more"]
    problems += [f"{path}: {_name(key)} is in the index, and in no shard" for key in list(indexed)[:_MOST_PROBLEMS]]
    if not problems and "labels_sha256" in description and labels_digest(path) != description["labels_sha256"]:
        problems.append(f"{path}: its geometry and labels give another labels_sha256 than dataset.json tells")
    return problems


def _differ(first: Any, second: Any) -> bool:
    """Whether two values of a column differ; what is not a number is the same as itself here."""
    return first != second and repr(first) != repr(second)


def _key(row: dict[str, Any]) -> tuple[str, str, int]:
    return (row["body"], row["split"], row["index"])


def _name(key: tuple[str, str, int]) -> str:
    return f"{key[0]} {key[1]} {key[2]}"


def _missing(path: Path, description: dict[str, Any], index: pa.Table) -> list[str]:
    """Bodies and splits of which the set has other samples than its campaign asks for."""
    if "selection" in description:  # a packed part of a set
        return []
    held = {_key(row) for row in index.select(["body", "split", "index"]).to_pylist()}
    problems = []
    for body, counts in description["campaign"]["bodies"].items():
        for split, count in zip(SPLITS, counts, strict=True):
            there = sum((body, split, i) in held for i in range(count))
            if there < count:
                problems.append(f"{path}: {body} {split}: expected samples 0..{count - 1}, {there} of them are there")
    return problems


def _tables(path: Path, schema: pa.Schema, problems: list[str]) -> Any:
    """The tables of a set with the names of their places; one that cannot be read is a problem."""
    if path.is_file():
        file = pq.ParquetFile(path, page_checksum_verification=True)
        places = [(f"{path}, group {g}", lambda g=g: file.read_row_group(g)) for g in range(file.num_row_groups)]
    else:
        places = [
            (str(shard), lambda shard=shard: pq.read_table(shard, page_checksum_verification=True))
            for shard in shard_paths(path)
        ]
    for place, read in places:
        try:
            table = read()
        except (OSError, pa.ArrowInvalid) as error:
            problems.append(f"{place}: not readable ({error})")
            continue
        if table.schema.names != schema.names:
            problems.append(f"{place}: expected columns {', '.join(schema.names)}")
            continue
        yield place, table


def _wrong_with(row: dict[str, Any], description: dict[str, Any]) -> list[str]:
    """What contradicts itself within one sample."""
    classes, channels = len(description["classes"]), channels_of(description)
    # Images that came from elsewhere have no identifiers.
    named = row["identifiers"] is not None or row["ground"] is not None
    try:
        held = PIXEL_COLUMNS if named else PIXEL_COLUMNS[:2]
        arrays = {name: webp_array(row[name], name, channels) for name in held}
    except ValueError as error:
        return [str(error)]
    mask = arrays["mask"]
    if len({array.shape[:2] for array in arrays.values()}) != 1:
        return [f"image, mask, identifiers and ground of different sizes: {[a.shape for a in arrays.values()]}"]
    wrong = []
    nothing = np.zeros((0, 0), dtype=np.uint16)
    if sample_digest(*(arrays.get(name, nothing) for name in PIXEL_COLUMNS)) != row["sha256"]:
        wrong.append("its pixels give another sha256")
    labelled = mask[mask != IGNORED] if table_of(description).ignored_color is not None else mask.ravel()
    if len(labelled) and int(labelled.max()) >= classes:
        wrong.append(f"mask: expected classes 0..{classes - 1}, got {int(labelled.max())}")
    elif np.bincount(labelled, minlength=classes).tolist() != row["class_pixels"]:
        wrong.append("class_pixels are not those of the mask")
    if named and ((mask == BACKGROUND) != (arrays["identifiers"] == 0)).any():
        wrong.append("the mask's background is not where the identifiers have none")
    if row["range_km"] is None:  # a real image, of which no geometry is known
        return wrong
    camera, sun = np.asarray(row["camera_km"]), np.asarray(row["sun_direction"])
    distance = float(np.linalg.norm(camera))
    if not np.isclose(distance, row["range_km"], rtol=1e-9):
        wrong.append(f"range_km: expected {distance}, the camera's distance, got {row['range_km']}")
    if not np.isclose(np.linalg.norm(sun), 1.0, atol=1e-9):
        wrong.append(f"sun_direction: expected a unit vector, got length {np.linalg.norm(sun)}")
    else:
        towards = camera - np.asarray(row.get(AIM.name, np.zeros(3)))
        cosine = towards @ sun / np.linalg.norm(towards)
        phase = float(np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0))))
        if not np.isclose(phase, row["phase_angle_deg"], atol=1e-6):
            wrong.append(f"phase_angle_deg: expected {phase}, got {row['phase_angle_deg']}")
    return wrong
