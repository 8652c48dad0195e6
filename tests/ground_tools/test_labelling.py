"""Labelling as people do it: propose, draw, look, check, compare, and carry labels to other tools and back."""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ground_tools.commands.main import main
from ground_tools.labelling.annotations import Annotation, default_name, read_annotation, write_annotation
from ground_tools.labelling.checks import check
from ground_tools.labelling.coco import as_coco, read_coco
from ground_tools.labelling.collection import (
    D4_LABELS,
    D4_SECOND,
    ImageEntry,
    read_image,
    read_labels,
    read_manifest,
    read_rules,
)
from ground_tools.labelling.proposals import body_outline, propose
from ground_tools.labelling.rasterisation import crop_of, mask_of, rasterise, sample_of
from ground_tools.labelling.shapes import (
    Shape,
    across,
    area,
    as_line,
    crosses_itself,
    ellipse,
    is_proposal,
    middle,
    outline,
    shape_of_line,
)
from ground_tools.labels.classes import BACKGROUND, BOULDERS, COLORS, CRATERS, SURFACE, TERMINATOR
from tests.ground_tools.drawn import (
    AXES,
    HEIGHT,
    SKY,
    WIDTH,
    annotation_of,
    drawn_body,
    drawn_features,
    drawn_image,
    drawn_terminator,
    write_images,
    write_labels,
)

MINIMUM = {"crater": 6.0, "boulder": 6.0}


@pytest.fixture
def images(tmp_path: Path) -> Path:
    write_images(tmp_path / "images")
    return tmp_path / "images"


@pytest.fixture
def labels(tmp_path: Path, images: Path) -> Path:
    write_labels(tmp_path / "labels", read_manifest(images))
    return tmp_path / "labels"


def label(*arguments: object, images: Path, labels: Path, expect: int = 0) -> None:
    """Run `ground-tools label`."""
    command = ["label", *map(str, arguments), "--real-images", str(images), "--labels", str(labels)]
    assert main(command) == expect


def findings(labels: Path, images: Path) -> tuple[list[str], list[str]]:
    found = check(labels, images, read_manifest(images), read_rules(labels))
    return found.errors, found.remarks


# Shapes


def test_an_ellipse_has_the_area_and_extent_of_an_ellipse() -> None:
    shape = ellipse("crater", 50, 40, 20, 10, 30)
    assert area(shape) == pytest.approx(math.pi * 200, rel=0.01)
    assert across(shape) == pytest.approx(40, rel=0.01)


@given(st.floats(-50, 900), st.floats(-50, 900), st.floats(2, 60), st.floats(2, 60), st.integers(0, 179))
def test_the_middle_of_a_shape_is_that_of_its_area(x: float, y: float, a: float, b: float, angle: int) -> None:
    assert middle(ellipse("crater", x, y, a, b, angle)) == pytest.approx((x, y), abs=0.03)  # points are rounded
    assert middle(Shape("boulder", ((x, y), (x + a, y)), "circle")) == pytest.approx((x, y), abs=0.01)
    assert middle(Shape("body", ((x, y), (x + a, y + b)), "rectangle")) == pytest.approx((x + a / 2, y + b / 2))
    # Points that lie close together at one end do not pull it there.
    crowded = Shape("crater", ((x, y), (x + a, y), (x + a, y + b), (x, y + b), (x, y + b / 2), (x, y + b / 4)))
    assert middle(crowded) == pytest.approx((x + a / 2, y + b / 2), abs=0.01)
    assert middle(Shape("crater", ((x, y), (x + a, y), (x + a / 2, y)))) == pytest.approx((x + a / 2, y))


def test_crossing_sides_are_found() -> None:
    assert crosses_itself(Shape("crater", ((0, 0), (10, 10), (10, 0), (0, 10))))
    assert not crosses_itself(Shape("crater", ((0, 0), (10, 0), (10, 10), (0, 10))))
    assert not crosses_itself(drawn_body())


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("hole circle 1,2,3", "label: expected body, crater, boulder, terminator, got 'hole'"),
        ("crater circle 1,2", "expected 3 numbers"),
        ("crater ellipse 1,2,0,3", "expected half axes above 0, got 0 and 3"),
        ("crater polygon 1,2 3,4", "expected 3 or more points, got 2"),
        ("crater blob 1,2 3,4", "expected polygon, circle, rectangle, got 'blob'"),
    ],
)
def test_an_unfit_line_is_told_with_what_was_expected(line: str, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        shape_of_line(line)


coordinates = st.floats(0, 250).map(lambda v: round(v, 2))


@st.composite
def shapes(draw: st.DrawFn) -> Shape:
    name = draw(st.sampled_from(("body", "crater", "boulder", "terminator")))
    kind = draw(st.sampled_from(("polygon", "ellipse", "circle", "rectangle")))
    if kind == "ellipse":
        sizes = st.floats(0.5, 60).map(lambda v: round(v, 1))
        middle = coordinates.map(lambda v: round(v, 1))
        return ellipse(name, draw(middle), draw(middle), draw(sizes), draw(sizes), draw(st.integers(0, 179)))
    if kind == "circle":
        x, y, radius = draw(coordinates), draw(coordinates), draw(st.floats(0.5, 60))
        return Shape(name, ((x, y), (round(x + radius, 2), y)), "circle")
    count = 2 if kind == "rectangle" else draw(st.integers(3, 12))
    points = draw(st.lists(st.tuples(coordinates, coordinates), min_size=count, max_size=count))
    return Shape(name, tuple(points), kind)


@given(shapes())
def test_a_shape_survives_its_line_of_text(shape: Shape) -> None:
    again = shape_of_line(as_line(shape))
    assert (again.label, again.kind) == (shape.label, shape.kind)
    assert np.allclose(outline(again), outline(shape), atol=0.02)


# Masks


@settings(deadline=None)
@given(
    st.floats(20, 80), st.floats(20, 80), st.floats(3, 40), st.floats(3, 40), st.integers(0, 179), st.integers(40, 200)
)
def test_a_region_has_the_area_of_its_shape_wherever_it_lies(
    x: float, y: float, a: float, b: float, angle: int, side: int
) -> None:
    shape = ellipse("crater", x, y, a, b, angle)
    crop = (-60, -60, 60 + 160 + side // 10)
    region = rasterise(outline(shape), crop, 256)
    pixel = crop[2] / 256
    length = math.pi * (a + b)
    assert region.sum() * pixel**2 == pytest.approx(area(shape), abs=0.5 * length * pixel + 1.0)
    middle = np.argwhere(region).mean(axis=0) + 0.5
    assert np.allclose(middle[::-1] * pixel + crop[:2], (x, y), atol=0.5 * pixel)


def test_edges_lie_to_a_fraction_of_a_pixel() -> None:
    """Pixels of which half or more is covered belong to a shape: 0.4 of one does not, 0.6 does."""
    square = np.array([(10.4, 10.6), (20.4, 10.6), (20.4, 20.6), (10.4, 20.6)])
    region = rasterise(square, (0, 0, 32), 32)
    rows, columns = np.nonzero(region)
    assert (columns.min(), columns.max() + 1, rows.min(), rows.max() + 1) == (10, 20, 11, 21)


def test_shapes_stack_as_in_the_synthetic_sets() -> None:
    body = Shape("body", ((10, 10), (118, 10), (118, 118), (10, 118)))
    crater = Shape("crater", ((30, 30), (90, 30), (90, 90), (30, 90)))
    boulder = Shape("boulder", ((50, 50), (70, 50), (70, 70), (50, 70)))
    terminator = Shape("terminator", ((60, 0), (80, 0), (80, 128), (60, 128)))
    small = Shape("boulder", ((100, 100), (105, 100), (105, 105)))
    annotation = Annotation("a.png", "", 128, 128, (terminator, boulder, small, crater, body), crop=(0, 0, 128))
    mask = mask_of(annotation, (0, 0, 128), 128, {"crater": 6.0, "boulder": 8.0})
    expected = {
        (5, 70): BACKGROUND,  # the terminator lies on the body only
        (20, 20): SURFACE,
        (20, 70): TERMINATOR,
        (40, 40): CRATERS,
        (55, 55): BOULDERS,
        (55, 65): TERMINATOR,
        (103, 101): SURFACE,  # a boulder too small to be one
    }
    assert {place: int(mask[place]) for place in expected} == expected


def test_the_crop_goes_about_the_body_and_ends_at_a_border_that_cuts_it() -> None:
    annotation = Annotation("a.png", "", WIDTH, HEIGHT, (drawn_body(),))
    x, y, side = crop_of(annotation, 1.2)
    assert side == round(2 * AXES[0] * 1.2)
    assert (x + side / 2, y + side / 2) == pytest.approx((125, 96), abs=1)
    assert y < 0  # the body ends within the image: sky goes on beyond it
    cut_left = replace(annotation, shapes=(ellipse("body", 30, 96, 60, 60),))
    assert crop_of(cut_left, 1.2)[0] == 0
    whole = replace(annotation, shapes=(Shape("body", ((0, 0), (WIDTH, 0), (WIDTH, HEIGHT), (0, HEIGHT))),))
    assert crop_of(whole, 1.2) == ((WIDTH - HEIGHT) // 2, 0, HEIGHT)
    assert crop_of(replace(annotation, crop=(3, 4, 50)), 1.2) == (3, 4, 50)


def test_a_sample_shows_the_sky_beyond_the_image_and_the_body_where_its_mask_is() -> None:
    annotation = replace(annotation_of(ImageEntry("a.png", "a", ""), 3), shapes=(drawn_body(),))
    for size in (128, 256):
        sample = sample_of(drawn_image(3, sun_degrees=0.0), annotation, size, MINIMUM, 1.4)
        assert sample.image.shape == sample.mask.shape == (size, size)
        assert (sample.image[0] == SKY).all()
        seen = sample.image > SKY + 10
        assert (seen != (sample.mask > 0)).mean() < 0.02


# Proposals


def test_proposals_find_the_body_and_the_terminator() -> None:
    image = drawn_image(5, sun_degrees=50.0)
    proposed = propose(image, Annotation("a.png", "", WIDTH, HEIGHT), 1.15)
    bodies = [shape for shape in proposed.shapes if shape.label == "body"]
    assert len(bodies) == 1
    truth = rasterise(outline(drawn_body()), (0, 0, WIDTH), WIDTH)
    lit = truth & (cv2.copyMakeBorder(image, 0, WIDTH - HEIGHT, 0, 0, cv2.BORDER_CONSTANT) > SKY + 12)
    found = rasterise(outline(bodies[0]), (0, 0, WIDTH), WIDTH)
    assert (found & lit).sum() / (found | lit).sum() > 0.93
    terminators = [shape for shape in proposed.shapes if shape.label == "terminator"]
    assert terminators
    # The light comes from the right: the terminator lies at the left.
    assert max(outline(shape)[:, 0].mean() for shape in terminators) < 110


def test_the_canny_proposal_finds_the_edge_of_night_within_an_inferred_outline() -> None:
    image = drawn_image(5, sun_degrees=60.0)
    labels = Annotation("a.png", "", WIDTH, HEIGHT, (drawn_body(),), "inferred")
    proposed = propose(image, labels, 1.15, "canny")
    terminators = [shape for shape in proposed.shapes if shape.label == "terminator"]
    assert terminators
    region = np.any([rasterise(outline(shape), (0, 0, WIDTH), WIDTH) for shape in terminators], axis=0)
    # Across the middle, the sun sets at half of the half axis left of it.
    assert np.nonzero(region[96])[0].mean() == pytest.approx(125 - 0.5 * AXES[0], abs=8)
    assert proposed.shapes[0] == drawn_body()


def test_an_image_without_sky_is_all_body_and_one_without_contrast_gets_no_proposal() -> None:
    ground = np.random.default_rng(0).integers(90, 200, (80, 120)).astype(np.uint8)
    assert area(body_outline(ground)[0]) == 80 * 120
    assert body_outline(np.full((80, 120), 7, np.uint8)) == []
    assert propose(np.full((80, 120), 7, np.uint8), Annotation("a.png", "", 120, 80), 1.15).shapes == ()


def test_proposals_never_replace_what_a_person_has_drawn_or_moved(images: Path, tmp_path: Path) -> None:
    labels = tmp_path / "own"
    label("propose", "alpha_0", images=images, labels=labels)
    path = labels / "alpha_alpha_0.json"
    data = json.loads(path.read_text())
    assert is_proposal(read_annotation(path)[0].shapes[0])
    # labelme moves a point and keeps the description.
    data["shapes"][0]["points"][0][0] += 3.0
    path.write_text(json.dumps(data))
    before = read_annotation(path)[0].shapes[0]
    label("propose", "alpha_0", images=images, labels=labels)
    assert read_annotation(path)[0].shapes[0] == before
    label("propose", "alpha_0", "--replace", images=images, labels=labels)
    assert read_annotation(path)[0].shapes[0] != before


# The command line


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
    assert "give --real-images DIR" in capsys.readouterr().err
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
    command = [sys.executable, "-m", "ground_tools.commands.main", "label", "status"]
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


# Checks


def test_sound_labels_pass(images: Path, labels: Path) -> None:
    assert findings(labels, images) == ([], [])


def test_check_finds_what_is_wrong(images: Path, labels: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def change(name: str, *added: Shape, **fields: object) -> None:
        path = labels / f"{name}.json"
        annotation = read_annotation(path)[0]
        write_annotation(replace(annotation, **{"shapes": (*annotation.shapes, *added), **fields}), path)

    change("alpha_alpha_0", ellipse("crater", 20, 20, 12, 12))  # on the sky
    change("alpha_alpha_1", Shape("boulder", ((100, 80), (130, 110), (130, 80), (100, 110))))
    change("beta_beta_0", ellipse("boulder", 400, 90, 10, 10))
    change("beta_beta_1", sha256="0" * 64)
    change("beta_beta_2", ellipse("boulder", 130, 90, 2, 2))
    change("beta_beta_3", file="beta/beta_9.png")
    change("gamma_gamma_0", shapes=(drawn_terminator(),))
    change("gamma_gamma_1", ellipse("crater", 125, 96, 80, 60))
    (images / "gamma" / "gamma_2.png").unlink()
    (labels / "other.json").write_text("{")
    errors, remarks = findings(labels, images)
    for pattern in (
        r"alpha_0.png: shape 6 \(crater\): only 0% of it lies on the body",
        r"alpha_1.png: shape 6 \(boulder\): its outline crosses itself",
        r"beta_0.png: shape 6 \(boulder\): lies outside of the image: x 390..410, .* expected within 260 x 200",
        r"beta_beta_1.json: sha256: expected .* got 0000000000000000",
        r"beta_beta_3.json: image beta/beta_9.png: no such image",
        r"gamma_0.png: expected an outline of the body, or a crop, got none",
        r"gamma_2.png: not readable",
        r"other.json: not readable as JSON",
    ):
        assert any(re.search(pattern, line) for line in errors), (pattern, errors)
    for pattern in (
        r"beta_2.png: shape 6 \(boulder\): 2.\d px across at 128 x 128, expected 6 or more",
        r"gamma_1.png: craters cover \d\d% of the body",
        r"beta/beta_3.png: not labelled",
    ):
        assert any(re.search(pattern, line) for line in remarks), (pattern, remarks)
    label("check", images=images, labels=labels, expect=1)
    assert "error: " in capsys.readouterr().err


def test_a_loosely_drawn_terminator_is_no_mistake_and_one_at_the_lit_limb_is(images: Path, labels: Path) -> None:
    """The drawn bodies are lit from the right."""
    left, right = 125 - AXES[0], 125 + AXES[0]
    path = labels / "alpha_alpha_0.json"
    annotation = read_annotation(path)[0]
    others = tuple(shape for shape in annotation.shapes if shape.label != "terminator")

    def told(x0: float, x1: float) -> tuple[list[str], list[str]]:
        drawn = Shape("terminator", ((x0, 50), (x1, 50), (x1, 140), (x0, 140)))
        write_annotation(replace(annotation, shapes=(*others, drawn)), path)
        return findings(labels, images)

    assert told(left - 25, left + 22) == ([], [])
    errors, remarks = told(left - 12, left + 4)
    assert re.search(r"alpha_0.png: shape 5 \(terminator\): only \d% of it .* expected 20% or more", errors[0])
    errors, remarks = told(right - 22, right + 4)
    assert errors == []
    assert len(remarks) == 1
    assert re.search(r"shape 5 \(terminator\): \d+% as bright as the day, expected at most 80%", remarks[0])


def test_shapes_outside_of_the_crop_are_remarked(images: Path, labels: Path) -> None:
    label("set", "alpha_0", "--crop", "20,20,100", images=images, labels=labels)
    errors, remarks = findings(labels, images)
    assert errors == []
    outside = [line for line in remarks if "outside of the crop (20, 20, 100); no part of the sample" in line]
    shapes = read_annotation(labels / "alpha_alpha_0.json")[0].shapes
    boxes = [outline(shape).min(axis=0) for shape in shapes]
    expected = [n for n, low in enumerate(boxes) if (low >= 120).any()]
    assert expected
    assert [int(line.split("shape ")[1].split()[0]) for line in outside] == expected


def test_surface_alone_is_remarked_until_a_note_says_why(images: Path, labels: Path) -> None:
    label("remove", "alpha_0", "--shape", 1, 2, 3, 4, 5, images=images, labels=labels)
    assert findings(labels, images)[1] == [
        "alpha/alpha_0.png: surface alone: no crater, boulder or terminator, and no note that says why"
    ]
    label("set", "alpha_0", "--note", "a smooth body at full phase", images=images, labels=labels)
    assert findings(labels, images) == ([], [])


def test_check_finds_images_that_show_the_same_in_different_groups(images: Path, labels: Path) -> None:
    """The images of one seed are equal; one of them turned over is still the same."""
    rules = (labels / "set.toml").read_text().replace("groups", "#groups", 1)
    (labels / "set.toml").write_text(rules)
    assert [line for line in findings(labels, images)[1] if "look the same" in line] == [
        "alpha/alpha_2.png and alpha/alpha_3.png look the same (1.00), and are in no common group of set.toml"
    ]


def test_a_shape_that_cannot_be_read_is_named_and_the_rest_is_used(images: Path, labels: Path) -> None:
    path = labels / "alpha_alpha_0.json"
    data = json.loads(path.read_text())
    data["shapes"][1]["label"] = "hole"
    data["shapes"][2]["shape_type"] = "mask"
    path.write_text(json.dumps(data))
    annotations, problems = read_labels(labels, read_manifest(images))
    assert len(annotations["alpha/alpha_0.png"].shapes) == 4
    assert [problem.removeprefix(f"{path}: ") for problem in problems] == [
        "shape 1: label: expected body, crater, boulder, terminator, got 'hole'; left out",
        "shape 2: shape type: expected polygon, circle, rectangle, got 'mask'; left out",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('colour = "red"', "colour: no such field"),
        ("[split_by_image]\ntrain = 0.9", "expected shares that sum to 1, got 1.2"),
        ("[minimum_across]\ncrater = 0", "crater: expected 1..128, got 0"),
        ('groups = [["a"], ["a"]]', "a is in more than one group"),
        ('[split_by_body]\ntrain = ["a"]\ntest = ["a"]', "a is both in train and in test"),
    ],
)
def test_unfit_rules_are_told(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "set.toml").write_text(text)
    with pytest.raises(ValueError, match=re.escape(message)):
        read_rules(tmp_path)


# Agreement


def test_agreement_is_one_for_equal_labels_and_falls_for_others(
    images: Path, labels: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    second = tmp_path / "second"
    entries = read_manifest(images)
    second.mkdir()
    same = read_annotation(labels / "alpha_alpha_0.json")[0]
    write_annotation(same, second / "a.json")
    label("agreement", "--second", second, "--json", images=images, labels=labels)
    told = json.loads(capsys.readouterr().out)
    assert told["images"] == 1
    assert told["share"] == pytest.approx(1 / 11)
    assert set(told["iou"].values()) == {1.0}
    other = annotation_of(entries["beta/beta_0.png"], 10)
    shapes = (drawn_body(), *drawn_features(10)[1:], drawn_terminator())
    write_annotation(replace(other, shapes=shapes), second / "b.json")
    label("agreement", "--second", second, "--json", images=images, labels=labels)
    told = json.loads(capsys.readouterr().out)
    assert told["images"] == 2
    assert told["iou"]["craters"] < 0.8 < told["iou"]["background"] == 1.0
    label("agreement", "--second", tmp_path / "none", images=images, labels=labels, expect=2)
    assert "found none" in capsys.readouterr().err


# COCO


@settings(deadline=None, max_examples=50)
@given(st.lists(shapes(), max_size=6))
def test_labels_survive_the_way_through_coco(tmp_path_factory: pytest.TempPathFactory, drawn: list[Shape]) -> None:
    path = tmp_path_factory.mktemp("coco") / "labels.json"
    entries = {"a/b.png": ImageEntry("a/b.png", "a", "0")}
    before = {"a/b.png": Annotation("a/b.png", "0", WIDTH, HEIGHT, tuple(drawn), "inferred", (1, 2, 30), True, "note")}
    path.write_text(json.dumps(as_coco(before)))
    again, problems = read_coco(path, entries, before)
    assert problems == []
    assert again == before
    fresh, _ = read_coco(path, entries, {})
    for first, second in zip(drawn, fresh["a/b.png"].shapes, strict=True):
        assert first.label == second.label
        assert np.allclose(outline(first), outline(second), atol=0.01)


def test_a_coco_file_of_another_tool_is_read_and_its_strangers_are_named(
    images: Path, labels: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "coco.json"
    label("export", "--coco", path, images=images, labels=labels)
    data = json.loads(path.read_text())
    assert (len(data["images"]), len(data["annotations"])) == (11, 66)
    for image in data["images"]:
        image["file_name"] = f"upload/{Path(image['file_name']).name}"
    data["images"].append({"id": 99, "file_name": "moon.png", "width": 9, "height": 9})
    data["categories"].append({"id": 9, "name": "shadow"})
    first = data["annotations"][0]
    data["annotations"] += [
        {**first, "id": 100, "category_id": 9},
        {**first, "id": 101, "segmentation": {"counts": "abc", "size": [9, 9]}},
        {**first, "id": 102, "image_id": 99},
        {**first, "id": 103, "category_id": 2, "segmentation": [[80, 80, 100, 80, 100, 100]]},
    ]
    path.write_text(json.dumps(data))
    label("import", "--coco", path, images=images, labels=labels, expect=1)
    err = capsys.readouterr().err
    assert "image 99: image moon.png: no such image in manifest.csv; left out" in err
    assert "annotation 100: label: expected body, crater, boulder, terminator, got 'shadow'" in err
    assert "annotation 101: segmentation: expected polygons, got a bitmap" in err
    assert read_annotation(labels / "alpha_alpha_0.json")[0].shapes[-1].label == "crater"
    assert len(read_annotation(labels / "alpha_alpha_0.json")[0].shapes) == 7


# The labels of D-4


@pytest.mark.parametrize("folder", [D4_LABELS, D4_SECOND])
def test_the_projects_own_label_files_are_sound(folder: Path) -> None:
    """Without the images: every file can be read and no shape of it is lost."""
    rules = read_rules(folder)
    for path in sorted(folder.glob("*.json")):
        annotation, problems = read_annotation(path)
        assert problems == [], path
        assert path.name == default_name(annotation.file)
        assert annotation.file not in rules.excluded
        assert rules.wanted is None or annotation.file in rules.wanted


def test_the_projects_own_labels_fit_their_images() -> None:
    folder = os.environ.get("RUBBLEMAP_REAL_IMAGES")
    if not folder:
        pytest.skip("RUBBLEMAP_REAL_IMAGES names no folder of the images of D-4")
    entries = read_manifest(Path(folder))
    for labels in (D4_LABELS, D4_SECOND):
        assert check(labels, Path(folder), entries, read_rules(labels)).errors == []
        for file in read_labels(labels, entries)[0]:
            read_image(Path(folder), entries[file])
