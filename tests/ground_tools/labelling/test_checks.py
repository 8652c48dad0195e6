"""Checks of labels, rules and agreement."""

from __future__ import annotations

import hashlib
import json
import os
import re
from dataclasses import replace
from pathlib import Path

import pytest

from ground_tools.labelling.annotations import default_name, read_annotation, write_annotation
from ground_tools.labelling.checks import check, usable
from ground_tools.labelling.collection import (
    D4_EDITIONS,
    read_image,
    read_manifest,
    read_rules,
)
from ground_tools.labelling.label_files import read_labels
from ground_tools.labelling.rasterisation import crop_of, mask_of
from ground_tools.labelling.shapes import (
    Shape,
    ellipse,
    outline,
)
from tests.ground_tools.labelling.drawn import (
    AXES,
    annotation_of,
    drawn_body,
    drawn_features,
    drawn_terminator,
)
from tests.ground_tools.labelling.label_tool import label


def findings(labels: Path, images: Path) -> tuple[list[str], list[str]]:
    found = check(labels, images, read_manifest(images), read_rules(labels))
    return found.errors, found.remarks


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


@pytest.mark.slow
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


@pytest.mark.slow
def test_surface_alone_is_remarked_until_a_note_says_why(images: Path, labels: Path) -> None:
    label("remove", "alpha_0", "--shape", 1, 2, 3, 4, 5, images=images, labels=labels)
    assert findings(labels, images)[1] == [
        "alpha/alpha_0.png: surface alone: no crater, boulder or terminator, and no note that says why"
    ]
    label("set", "alpha_0", "--note", "a smooth body at full phase", images=images, labels=labels)
    assert findings(labels, images) == ([], [])


@pytest.mark.slow
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
    data["shapes"][2]["shape_type"] = "cube"
    path.write_text(json.dumps(data))
    annotations, problems = read_labels(labels, read_manifest(images))
    assert len(annotations["alpha/alpha_0.png"].shapes) == 4
    assert [problem.removeprefix(f"{path}: ") for problem in problems] == [
        "shape 1: label: expected body, crater, boulder, terminator, got 'hole'; left out",
        "shape 2: shape type: expected polygon, circle, rectangle, oriented_rectangle, got 'cube'; left out",
    ]


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
    (tmp_path / "none").mkdir()
    label("agreement", "--second", tmp_path / "none", images=images, labels=labels, expect=2)
    assert "found none" in capsys.readouterr().err


@pytest.mark.parametrize("folder", [folder for folders in D4_EDITIONS.values() for folder in folders])
def test_the_projects_own_label_files_are_sound(folder: Path) -> None:
    """Without the images: every file can be read and no shape of it is lost."""
    rules = read_rules(folder)
    for path in sorted(folder.glob("*.json")):
        annotation, problems = read_annotation(path)
        assert problems == [], path
        assert path.name == default_name(annotation.file)
        assert annotation.file not in rules.excluded
        assert rules.wanted is None or annotation.file in rules.wanted


def test_the_projects_own_labels_read_as_ever() -> None:
    """What the labels of D-4's first edition say, bit by bit; their shapes, and masks of its second pass."""
    outlines, masks = hashlib.sha256(), hashlib.sha256()
    first, second = D4_EDITIONS[1]
    for folder in (first, second):
        rules = read_rules(first)
        for path in sorted(folder.glob("*.json")):
            annotation = usable(read_annotation(path)[0])[0]
            for shape in annotation.shapes:
                outlines.update(f"{shape.label} {outline(shape).round(6).tolist()}".encode())
            if folder == second:
                masks.update(
                    mask_of(annotation, crop_of(annotation, rules.margin), 128, rules.minimum_across).tobytes()
                )
    assert outlines.hexdigest() == "61750fad4c069ba99a5f4f62cb9f0562f0731fcb9565bcf860faf6b6683fb58a"
    assert masks.hexdigest() == "90784c9a4a46a5b1ceaeaeca2b0e8b09459d57e7dd7546e10fccb18e39cf9de8"


def test_the_projects_own_labels_fit_their_images() -> None:
    folder = os.environ.get("RUBBLEMAP_REAL_IMAGES")
    if not folder:
        pytest.skip("RUBBLEMAP_REAL_IMAGES names no folder of the images of D-4")
    entries = read_manifest(Path(folder))
    for labels in [labels for edition in D4_EDITIONS.values() for labels in edition]:
        if not {read_annotation(path)[0].file for path in labels.glob("*.json")} <= set(entries):
            continue  # of an edition that has more images than the folder
        assert check(labels, Path(folder), entries, read_rules(labels)).errors == []
        for file in read_labels(labels, entries)[0]:
            read_image(Path(folder), entries[file])
