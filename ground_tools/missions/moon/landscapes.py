"""Rendered lunar landscapes: what a lander's camera sees, with masks of sky, ground, small and large rocks."""

from __future__ import annotations

import multiprocessing
from collections import Counter
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ground_tools.bodies.enhanced_body import EnhancedBody
from ground_tools.datasets.identity import finish_set
from ground_tools.datasets.pairs import Pair, PairSet, describe_pairs, pair_row
from ground_tools.datasets.store import read_description, shard_bytes, write_description
from ground_tools.foundation.files import remove_parts, write_whole
from ground_tools.foundation.progress import progress
from ground_tools.labels.class_table import read_class_table
from ground_tools.labels.classes import BOULDER_IDENTIFIERS
from ground_tools.missions.cameras import develop_picture
from ground_tools.missions.layouts import random_splits
from ground_tools.missions.moon.importers import CLASSES, GROUND, SKY
from ground_tools.missions.moon.rocks import label_rocks
from ground_tools.missions.moon.terrain import TerrainSettings, make_terrain
from ground_tools.rendering.geometry import View, pixel_directions
from ground_tools.rendering.ray_renderer import RayRenderer
from ground_tools.rendering.rays import full_model, make_scene

NAME, DOMAIN = "lunar_landscapes", "rendered"
SHARES = (0.49, 0.21, 0.30)
RAYS = 9
_SHARD_SAMPLES = 20
_SOURCE = "rendered by ground-tools mission render-moon"


@dataclass(frozen=True)
class Landscape:
    """image: (S, S, 3) uint8, red, green, blue. mask: (S, S) uint8."""

    image: np.ndarray
    mask: np.ndarray


def draw_landscape(seed: int, number: int, size: int, rays: int = RAYS) -> Landscape:
    """One landscape; the same seed and number give the same pixels.

    Args:
        seed: of the set.
        number: of the landscape.
        size: side of the image, pixels.
        rays: per pixel.
    """
    generator = np.random.default_rng([seed, number])
    settings = _draw_settings(size, generator)
    body = make_terrain(settings, generator)
    view = _draw_view(settings, generator)
    scene = make_scene(full_model(body), body.extent)
    mask = _make_mask(body, view, size, scene)
    grey = RayRenderer(body, size, rays, scene).render(view, int(generator.integers(2**31)))
    return Landscape(develop_picture(grey, mask != SKY, generator), mask)


def _draw_settings(size: int, generator: np.random.Generator) -> TerrainSettings:
    def between(low: float, high: float) -> float:
        return float(np.exp(generator.uniform(np.log(low), np.log(high))))

    return TerrainSettings(
        height=between(1.0, 12.0),
        field_of_view_deg=float(generator.uniform(40.0, 75.0)),
        pixels=size,
        rock_slope=float(generator.uniform(1.4, 2.6)),
        rock_cover=between(0.008, 0.2),
        crater_density=between(0.005, 0.12),
        roughness=between(0.008, 0.03),
        hurst=float(generator.uniform(0.45, 0.9)),
    )


def _draw_view(settings: TerrainSettings, generator: np.random.Generator) -> View:
    """A camera at the terrain's middle, from a little above the horizon to steep down; the sun at any azimuth."""
    pitch = np.radians(generator.uniform(-6.0, 38.0))
    height, azimuth = np.radians(generator.uniform(4.0, 55.0)), generator.uniform(-np.pi, np.pi)
    camera = np.array([0.0, 0.0, settings.height])
    aim = camera + np.array([np.cos(pitch), 0.0, -np.sin(pitch)])
    sun = np.array([np.cos(height) * np.cos(azimuth), np.cos(height) * np.sin(azimuth), np.sin(height)])
    return View(camera, sun, aim, settings.field_of_view_deg)


def _make_mask(body: EnhancedBody, view: View, size: int, scene: Any) -> np.ndarray:
    """Classes by one ray through the middle of each pixel."""
    directions = pixel_directions(view, size).astype(np.float32)
    face = scene.run(np.tile(view.camera.astype(np.float32), (len(directions), 1)), directions)
    identifiers = np.concatenate([body.ground_identifiers, body.rock_identifiers])
    seen = np.where(face >= 0, identifiers[face], 0).reshape(size, size)
    behind = np.where(seen == 0, SKY, GROUND).astype(np.uint8)
    return label_rocks(behind, np.where(seen >= BOULDER_IDENTIFIERS[0], seen, 0))


def render_landscapes(out: Path, count: int, size: int, seed: int, workers: int) -> dict[str, Any]:
    """Render a set, shard by shard: what is there already stays. Returns its description.

    Args:
        out: folder to write, or to go on with.
        count: landscapes.
        size: side of the images, pixels.
        seed: of all of them, and of their splits.
        workers: processes.

    Raises:
        ValueError: the folder holds another set.
    """
    about = PairSet(NAME, read_class_table(CLASSES), _SOURCE, "image", seed, publish_images=True)
    splits = random_splits([DOMAIN] * count, [str(number) for number in range(count)], SHARES, seed)
    counts: Counter[tuple[str, str]] = Counter()
    record = []
    for number, split in enumerate(splits):
        place = {"body": DOMAIN, "split": split, "index": counts[DOMAIN, split]}
        record.append({"file": f"landscape {number}", **place})
        counts[DOMAIN, split] += 1
    description = describe_pairs(about, (size, size, 3), counts, Counter({(size, size): count}), record)
    _begin(out, description)
    remove_parts(out / "shards")
    shards = range(-(-count // _SHARD_SAMPLES))
    missing = [shard for shard in shards if not _shard_path(out, shard).exists()]
    work = partial(_render_shard, out=out, about=about, record=record, size=size)
    bar = progress(total=len(shards), unit="shard", label=NAME, done=len(shards) - len(missing))
    with bar:
        if workers == 1:
            for shard in missing:
                work(shard)
                bar.update()
        else:
            # Embree and OpenCV have threads of their own, which a forked process does not.
            with multiprocessing.get_context("spawn").Pool(workers) as pool:
                for _ in pool.imap_unordered(work, missing):
                    bar.update()
    return finish_set(out, description, count)


def _begin(out: Path, description: dict[str, Any]) -> None:
    if out.exists() and any(out.iterdir()):
        held = read_description(out)
        if {name: held.get(name) for name in description} != description:
            raise ValueError(f"{out}: expected an empty folder or the same landscapes, got another {held['name']}")
    write_description(out, description)


def _shard_path(out: Path, shard: int) -> Path:
    return out / "shards" / f"landscapes-{shard:04}.parquet"


def _render_shard(shard: int, out: Path, about: PairSet, record: list[dict[str, Any]], size: int) -> None:
    rows = []
    first = shard * _SHARD_SAMPLES
    for number, place in enumerate(record[first : first + _SHARD_SAMPLES], start=first):
        made = draw_landscape(about.seed, number, size)
        pair = Pair(place["file"], DOMAIN, place["split"], made.image, made.mask, (size, size))
        rows.append(pair_row(pair, about.table, place["index"], about.seed))
    write_whole(_shard_path(out, shard), shard_bytes(rows))
