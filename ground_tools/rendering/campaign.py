"""Campaigns: many views of several bodies, rendered by worker processes into a dataset; resumable."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import sys
import tomllib
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from ground_tools.bodies.catalogue import BodyRecipe
from ground_tools.bodies.enhance import base_shape, enhance
from ground_tools.datasets.store import (
    FORMAT_VERSION,
    SPLITS,
    digest,
    png_bytes,
    read_description,
    sample_digest,
    write_description,
    write_shard,
)
from ground_tools.rendering.encoding import display_encoded
from ground_tools.rendering.geometry import View, random_view, reference_range
from ground_tools.rendering.labels import CLASS_NAMES, class_mask

CAMPAIGNS = Path(__file__).with_name("campaigns")
SHARD_SAMPLES = 42


@dataclass(frozen=True)
class Campaign:
    """What to render. bodies: name -> (train, validation, test) counts. samples: light paths per pixel."""

    name: str
    seed: int
    samples: int
    bodies: dict[str, tuple[int, int, int]]


@dataclass(frozen=True)
class Shard:
    """One unit of work that ends in one file: samples [first, first + count) of a body's split."""

    body: str
    split: str
    first: int
    count: int

    @property
    def file_name(self) -> str:
        return f"{self.body}-{self.split}-{self.first:05d}.parquet"


def load_campaign(name_or_path: str) -> Campaign:
    """Read a campaign: the name of one that the project brings, or a TOML file.

    Raises ValueError naming the file and field where it is malformed.
    """
    path = Path(name_or_path)
    if not path.suffix:
        path = CAMPAIGNS / f"{name_or_path.replace('-', '_')}.toml"
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        known = ", ".join(sorted(p.stem.replace("_", "-") for p in CAMPAIGNS.glob("*.toml")))
        raise ValueError(f"campaign {path}: {error.strerror} (the project brings: {known})") from error
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"campaign {path}: {error}") from error
    unknown = set(table) - {"name", "seed", "samples", "bodies"}
    if unknown:
        raise ValueError(f"campaign {path}: unknown field {sorted(unknown)[0]}")
    name, seed, samples, bodies = (table.get(key) for key in ("name", "seed", "samples", "bodies"))
    if not isinstance(name, str) or not name:
        raise ValueError(f"campaign {path}: name: expected a name, got {name!r}")
    if not isinstance(seed, int) or seed < 0:
        raise ValueError(f"campaign {path}: seed: expected an integer >= 0, got {seed!r}")
    if not isinstance(samples, int) or not 1 <= samples <= 4096:
        raise ValueError(f"campaign {path}: samples: expected 1..4096, got {samples!r}")
    if not isinstance(bodies, dict) or not bodies:
        raise ValueError(f"campaign {path}: bodies: expected a table of bodies, got {bodies!r}")
    for body, counts in bodies.items():
        if (
            not isinstance(counts, list)
            or len(counts) != 3
            or not all(isinstance(count, int) and count >= 0 for count in counts)
        ):
            raise ValueError(
                f"campaign {path}: bodies.{body}: expected [train, validation, test] counts, got {counts!r}"
            )
    return Campaign(name, seed, samples, {body: (c[0], c[1], c[2]) for body, c in bodies.items()})


def plan(campaign: Campaign) -> list[Shard]:
    """The shards of a campaign, in order."""
    return [
        Shard(body, split, first, min(SHARD_SAMPLES, count - first))
        for body, counts in campaign.bodies.items()
        for split, count in zip(SPLITS, counts, strict=True)
        for first in range(0, count, SHARD_SAMPLES)
    ]


def render_campaign(
    campaign: Campaign, catalogue: dict[str, BodyRecipe], shapes: Path | None, out: Path, workers: int
) -> None:
    """Render every shard that is not there yet, then write the set's digest into dataset.json.

    Killed and started again, it continues and ends with the same samples. Raises ValueError for a body that
    the catalogue lacks, a missing or open mesh, or a folder that holds another campaign; RuntimeError when a
    worker process dies; OSError when the disk is full. No half-written shard is left behind.
    """
    for body in campaign.bodies:
        if body not in catalogue:
            raise ValueError(f"campaign {campaign.name}: unknown body {body}; known: {', '.join(catalogue)}")
        base_shape(catalogue[body], shapes)
    description: dict[str, Any] = {
        "format": FORMAT_VERSION,
        "name": campaign.name,
        "classes": list(CLASS_NAMES),
        "campaign": {"seed": campaign.seed, "samples": campaign.samples, "bodies": campaign.bodies},
        "bodies": {body: _body_record(catalogue[body], shapes) for body in campaign.bodies},
        "image": "128 x 128 uint8, sRGB-encoded radiance, no noise",
    }
    if (out / "dataset.json").exists():
        present = read_description(out)
        if present["campaign"] != _plain(description["campaign"]) or present["bodies"] != _plain(description["bodies"]):
            raise ValueError(f"dataset {out}: holds another campaign ({present['name']}); choose another --out")
    write_description(out, description)

    shards = plan(campaign)
    missing = [shard for shard in shards if not (out / "shards" / shard.file_name).exists()]
    total = sum(shard.count for shard in shards)
    done = total - sum(shard.count for shard in missing)
    jobs = {body: [s for s in missing if s.body == body] for body in campaign.bodies}
    context = multiprocessing.get_context("spawn")
    with context.Manager() as manager, tqdm(total=total, initial=done, unit="image", file=sys.stderr) as bar:
        progress = manager.Queue()
        others = set(multiprocessing.active_children())
        with ProcessPoolExecutor(workers, mp_context=context, max_tasks_per_child=1) as pool:
            running = {
                pool.submit(_render_shards, campaign, catalogue[body], shapes, out, todo, progress)
                for body, todo in jobs.items()
                if todo
            }
            try:
                while running:
                    finished, running = wait(running, timeout=0.5, return_when=FIRST_COMPLETED)
                    while not progress.empty():
                        bar.update(progress.get())
                    for future in finished:
                        future.result()
            except BrokenProcessPool as error:
                raise RuntimeError(
                    f"campaign {campaign.name}: a rendering process died (out of memory?); "
                    "start the same command again to continue"
                ) from error
            except BaseException:
                # Do not wait for the bodies that the other processes are at: what is wrong is said now.
                for process in set(multiprocessing.active_children()) - others:
                    process.kill()
                raise
    write_description(out, {**description, "samples": total, "sha256": digest(out)})


def _body_record(recipe: BodyRecipe, shapes: Path | None) -> dict[str, Any]:
    """The recipe, and the digest of the shape model: a set must not go on with another mesh of the same name."""
    record = asdict(recipe)
    if recipe.shape is not None and shapes is not None:
        record["shape_sha256"] = hashlib.sha256((shapes / recipe.shape).read_bytes()).hexdigest()
    return record


def _plain(value: Any) -> Any:
    """The value as it comes back from JSON."""
    return json.loads(json.dumps(value))


def _render_shards(
    campaign: Campaign, recipe: BodyRecipe, shapes: Path | None, out: Path, shards: list[Shard], progress: Any
) -> None:
    """Runs in a worker process of its own: Blender's state is global."""
    # Blender reports every frame on standard output.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    from ground_tools.rendering.scene import BodyRenderer

    body = enhance(recipe, base_shape(recipe, shapes))
    renderer = BodyRenderer(body, samples=campaign.samples)
    for shard in shards:
        rows = []
        for index in range(shard.first, shard.first + shard.count):
            stream = np.random.SeedSequence([campaign.seed, recipe.seed, SPLITS.index(shard.split), index])
            view = random_view(body.extent, np.random.default_rng(stream))
            rows.append(sample_row(renderer, body.extent, recipe.name, shard.split, index, view, campaign.seed))
            progress.put(1)
        write_shard(out / "shards" / shard.file_name, rows)
    renderer.close()


def sample_row(
    renderer: Any,
    extent: float,
    body: str,
    split: str,
    index: int,
    view: View,
    seed: int,
) -> dict[str, Any]:
    """Render one view and return it as a row of SAMPLE_SCHEMA."""
    rendering = renderer.render(view, index)
    image = display_encoded(rendering.grey)
    mask = class_mask(rendering.identifiers, rendering.clean)
    identifiers = rendering.identifiers.astype(np.uint16)
    return {
        "body": body,
        "split": split,
        "index": index,
        "seed": seed,
        "camera_km": view.camera.tolist(),
        "sun_direction": view.sun.tolist(),
        "range_km": view.range_km,
        "range_d0": view.range_km / reference_range(extent),
        "phase_angle_deg": view.phase_angle_deg,
        "time_s": None,
        "class_pixels": np.bincount(mask.ravel(), minlength=len(CLASS_NAMES)).tolist(),
        "image_png": png_bytes(image),
        "mask_png": png_bytes(mask),
        "identifiers_png": png_bytes(identifiers),
        "sha256": sample_digest(image, mask, identifiers),
    }
