"""Sets of drawn disks for the tiny bundle."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from flight.bundle import write_sums
from ground_tools.datasets.store import (
    sample_digest,
    shard_bytes,
    webp_bytes,
    write_description,
    write_index,
)
from tests.tiny_bundle import HEIGHT, WIDTH

CLASSES = ["dark", "grey", "bright", "edge"]


def write_set(folder: Path, name: str, counts_by_body: dict[str, dict[str, int]], **more: Any) -> Path:
    """A set of random disks in the tiny bundle's classes and size.

    counts_by_body: body -> split -> samples. label: makes another truth of an image and its number.
    """
    generator = np.random.default_rng(len(name))
    rows, nothing = [], [float("nan")] * 3
    v, u = np.mgrid[:HEIGHT, :WIDTH]
    flyby, label = more.pop("flyby", False), more.pop("label", None)
    for body, splits in counts_by_body.items():
        for split, count in splits.items():
            for index in range(count):
                radius = generator.uniform(5, 12)
                distance = np.hypot(u - generator.uniform(16, 32), v - generator.uniform(10, 22))
                mask = np.select([distance < radius - 4, distance < radius], [2, 1], 0).astype(np.uint8)
                mask[(distance > radius) & (distance < radius + 1)] = 3
                image = np.array([0, 120, 220, 60], dtype=np.uint8)[mask]
                mask = mask if label is None else label(image, index)
                identifiers = np.where(mask == 2, 1000 + index, np.where(mask > 0, 1, 0)).astype(np.uint16)
                ground = np.minimum(identifiers, 1).astype(np.uint16)
                rows.append(
                    {
                        "body": body,
                        "split": split,
                        "index": index,
                        "seed": 1,
                        "camera_km": nothing,
                        "sun_direction": nothing,
                        "range_d0": 0.5 + index if flyby else float("nan"),
                        "phase_angle_deg": float("nan"),
                        "time_s": 10.0 * (index - count // 2) if flyby else None,
                        "class_pixels": np.bincount(mask.ravel(), minlength=4).tolist(),
                        "sha256": sample_digest(image, mask, identifiers, ground),
                        "image": webp_bytes(image),
                        "mask": webp_bytes(mask),
                        "identifiers": webp_bytes(identifiers),
                        "ground": webp_bytes(ground),
                    }
                )
    (folder / "shards").mkdir(parents=True)
    (folder / "shards" / "all-00000.parquet").write_bytes(shard_bytes(rows))
    description = {"format": 2, "name": name, "classes": CLASSES, "noise": {"seed": 1}, **more}
    write_description(folder, description)
    write_description(folder, {**description, "samples": len(rows), "sha256": write_index(folder)})
    return folder


def stated(bundle: Path, **changes: Any) -> Path:
    """A bundle whose manifest is to state something else."""
    path = bundle / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    write_sums(bundle)
    return bundle


# As D-4 is described: no noise is added, its images are not shown, samples 0 and 1 are copies of one image.
_IMAGE = {"body": "a", "group": "a1", "split": "test", "samples": [0, 1]}
REAL = {"noise": None, "publish_images": False, "campaign": {"split_by": "image"}, "images": [_IMAGE]}
UNSEEN_BODIES = {**REAL, "campaign": {"split_by": "body"}, "images": []}
