"""The stored form of an image-mask set: a folder of Parquet shards, an index and dataset.json; or one packed file.

Parquet is self-describing, appendable by adding a shard, read by every data tool, and its columns let the geometry be
read without touching pixels. Pixels are lossless WebP, a tenth smaller than PNG for the images and half of it for the
masks. A shard is written to a temporary name and renamed, so that a folder never holds half of one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from flight.schema import format_value
from ground_tools.foundation.files import write_whole
from ground_tools.foundation.names import check_name

FORMAT_VERSION = 2
SPLITS = ("train", "validation", "test")
PIXEL_COLUMNS = ("image", "mask", "identifiers", "ground")
INDEX_FILE = "index.parquet"
DESCRIPTION_KEY = b"rubblemap_dataset"


def _field(name: str, kind: pa.DataType, meaning: str) -> pa.Field:
    return pa.field(name, kind, metadata={"meaning": meaning})


SAMPLE_SCHEMA = pa.schema(
    [
        _field("body", pa.string(), "name in the catalogue of bodies"),
        _field("split", pa.string(), "train, validation or test"),
        _field("index", pa.int32(), "number within the body and split, from 0"),
        _field("seed", pa.uint64(), "the campaign's seed"),
        _field("camera_km", pa.list_(pa.float64(), 3), "camera position, body-fixed frame, km; it looks at the origin"),
        _field("sun_direction", pa.list_(pa.float64(), 3), "unit vector to the sun, body-fixed frame"),
        _field("range_km", pa.float64(), "camera to centre of mass, km"),
        _field("range_d0", pa.float64(), "the same in D0, the range at which the largest extent fills the image"),
        _field("phase_angle_deg", pa.float64(), "sun - body - camera, degrees"),
        _field("time_s", pa.float64(), "flybys: seconds from closest approach, else null"),
        _field("class_pixels", pa.list_(pa.int32()), "pixels of each class in the mask"),
        _field("sha256", pa.string(), "over the raw pixels of image, mask, identifiers and ground, in this order"),
        _field(
            "image", pa.binary(), "WebP: 8-bit image, grey or colour as dataset.json says, display-encoded, no noise"
        ),
        _field("mask", pa.binary(), "WebP: class of each pixel, 255 where nobody knows it"),
        _field(
            "identifiers", pa.binary(), "WebP: what each pixel shows, blue the low byte, green the high byte, or null"
        ),
        _field("ground", pa.binary(), "WebP: the same without the rocks, or null"),
    ]
)
# Of sets from close by, one column more.
AIM = _field("aim_km", pa.list_(pa.float64(), 3), "what the camera looks at, body-fixed frame, km")
CLOSE_SCHEMA = SAMPLE_SCHEMA.insert(SAMPLE_SCHEMA.get_field_index("sun_direction"), AIM)
INDEX_SCHEMA = pa.schema(
    [
        *(SAMPLE_SCHEMA.field(name) for name in SAMPLE_SCHEMA.names if name not in PIXEL_COLUMNS),
        _field("shard", pa.string(), "file in shards/"),
        _field("row", pa.int32(), "row in that file"),
    ]
)
CLOSE_INDEX_SCHEMA = INDEX_SCHEMA.insert(INDEX_SCHEMA.get_field_index("sun_direction"), AIM)


def channels_of(description: dict[str, Any]) -> int:
    """Of a described set's images: 1, or 3 for red, green and blue."""
    return int(description.get("channels", 1))


def sample_schema(description: dict[str, Any]) -> pa.Schema:
    """The columns of a described set's samples."""
    return CLOSE_SCHEMA if description.get("campaign", {}).get("close_range") else SAMPLE_SCHEMA


@dataclass(frozen=True)
class LoadedSet:
    """Samples of a set in memory, in the order of the index.

    images: (N, H, W), or (N, H, W, 3) of colour, uint8, display-encoded, without noise. masks: (N, H, W) uint8
    classes. identifiers, ground: (N, H, W) uint16, or (N, 0, 0) where they were not asked for. bodies, splits: N names.
    indices: (N,) int32. cameras_km: (N, 3) float64; suns: (N, 3) float64 unit vectors, both body-fixed. ranges_d0,
    phase_angles_deg, times_s: (N,) float64, times NaN but in flybys. Of real images no geometry is known: all of it is
    NaN.
    """

    images: np.ndarray
    masks: np.ndarray
    identifiers: np.ndarray
    ground: np.ndarray
    bodies: np.ndarray
    splits: np.ndarray
    indices: np.ndarray
    cameras_km: np.ndarray
    suns: np.ndarray
    ranges_d0: np.ndarray
    phase_angles_deg: np.ndarray
    times_s: np.ndarray

    def chosen(self, rows: np.ndarray) -> LoadedSet:
        """The samples of some rows: indices or a mask of booleans."""
        return replace(self, **{field.name: getattr(self, field.name)[rows] for field in fields(self)})

    def __len__(self) -> int:
        return len(self.images)


def png_bytes(array: np.ndarray) -> bytes:
    """Encode a uint8 or uint16 image as PNG, at full compression."""
    done, data = cv2.imencode(".png", array, [cv2.IMWRITE_PNG_COMPRESSION, 9])
    if not done:
        raise ValueError(f"PNG encoding failed for {array.dtype} {array.shape}")
    return data.tobytes()


def webp_bytes(array: np.ndarray) -> bytes:
    """Encode an image as lossless WebP.

    array: (H, W) uint8; (H, W) uint16, of which blue is the low byte and green the high byte; or (H, W, 3) uint8, red,
    green, blue.
    """
    if array.dtype == np.uint16:
        array = np.dstack([array & 255, array >> 8, np.zeros_like(array)]).astype(np.uint8)
    elif array.ndim == 3:
        array = np.ascontiguousarray(array[..., ::-1])
    # Above 100, OpenCV's quality means lossless.
    done, data = cv2.imencode(".webp", array, [cv2.IMWRITE_WEBP_QUALITY, 101])
    if not done:
        raise ValueError(f"WebP encoding failed for {array.dtype} {array.shape}")
    return data.tobytes()


def webp_array(data: bytes, column: str, channels: int = 1) -> np.ndarray:
    """Decode what webp_bytes made: uint8 of the columns image and mask, uint16 of identifiers and ground.

    channels: of the set's images, see `channels_of`; 3 makes the column image (H, W, 3) red, green, blue. Raises
    ValueError for anything else.
    """
    array = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), cv2.IMREAD_COLOR) if data else None
    if array is None:
        raise ValueError(f"{column}: {len(data or b'')} bytes that are no WebP image")
    if column == "image" and channels == 3:
        return np.ascontiguousarray(array[..., ::-1])
    if column in ("image", "mask"):
        return np.ascontiguousarray(array[..., 0])
    return array[..., 0].astype(np.uint16) | (array[..., 1].astype(np.uint16) << 8)


def sample_digest(image: np.ndarray, mask: np.ndarray, identifiers: np.ndarray, ground: np.ndarray) -> str:
    """SHA-256 over the raw pixels of a sample, so that it does not depend on the encoder."""
    total = hashlib.sha256()
    for array in (image, mask, identifiers, ground):
        total.update(np.ascontiguousarray(array).tobytes())
    return total.hexdigest()


def shard_bytes(rows: list[dict[str, Any]]) -> bytes:
    """One shard as the bytes of its file."""
    schema = CLOSE_SCHEMA if any(AIM.name in row for row in rows) else SAMPLE_SCHEMA
    return _parquet_bytes(pa.Table.from_pylist(rows, schema=schema))


def _parquet_bytes(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd", write_page_checksum=True)
    data: bytes = sink.getvalue().to_pybytes()
    return data


def write_description(folder: Path, description: dict[str, Any]) -> None:
    """Write dataset.json whole or not at all."""
    write_whole(folder / "dataset.json", (json.dumps(description, indent=2) + "\n").encode())


def read_description(path: Path) -> dict[str, Any]:
    """The description of a set: a folder's dataset.json, or what a packed file carries.

    Raises ValueError naming the set when there is none, or a name in it could lead out of a folder.
    """
    try:
        if path.is_file():
            metadata = pq.read_schema(path).metadata or {}
            text = metadata.get(DESCRIPTION_KEY, b"").decode()
        else:
            text = (path / "dataset.json").read_text(encoding="utf-8")
        description = json.loads(text)
    except (OSError, ValueError, RecursionError, pa.ArrowInvalid) as error:
        raise ValueError(f"dataset {path}: no readable dataset.json, and no packed set ({error})") from error
    if not isinstance(description, dict) or description.get("format") != FORMAT_VERSION:
        got = description.get("format") if isinstance(description, dict) else description
        raise ValueError(f"dataset {path}: expected format {FORMAT_VERSION}, got {got!r}; render it again")
    check_name(description.get("name"), f"dataset {path}: name")
    for name in description.get("classes", ()):
        check_name(name, f"dataset {path}: classes")
    for body in (*description.get("bodies", ()), *description.get("campaign", {}).get("bodies", ())):
        check_name(body, f"dataset {path}: bodies")
    return description


def _check_names(path: Path, table: pa.Table) -> pa.Table:
    """The table, if its bodies and splits can be parts of paths; ValueError naming set and column otherwise."""
    if "body" in table.column_names:
        for body in pc.unique(table["body"]).to_pylist():
            check_name(body, f"dataset {path}: body")
    if "split" in table.column_names:
        for split in pc.unique(table["split"]).to_pylist():
            if split not in SPLITS:
                raise ValueError(f"dataset {path}: split: expected {', '.join(SPLITS)}, got {format_value(split)}")
    return table


def shard_paths(folder: Path) -> list[Path]:
    """The shards of a set, in the order that defines its sample order."""
    return sorted((folder / "shards").glob("*.parquet"))


def write_index(folder: Path) -> str:
    """Gather the index from the shards; returns the SHA-256 over all samples' digests, the identity of the content."""
    tables = []
    schema = INDEX_SCHEMA
    for path in shard_paths(folder):
        names = [name for name in pq.read_schema(path).names if name not in PIXEL_COLUMNS]
        schema = CLOSE_INDEX_SCHEMA if AIM.name in names else INDEX_SCHEMA
        table = pq.read_table(path, columns=names)
        table = table.append_column(INDEX_SCHEMA.field("shard"), pa.array([path.name] * len(table)))
        table = table.append_column(INDEX_SCHEMA.field("row"), pa.array(range(len(table)), pa.int32()))
        tables.append(table.cast(schema))
    index = pa.concat_tables(tables) if tables else schema.empty_table()
    write_whole(folder / INDEX_FILE, _parquet_bytes(index))
    return content_digest(index)


def content_digest(table: pa.Table) -> str:
    """SHA-256 over the digests of a table's samples in order."""
    total = hashlib.sha256()
    for value in table.column("sha256").to_pylist():
        total.update(bytes.fromhex(value))
    return total.hexdigest()


def read_index(path: Path) -> pa.Table:
    """The index of a finished set (folder or packed file): every column but the pixels.

    Raises ValueError naming the set when its rendering is not finished, or a name in it could lead out of a folder.
    """
    if "sha256" not in read_description(path):
        raise ValueError(f"dataset {path}: its rendering is not finished; give the render command again")
    if path.is_file():
        names = [name for name in pq.read_schema(path).names if name not in PIXEL_COLUMNS]
        return _check_names(path, pq.read_table(path, columns=names))
    return _check_names(path, pq.read_table(path / INDEX_FILE))


def digest(path: Path) -> str:
    """SHA-256 over the digests of all samples in order: the identity of a finished set's content."""
    return content_digest(read_index(path))


def read_batches(path: Path, columns: list[str]) -> Iterator[pa.Table]:
    """The set's samples, shard by shard (or group by group of a packed file), with the columns asked for."""
    if path.is_file():
        file = pq.ParquetFile(path)
        for group in range(file.num_row_groups):
            yield _check_names(path, file.read_row_group(group, columns=columns))
    else:
        for shard in shard_paths(path):
            yield _check_names(path, pq.read_table(shard, columns=columns))


def chosen_rows(table: pa.Table, splits: list[str] | None, bodies: list[str] | None) -> pa.Table:
    """The rows of some splits and bodies; None: of all."""
    for column, names in (("split", splits), ("body", bodies)):
        if names is not None:
            table = table.filter(pc.is_in(table[column], value_set=pa.array(names, pa.string())))
    return table


def load(path: Path, split: str | None = None, bodies: list[str] | None = None, identifiers: bool = False) -> LoadedSet:
    """Load a set (folder or packed file) into memory: one split or all, some bodies or all.

    identifiers: decode what each pixel shows, too. Raises ValueError naming the set when it is not finished or holds no
    such sample.
    """
    read_index(path)  # its rendering must be finished
    channels = channels_of(read_description(path))
    pixels = PIXEL_COLUMNS if identifiers else PIXEL_COLUMNS[:2]
    columns = [name for name in SAMPLE_SCHEMA.names if name not in PIXEL_COLUMNS or name in pixels]
    splits = None if split is None else [split]
    rows = pa.concat_tables([chosen_rows(table, splits, bodies) for table in read_batches(path, columns)])
    if not len(rows):
        raise ValueError(f"dataset {path}: no samples in split {split or 'any'} of {', '.join(bodies or ['any body'])}")
    decoded: dict[str, np.ndarray] = {
        name: np.zeros((len(rows), 0, 0), dtype=np.uint16) for name in PIXEL_COLUMNS if name not in pixels
    }
    with ThreadPoolExecutor() as pool:
        for name in pixels:
            arrays = pool.map(lambda data, column=name: webp_array(data, column, channels), rows[name].to_pylist())
            decoded[name] = np.stack(list(arrays))
    return LoadedSet(
        images=decoded["image"],
        masks=decoded["mask"],
        identifiers=decoded["identifiers"],
        ground=decoded["ground"],
        bodies=np.asarray(rows["body"].to_pylist()),
        splits=np.asarray(rows["split"].to_pylist()),
        indices=np.asarray(rows["index"].to_pylist(), dtype=np.int32),
        cameras_km=np.asarray(rows["camera_km"].to_pylist(), dtype=np.float64),
        suns=np.asarray(rows["sun_direction"].to_pylist(), dtype=np.float64),
        ranges_d0=known_numbers(rows["range_d0"]),
        phase_angles_deg=known_numbers(rows["phase_angle_deg"]),
        times_s=known_numbers(rows["time_s"]),
    )


def known_numbers(column: Any) -> np.ndarray:
    """A column of numbers as (N,) float64, NaN where it is null."""
    return np.asarray(column.to_numpy(zero_copy_only=False), dtype=np.float64)
