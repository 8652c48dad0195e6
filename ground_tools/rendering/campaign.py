"""Campaigns: which views of which bodies make up a set, read from TOML; and the shards of work that they fall into."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ground_tools.datasets.store import SPLITS
from ground_tools.foundation.descriptions import read_toml
from ground_tools.rendering.geometry import View, hyperbolic_flyby, random_view

CAMPAIGNS = Path(__file__).with_name("campaigns")
SHARD_SAMPLES = 50


@dataclass(frozen=True)
class Flyby:
    """A pass by one body. frames: equally spaced in time. closest, farthest: ranges in D0. duration_s: of the pass."""

    body: str
    frames: int
    closest: float
    farthest: float
    duration_s: float


@dataclass(frozen=True)
class Campaign:
    """What to render: random views of bodies, or a flyby of one.

    light_paths: per pixel, `samples` in the file. bodies: name -> (train, validation, test) counts.
    """

    name: str
    seed: int
    light_paths: int
    bodies: dict[str, tuple[int, int, int]]
    flyby: Flyby | None = None

    def fraction(self, part: float) -> Campaign:
        """The campaign with a part of each count, rounded up; of a flyby at least both ends and the closest frame."""

        def share(count: int) -> int:
            return int(np.ceil(count * part - 1e-9))

        bodies = {body: (share(a), share(b), share(c)) for body, (a, b, c) in self.bodies.items()}
        flyby = self.flyby
        if flyby is not None:
            flyby = replace(flyby, frames=max(share(flyby.frames), min(3, flyby.frames)))
            bodies = {flyby.body: (0, 0, flyby.frames)}
        return replace(self, bodies=bodies, flyby=flyby)

    def only(self, splits: list[str]) -> Campaign:
        """The campaign with nothing but these splits: a set of them can grow to the whole one.

        Raises ValueError naming what is no split, or the campaign when it has no samples in them.
        """
        for split in splits:
            if split not in SPLITS:
                raise ValueError(f"--splits: expected {', '.join(SPLITS)}, got {split}")
        train, validation, test = (int(split in splits) for split in SPLITS)
        bodies = {body: (a * train, b * validation, c * test) for body, (a, b, c) in self.bodies.items()}
        if not any(sum(counts) for counts in bodies.values()):
            raise ValueError(f"campaign {self.name}: expected samples in split {' or '.join(splits)}, got none")
        return replace(self, bodies=bodies)


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
    """Read a campaign: a TOML file, or the name of one that is shipped with the project, with or without ".toml".

    Raises ValueError naming the file and field where it is malformed.
    """
    path = Path(name_or_path)
    if not path.exists() and path.parent == Path():
        path = CAMPAIGNS / f"{path.stem.replace('-', '_')}.toml"
    table = read_toml("campaign", path, CAMPAIGNS, called=name_or_path)

    def fail(field: str, expected: str, got: object) -> ValueError:
        return ValueError(f"campaign {path}: {field}: expected {expected}, got {got!r}")

    unknown = set(table) - {"name", "seed", "samples", "bodies", "flyby"}
    if unknown:
        raise fail(sorted(unknown)[0], "name, seed, samples, bodies or flyby", table[sorted(unknown)[0]])
    name, seed, light_paths = (table.get(key) for key in ("name", "seed", "samples"))
    if not isinstance(name, str) or not name:
        raise fail("name", "a name", name)
    if not isinstance(seed, int) or seed < 0:
        raise fail("seed", "an integer >= 0", seed)
    if not isinstance(light_paths, int) or not 1 <= light_paths <= 4096:
        raise fail("samples", "1..4096", light_paths)
    if ("bodies" in table) == ("flyby" in table):
        raise fail("bodies", "either bodies or flyby", sorted(table))
    if "flyby" in table:
        flyby = _flyby(table["flyby"], fail)
        return Campaign(name, seed, light_paths, {flyby.body: (0, 0, flyby.frames)}, flyby)
    bodies = table["bodies"]
    if not isinstance(bodies, dict) or not bodies:
        raise fail("bodies", "a table of bodies", bodies)
    for body, counts in bodies.items():
        if (
            not isinstance(counts, list)
            or len(counts) != 3
            or not all(isinstance(count, int) and count >= 0 for count in counts)
        ):
            raise fail(f"bodies.{body}", "[train, validation, test] counts", counts)
    return Campaign(name, seed, light_paths, {body: (c[0], c[1], c[2]) for body, c in bodies.items()})


def _flyby(table: Any, fail: Any) -> Flyby:
    if not isinstance(table, dict) or set(table) != {"body", "frames", "closest", "farthest", "duration_s"}:
        raise fail("flyby", "body, frames, closest, farthest, duration_s", table)
    if not isinstance(table["body"], str):
        raise fail("flyby.body", "a name", table["body"])
    if not isinstance(table["frames"], int) or not 2 <= table["frames"] <= 100_000:
        raise fail("flyby.frames", "2..100000", table["frames"])
    for field in ("closest", "farthest", "duration_s"):
        if not isinstance(table[field], (int, float)) or not table[field] > 0:
            raise fail(f"flyby.{field}", "a number > 0", table[field])
    if table["farthest"] <= table["closest"]:
        raise fail("flyby.farthest", f"more than closest, {table['closest']}", table["farthest"])
    return Flyby(
        table["body"], table["frames"], float(table["closest"]), float(table["farthest"]), float(table["duration_s"])
    )


def plan(campaign: Campaign) -> list[Shard]:
    """The shards of a campaign, in order."""
    return [
        Shard(body, split, first, min(SHARD_SAMPLES, count - first))
        for body, counts in campaign.bodies.items()
        for split, count in zip(SPLITS, counts, strict=True)
        for first in range(0, count, SHARD_SAMPLES)
    ]


def shard_views(campaign: Campaign, shard: Shard, body_seed: int, extent: float) -> list[tuple[View, float | None]]:
    """The views of a shard and, of flybys, their times.

    A random view comes from the seeds of campaign and body, its split and index alone: a set can grow, and any part of
    it be rendered anywhere.
    """
    indices = range(shard.first, shard.first + shard.count)
    if campaign.flyby is not None:
        pass_by = campaign.flyby
        views, times = hyperbolic_flyby(extent, pass_by.frames, pass_by.closest, pass_by.farthest, pass_by.duration_s)
        return [(views[index], float(times[index])) for index in indices]
    streams = ([campaign.seed, body_seed, SPLITS.index(shard.split), index] for index in indices)
    return [(random_view(extent, np.random.default_rng(np.random.SeedSequence(s))), None) for s in streams]
