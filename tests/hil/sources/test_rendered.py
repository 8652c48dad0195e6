"""Rendered flybys: drawn once, kept by content, gone on with where they were stopped."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hil.board.folders import BoardError, hold_lock
from hil.cli import main
from hil.scenarios.source_tables import RenderedSource
from hil.scenarios.way_tables import Hyperbola, TrajectoryTable
from hil.sources import rendered
from hil.sources.frames import TRUTH_CLASSES
from hil.sources.poses import TrajectoryError
from hil.sources.registry import open_frames
from hil.sources.renderer import RendererError

WAY = Hyperbola(periapsis=1.2, excess_speed=0.01, from_s=-100.0, to_s=200.0, unit="d0")
SOURCE = RenderedSource(body="cube", sensor_px=32, trajectory=WAY, sun=(1.0, 1.0, 0.0))
# Says what it is asked in a file, and ends at a request that the test names.
PROGRAM = """import json, os, sys
import numpy as np
def say(record, data=b""):
    sys.stdout.buffer.write(json.dumps(record).encode() + b"\\n" + data)
    sys.stdout.buffer.flush()
say({"name": "cube", "extent_km": 2.0, "radius_km": 0.9, "field_of_view_deg": 10.0, "size": 32})
for number, line in enumerate(sys.stdin):
    if os.environ.get("FAIL_AT") == str(number):
        sys.exit("out of memory")
    with open(os.environ["ASKED"], "a") as asked:
        asked.write(line)
    ask = json.loads(line)
    value = ask["seed"] % 200 + 20 if ask["ask"] == "image" else 1
    say({"dtype": "|u1", "shape": [32, 32]}, np.full((32, 32), value, np.uint8).tobytes())
"""


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stand-in for the renderer, and what it is asked."""
    monkeypatch.setenv("RUBBLEMAP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("ASKED", str(tmp_path / "asked"))
    monkeypatch.setattr(rendered, "draw_command", lambda *words, **files: [sys.executable, "-c", PROGRAM])
    (tmp_path / "asked").touch()
    return tmp_path / "asked"


def count(asked: Path) -> int:
    return len(asked.read_text().splitlines())


def test_a_flyby_is_rendered_once_and_kept(asked: Path, tmp_path: Path) -> None:
    told: list[str] = []
    stream = open_frames(replace(SOURCE, frames=4), tmp_path, 8)
    assert (stream.classes, len(stream)) == (TRUTH_CLASSES, 8)
    stream.prepare(told.append)
    assert count(asked) == 8  # an image and a mask of each
    assert any(line.startswith("rendering frame 4/4") for line in told)
    frames = list(stream)
    # Four are spread over eight.
    assert [frame.time_s for frame in frames] == [-100.0, -100.0, 0.0, 0.0, 100.0, 100.0, 200.0, 200.0]
    assert frames[3].pixels.shape == frames[3].truth.shape == (32, 32)
    d0_km = 2.0 / (2.0 * np.tan(np.radians(5.0)))
    assert frames[2].geometry["range_km"] == pytest.approx(1.2 * d0_km)
    assert np.linalg.norm(frames[2].geometry["sun_direction_camera"]) == pytest.approx(1.0)
    again = open_frames(replace(SOURCE, frames=4), tmp_path, 8)
    again.prepare(told.append)
    assert count(asked) == 8
    assert np.array_equal(again.frame(5).pixels, frames[5].pixels)
    request = json.loads(asked.read_text().splitlines()[0])
    assert np.linalg.norm(request["camera_km"]) == pytest.approx(frames[0].geometry["range_km"])


def test_one_that_was_stopped_goes_on_where_it_was(
    asked: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAIL_AT", "5")
    stream = open_frames(SOURCE, tmp_path, 4)
    with pytest.raises(RendererError, match="renderer: out of memory"):
        stream.prepare(lambda line: None)
    assert count(asked) == 5
    monkeypatch.delenv("FAIL_AT")
    stream.prepare(lambda line: None)
    # Two whole frames were kept; the third, which had no mask yet, is made again.
    assert count(asked) == 5 + 4
    assert len(list(stream)) == 4


def test_what_decides_the_frames_decides_the_folder(asked: Path, tmp_path: Path, monkeypatch) -> None:
    way = tmp_path / "way.csv"
    way.write_text("time_s,x,y,z\n0,20,0,0\n10,0,20,0\n")
    (tmp_path / "shapes").mkdir()
    source = replace(SOURCE, trajectory=TrajectoryTable(path="way.csv"), shapes="shapes")

    def folder(changed: RenderedSource = source, frames: int = 4) -> Path:
        return rendered.RenderedFrames(changed, tmp_path, frames, tmp_path).folder

    seen = {
        folder(),
        folder(replace(source, sun=(0.0, 1.0, 0.0))),
        folder(replace(source, samples=9)),
        folder(frames=5),
    }
    assert len(seen) == 4
    assert folder() in seen
    assert folder(replace(source, frames=4), frames=9) == folder(replace(source, frames=4), frames=30)
    way.write_text("time_s,x,y,z\n0,20,0,0\n10,0,21,0\n")
    (tmp_path / "shapes" / "a.ply").write_text("ply")
    assert folder() not in seen
    code = tmp_path / "code.py"
    code.write_text("a")
    monkeypatch.setattr(rendered, "list_decisive_files", lambda: [code])
    before = folder()
    code.write_text("b")
    assert folder() != before


def test_the_renderers_own_files_are_found() -> None:
    names = {path.name for path in rendered.list_decisive_files()}
    assert {"drawing.py", "ray_renderer.py", "catalogue.toml", "stacking.py"} <= names


def test_a_way_through_the_body_is_told(asked: Path, tmp_path: Path) -> None:
    (tmp_path / "way.csv").write_text("time_s,x,y,z\n0,20,0,0\n10,0.2,0,0\n")
    stream = open_frames(replace(SOURCE, trajectory=TrajectoryTable(path="way.csv")), tmp_path, 2)
    with pytest.raises(TrajectoryError, match=r"frame 1: expected a camera outside of the body, farther than 0\.9 km"):
        stream.prepare(lambda line: None)
    assert count(asked) == 0


def test_two_runs_do_not_render_the_same(asked: Path, tmp_path: Path) -> None:
    stream = open_frames(SOURCE, tmp_path, 2)
    assert isinstance(stream, rendered.RenderedFrames)
    stream.folder.mkdir(parents=True)
    with (
        hold_lock(stream.folder / "lock", ""),
        pytest.raises(BoardError, match="expected to render it, got another run that does"),
    ):
        stream.prepare(lambda line: None)


RUN = (
    'title = "x"\nduration_s = 1.0\n[source]\nkind = "rendered"\nbody = "cube"\n%s\n[[criteria]]\nkind = "safe_state"\n'
)
ORBIT = '[source.trajectory]\nkind = "hyperbola"\nperiapsis = 2.0\nexcess_speed = 0.1\nfrom_s = %s\nto_s = 1\n'


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ("", "source.trajectory: expected a value"),
        ("sun = [0, 0, 0]\n" + ORBIT % -1, "source.sun: expected a direction, not all 0, got [0"),
        ("sun = [0, 1]\n" + ORBIT % -1, "source.sun: expected"),
        (ORBIT % 2, "source.trajectory.to_s: expected more than from_s, 2, got 1"),
        ('[source.trajectory]\nkind = "table"\npath = "none.csv"', "none.csv: No such file or directory"),
        ('[source.trajectory]\nkind = "spiral"', "source.trajectory.kind: expected"),
        ("[source.rotation]\nperiod_h = 3\n" + ORBIT % -1, "source.rotation.period_h: expected one of pole_ra_deg"),
    ],
)
def test_a_source_that_cannot_be_is_one_line_and_exit_code_2(
    asked: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], fields: str, problem: str
) -> None:
    (tmp_path / "own.toml").write_text(RUN % fields)
    assert main(["run", str(tmp_path / "own.toml"), "--out", str(tmp_path / "out")]) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("own: not finished")]
    assert len(lines) == 1
    assert problem in lines[0]
    assert count(asked) == 0


@pytest.mark.slow
def test_a_body_of_the_catalogue_is_rendered(tmp_path: Path) -> None:
    """The real renderer: image and truth show the same body, lit from where the geometry has the sun."""
    way = Hyperbola(periapsis=1.2, excess_speed=0.01, from_s=-30.0, to_s=60.0, unit="d0")
    source = RenderedSource(
        body="procedural_top", sensor_px=64, samples=1, faces=5000, trajectory=way, sun=(0.0, -1.0, 0.0)
    )
    stream = rendered.RenderedFrames(source, Path(), 2, tmp_path)
    stream.prepare(lambda line: None)
    frame = stream.frame(1)
    assert frame.pixels.shape == (64, 64)
    assert (frame.pixels[frame.truth == 0] == 0).mean() > 0.98
    assert 0.1 < (frame.truth > 0).mean() < 0.9
    sun = np.array(frame.geometry["sun_direction_camera"])
    rows, columns = np.nonzero(frame.truth > 0)
    bright = frame.pixels[rows, columns] > 100
    towards_sun = columns * sun[0] + rows * sun[1]
    assert towards_sun[bright].mean() > towards_sun.mean()
    with pytest.raises(RendererError, match="--body: expected one of"):
        rendered.RenderedFrames(replace(source, body="vulcan"), Path(), 2, tmp_path).prepare(lambda line: None)
