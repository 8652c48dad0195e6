"""A flyby rendered on demand: a renderer's process draws what is missing, and a folder in the cache keeps it.

The folder is laid out as `ground-tools render --flyby` lays one out, so that `hil stream --source` takes it, too. Its
name is a digest over everything that decides the frames; flyby.json is written last, and says that it is whole.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from flight.files import write_whole
from hil.board.folders import default_cache, hold_lock
from hil.scenarios.source_tables import RenderedSource
from hil.scenarios.way_tables import TrajectoryTable
from hil.sources.folder import open_source
from hil.sources.folder_frames import FolderFrames
from hil.sources.frames import TRUTH_CLASSES, Frame, FrameStream, Tell
from hil.sources.poses import Pose, TrajectoryError, find_poses, read_track
from hil.sources.renderer import FIELD_OF_VIEW_DEG, Renderer, draw_command, reference_range

# Of what the folder holds; another one makes other folders.
_FORMAT = 1
# Of the ground tools, what decides how a frame looks; read, not imported.
_DECISIVE = ("bodies", "labels", "rendering")
_SEED_STEP = 100_003
_KINDS = ("frames", "masks")


class RenderedFrames(FrameStream):
    """The frames of a rendered flyby.

    Args:
        source: its table.
        beside: folder that relative paths begin in.
        count: number of frames.
        cache: folder that rendered flybys are kept in.

    Raises:
        TrajectoryError, OSError: the trajectory or another file cannot be read.
    """

    classes = TRUTH_CLASSES

    def __init__(self, source: RenderedSource, beside: Path, count: int, cache: Path) -> None:
        self.name = source.body
        self._source, self._beside, self._count = source, beside, count
        self._number = source.frames or count
        self._track = read_track(source.trajectory, beside)
        self.folder = cache / "rendered" / f"{re.sub(r'[^0-9A-Za-z_]', '_', source.body)}-{self._digest()}"
        self._stored: FolderFrames | None = None

    def __len__(self) -> int:
        return self._count

    def prepare(self, tell: Tell) -> None:
        """Render what is not kept yet. One that was stopped goes on where it was.

        Raises:
            RendererError: the renderer did not start, or failed.
            TrajectoryError: the way leads through the body.
            BoardError: another run renders the same.
        """
        if not (self.folder / "flyby.json").is_file():
            for kind in _KINDS:
                (self.folder / kind).mkdir(parents=True, exist_ok=True)
            with hold_lock(self.folder / "lock", f"{self.folder}: expected to render it, got another run that does"):
                self._render(tell)
        self._stored = FolderFrames(open_source(str(self.folder)), self.folder, self._count)

    def frame(self, index: int) -> Frame:
        assert self._stored is not None, "prepare() comes first"
        return self._stored.frame(index)

    def _render(self, tell: Tell) -> None:
        tell(f"preparing {self._source.body}")
        with Renderer(self._command()) as renderer:
            d0_km = reference_range(renderer.extent_km)
            poses = find_poses(self._track, self._source.rotation, self._source.sun, self._number, d0_km)
            check_outside(poses, renderer.radius_km)
            began, rendered = time.monotonic(), 0
            for number, pose in enumerate(poses):
                files = [self.folder / kind / f"{number:06d}.png" for kind in _KINDS]
                if all(file.is_file() for file in files):
                    continue
                view = pose.view()
                image = renderer.image(view, self._source.seed * _SEED_STEP + number)
                for file, array in zip(files, (image, renderer.truth(view)), strict=True):
                    write_whole(file, encode_png(array))
                rendered += 1
                left = (time.monotonic() - began) / rendered * (len(poses) - number - 1)
                tell(f"rendering frame {number + 1}/{len(poses)}, {left:.0f} s left")
        write_whole(self.folder / "flyby.json", json.dumps(self._describe(poses, d0_km), indent=1).encode("ascii"))

    def _command(self) -> list[str]:
        source = self._source
        names = {"shapes": source.shapes, "crater_maps": source.crater_maps, "bodies_file": source.bodies_file}
        files = {name: self._beside / text if text else None for name, text in names.items()}
        return draw_command(source.body, source.sensor_px, source.samples, source.faces, source.renderer, **files)

    def _describe(self, poses: list[Pose], d0_km: float) -> dict[str, Any]:
        """What flyby.json holds."""
        entries = [
            {
                "time_s": round(pose.time_s, 6),
                "range_km": round(pose.range_km, 9),
                "range_d0": round(pose.range_km / d0_km, 6),
                "phase_angle_deg": round(pose.phase_deg, 4),
                "sun_direction_camera": [round(float(value), 9) for value in pose.sun_in_camera],
            }
            for pose in poses
        ]
        told = {"body": self._source.body, "field_of_view_deg": FIELD_OF_VIEW_DEG, "renderer": self._source.renderer}
        return {**told, "frames": entries}

    def _digest(self) -> str:
        """Over everything that decides the frames: the table, the files that it names, and the renderer's own code.

        Shape models and maps of craters are large: names, sizes and times of their files stand for them.
        """
        source = self._source
        table = asdict(source) | {"frames": self._number, "format": _FORMAT, "trajectory_kind": source.trajectory.kind}
        digest = hashlib.sha256(json.dumps(table, sort_keys=True).encode("ascii"))
        if isinstance(source.trajectory, TrajectoryTable):
            digest.update((self._beside / source.trajectory.path).read_bytes())
        if source.bodies_file:
            digest.update((self._beside / source.bodies_file).read_bytes())
        for folder in filter(None, (source.shapes, source.crater_maps)):
            for path in sorted((self._beside / folder).rglob("*")):
                status = path.stat()
                digest.update(f"{path.name} {status.st_size} {status.st_mtime_ns}\n".encode())
        for file in list_decisive_files():
            digest.update(file.read_bytes())
        return digest.hexdigest()[:20]


def list_decisive_files() -> list[Path]:
    """The files of the ground tools that decide how frames look; none where they are not installed."""
    spec = find_spec("ground_tools")
    roots = [Path(place) for place in (spec.submodule_search_locations or [])] if spec is not None else []
    return sorted(
        path
        for root in roots
        for name in _DECISIVE
        for path in (root / name).glob("*")
        if path.suffix in (".py", ".toml")
    )


def check_outside(poses: list[Pose], radius_km: float) -> None:
    """Raise TrajectoryError where a camera is inside of the sphere that is as large as the body."""
    for number, pose in enumerate(poses):
        if pose.range_km <= radius_km:
            raise TrajectoryError(
                f"trajectory: frame {number}: expected a camera outside of the body, farther than {radius_km:.4g} km "
                f"from its centre, got {pose.range_km:.4g} km"
            )


def encode_png(array: np.ndarray) -> bytes:
    """An image as a PNG file."""
    done, data = cv2.imencode(".png", array)
    assert done
    return data.tobytes()


def open_rendered(source: RenderedSource, beside: Path, count: int) -> FrameStream:
    """Open a rendered flyby; see hil.sources.registry.open_frames."""
    return RenderedFrames(source, beside, count, default_cache())
