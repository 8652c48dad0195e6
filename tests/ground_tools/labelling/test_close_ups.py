"""Close-ups: several squares of one large image, each a sample of its own, with smaller boulders."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from ground_tools.cli import main
from ground_tools.datasets.integrity import verify
from ground_tools.datasets.store import load, read_description
from ground_tools.labelling.annotations import Annotation, default_name, read_annotation, write_annotation
from ground_tools.labelling.collection import read_manifest, write_manifest
from ground_tools.labelling.shapes import Shape, ellipse
from tests.ground_tools.labelling.label_tool import label

WIDTH, HEIGHT = 700, 420
LEFT, RIGHT = (10, 20, 320), (360, 20, 320)
RULES = """name = "ground"
[minimum_across]
boulder = 6
close_up_boulder = 4
[split_by_image]
train = 0.5
validation = 0.5
test = 0.0
"""


@pytest.fixture
def ground(tmp_path: Path) -> tuple[Path, Path]:
    """Two images of ground without a limb: a large one, two squares of which are samples, and a small one."""
    images, labels = tmp_path / "pictures", tmp_path / "own"
    generator = np.random.default_rng(1)
    for name, size in (("large", (HEIGHT, WIDTH)), ("small", (128, 128))):
        (images / "alpha").mkdir(parents=True, exist_ok=True)
        picture = cv2.GaussianBlur(generator.integers(60, 200, size).astype(np.uint8), (0, 0), 2.0)
        assert cv2.imwrite(str(images / "alpha" / f"{name}.png"), picture)
    write_manifest(images)
    labels.mkdir()
    (labels / "set.toml").write_text(RULES)
    rocks = [
        ellipse("boulder", 100, 100, 6.5, 5.0),  # 5.1 px of 128
        ellipse("boulder", 200, 100, 3.5, 3.5),  # 2.8 px
        ellipse("boulder", 500, 200, 30.0, 20.0),
    ]
    for entry in read_manifest(images).values():
        width, height = (WIDTH, HEIGHT) if "large" in entry.file else (128, 128)
        body = Shape("body", ((0.0, 0.0), (float(width), float(height))), "rectangle")
        shapes = (body, *rocks) if "large" in entry.file else (body, ellipse("crater", 60, 60, 20, 20))
        labelled = Annotation(entry.file, entry.sha256, width, height, shapes, labelled=True)
        write_annotation(labelled, labels / default_name(entry.file))
    return images, labels


def test_each_square_of_an_image_is_a_sample_of_one_group(
    ground: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images, labels = ground
    out = tmp_path / "out"
    label("set", "large", "--close-ups", "10,20,320", "360,20,320", images=images, labels=labels)
    listed = capsys.readouterr().out.splitlines()
    assert "5.1 px across at 128" in listed[2]
    assert "TOO SMALL" not in listed[2]
    assert listed[3].endswith("TOO SMALL")
    assert "OUTSIDE" not in "".join(listed)
    command = ["dataset", "build", "ground", "--out", str(out), "--real-images", str(images), "--labels", str(labels)]
    assert main(command) == 0
    assert "3 images, 12 pairs" in capsys.readouterr().out
    assert verify(out) == []
    picture = cv2.imread(str(images / "alpha" / "large.png"), cv2.IMREAD_GRAYSCALE)
    record = [image for image in read_description(out)["images"] if image["close_up"]]
    assert [tuple(image["crop"]) for image in record] == [LEFT, RIGHT]
    assert len({(image["group"], image["split"]) for image in record}) == 1
    loaded = load(out)
    for image, boulder in zip(record, ((36, 32), (56, 72)), strict=True):
        x, y, side = image["crop"]
        rows = (loaded.splits == image["split"]) & (loaded.indices == image["samples"][0])
        expected = cv2.resize(picture[y : y + side, x : x + side], (128, 128), interpolation=cv2.INTER_AREA)
        assert (loaded.images[rows][0] == expected).all()
        mask = loaded.masks[rows][0]
        assert mask[boulder[1], boulder[0]] == 3
        assert set(np.unique(mask)) == {1, 3}
    # The rock of 2.8 px is ground.
    assert (
        loaded.masks[(loaded.indices == record[0]["samples"][0]) & (loaded.splits == record[0]["split"])][0][32, 76]
        == 1
    )


def test_an_image_that_is_no_close_up_keeps_the_larger_rocks(ground: tuple[Path, Path]) -> None:
    images, labels = ground
    label("set", "large", "--close-ups", "10,20,320", images=images, labels=labels)
    label("set", "large", "--close-ups", images=images, labels=labels)
    annotation = read_annotation(labels / "alpha_large.json")[0]
    assert annotation.close_ups == ()
    assert "close_ups" not in (labels / "alpha_large.json").read_text()


def test_squares_that_share_a_pixel_are_refused(ground: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    images, labels = ground
    label("set", "large", "--close-ups", "10,20,320", "329,20,320", images=images, labels=labels, expect=2)
    said = capsys.readouterr().err
    assert "--close-ups: expected squares that share no pixel, got 10,20,320 and 329,20,320" in said
    label("set", "large", "--close-ups", "10,20,4", images=images, labels=labels, expect=2)
    path = labels / "alpha_large.json"
    file = json.loads(path.read_text())
    for wrong, message in (
        ([[0, 0, 100], [50, 50, 100]], "close_ups: expected squares that share no pixel, got 0,0,100 and 50,50,100"),
        ([[0, 0]], "close_ups[0]: expected three integers x, y, side"),
        (7, "close_ups: expected a list of squares, got 7"),
    ):
        file["rubblemap"]["close_ups"] = wrong
        path.write_text(json.dumps(file))
        with pytest.raises(ValueError, match="rubblemap") as caught:
            read_annotation(path)
        assert message in str(caught.value)


def test_check_looks_at_every_square(ground: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    images, labels = ground
    path = labels / "alpha_large.json"
    annotation = read_annotation(path)[0]
    left = Shape("body", ((0.0, 0.0), (200.0, 200.0)), "rectangle")
    shapes = (left, ellipse("boulder", 100, 100, 8, 8), ellipse("boulder", 690, 410, 8, 8))
    write_annotation(replace(annotation, shapes=shapes, close_ups=(LEFT, RIGHT)), path)
    label("check", images=images, labels=labels)
    said = capsys.readouterr()
    assert "shape 2 (boulder): outside of the 2 close-ups; no part of a sample" in said.out
    assert (
        "alpha/large.png at 10,20,320: no close-up: the body covers 33% of it and goes on beyond 2 of its sides"
        in said.out
    )
    assert "alpha/large.png at 360,20,320: the body covers 0.0% of the crop" in said.out


def test_agreement_compares_the_squares_that_both_have(
    ground: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images, labels = ground
    path = labels / "alpha_large.json"
    annotation = read_annotation(path)[0]
    write_annotation(replace(annotation, close_ups=(LEFT, RIGHT)), path)
    second = tmp_path / "second"
    second.mkdir()
    moved = tuple(shape for shape in annotation.shapes if shape.points != annotation.shapes[3].points)
    write_annotation(replace(annotation, close_ups=(RIGHT,), shapes=moved), second / "alpha_large.json")
    capsys.readouterr()
    label("agreement", "--second", second, "--json", images=images, labels=labels)
    told = json.loads(capsys.readouterr().out)
    assert list(told["per_image"]) == ["alpha/large.png at 360,20,320"]
    assert told["share"] == pytest.approx(1 / 3)
    assert told["iou"]["boulders"] == 0.0
