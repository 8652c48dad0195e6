"""Drawn stand-ins for real images, with what they show: shaded ellipsoids with craters, boulders and a night side."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from ground_tools.labelling.annotations import Annotation, default_name, write_annotation
from ground_tools.labelling.collection import ImageEntry, read_manifest, write_manifest
from ground_tools.labelling.shapes import Shape, ellipse

WIDTH, HEIGHT = 260, 200
CENTRE, AXES = (125.0, 96.0), (84.0, 66.0)
SKY = 4
BODIES = ("alpha", "beta", "gamma")

# Splits and groups as a set.toml has them; the fourth of alpha shows what the third does.
RULES = """name = "drawn"
seed = 1
groups = [["alpha/alpha_2.png", "alpha/alpha_3.png"]]
[split_by_image]
train = 0.5
validation = 0.25
test = 0.25
[split_by_body]
train = ["alpha", "beta"]
test = ["gamma"]
validation_share = 0.25
[excluded]
"gamma/gamma_3.png" = "a drawing"
"""


def drawn_image(seed: int, sun_degrees: float = 40.0) -> np.ndarray:
    """An ellipsoid lit from the right, as (H, W) uint8: the night is at its left."""
    generator = np.random.default_rng(seed)
    y, x = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    u, v = (x - CENTRE[0]) / AXES[0], (y - CENTRE[1]) / AXES[1]
    inside = u**2 + v**2 < 1.0
    w = np.sqrt(np.clip(1.0 - u**2 - v**2, 0.0, None))
    sun = np.array([np.sin(np.radians(sun_degrees)), 0.0, np.cos(np.radians(sun_degrees))])
    lit = np.clip(u * sun[0] + w * sun[2], 0.0, None)
    texture = cv2.GaussianBlur(generator.normal(0.0, 1.0, lit.shape), (0, 0), 2.0)
    grey = np.where(inside, 210.0 * lit**0.6 * (1.0 + 1.5 * texture), 0.0) + SKY
    for shape in drawn_features(seed):
        points = np.rint(np.asarray(shape.points)).astype(np.int32)
        region = cv2.fillPoly(np.zeros(grey.shape, np.uint8), [points], (1,)) > 0
        grey[region] *= 1.25 if shape.label == "boulder" else 0.6
    return np.clip(grey, 0, 255).astype(np.uint8)


def drawn_features(seed: int) -> list[Shape]:
    """Two craters and two boulders that the image of this seed has."""
    generator = np.random.default_rng([seed, 1])
    places = [(110, 70), (160, 70), (110, 120), (155, 118)]
    order = generator.permutation(4)
    shapes = []
    for place, (label, a, b) in zip(
        order, (("crater", 16, 13), ("crater", 11, 9), ("boulder", 7, 6), ("boulder", 9, 6)), strict=True
    ):
        x, y = np.round(np.asarray(places[place]) + generator.uniform(-9.0, 9.0, 2), 1).tolist()
        shapes.append(ellipse(label, x, y, a, b, int(generator.integers(180))))
    return shapes


def drawn_body() -> Shape:
    return ellipse("body", *CENTRE, *AXES)


def drawn_terminator() -> Shape:
    points = ((62.0, 50.0), (72.0, 50.0), (64.0, 96.0), (72.0, 140.0), (62.0, 140.0), (54.0, 96.0))
    return Shape("terminator", points)


def write_images(folder: Path) -> dict[str, ImageEntry]:
    """Four images of each of three bodies, and their manifest.csv."""
    for number, body in enumerate(BODIES):
        (folder / body).mkdir(parents=True)
        for index in range(4):
            image = drawn_image(10 * number + index - (body == "alpha" and index == 3))
            assert cv2.imwrite(str(folder / body / f"{body}_{index}.png"), image)
    assert write_manifest(folder).images == 12
    return read_manifest(folder)


def annotation_of(entry: ImageEntry, seed: int, labelled: bool = True) -> Annotation:
    shapes = (drawn_body(), *drawn_features(seed), drawn_terminator())
    return Annotation(entry.file, entry.sha256, WIDTH, HEIGHT, shapes, "inferred", None, labelled)


def write_labels(folder: Path, entries: dict[str, ImageEntry]) -> None:
    """Labels of all images but the last of gamma, which set.toml excludes."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "set.toml").write_text(RULES)
    for number, body in enumerate(BODIES):
        for index in range(4 - (body == "gamma")):
            entry = entries[f"{body}/{body}_{index}.png"]
            seed = 10 * number + index - (body == "alpha" and index == 3)
            write_annotation(annotation_of(entry, seed), folder / default_name(entry.file))
