"""`hil segment`, and what `hil stream` puts on the wire: any kind of image, as bright as it is."""

from __future__ import annotations

import resource
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile

from flight.cli import main as flight_main
from flight.client import FrameSender
from flight.client.images import ImageError
from hil.cli import main
from hil.sources.folder import open_source
from hil.stream import stream

ROOT = Path(__file__).parents[2]
GREY = open_source("flyby").frame(28)


def maps(out: Path, stem: str) -> np.ndarray:
    with np.load(out / f"{stem}.npz") as arrays:
        class_map: np.ndarray = arrays["class_map"]
    return class_map


def test_pages_folders_and_other_kinds_are_segmented(tiny_bundle: Path, tmp_path: Path, capsys) -> None:
    from astropy.io import fits

    folder = tmp_path / "frames"
    (folder / "day").mkdir(parents=True)
    cv2.imwrite(str(folder / "plain.png"), GREY)
    fits.PrimaryHDU(GREY.astype(np.uint16) * 257).writeto(folder / "day" / "night.fits")
    tifffile.imwrite(folder / "stack.tif", np.stack([GREY] * 10), photometric="minisblack")
    out = tmp_path / "out"
    arguments = ["segment", "--bundle", str(tiny_bundle), "--out", str(out), "--passes", "2"]
    assert main([*arguments, "--subfolders", str(folder)]) == 0
    written = sorted(path.relative_to(out).as_posix() for path in out.rglob("*.npz"))
    assert written == ["day/night.npz", "plain.npz", *(f"stack_{number:02}.npz" for number in range(1, 11))]
    assert (maps(out, "day/night") == maps(out, "plain")).mean() > 0.99
    assert np.array_equal(maps(out, "stack_10"), maps(out, "plain"))
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 12
    assert "stack.tif, page 10 of 10: " in lines[-1]


def test_images_whose_names_differ_in_the_suffix_alone_are_all_written(tiny_bundle: Path, tmp_path: Path) -> None:
    folder, out = tmp_path / "frames", tmp_path / "out"
    folder.mkdir()
    for name in ("frame.png", "frame.tif", "other.png"):
        cv2.imwrite(str(folder / name), GREY)
    assert main(["segment", "--bundle", str(tiny_bundle), "--passes", "1", "--out", str(out), str(folder)]) == 0
    assert sorted(path.stem for path in out.glob("*.npz")) == ["frame_png", "frame_tif", "other"]


def test_a_file_of_several_images_is_a_source(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "stack.tif", np.stack([GREY, GREY // 2, GREY // 4]), photometric="minisblack")
    source = open_source(str(tmp_path / "stack.tif"))
    assert len(source) == 3
    assert np.array_equal(source.frame(2), GREY // 4)


def test_flight_names_the_command_that_reads_what_it_does_not(tiny_bundle: Path, tmp_path: Path, capsys) -> None:
    tifffile.imwrite(tmp_path / "stack.tif", np.stack([GREY] * 3), photometric="minisblack")
    (tmp_path / "frame.fits").write_bytes(b"SIMPLE  =")
    (tmp_path / "frame.IMG").write_bytes(b"PDS_VERSION_ID = PDS3")
    for name in ("stack.tif", "frame.fits", "frame.IMG"):
        path = tmp_path / name
        assert flight_main(["segment", "--bundle", str(tiny_bundle), "--out", str(tmp_path / "o"), str(path)]) == 2
        error = capsys.readouterr().err
        assert error.startswith(f"flight segment: {path}: ")
        assert error.endswith("`hil segment` reads it\n")
        assert error.count("\n") == 1


@pytest.mark.parametrize("bits", [10, 12, 14])
@pytest.mark.parametrize("program", [flight_main, main])
def test_frames_of_fewer_bits_give_the_map_of_the_8_bit_picture(
    program: Any, bits: int, tiny_bundle: Path, tmp_path: Path, capsys
) -> None:
    white = np.rint(GREY * (255.0 / GREY.max())).astype(np.uint8)
    cv2.imwrite(str(tmp_path / "eight.png"), white)
    cv2.imwrite(str(tmp_path / "deep.tif"), np.rint(white / 255.0 * (2**bits - 1)).astype(np.uint16))
    out = tmp_path / "out"
    for more in ([], ["--bit-depth", str(bits)]):
        arguments = ["segment", "--bundle", str(tiny_bundle), "--out", str(out), "--passes", "2", *more]
        assert program([*arguments, str(tmp_path / "eight.png"), str(tmp_path / "deep.tif")]) == 0
        assert (maps(out, "eight") == maps(out, "deep")).mean() > 0.98
        said = capsys.readouterr().err
        assert ("--bit-depth" in said) == (not more), said


class Service:
    """Stands for the connection to a service: keeps what is sent."""

    def __init__(self) -> None:
        self.sent: list[tuple[int, np.ndarray, int]] = []
        self.next_frame_id = 0

    def send(self, pixels: np.ndarray, *, centered: bool, bit_depth: int, **geometry: Any) -> None:
        self.sent.append((self.next_frame_id, pixels, bit_depth))


def test_the_camera_states_the_bit_depth_and_goes_on_past_a_bad_file(tmp_path: Path, capsys) -> None:
    for number in (1, 2, 10):
        cv2.imwrite(str(tmp_path / f"frame_{number}.png"), np.full((20, 20), 300 * number, dtype=np.uint16))
    (tmp_path / "frame_3.png").write_bytes((tmp_path / "frame_2.png").read_bytes()[:-20])
    said: list[str] = []
    service, left_out = Service(), set()
    source = open_source(str(tmp_path), warn=said.append)
    sender: FrameSender = service  # type: ignore[assignment]
    assert stream(source, sender, 1000.0, True, 8, left_out) == 6
    assert [(number, int(pixels[0, 0]), depth) for number, pixels, depth in service.sent] == [
        (0, 300, 12),
        (1, 600, 12),
        (3, 3000, 12),
        (4, 300, 12),
        (5, 600, 12),
        (7, 3000, 12),
    ]
    assert len(said) == 1
    assert len(left_out) == 1
    told = capsys.readouterr().err.splitlines()
    assert sum("frame_3.png: not a readable image" in line for line in told) == 1


def test_a_camera_whose_folder_is_gone_stops(tmp_path: Path) -> None:
    folder = tmp_path / "card"
    folder.mkdir()
    for number in range(3):
        cv2.imwrite(str(folder / f"{number}.png"), GREY)
    source = open_source(str(folder))
    for path in source.files:
        path.unlink()
    with pytest.raises(ImageError, match=r"card/2\.png: No such file"):
        stream(source, Service(), 1000.0, True, None)  # type: ignore[arg-type]


def run_limited(arguments: list[str], most_bytes: int) -> subprocess.CompletedProcess[str]:
    """Run `flight` with a limit on the size of files, which fails as a full disk does: part of the file is written."""

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, most_bytes))

    return subprocess.run(
        [sys.executable, "-m", "flight.cli", *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        preexec_fn=limit,
    )


@pytest.mark.parametrize("most_bytes", [20, 3000, 8000])
def test_what_cannot_be_written_whole_is_not_there_and_is_named(
    most_bytes: int, tiny_bundle: Path, tmp_path: Path
) -> None:
    cv2.imwrite(str(tmp_path / "frame.png"), GREY)
    out = tmp_path / "out"
    done = run_limited(
        ["segment", "--bundle", str(tiny_bundle), "--out", str(out), str(tmp_path / "frame.png")], most_bytes
    )
    assert done.returncode == 2
    last = done.stderr.splitlines()[-1]
    assert last.startswith(f"flight segment: {out}/frame")
    assert last.endswith(": File too large")
    named = Path(last.split(": ")[1])
    assert not named.exists()
    for path in out.iterdir():
        assert path.stat().st_size <= most_bytes
        assert path.suffix == ".png"
        assert cv2.imread(str(path)) is not None


def test_a_folder_that_cannot_be_written_is_named_with_the_file(tiny_bundle: Path, tmp_path: Path, capsys) -> None:
    cv2.imwrite(str(tmp_path / "frame.png"), GREY)
    out = tmp_path / "out"
    (out / "frame.npz").mkdir(parents=True)  # in the way of the file, whoever runs the test
    arguments = ["segment", "--bundle", str(tiny_bundle), "--out", str(out), str(tmp_path / "frame.png")]
    assert flight_main(arguments) == 2
    assert capsys.readouterr().err.startswith(f"flight segment: {out}/frame.npz: ")
    assert [path.name for path in out.iterdir() if path.name.startswith(".")] == []


def test_names_of_any_bytes_and_a_terminal_that_cannot_show_them(tiny_bundle: Path, tmp_path: Path) -> None:
    import os

    names = [b"s\xfcd", "龍".encode(), b"plain"]
    for name in names:
        (tmp_path / os.fsdecode(name + b".png")).write_bytes(cv2.imencode(".png", GREY)[1].tobytes())
    for program in ("flight.cli", "hil.cli"):
        out = tmp_path / program
        done = subprocess.run(
            [sys.executable, "-m", program, "segment", "--bundle", str(tiny_bundle), "--out", str(out), "--passes", "1"]
            + [str(tmp_path / os.fsdecode(name + b".png")) for name in names],
            capture_output=True,
            check=False,
            cwd=ROOT,
            env={**os.environ, "PYTHONIOENCODING": "ascii"},
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.isascii()
        assert {os.fsencode(path.name) for path in out.glob("*.npz")} == {name + b".npz" for name in names}
