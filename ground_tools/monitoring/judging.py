"""What the input monitor makes of nonsense and of bodies: the figures of a bundle, and their tables."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flight.bundle import Bundle
from flight.client.bit_depth import scale_to_grey
from flight.client.hazard import landing_circles
from flight.client.map_view import Refusal
from flight.client.navigation import navigation_fix
from flight.icd.catalogue import flags_forbidding
from flight.icd.limits import TOPIC_HAZARD, TOPIC_NAVIGATION
from flight.inference.centering import center
from flight.inference.engine import Engine
from flight.inference.input_monitor import InputMonitor, read_monitor
from flight.inference.quality import find_flags
from flight.segment import warn
from flight.settings import default_settings
from ground_tools.evaluation.navigation import make_product
from ground_tools.evaluation.worker_pool import call_on_all_cores
from ground_tools.monitoring.nonsense import JUDGING_SEED, KINDS, make_frame
from ground_tools.monitoring.views import read_split
from hil.images.folder import list_folder, open_images

_LEAST_RADIUS_PX = 2.0


@dataclass(frozen=True)
class KindFigures:
    """What became of one kind of nonsense.

    Attributes:
        frames: number of them.
        missed: of which a navigation fix or landing circles may be made.
        circles: number of landing circles offered on them.
    """

    frames: int
    missed: int
    circles: int


@dataclass(frozen=True)
class SetFigures:
    """What became of frames of bodies. refused: those of which no fix and no circles may be made, for their flags."""

    frames: int
    refused: int


@dataclass(frozen=True)
class MonitorResult:
    """Figures of a bundle's monitor; passes: of the maps that circles were looked for on."""

    bundle: str
    passes: int
    nonsense: dict[str, KindFigures]
    bodies: dict[str, SetFigures]


@dataclass(frozen=True)
class _Refuses:
    """Whether a bundle's flags forbid the use of a frame: what a process can be sent."""

    bundle: Bundle
    good: list[NDArray[np.uint8]]
    seed: int

    def nonsense(self, which: tuple[str, int]) -> bool:
        frame = make_frame(*which, self.good, self.seed)
        return self.frame((frame.pixels, frame.bit_depth, False))

    def frame(self, frame: tuple[NDArray[Any], int, bool]) -> bool:
        pixels, bit_depth, centered = frame
        bundle = self.bundle
        image = center(pixels, bit_depth, bundle.height, bundle.width, bundle.channels, not centered)
        flags = find_flags(image, not centered, _monitor_of(bundle), default_settings(bundle))
        return bool(_FORBIDDING.intersection(flags))


_FORBIDDING = frozenset(flags_forbidding("navigation_fix")) | frozenset(flags_forbidding("landing_circles"))
_monitors: dict[str, InputMonitor | None] = {}


def _monitor_of(bundle: Bundle) -> InputMonitor | None:
    if bundle.sha256 not in _monitors:
        _monitors[bundle.sha256] = read_monitor(bundle)
    return _monitors[bundle.sha256]


def judge_nonsense(
    bundle: Bundle, good: Sequence[NDArray[np.uint8]], count: int, passes: int
) -> dict[str, KindFigures]:
    """Try a bundle on a suite of nonsense that its monitor was not fitted on.

    Args:
        bundle: with a monitor.
        good: (H, W) uint8 frames of bodies, to be spoiled.
        count: frames of each kind.
        passes: of the maps of those frames that the monitor lets through.

    Returns:
        Figures by kind.
    """
    which = [(kind, number) for kind in KINDS for number in range(count)]
    refuses = _Refuses(bundle, list(good), JUDGING_SEED)
    refused = call_on_all_cores(refuses.nonsense, which, label="nonsense", total=len(which))
    engine = Engine(bundle)
    figures = {}
    for place, kind in enumerate(KINDS):
        missed = circles = 0
        for number in np.flatnonzero(~np.array(refused[place * count : (place + 1) * count], dtype=bool)):
            frame = make_frame(kind, int(number), good, JUDGING_SEED)
            usable, offered = _consume(engine, frame.pixels, frame.bit_depth, passes)
            missed += usable
            circles += offered
        figures[kind] = KindFigures(count, missed, circles)
    engine.close()
    return figures


def _consume(engine: Engine, pixels: NDArray[Any], bit_depth: int, passes: int) -> tuple[bool, int]:
    """Whether a consumer makes anything of a frame's products, and the number of landing circles."""
    bundle = engine.bundle
    settings = replace(default_settings(bundle), passes=passes)
    maps = engine.segment(pixels, bit_depth=bit_depth, centered=False, seed=1, settings=settings)
    fix = navigation_fix(make_product(bundle, maps, settings, TOPIC_NAVIGATION))
    landing = landing_circles(make_product(bundle, maps, settings, TOPIC_HAZARD), _LEAST_RADIUS_PX, 16)
    circles = 0 if isinstance(landing, Refusal) else len(landing.circles)
    return not isinstance(fix, Refusal) or circles > 0, circles


def judge_bodies(
    bundle: Bundle, frames: Iterable[tuple[NDArray[Any], int, bool]], label: str, total: int
) -> SetFigures:
    """Count the frames of bodies that a bundle refuses. frames: pixels, bit depth, whether the body is centered."""
    refuses = _Refuses(bundle, [], JUDGING_SEED)
    refused = call_on_all_cores(refuses.frame, frames, label=label, total=total)
    return SetFigures(len(refused), sum(refused))


def judge_set(bundle: Bundle, path: Path, split: str) -> SetFigures:
    """Count the images of a set's split that a bundle refuses."""
    part = read_split(path, split)
    frames = ((part.image(number), 8, True) for number in range(len(part.loaded)))
    return judge_bodies(bundle, frames, f"{path.name} {split}", len(part.loaded))


def judge_real_images(bundle: Bundle, folder: Path) -> dict[str, SetFigures]:
    """Count, by body, the real images of a folder with a manifest.csv that a bundle refuses."""
    with (folder / "manifest.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    images = open_images([folder / row["file"] for row in rows], warn=warn)
    if len(images) != len(rows):
        raise ValueError(
            f"{folder / 'manifest.csv'}: expected one image in each file, got {len(images)} in {len(rows)}"
        )
    frames = ((image.pixels, image.bit_depth, False) for image in map(images.frame, range(len(images))))
    refused = call_on_all_cores(_Refuses(bundle, [], JUDGING_SEED).frame, frames, label="real images", total=len(rows))
    figures = {}
    for body in sorted({row["body"] for row in rows}):
        of_body = [was for row, was in zip(rows, refused, strict=True) if row["body"] == body]
        figures[f"real, {body}"] = SetFigures(len(of_body), sum(of_body))
    return figures


def read_frames(folder: Path, bit_depth: int | None = None) -> list[NDArray[np.uint8]]:
    """The images of a folder, in natural order, in 8 bits; see hil.images.

    Args:
        folder: of the images; other files in it are named on stderr.
        bit_depth: of images of more than 8 bits; None: as the files state it, or by the rule.

    Raises:
        ImageError: there are none, or one cannot be read.
    """
    listing = list_folder(folder)
    if listing.left_out:
        warn(listing.summary())
    images = open_images(listing.files, bit_depth, warn)
    return [scale_to_grey(*images.samples(index)) for index in range(len(images))]
