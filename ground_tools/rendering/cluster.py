"""Rendering a set on Dask, shard by shard: a campaign, or whatever else states its shards and how one is made."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
from dask.distributed import Client, KilledWorker, as_completed

from ground_tools.bodies.catalogue import BodyRecipe
from ground_tools.bodies.enhanced_body import BodyParts, read_parts
from ground_tools.bodies.meshes import largest_extent, mean_radius
from ground_tools.datasets.identity import finish_set
from ground_tools.datasets.noise import NOISE
from ground_tools.datasets.store import FORMAT_VERSION, read_description, write_description
from ground_tools.foundation.cluster import WORKER_DEATHS, WORKER_MEMORY, open_client
from ground_tools.foundation.files import remove_parts, write_whole
from ground_tools.foundation.json_records import as_read_back
from ground_tools.foundation.progress import progress
from ground_tools.labels.classes import CLASS_NAMES
from ground_tools.rendering.campaign import Campaign, Shard, plan
from ground_tools.rendering.geometry import FIELD_OF_VIEW_DEG, reference_range
from ground_tools.rendering.shard_worker import RenderedShard, render_shard

LOG_FILE = "rendering.jsonl"


def render_campaign(
    campaign: Campaign,
    catalogue: dict[str, BodyRecipe],
    shapes: Path | None,
    crater_maps: Path | None,
    out: Path,
    workers: int = 2,
    scheduler: str | None = None,
) -> None:
    """Render every shard that is not there yet, then write the index and the set's digests into dataset.json.

    Killed and started again, it continues and ends with the same bytes. A finished set grows when it is rendered again
    with larger counts or more bodies. What came about when stands in rendering.jsonl, which is no part of the set.

    Raises ValueError for a body that the catalogue lacks, an unfit file, or a folder that holds another campaign;
    FileNotFoundError for a missing file; RuntimeError when workers die again and again or no scheduler answers; OSError
    when the disk is full. No half-written file is left behind.
    """
    for body in campaign.bodies:
        if body not in catalogue:
            raise ValueError(f"campaign {campaign.name}: unknown body {body}; known: {', '.join(catalogue)}")
    parts = {body: read_parts(catalogue[body], shapes, crater_maps) for body in campaign.bodies}
    work = ShardWork(f"campaign {campaign.name}", render_shard, campaign, parts)
    render_set(out, _description(campaign, parts), plan(campaign), work, workers, scheduler)


@dataclass(frozen=True)
class ShardWork:
    """How the shards of a set are rendered.

    Attributes:
        what: is rendered, for messages.
        render: settings, the parts of a shard's body and the shard to the rendered shard; runs on a worker.
        settings: what all shards have in common.
        parts: what a body is made of, by its name.
    """

    what: str
    render: Callable[[Any, Any, Shard], RenderedShard]
    settings: Any
    parts: Mapping[str, Any]


def render_set(
    out: Path,
    description: dict[str, Any],
    shards: list[Shard],
    work: ShardWork,
    workers: int,
    scheduler: str | None,
) -> dict[str, Any]:
    """Render the shards that are not there yet, then write the index and the digests; returns the set's description.

    Args:
        out: folder of the set, new or to be gone on with.
        description: of the whole set, but for samples and digests.
        shards: all of them.
        work: how one is rendered.
        workers: processes on this computer.
        scheduler: address of a Dask scheduler whose workers are taken instead; None: none.

    Raises:
        ValueError, RuntimeError, OSError: see render_campaign.
    """
    if (out / "dataset.json").exists():
        _check_same_set(out, description)
        remove_parts(out, out / "shards")
    write_description(out, description)
    planned = {shard.file_name for shard in shards}
    unplanned = sorted(path.name for path in (out / "shards").glob("*.parquet") if path.name not in planned)
    if unplanned:
        raise ValueError(f"dataset {out}: shards/{unplanned[0]} is no part of {work.what}; remove it")
    missing = [shard for shard in shards if not _is_written(out / "shards" / shard.file_name, shard)]
    total = sum(shard.count for shard in shards)
    done = total - sum(shard.count for shard in missing)
    with progress(total=total, done=done, unit="image", label=description["name"]) as bar:
        if missing:
            with open_client(workers, scheduler) as client:
                for rendered in _render_shards(client, work, missing):
                    write_whole(out / "shards" / rendered.shard.file_name, rendered.data)
                    _log(out, rendered, len(client.nthreads()))
                    bar.update(rendered.shard.count)
    return finish_set(out, description, total)


def _render_shards(client: Client, work: ShardWork, missing: list[Shard]) -> Iterator[RenderedShard]:
    """The missing shards as they are finished.

    A body's shards go to the worker that holds its parts, until another one idles: setting a body up takes seconds.
    """
    futures: dict[Any, Shard] = {}
    for body, parts in work.parts.items():
        todo = [shard for shard in missing if shard.body == body]
        if todo:
            # A task, not scattered data: when the worker that holds it dies, the scheduler makes it again.
            held = client.submit(_hold, parts, pure=False, priority=-len(futures))
            for shard in todo:
                future = client.submit(
                    work.render,
                    work.settings,
                    held,
                    shard,
                    key=f"{shard.file_name}-{time.time_ns()}",
                    priority=-len(futures),
                    pure=False,
                )
                futures[future] = shard
    try:
        for future in as_completed(futures):
            try:
                result: RenderedShard = future.result()
            except KilledWorker as error:
                raise RuntimeError(
                    f"{work.what}: {WORKER_DEATHS} workers died rendering {futures[future].file_name} "
                    f"(out of memory? each may take {WORKER_MEMORY}); start the same command again to continue"
                ) from error
            future.release()
            # Which file it is for is known here, and not a worker's to say.
            yield replace(result, shard=futures[future])
    finally:
        client.cancel(list(futures), force=True)


def _hold(parts: Any) -> Any:
    return parts


def _is_written(path: Path, shard: Shard) -> bool:
    """Whether a shard's file holds what the plan wants; the last one of a split grows with the split."""
    try:
        return bool(pq.read_metadata(path).num_rows == shard.count)
    except (OSError, pa.ArrowInvalid):
        return False


def _description(campaign: Campaign, parts: dict[str, BodyParts]) -> dict[str, Any]:
    return {
        "format": FORMAT_VERSION,
        "name": campaign.name,
        "classes": list(CLASS_NAMES),
        "image": "128 x 128, one channel, 8 bit, display-encoded (sRGB curve), without noise",
        "field_of_view_deg": FIELD_OF_VIEW_DEG,
        "noise": NOISE,
        "campaign": {
            "seed": campaign.seed,
            "samples": campaign.light_paths,
            "bodies": {body: list(counts) for body, counts in campaign.bodies.items()},
            "flyby": msgspec.structs.asdict(campaign.flyby) if campaign.flyby is not None else None,
            **({"close_range": as_read_back(campaign.close_range)} if campaign.close_range is not None else {}),
        },
        "bodies": {body: _body_record(body_parts) for body, body_parts in parts.items()},
    }


def _body_record(parts: BodyParts) -> dict[str, Any]:
    """The recipe, the digests of its files, and the measures that geometry is understood by."""
    extent = largest_extent(parts.base)
    return {
        "recipe": parts.recipe.record(),
        "sha256": parts.sha256,
        "extent_km": extent,
        "mean_radius_km": mean_radius(parts.base),
        "reference_range_km": reference_range(extent),
    }


def _check_same_set(out: Path, description: dict[str, Any]) -> None:
    """Raise ValueError unless the set in `out` is a part of the described one, or all of it."""
    present = read_description(out)
    keys = ("seed", "samples", "flyby", "close_range", "size")
    same = all(present["campaign"].get(key) == description["campaign"].get(key) for key in keys)
    counts = description["campaign"]["bodies"]
    for body, held in present["campaign"]["bodies"].items():
        same = same and present["bodies"][body] == description["bodies"].get(body)
        same = same and all(a <= b for a, b in zip(held, counts.get(body, [0, 0, 0]), strict=True))
    if present["name"] != description["name"] or not same:
        raise ValueError(
            f"dataset {out}: holds another campaign ({present['name']}: other seed, samples, recipes or files, or "
            "larger counts); choose another --out"
        )


def _log(out: Path, rendered: RenderedShard, workers: int) -> None:
    entry = {
        "shard": rendered.shard.file_name,
        "samples": rendered.shard.count,
        "seconds": round(rendered.seconds, 3),
        "set_up_seconds": round(rendered.set_up_seconds, 3),
        "peak_memory_mib": round(rendered.peak_memory_mib),
        "workers": workers,
        "finished": round(time.time(), 3),
    }
    with (out / LOG_FILE).open("a", encoding="utf-8") as log:
        log.write(json.dumps(entry) + "\n")
