"""Campaigns: which views of which bodies make up a set, read from TOML; and the shards of work that they fall into."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
from msgspec import Meta, field
from msgspec.structs import replace

from ground_tools.datasets.store import SPLITS
from ground_tools.foundation.descriptions import find_file, read_structure
from ground_tools.foundation.expectations import format_toml_value
from ground_tools.foundation.names import PLAIN_NAME, is_plain_name
from ground_tools.foundation.structures import FieldError, TomlTable
from ground_tools.rendering.close_range import CloseRange
from ground_tools.rendering.geometry import View, hyperbolic_flyby, random_view

CAMPAIGNS = Path(__file__).with_name("campaigns")
SHARD_SAMPLES = 50


class Counts(NamedTuple):
    """How many samples of a body a campaign renders, by split."""

    train: Annotated[int, Meta(ge=0)]
    validation: Annotated[int, Meta(ge=0)]
    test: Annotated[int, Meta(ge=0)]


class Flyby(TomlTable, frozen=True):
    """A pass by one body. Ranges are in D0, at which the body's largest extent fills the image."""

    body: Annotated[str, Meta(description="body that is passed by")]
    frames: Annotated[int, Meta(ge=2, le=100_000, description="number of frames, equally spaced in time")]
    closest: Annotated[float, Meta(gt=0, description="range of the closest approach, D0")]
    farthest: Annotated[float, Meta(gt=0, description="range of the first and the last frame, D0")]
    duration_s: Annotated[float, Meta(gt=0, description="duration of the pass, seconds")]

    def __post_init__(self) -> None:
        if not is_plain_name(self.body):
            raise FieldError("body", PLAIN_NAME, format_toml_value(self.body))
        if self.farthest <= self.closest:
            raise FieldError(
                "farthest", f"more than closest, {format_toml_value(self.closest)}", format_toml_value(self.farthest)
            )


class Campaign(TomlTable, frozen=True):
    """What to render: random views of bodies, of the whole or from close by, or a flyby of one."""

    name: Annotated[str, Meta(min_length=1, description="name of the set")]
    seed: Annotated[int, Meta(ge=0, description="seed of the views")]
    light_paths: Annotated[int, Meta(ge=1, le=4096, description="light paths of a pixel")] = field(name="samples")
    random_views: Annotated[
        Annotated[dict[str, Counts], Meta(min_length=1)] | None,
        Meta(description="numbers of random views, by body; this or `flyby`"),
    ] = field(name="bodies", default=None)
    flyby: Flyby | None = None
    close_range: CloseRange | None = None

    def __post_init__(self) -> None:
        for field_name, names in (("name", [self.name]), ("bodies", self.random_views or ())):
            for name in names:
                if not is_plain_name(name):
                    raise FieldError(field_name, PLAIN_NAME, format_toml_value(name))
        if (self.random_views is None) == (self.flyby is None):
            raise FieldError("", "either bodies or flyby", "neither" if self.flyby is None else "both")
        if self.close_range is not None and self.flyby is not None:
            raise FieldError("close_range", "it with bodies", "it with flyby")

    @property
    def bodies(self) -> dict[str, Counts]:
        """Numbers of samples by body; all frames of a flyby are for testing."""
        return self.random_views or {} if self.flyby is None else {self.flyby.body: Counts(0, 0, self.flyby.frames)}

    def fraction(self, part: float) -> Campaign:
        """The campaign with a part of each count, rounded up; of a flyby at least both ends and the closest frame."""

        def share(count: int) -> int:
            return int(np.ceil(count * part - 1e-9))

        if self.flyby is not None:
            frames = max(share(self.flyby.frames), min(3, self.flyby.frames))
            return replace(self, flyby=replace(self.flyby, frames=frames))
        views = {body: Counts(*map(share, counts)) for body, counts in self.bodies.items()}
        return replace(self, random_views=views)

    def only(self, splits: list[str]) -> Campaign:
        """The campaign with nothing but these splits: a set of them can grow to the whole one.

        Raises ValueError naming what is no split, or the campaign when it has no samples in them.
        """
        for split in splits:
            if split not in SPLITS:
                raise ValueError(f"--splits: expected {', '.join(SPLITS)}, got {split}")
        kept = [int(split in splits) for split in SPLITS]
        views = {body: Counts(*np.multiply(counts, kept).tolist()) for body, counts in self.bodies.items()}
        if not any(map(sum, views.values())):
            raise ValueError(f"campaign {self.name}: expected samples in split {' or '.join(splits)}, got none")
        return self if self.flyby is not None else replace(self, random_views=views)


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
    """Read a campaign: a TOML file, or the name of one that is shipped with the project.

    Raises ValueError naming the file and field where it is malformed.
    """
    return read_structure("campaign", find_file(name_or_path, CAMPAIGNS), Campaign, CAMPAIGNS)


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
    it be rendered anywhere. Views from close by depend on the ground: site_of.
    """
    indices = range(shard.first, shard.first + shard.count)
    if campaign.flyby is not None:
        pass_by = campaign.flyby
        views, times = hyperbolic_flyby(extent, pass_by.frames, pass_by.closest, pass_by.farthest, pass_by.duration_s)
        return [(views[index], float(times[index])) for index in indices]
    streams = ([campaign.seed, body_seed, SPLITS.index(shard.split), index] for index in indices)
    return [(random_view(extent, np.random.default_rng(np.random.SeedSequence(s))), None) for s in streams]


def site_of(campaign: Campaign, shard: Shard, body_seed: int, index: int) -> tuple[list[int], int]:
    """The seed of the site that a sample from close by shows, and which of the site's views it is."""
    assert campaign.close_range is not None
    site, number = divmod(index, campaign.close_range.views)
    return [campaign.seed, body_seed, SPLITS.index(shard.split), site], number
