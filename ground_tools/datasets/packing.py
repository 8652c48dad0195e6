"""A set as one file to carry, and as plain PNG files for other tools."""

from __future__ import annotations

import csv
import io
import json
import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ground_tools.datasets.identity import labels_digest
from ground_tools.datasets.noise import noise_seeded_by_image
from ground_tools.datasets.store import (
    AIM,
    DESCRIPTION_KEY,
    channels_of,
    chosen_rows,
    content_digest,
    png_bytes,
    read_batches,
    read_description,
    read_index,
    sample_schema,
    webp_array,
)
from ground_tools.foundation.files import write_whole
from ground_tools.foundation.progress import progress

_GROUP_SAMPLES = 500


def pack(path: Path, out: Path, splits: list[str] | None = None, bodies: list[str] | None = None) -> int:
    """Write a set, or some splits or bodies of it, as one Parquet file that carries its description.

    Every loader takes the file in place of the folder. Returns the number of samples. The same set gives the same
    bytes. Raises ValueError when the set is not finished or nothing is chosen; no half-written file is left behind.
    """
    description = read_description(path)
    index = chosen_rows(read_index(path), splits, bodies)
    if not len(index):
        raise ValueError(
            f"dataset {path}: no samples of {', '.join(bodies or ['any body'])} in {splits or 'any split'}"
        )
    if splits is not None or bodies is not None:
        description = {**description, "selection": {"splits": splits, "bodies": bodies}, "samples": len(index)}
    description["sha256"] = content_digest(index)
    description["labels_sha256"] = labels_digest(path, splits, bodies)
    columns = sample_schema(description)
    schema = columns.with_metadata({DESCRIPTION_KEY: json.dumps(description).encode()})
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = out.with_name(f".{out.name}.{os.getpid()}.part")
    try:
        with (
            pq.ParquetWriter(temporary, schema, compression="zstd", write_page_checksum=True) as writer,
            progress(total=len(index), unit="sample", label=out.name) as bar,
        ):
            waiting: list[pa.Table] = []
            for table in read_batches(path, columns.names):
                chosen = chosen_rows(table, splits, bodies)
                waiting.append(chosen.cast(columns).replace_schema_metadata(schema.metadata))
                bar.update(len(chosen))
                if sum(map(len, waiting)) >= _GROUP_SAMPLES:
                    writer.write_table(pa.concat_tables(waiting))
                    waiting = []
            if waiting:
                writer.write_table(pa.concat_tables(waiting))
        temporary.replace(out)
    finally:
        temporary.unlink(missing_ok=True)
    return len(index)


def export(path: Path, out: Path, noise: bool = False) -> int:
    """Write a set as PNG pairs: OUT/SPLIT/images/BODY_INDEX.png, OUT/SPLIT/masks/..., and the index as samples.csv.

    noise: images as networks get them, with the paper's noise from the set's recorded seed. Returns the number of
    samples. Raises ValueError when the set is not finished, or its names lead out of OUT.
    """
    index = read_index(path)
    description = read_description(path)
    recipe, channels = description["noise"], channels_of(description)
    if noise and recipe is None:
        raise ValueError(f"dataset {path}: noise: its images are real and have their own; export it without --noise")
    aim = [AIM.name] if AIM.name in index.column_names else []
    columns = ["camera_km", *aim, "sun_direction", "range_km", "range_d0", "phase_angle_deg", "time_s", "class_pixels"]
    lines = []
    with progress(total=len(index), unit="sample", label=out.name) as bar:
        for table in read_batches(path, ["body", "split", "index", "image", "mask", *columns]):
            for row in table.to_pylist():
                name = f"{row['body']}_{row['index']:05d}.png"
                image = webp_array(row["image"], "image", channels)
                if noise:
                    image = np.rint(noise_seeded_by_image(image, recipe["seed"]) * 255.0).astype(np.uint8)
                write_whole(
                    out / row["split"] / "images" / name, png_bytes(image if channels == 1 else image[..., ::-1])
                )
                write_whole(out / row["split"] / "masks" / name, png_bytes(webp_array(row["mask"], "mask")))
                values = [" ".join(map(repr, v)) if isinstance(v, list) else v for v in (row[c] for c in columns)]
                lines.append([f"{row['split']}/images/{name}", row["body"], row["split"], row["index"], *values])
                bar.update()
    sink = io.StringIO()
    csv.writer(sink).writerows([["image", "body", "split", "index", *columns], *lines])
    write_whole(out / "samples.csv", sink.getvalue().encode("utf-8"))
    return len(lines)
