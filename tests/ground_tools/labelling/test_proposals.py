"""Proposals of outlines and terminators."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from ground_tools.labelling.annotations import Annotation, read_annotation
from ground_tools.labelling.proposals import body_outline, propose
from ground_tools.labelling.rasterisation import rasterise
from ground_tools.labelling.shapes import (
    area,
    is_proposal,
    outline,
)
from tests.ground_tools.labelling.drawn import (
    AXES,
    HEIGHT,
    SKY,
    WIDTH,
    drawn_body,
    drawn_image,
)
from tests.ground_tools.labelling.label_tool import label


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
