"""What a rendering worker does: one shard of views of one body, from values to the bytes of a file.

Nothing is read from or written to the worker's disk, so that it can run on any machine.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ground_tools.bodies.enhanced_body import BodyParts, enhance
from ground_tools.datasets.store import sample_digest, shard_bytes, webp_bytes
from ground_tools.labels.classes import CLASS_NAMES
from ground_tools.rendering.blender_thread import open_studio, peak_memory_mib, quiet, run_in_blender_thread
from ground_tools.rendering.campaign import Campaign, Shard, shard_views, site_of
from ground_tools.rendering.geometry import View, reference_range


@dataclass(frozen=True)
class RenderedShard:
    """A shard's file and how it came about. seconds: in all; set_up_seconds: of them for the body's model."""

    shard: Shard
    data: bytes
    seconds: float
    set_up_seconds: float
    peak_memory_mib: float


def render_shard(campaign: Campaign, parts: BodyParts, shard: Shard) -> RenderedShard:
    """Render one shard. The same arguments give the same bytes."""
    return run_in_blender_thread(_render_shard, campaign, parts, shard)


def _render_shard(campaign: Campaign, parts: BodyParts, shard: Shard) -> RenderedShard:
    start = time.perf_counter()
    studio = _open_studio(campaign, parts)
    ready = time.perf_counter()
    rows = []
    for index, view, time_s, picture in _pictures(campaign, parts, shard, studio):
        rows.append(_row(campaign, shard, index, view, time_s, studio.extent, picture))
    return RenderedShard(shard, shard_bytes(rows), time.perf_counter() - start, ready - start, peak_memory_mib())


def _pictures(
    campaign: Campaign, parts: BodyParts, shard: Shard, studio: Any
) -> Iterator[tuple[int, View, float | None, Any]]:
    """Index, view, time and picture of each sample of a shard."""
    if campaign.close_range is not None:
        for index in range(shard.first, shard.first + shard.count):
            view, picture = studio.picture(*site_of(campaign, shard, parts.recipe.seed, index))
            yield index, view, None, picture
        return
    for number, (view, time_s) in enumerate(shard_views(campaign, shard, parts.recipe.seed, studio.extent)):
        with quiet():
            picture = studio.picture(view, shard.first + number)
        yield shard.first + number, view, time_s, picture


def _open_studio(campaign: Campaign, parts: BodyParts) -> Any:
    """The studio of this body, from the shard before or anew."""

    def make() -> Any:
        from ground_tools.rendering.studio import CloseStudio, Studio

        if campaign.close_range is not None:
            return CloseStudio(parts, campaign.close_range, campaign.light_paths)
        return Studio(enhance(parts), campaign.light_paths)

    key = (parts.recipe, tuple(sorted(parts.sha256.items())), campaign.light_paths, campaign.close_range)
    return open_studio(key, make)


def _row(
    campaign: Campaign, shard: Shard, index: int, view: View, time_s: float | None, extent: float, picture: Any
) -> dict[str, Any]:
    """One view as a row of SAMPLE_SCHEMA."""
    return {
        "body": shard.body,
        "split": shard.split,
        "index": index,
        "seed": campaign.seed,
        "camera_km": view.camera.tolist(),
        **({"aim_km": view.aim.tolist()} if campaign.close_range is not None else {}),
        "sun_direction": view.sun.tolist(),
        "range_km": view.range_km,
        "range_d0": view.range_km / reference_range(extent),
        "phase_angle_deg": view.phase_angle_deg,
        "time_s": time_s,
        "class_pixels": np.bincount(picture.mask.ravel(), minlength=len(CLASS_NAMES)).tolist(),
        "sha256": sample_digest(picture.image, picture.mask, picture.identifiers, picture.ground),
        "image": webp_bytes(picture.image),
        "mask": webp_bytes(picture.mask),
        "identifiers": webp_bytes(picture.identifiers),
        "ground": webp_bytes(picture.ground),
    }
