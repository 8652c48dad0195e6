"""Running a campaign on Dask: an own cluster of this computer's cores, or any cluster that is already there."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import dask
import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
from dask.distributed import Client, KilledWorker, LocalCluster, Security, as_completed

from ground_tools.bodies.catalogue import BodyRecipe
from ground_tools.bodies.enhanced_body import BodyParts, read_parts
from ground_tools.bodies.meshes import largest_extent, mean_radius
from ground_tools.datasets.noise import NOISE
from ground_tools.datasets.store import FORMAT_VERSION, read_description, write_description, write_index
from ground_tools.foundation.files import remove_parts, write_whole
from ground_tools.foundation.json_records import as_read_back
from ground_tools.foundation.progress import progress
from ground_tools.labels.classes import CLASS_NAMES
from ground_tools.rendering.campaign import Campaign, Shard, plan
from ground_tools.rendering.geometry import FIELD_OF_VIEW_DEG, reference_range
from ground_tools.rendering.shard_worker import RenderedShard, render_shard

WORKER_MEMORY = "8GB"
# How many workers may die over one shard before the campaign gives up.
_WORKER_DEATHS = 3
# A worker builds and frees the same large structures for every image: memory that it keeps need not be mapped again
# (a sixth of the time on two cores).
_WORKER_ENVIRONMENT = {
    "MALLOC_MMAP_THRESHOLD_": 2**32,
    "MALLOC_TRIM_THRESHOLD_": 2**33,
    "MALLOC_TOP_PAD_": 2**28,
    "OMP_NUM_THREADS": 1,
    "OPENBLAS_NUM_THREADS": 1,
}
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
    """Render every shard that is not there yet, then write the index and the set's digest into dataset.json.

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
    description = _description(campaign, parts)
    if (out / "dataset.json").exists():
        _check_same_campaign(out, description)
        remove_parts(out, out / "shards")
    write_description(out, description)

    shards = plan(campaign)
    planned = {shard.file_name for shard in shards}
    unplanned = sorted(path.name for path in (out / "shards").glob("*.parquet") if path.name not in planned)
    if unplanned:
        raise ValueError(f"dataset {out}: shards/{unplanned[0]} is no part of campaign {campaign.name}; remove it")
    missing = [shard for shard in shards if not _is_written(out / "shards" / shard.file_name, shard)]
    total = sum(shard.count for shard in shards)
    done = total - sum(shard.count for shard in missing)
    with progress(total=total, done=done, unit="image", label=campaign.name) as bar:
        if missing:
            with _client(workers, scheduler) as client:
                for rendered in _render_shards(client, campaign, parts, missing):
                    write_whole(out / "shards" / rendered.shard.file_name, rendered.data)
                    _log(out, rendered, len(client.nthreads()))
                    bar.update(rendered.shard.count)
    write_description(out, {**description, "samples": total, "sha256": write_index(out)})


def _render_shards(
    client: Client, campaign: Campaign, parts: dict[str, BodyParts], missing: list[Shard]
) -> Iterator[RenderedShard]:
    """The missing shards as they are finished.

    A body's shards go to the worker that holds its parts, until another one idles: setting a body up takes seconds.
    """
    futures: dict[Any, Shard] = {}
    for body, body_parts in parts.items():
        todo = [shard for shard in missing if shard.body == body]
        if todo:
            # A task, not scattered data: when the worker that holds it dies, the scheduler makes it again.
            held = client.submit(_hold, body_parts, pure=False, priority=-len(futures))
            for shard in todo:
                future = client.submit(
                    render_shard,
                    campaign,
                    held,
                    shard,
                    key=f"{campaign.name}-{shard.file_name}-{time.time_ns()}",
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
                    f"campaign {campaign.name}: {_WORKER_DEATHS} workers died rendering {futures[future].file_name} "
                    f"(out of memory? each may take {WORKER_MEMORY}); start the same command again to continue"
                ) from error
            future.release()
            # Which file it is for is known here, and not a worker's to say.
            yield replace(result, shard=futures[future])
    finally:
        client.cancel(list(futures), force=True)


def _hold(parts: BodyParts) -> BodyParts:
    return parts


@contextmanager
def _client(workers: int, scheduler: str | None) -> Iterator[Client]:
    """A client of the cluster at `scheduler`, or of an own one with so many worker processes.

    Whoever reaches a Dask scheduler without credentials has its workers run any code. The own one listens on loopback,
    which every user of this computer reaches: its credentials are made for this run, are held in memory by its
    processes alone, and nobody connects without them (TLS in both directions). Its status pages are off.
    """
    # A worker that is restarted, or busy in Blender, is nothing that the user must read about.
    for name in ("distributed", "bokeh", "tornado"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    if scheduler is not None:
        try:
            client = Client(scheduler, timeout=10)
        except (OSError, ValueError) as error:
            raise RuntimeError(f"scheduler {scheduler}: no Dask scheduler answers there ({error})") from error
        with client:
            if not client.nthreads():
                raise RuntimeError(f"scheduler {scheduler}: it has no workers; start some: dask worker {scheduler}")
            yield client
        return
    security = Security.temporary()
    with (
        dask.config.set(
            {
                "distributed.scheduler.allowed-failures": _WORKER_DEATHS - 1,
                "distributed.nanny.pre-spawn-environ": _WORKER_ENVIRONMENT,
                "distributed.scheduler.http.routes": [],
                "distributed.worker.http.routes": [],
            }
        ),
        LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            protocol="tls",
            security=security,
            memory_limit=WORKER_MEMORY,
            dashboard_address="127.0.0.1:0",
            scheduler_kwargs={"dashboard": False},
            silence_logs=logging.CRITICAL,
        ) as cluster,
        Client(cluster, security=security) as client,
    ):
        yield client


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


def _check_same_campaign(out: Path, description: dict[str, Any]) -> None:
    """Raise ValueError unless the set in `out` is a part of the described one, or all of it."""
    present = read_description(out)
    keys = ("seed", "samples", "flyby", "close_range")
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
