"""The stored form of an image-mask set: a folder of Parquet shards with PNG bytes, and dataset.json.

Parquet is self-describing, appendable by adding a shard, read by every data tool, and its columns let the
geometry be read without touching pixels; PNG keeps images small and lossless. A shard is written to a
temporary name and renamed, so that a folder never holds half of one.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

FORMAT_VERSION = 1
SPLITS = ("train", "validation", "test")

SAMPLE_SCHEMA = pa.schema(
    [
        ("body", pa.string()),
        ("split", pa.string()),
        ("index", pa.int32()),
        ("seed", pa.uint64()),
        ("camera_km", pa.list_(pa.float64(), 3)),
        ("sun_direction", pa.list_(pa.float64(), 3)),
        ("range_km", pa.float64()),
        ("range_d0", pa.float64()),
        ("phase_angle_deg", pa.float64()),
        ("time_s", pa.float64()),
        ("class_pixels", pa.list_(pa.int32())),
        ("image_png", pa.binary()),
        ("mask_png", pa.binary()),
        ("identifiers_png", pa.binary()),
        ("sha256", pa.string()),
    ]
)


@dataclass(frozen=True)
class LoadedSet:
    """Samples of a set in memory.

    images: (N, H, W) uint8, display-encoded, without noise. masks: (N, H, W) uint8 classes. identifiers:
    (N, H, W) uint16. bodies: N names. indices: (N,) int32.
    """

    images: np.ndarray
    masks: np.ndarray
    identifiers: np.ndarray
    bodies: list[str]
    indices: np.ndarray


def png_bytes(array: np.ndarray) -> bytes:
    """Encode a uint8 or uint16 image as PNG, at full compression."""
    done, data = cv2.imencode(".png", array, [cv2.IMWRITE_PNG_COMPRESSION, 9])
    if not done:
        raise ValueError(f"PNG encoding failed for {array.dtype} {array.shape}")
    return data.tobytes()


def png_array(data: bytes) -> np.ndarray:
    """Decode PNG bytes to the array that was encoded. Raises ValueError for anything else."""
    array = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), cv2.IMREAD_UNCHANGED)
    if array is None:
        raise ValueError(f"{len(data)} bytes that are no PNG image")
    return array


def sample_digest(image: np.ndarray, mask: np.ndarray, identifiers: np.ndarray) -> str:
    """SHA-256 over the raw pixels of a sample, so that it does not depend on the PNG encoder."""
    digest = hashlib.sha256()
    for array in (image, mask, identifiers):
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def write_shard(path: Path, rows: list[dict[str, Any]]) -> None:
    """Write one shard whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        pq.write_table(pa.Table.from_pylist(rows, schema=SAMPLE_SCHEMA), temporary, compression="zstd")
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_description(folder: Path, description: dict[str, Any]) -> None:
    """Write dataset.json atomically."""
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / ".dataset.json.part"
    temporary.write_text(json.dumps(description, indent=2) + "\n", encoding="utf-8")
    temporary.replace(folder / "dataset.json")


def read_description(folder: Path) -> dict[str, Any]:
    """Read dataset.json. Raises ValueError naming the folder when it is no dataset."""
    path = folder / "dataset.json"
    try:
        description = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError) as error:
        raise ValueError(f"dataset {folder}: no readable dataset.json ({error})") from error
    if not isinstance(description, dict) or description.get("format") != FORMAT_VERSION:
        raise ValueError(f"dataset {folder}: dataset.json: expected format {FORMAT_VERSION}")
    return description


def shard_paths(folder: Path) -> list[Path]:
    """The shards of a dataset, in the order that defines its sample order."""
    return sorted((folder / "shards").glob("*.parquet"))


def load(folder: Path, split: str | None = None) -> LoadedSet:
    """Load the samples of one split (or all) into memory.

    Raises ValueError naming the dataset when the split holds no sample.
    """
    if "sha256" not in read_description(folder):
        raise ValueError(f"dataset {folder}: its rendering is not finished; give the render command again")
    columns = ["body", "index", "image_png", "mask_png", "identifiers_png"]
    images, masks, identifiers, bodies, indices = [], [], [], [], []
    for path in shard_paths(folder):
        table = pq.read_table(path, columns=columns, filters=[("split", "=", split)] if split else None)
        for row in table.to_pylist():
            images.append(png_array(row["image_png"]))
            masks.append(png_array(row["mask_png"]))
            identifiers.append(png_array(row["identifiers_png"]))
            bodies.append(row["body"])
            indices.append(row["index"])
    if not images:
        raise ValueError(f"dataset {folder}: no samples in split {split or 'any'}")
    return LoadedSet(
        np.stack(images), np.stack(masks), np.stack(identifiers), bodies, np.asarray(indices, dtype=np.int32)
    )


def digest(folder: Path) -> str:
    """SHA-256 over the digests of all samples in order: the identity of the set's content."""
    total = hashlib.sha256()
    for path in shard_paths(folder):
        for value in pq.read_table(path, columns=["sha256"]).column(0).to_pylist():
            total.update(bytes.fromhex(value))
    return total.hexdigest()
