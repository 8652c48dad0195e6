"""`ground-tools label`: step by step, sheets, wrong arguments."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from ground_tools.cli import main
from ground_tools.labelling.annotations import default_name, read_annotation
from ground_tools.labelling.shapes import (
    as_line,
)
from ground_tools.labels.classes import COLORS
from tests.ground_tools.labelling.drawn import (
    WIDTH,
)
from tests.ground_tools.labelling.label_tool import label


def test_a_label_file_is_written_step_by_step(images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    labels = tmp_path / "own"

    def step(*arguments: object) -> None:
        label(*arguments, images=images, labels=labels)

    step("add", "beta_1", "--label", "body", "--ellipse", "125,96,84,66")
    step("add", "beta_1", "--label", "crater", "--circle", "150,80,14")
    step("add", "beta_1", "--label", "boulder", "--polygon", "100,100", "112,100", "112,110")
    step("add", "beta_1", "--label", "terminator", "--rectangle", "60,40", "70,150")
    step("replace", "beta_1", "--shape", 1, "--ellipse", "151,81,14,12,30")
    step("move", "beta_1", "--shape", 2, "--by=-2,1.5")
    step("set", "beta_1", "--silhouette", "inferred", "--crop", "20,-5,210", "--note", "limb by eye", "--labelled")
    annotation, problems = read_annotation(labels / "beta_beta_1.json")
    assert problems == []
    assert [as_line(shape) for shape in annotation.shapes] == [
        "body ellipse 125,96,84,66,0",
        "crater ellipse 151,81,14,12,30",
        "boulder polygon 98,101.5 110,101.5 110,111.5",
        "terminator rectangle 60,40 70,150",
    ]
    assert (annotation.silhouette, annotation.crop, annotation.labelled) == ("inferred", (20, -5, 210), True)
    capsys.readouterr()
    step("list", "beta_1", "--text")
    text = capsys.readouterr().out
    (tmp_path / "edited.txt").write_text(text.replace("crater ellipse 151", "crater ellipse 141") + "# nothing\n")
    step("apply", "beta_1", tmp_path / "edited.txt")
    step("remove", "beta_1", "--shape", 2, 3)
    shapes = read_annotation(labels / "beta_beta_1.json")[0].shapes
    assert [as_line(shape) for shape in shapes] == ["body ellipse 125,96,84,66,0", "crater ellipse 141,81,14,12,30"]
    capsys.readouterr()
    step("add", "beta_1", "--label", "boulder", "--circle", "150,80,8")
    step("add", "beta_1", "--label", "boulder", "--circle", "19,80,8")
    step("add", "beta_1", "--label", "boulder", "--circle", "8,80,8")
    capsys.readouterr()
    step("list", "beta_1")
    listed = capsys.readouterr().out.splitlines()
    assert "17.1 px across at 128" in listed[2]
    assert "boulder     at  150.0,  80.0 " in listed[3]
    endings = ["px", "px", "px", "px, partly outside of the crop", "px, OUTSIDE OF THE CROP"]
    assert [line.partition("area")[2].lstrip(" .0123456789") for line in listed[1:]] == endings
    assert json.loads((labels / "beta_beta_1.json").read_text())["imageData"] is None


def test_wrong_arguments_are_told_in_one_line(
    images: Path, labels: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for arguments, message in (
        (("list", "delta_0"), "image delta_0: no such image in manifest.csv"),
        (("remove", "alpha_0", "--shape", "9"), "--shape: expected 0..5, got 9"),
        (("sheet", "alpha_0", "--out", "x.png", "--region", "900,0,950,9"), "region: expected a part of 260 x 200"),
        (("set", "alpha_0", "--crop", "1,2"), "--crop: expected 3 integers"),
    ):
        label(*arguments, images=images, labels=labels, expect=2)
        assert message in capsys.readouterr().err
    monkeypatch.delenv("RUBBLEMAP_REAL_IMAGES", raising=False)
    assert main(["label", "status"]) == 2
    assert (
        "--real-images: expected DIR, the folder of images with manifest.csv, or RUBBLEMAP_REAL_IMAGES"
        in capsys.readouterr().err
    )
    label("status", images=images / "alpha", labels=labels, expect=2)
    assert "manifest.csv: no such file" in capsys.readouterr().err


def test_a_sheet_shows_the_image_enlarged_its_outlines_and_its_mask(images: Path, labels: Path, tmp_path: Path) -> None:
    out = tmp_path / "sheet.png"
    label("sheet", "alpha_0", "--out", out, "--scale", 3, images=images, labels=labels)
    sheet = cv2.imread(str(out))[:, :, ::-1]
    assert sheet.shape[1] >= 3 * WIDTH
    for name in ("craters", "boulders", "terminator"):
        assert (sheet == COLORS[name]).all(axis=2).sum() > 20
    label("sheet", "alpha_0", "--out", out, "--no-labels", "--region", "100,50,150,90", images=images, labels=labels)
    plain = cv2.imread(str(out), cv2.IMREAD_COLOR)
    assert not (plain[:, :, ::-1] == COLORS["boulders"]).all(axis=2).any()
    assert plain.shape[1] >= 12 * 50


def test_a_sheet_may_be_enlarged_smoothly(images: Path, labels: Path, tmp_path: Path) -> None:
    sheets = {}
    for kind in ("--smooth", "--no-labels"):
        out = tmp_path / f"{kind}.png"
        options = ("--no-labels", "--region", "100,80,115,90", "--scale", 12, kind)
        label("sheet", "alpha_0", "--out", out, *options, images=images, labels=labels)
        # The image begins below the title and the coordinates, and right of them; without lines of the grid.
        sheets[kind] = cv2.imread(str(out), cv2.IMREAD_GRAYSCALE)[32 + 1 : 32 + 59, 34 + 1 : 34 + 59].astype(int)
    squares, smooth = sheets["--no-labels"], sheets["--smooth"]
    assert squares.shape == smooth.shape == (58, 58)
    assert np.abs(squares - smooth).mean() < 6  # the same place of the same image
    steps = [np.abs(np.diff(picture, axis=1)).max() for picture in (squares, smooth)]
    assert steps[1] < 0.5 * steps[0]


def test_a_part_of_an_image_shows_no_numbers_of_shapes_elsewhere(images: Path, labels: Path, tmp_path: Path) -> None:
    out = tmp_path / "sheet.png"
    options = ("--panels", "labels", "--region", "0,0,30,30")
    label("sheet", "alpha_0", "--out", out, *options, images=images, labels=labels)
    sheet = cv2.imread(str(out))[:, :, ::-1]
    for name in ("craters", "boulders", "terminator"):
        assert not (sheet == COLORS[name]).all(axis=2).any()


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_reader_that_has_gone_is_no_failure(images: Path, labels: Path, unbuffered: str) -> None:
    """As in `ground-tools label status | head -1`."""
    command = [sys.executable, "-m", "ground_tools.cli", "label", "status"]
    command += ["--real-images", str(images), "--labels", str(labels)]
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            command,
            stdout=writing,
            stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
            check=False,
            timeout=120,
        )
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (141, b"")


def test_status_counts_what_is_done(images: Path, labels: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (labels / default_name("beta/beta_0.png")).unlink()
    label("set", "beta_1", "--no-labelled", images=images, labels=labels)
    label("status", images=images, labels=labels)
    text = capsys.readouterr().out
    assert "9 images of 3 bodies labelled, 2 to do, 1 excluded" in text
    assert re.search(r"excluded +gamma/gamma_3.png +a drawing", text)
