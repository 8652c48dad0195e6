"""`ground-tools mission render-spacecraft`: a set of craft with masks of their parts, rendered shard by shard."""

from __future__ import annotations

import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ground_tools.datasets.pairs import Pair, PairSet, describe_pairs, pair_row
from ground_tools.datasets.store import SPLITS, shard_bytes
from ground_tools.foundation.json_records import as_read_back
from ground_tools.labels.class_table import ClassTable, read_class_table
from ground_tools.missions.spacecraft.craft import PARTS, CraftModel, CraftRecipe, read_own_craft
from ground_tools.missions.spacecraft.importers import CLASSES
from ground_tools.missions.spacecraft.models import (
    KNOWN_MODELS,
    ModelRecipe,
    find_model_files,
    read_model,
    read_model_recipes,
)
from ground_tools.missions.spacecraft.planets import BACKGROUNDS
from ground_tools.missions.spacecraft.scenes import draw_craft_image
from ground_tools.rendering.blender_thread import open_studio, peak_memory_mib, quiet, run_in_blender_thread
from ground_tools.rendering.campaign import Shard
from ground_tools.rendering.cluster import ShardWork, render_set
from ground_tools.rendering.shard_worker import RenderedShard

NAME = "spacecraft_rendered"
# Every tenth image is for validation, every tenth for testing, counted from these: so no split ever shrinks as a set
# grows.
_TENTHS_FROM = {"validation": 3, "test": 8}
_SHARD_SAMPLES = 10
_SOURCE = "rendered by ground-tools mission render-spacecraft"


@dataclass(frozen=True)
class CraftSettings:
    """What all images of a set have in common. shape: height and width, pixels. light_paths: of a pixel."""

    seed: int
    shape: tuple[int, int]
    light_paths: int
    table: ClassTable


@dataclass(frozen=True)
class Fleet:
    """Craft by name, and what the set's description says of each."""

    craft: dict[str, CraftRecipe | CraftModel]
    splits: dict[str, str]
    records: dict[str, dict[str, Any]]


def gather_fleet(models: Path | None, recipes: Path = KNOWN_MODELS) -> Fleet:
    """Our own craft and, of a user's folder of models, those whose files are all there.

    Args:
        models: the folder; None: our own craft alone.
        recipes: TOML file of what the materials of models are.

    Raises:
        ValueError: the folder holds none of the models, a file cannot be read, or a material has no part.
    """
    own = read_own_craft()
    fleet = Fleet(
        dict(own),
        {name: recipe.split for name, recipe in own.items()},
        {name: {"recipe": as_read_back(recipe), "sha256": {}} for name, recipe in own.items()},
    )
    if models is None:
        return fleet
    missing = []
    known = read_model_recipes(recipes)
    for name, recipe in known.items():
        if name in own:
            raise ValueError(f"models {recipes}: craft {name}: expected a name that none of our own craft has")
        files = find_model_files(recipe, models)
        if files is None:
            missing.append(name)
            continue
        model, digests = read_model(name, recipe, files)
        _add(fleet, name, recipe, model, digests)
    if len(missing) == len(known):
        wanted = ", ".join(entry.file for recipe in known.values() for entry in recipe.files[:1])
        raise ValueError(f"--models {models}: expected files of models, as {wanted}, got none of them")
    if missing:
        print(f"{models}: without all files of {', '.join(missing)}: left out", file=sys.stderr)
    return fleet


def _add(fleet: Fleet, name: str, recipe: ModelRecipe, model: CraftModel, digests: dict[str, str]) -> None:
    fleet.craft[name] = model
    fleet.splits[name] = recipe.split
    fleet.records[name] = {"recipe": as_read_back(recipe), "sha256": digests}


def share_images(splits: dict[str, str], count: int) -> dict[str, list[int]]:
    """How many images each craft has in each split: all in its own, craft of one split nearly the same.

    Args:
        splits: of each craft, by its name.
        count: images in all.

    Raises:
        ValueError: a split that should have images has no craft.
    """
    counts: dict[str, list[int]] = {}
    left = count
    for split in reversed(SPLITS):
        names = [name for name, of_craft in splits.items() if of_craft == split]
        # Training images are what is left, so that the numbers make the count.
        images = (count + _TENTHS_FROM[split]) // 10 if split in _TENTHS_FROM else left
        left -= images
        if images and not names:
            raise ValueError(f"craft: expected some with split = {split!r}, got none")
        for place, name in enumerate(names):
            number = images // len(names) + (place < images % len(names))
            counts[name] = [number if split == other else 0 for other in SPLITS]
    return {name: counts[name] for name in splits}


def render_spacecraft(
    out: Path,
    fleet: Fleet,
    count: int,
    settings: CraftSettings,
    workers: int = 2,
    scheduler: str | None = None,
) -> dict[str, Any]:
    """Render a set, shard by shard: what is there already stays. Returns its description.

    Each image depends on the seed, its craft, split and number alone, so that a set can grow.

    Args:
        out: folder to write, or to go on with.
        fleet: see gather_fleet.
        count: images in all.
        settings: of all of them.
        workers: processes on this computer.
        scheduler: address of a Dask scheduler whose workers are taken instead; None: none.

    Raises:
        ValueError: the folder holds another set; RuntimeError, OSError: see render_campaign.
    """
    counts = share_images(fleet.splits, count)
    shards = [
        Shard(name, split, first, min(_SHARD_SAMPLES, number - first))
        for name, of_craft in counts.items()
        for split, number in zip(SPLITS, of_craft, strict=True)
        for first in range(0, number, _SHARD_SAMPLES)
    ]
    work = ShardWork(f"set {NAME}", render_craft_shard, settings, fleet.craft)
    return render_set(out, _describe(fleet, shards, settings), shards, work, workers, scheduler)


def make_settings(seed: int, shape: tuple[int, int], light_paths: int) -> CraftSettings:
    """Settings with the mission's classes."""
    table = read_class_table(CLASSES)
    assert table.names == PARTS
    return CraftSettings(seed, shape, light_paths, table)


def _describe(fleet: Fleet, shards: list[Shard], settings: CraftSettings) -> dict[str, Any]:
    about = PairSet(NAME, settings.table, _SOURCE, "craft", settings.seed, publish_images=True)
    places: Counter[tuple[str, str]] = Counter()
    record = []
    for shard in shards:
        places[shard.body, shard.split] += shard.count
        for index in range(shard.first, shard.first + shard.count):
            file = _file_name(shard.body, index)
            record.append({"file": file, "body": shard.body, "split": shard.split, "index": index})
    shape = (*settings.shape, 3)
    described = describe_pairs(about, shape, places, Counter({settings.shape: len(record)}), record)
    campaign = described["campaign"] | {"samples": settings.light_paths, "size": list(settings.shape)}
    return described | {"campaign": campaign, "bodies": {body: fleet.records[body] for body in campaign["bodies"]}}


def _file_name(craft: str, index: int) -> str:
    return f"{craft} {index}, {BACKGROUNDS[index % len(BACKGROUNDS)]} behind"


def render_craft_shard(settings: CraftSettings, craft: CraftRecipe | CraftModel, shard: Shard) -> RenderedShard:
    """Render one shard. The same arguments give the same bytes."""
    return run_in_blender_thread(_render_shard, settings, craft, shard)


def _render_shard(settings: CraftSettings, craft: CraftRecipe | CraftModel, shard: Shard) -> RenderedShard:
    start = time.perf_counter()

    def make() -> Any:
        from ground_tools.missions.spacecraft.craft_scene import CraftRenderer

        return CraftRenderer(settings.shape, settings.light_paths)

    renderer = open_studio((NAME, settings.shape, settings.light_paths), make)
    ready = time.perf_counter()
    rows = []
    for index in range(shard.first, shard.first + shard.count):
        with quiet():
            made = draw_craft_image(renderer, shard.body, craft, settings.shape, (settings.seed, shard.split, index))
        pair = Pair(_file_name(shard.body, index), shard.body, shard.split, made.image, made.mask, settings.shape)
        rows.append(pair_row(pair, settings.table, index, settings.seed))
    return RenderedShard(shard, shard_bytes(rows), time.perf_counter() - start, ready - start, peak_memory_mib())
