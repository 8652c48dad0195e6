"""The hardware-in-the-loop kit: sources, and stream, watch and demo as processes."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from flight.bundle import load_bundle
from flight.client.images import ImageError
from hil.cli import main
from hil.demo import SHIPPED_BUNDLE, choose_deadline
from hil.sources.folder import FLYBY, open_source

ROOT = Path(__file__).parents[2]


def test_the_shipped_flyby() -> None:
    source = open_source("flyby")
    assert len(source.files) == len(source.geometry) == 56
    assert source.frame(0).shape == (128, 128)
    assert np.array_equal(source.frame(56), source.frame(0))
    ranges = np.array([entry["range_d0"] for entry in json.loads((FLYBY / "flyby.json").read_text())["frames"]])
    assert ranges[0] > 1.3
    assert 0.4 < ranges.min() < 1.3
    assert sum(path.stat().st_size for path in FLYBY.rglob("*")) < 2_000_000
    for path in source.files:
        mask = cv2.imread(str(FLYBY / "masks" / path.name), cv2.IMREAD_UNCHANGED)
        assert mask.shape == (128, 128)
        assert mask.max() <= 4
        # The sunlit part of the body is labelled as body, but for the pixel that the filter spreads it over.
        body = cv2.dilate(mask, np.ones((3, 3), dtype=np.uint8)) > 0
        assert body[source.frame(int(path.stem)) > 100].all()


def test_the_shipped_bundle_is_in_the_package() -> None:
    """As a link in a checkout, as a copy in a wheel: a demonstration anywhere finds it."""
    data = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]["package-data"]
    package = SHIPPED_BUNDLE.parent
    packed = {path for pattern in data["hil"] for path in package.glob(pattern)}
    assert package == ROOT / "hil"
    assert set(SHIPPED_BUNDLE.iterdir()) <= packed
    assert load_bundle(SHIPPED_BUNDLE).sha256 == load_bundle(ROOT / "models" / "unet_h").sha256


def test_a_wrong_folder_is_named(tmp_path: Path, capsys) -> None:
    with pytest.raises(ImageError, match="no such folder"):
        open_source(str(tmp_path / "none"))
    assert main(["stream", "--source", str(tmp_path)]) == 2
    assert capsys.readouterr().err.startswith(f"hil stream: {tmp_path}: no .png, .jpg")
    assert main(["stream", "--rate", "0"]) == 2
    assert "--rate: expected more than 0, got 0" in capsys.readouterr().err


def test_the_demo_with_large_off_centre_images(tiny_bundle: Path, tmp_path: Path) -> None:
    """The demonstration as users run it, on sensor frames of 1024 px with one broken file among them."""
    frames = tmp_path / "frames"
    frames.mkdir()
    for index in range(4):
        image = np.zeros((1024, 1024), dtype=np.uint8)
        cv2.circle(image, (300 + 40 * index, 600), 180, 200, cv2.FILLED)
        cv2.imwrite(str(frames / f"{index}.jpg"), image)
    (frames / "2.jpg").write_bytes(b"no image")
    out = tmp_path / "out"
    command = [sys.executable, "-m", "hil.cli", "demo", "--bundle", str(tiny_bundle), "--source", str(frames)]
    done = subprocess.run(
        [*command, "--rate", "4", "--out", str(out)], capture_output=True, text=True, cwd=ROOT, check=False, timeout=120
    )
    assert done.returncode == 1, done.stdout + done.stderr  # for the broken one; all others are done
    assert "2.jpg: not a readable" in done.stderr
    assert "exit codes: stream 1, watch 0, service 0" in done.stderr
    lines = done.stdout.splitlines()
    for topic in ("map.navigation", "map.hazard"):
        assert sum(line.startswith(topic) for line in lines) == 3
    assert lines[-1].startswith("Look at ")
    # At 4 frames/s each has 200 ms, and none waits until a newer one takes its place.
    assert "deadline 200 ms" in done.stdout
    assert "frames sent 3, answered 3, superseded by a newer one 0, rejected 0" in done.stdout
    assert len(list(out.glob("frame_*.png"))) == 3
    with Image.open(out / "demo.gif") as animation:
        assert animation.n_frames == 3


@pytest.mark.parametrize(("rate", "deadline_ms"), [(0.1, 1500), (2.0, 400), (4.0, 200), (1e6, 1)])
def test_a_frame_of_the_demo_has_less_time_than_there_is_between_two(rate: float, deadline_ms: int) -> None:
    assert choose_deadline(rate) == deadline_ms


def test_make_demo_chooses_the_rate() -> None:
    for given, rate in (([], "2"), (["RATE=4"], "4")):
        done = subprocess.run(
            ["make", "--dry-run", "demo", *given], capture_output=True, text=True, cwd=ROOT, check=True
        )
        assert f'hil demo --source "flyby" --rate "{rate}" --out "out/demo"' in done.stdout


def test_watch_stops_after_a_count_and_when_idle(tiny_bundle: Path, tmp_path: Path) -> None:
    idle = subprocess.run(
        [sys.executable, "-m", "hil.cli", "watch", "--endpoint", f"ipc://{tmp_path}/none", "--until-idle", "0.3"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert idle.returncode == 0
    assert idle.stdout.strip() == "products: none; lost 0, malformed 0"
