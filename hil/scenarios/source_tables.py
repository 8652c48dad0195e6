"""The frame source of a scenario, as its file states it; hil.sources opens it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from hil.scenarios.fields import RuleError, entry
from hil.scenarios.way_tables import Rotation, Trajectory, check_sun


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


@dataclass(frozen=True, kw_only=True)
class RenderedSource:
    """A flyby of a body of the catalogue, rendered when it is first run, with truth, and kept. Needs the extra
    `render`; for rays `simulate` will do."""

    kind: ClassVar[str] = "rendered"
    body: str = entry("name in the catalogue of bodies", low=1, high=100)
    renderer: str = entry("rays (Embree, fast) or cycles (Blender)", "rays", choices=("rays", "cycles"))
    samples: int = entry("rays, or light paths, through each pixel", 4, low=1, high=1024)
    faces: int = entry("least facets of the ground", 50_000, low=1000, high=2_000_000)
    sensor_px: int = entry("side of the square sensor, pixels; its field of view is 10 degrees", 256, low=32, high=2048)
    frames: int | None = entry(
        "number rendered, equally spaced in time, and spread over the scenario; none: as many as it has",
        None,
        low=1,
        high=1_000_000,
    )
    sun: tuple[float, ...] = entry(
        "direction towards the sun in the trajectory's frame", (1.0, 0.0, 0.0), low=3, high=3
    )
    seed: int = entry("of the rays", 1, low=0, high=1_000_000)
    bodies_file: str = entry("another catalogue of bodies; empty: the project's", "")
    shapes: str = entry("folder of shape models; empty: the body's stand-in", "")
    crater_maps: str = entry("folder of height maps of craters; empty: analytic craters", "")
    trajectory: Trajectory = entry("the camera's way")
    rotation: Rotation = entry("how the body turns", Rotation())

    def __post_init__(self) -> None:
        check_sun(self.sun)


@dataclass(frozen=True, kw_only=True)
class RemoteSource:
    """Frames of another program that renders them pose by pose, by the closed-loop protocol of CORTO: poses by UDP, PNG
    images by TCP. Its scene is its own: no truth is known."""

    kind: ClassVar[str] = "remote"
    host: str = entry("of the renderer", "127.0.0.1", low=1, high=255)
    pose_port: int = entry("UDP port that it takes poses on", 51001, low=1, high=65535)
    image_port: int = entry("TCP port that it sends images from", 30001, low=1, high=65535)
    sun_pose: bool = entry(
        "poses have a quaternion of the sun, too: 21 numbers, as CORTO's scripts for Simulink take, in place of 17",
        False,
    )
    km_per_unit: float = entry("length of a unit of its scene, kilometres", 1.0, low=1e-9, high=1e9)
    sun_distance: float = entry("of the sun in its scene, units", 30_000.0, low=1e-3, high=1e12)
    connect_s: float = entry("longest wait for the connection, seconds", 10.0, low=0.1, high=3600)
    answer_s: float = entry("longest wait for an image, seconds", 60.0, low=0.1, high=3600)
    frames: int | None = entry(
        "number asked for, equally spaced in time, and spread over the scenario; none: as many as it has",
        None,
        low=1,
        high=1_000_000,
    )
    sun: tuple[float, ...] = entry(
        "direction towards the sun in the trajectory's frame", (1.0, 0.0, 0.0), low=3, high=3
    )
    trajectory: Trajectory = entry("the camera's way; in km, as the remote body's size is not known")
    rotation: Rotation = entry("how the body turns", Rotation())

    def __post_init__(self) -> None:
        check_sun(self.sun)
        if self.trajectory.unit != "km":
            raise RuleError("trajectory.unit", "km, as the remote body's size is not known", self.trajectory.unit)


Source = FlybySource | FolderSource | DatasetSource | RecordingSource | DrawnSource | RenderedSource | RemoteSource
