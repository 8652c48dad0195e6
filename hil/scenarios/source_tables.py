"""The frame source of a scenario, as its file states it; hil.sources opens it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from hil.scenarios.fields import RuleError, entry


@dataclass(frozen=True, kw_only=True)
class FlybySource:
    """The rendered flyby that is shipped: 56 frames of Itokawa with truth, spread over the scenario."""

    kind: ClassVar[str] = "flyby"


@dataclass(frozen=True, kw_only=True)
class FolderSource:
    """A folder of images, or a file of several (docs/images.md); geometry from flyby.json, truth from masks/."""

    kind: ClassVar[str] = "folder"
    path: str = entry("of the folder or file; a relative one is beside the scenario file", low=1)
    bit_depth: int | None = entry("of images of more than 8 bits; none: as the files state it", None, low=8, high=16)
    subfolders: bool = entry("images of folders below, too", False)


@dataclass(frozen=True, kw_only=True)
class DatasetSource:
    """A rendered set as `ground-tools render` writes it, with truth. Needs pyarrow."""

    kind: ClassVar[str] = "dataset"
    path: str = entry("of the set's folder or packed file; a relative one is beside the scenario file", low=1)
    split: str = entry("train, validation, test, or all", "all", choices=("train", "validation", "test", "all"))
    body: str = entry("name of a body of the set; empty: all", "")


@dataclass(frozen=True, kw_only=True)
class RecordingSource:
    """A recording of `hil record` (docs/hil.md), its frames as they were sent."""

    kind: ClassVar[str] = "recording"
    path: str = entry("of the .mcap file; a relative one is beside the scenario file", low=1)


@dataclass(frozen=True, kw_only=True)
class DrawnSource:
    """A drawn body with craters, boulders and truth: a lit sphere, no rendering, unlike the training images."""

    kind: ClassVar[str] = "drawn"
    sensor_px: int = entry("side of the square sensor, pixels", 256, low=32, high=2048)
    range_d0: tuple[float, ...] = entry(
        "range at equally spaced times, D0 (at 1 D0 the body fills the frame); logarithmic in between",
        (1.3, 1.3),
        low=2,
        high=100,
    )
    phase_deg: tuple[float, ...] = entry("phase angle at equally spaced times, degrees", (40.0, 40.0), low=2, high=100)
    spin_deg: float = entry("by which the body turns over the scenario, degrees", 20.0, low=-3600, high=3600)
    drift_px: float = entry("amplitude of the line of sight's drift, sensor pixels", 0.0, low=0, high=1000)
    craters: int = entry("on the whole body", 60, low=0, high=2000)
    boulders: int = entry("on the whole body", 250, low=0, high=5000)
    smallest_boulder: float = entry("radius of the smallest boulders over the body's", 0.015, low=0.001, high=0.1)
    second_body: float = entry("diameter of a second body over the first one's; 0: none", 0.0, low=0, high=1)
    second_gap: float = entry("gap between the two bodies over the first one's radius", 1.0, low=0, high=20)
    seed: int = entry("of the body's relief", 1, low=0, high=1_000_000)

    def __post_init__(self) -> None:
        for name, low, high in (("range_d0", 0.02, 1e4), ("phase_deg", 0.0, 180.0)):
            for value in getattr(self, name):
                if not low <= value <= high:
                    raise RuleError(name, f"{low:g}..{high:g}", value)


Source = FlybySource | FolderSource | DatasetSource | RecordingSource | DrawnSource
