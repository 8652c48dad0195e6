"""Frames of a rendered set: Parquet shards of WebP images and truth masks, as `ground-tools render` writes them.

Images of a set have no noise: a camera model adds it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from hil.scenarios.source_tables import DatasetSource
from hil.sources.frames import TRUTH_CLASSES, Frame, FrameStream, spread

_FORMAT = 2
_COLUMNS = ["body", "split", "index", "range_km", "time_s", "image", "mask"]


class DatasetFrames(FrameStream):
    """Samples of a set in the order of its shards, spread over so many frames; encoded images are held in memory.

    Args:
        path: folder or packed file of the set.
        split: name, or "all".
        body: name, or "" for all.
        count: number of frames.

    Raises:
        ValueError: no such set, or no such samples.
    """

    classes = TRUTH_CLASSES

    def __init__(self, path: Path, split: str, body: str, count: int) -> None:
        self.name = path.name
        self._path, self._count = path, count
        _check_format(path)
        files = [path] if path.is_file() else sorted((path / "shards").glob("*.parquet"))
        try:
            tables = [_choose(pq.read_table(file, columns=_COLUMNS), split, body) for file in files]
        except (OSError, pa.ArrowInvalid) as error:
            raise ValueError(f"{path}: no readable set ({error})") from error
        table = pa.concat_tables(tables) if tables else None
        if table is None or len(table) == 0:
            raise ValueError(f"{path}: expected samples of split {split}, body {body or 'any'}, got none")
        self._rows: list[dict[str, Any]] = table.to_pylist()

    def __len__(self) -> int:
        return self._count

    def frame(self, index: int) -> Frame:
        row = self._rows[spread(index, self._count, len(self._rows))]
        image, mask = (self._decode(row, column) for column in ("image", "mask"))
        geometry = {"range_km": row["range_km"]} if row["range_km"] is not None else {}
        return Frame(image, 8, row["time_s"], geometry, mask)

    def _decode(self, row: dict[str, Any], column: str) -> np.ndarray:
        array = cv2.imdecode(np.frombuffer(row[column], dtype=np.uint8), cv2.IMREAD_COLOR) if row[column] else None
        if array is None:
            raise ValueError(f"{self._path}: {row['body']} {row['index']}: {column}: no WebP image")
        return np.ascontiguousarray(array[..., 0])


def _check_format(path: Path) -> None:
    """Raise ValueError unless there is a set of the format that is read here."""
    try:
        if path.is_file():
            text = (pq.read_schema(path).metadata or {}).get(b"rubblemap_dataset", b"").decode()
        else:
            text = (path / "dataset.json").read_text(encoding="utf-8")
        form = json.loads(text).get("format")
    except (OSError, ValueError, AttributeError, pa.ArrowInvalid) as error:
        raise ValueError(f"{path}: expected a set with dataset.json, or a packed one, got none ({error})") from error
    if form != _FORMAT:
        raise ValueError(f"{path}: expected a set of format {_FORMAT}, got {form!r}")


def _choose(table: pa.Table, split: str, body: str) -> pa.Table:
    if split != "all":
        table = table.filter(pc.equal(table["split"], split))
    return table.filter(pc.equal(table["body"], body)) if body else table


def open_dataset(source: DatasetSource, beside: Path, count: int) -> FrameStream:
    """Open a rendered set; see hil.sources.registry.open_frames."""
    return DatasetFrames(beside / source.path, source.split, source.body, count)
