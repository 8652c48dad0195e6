"""What a product is measured by against the truth of its frame."""

from __future__ import annotations

import math

import numpy as np
import pytest

from hil.runs import measures
from hil.sources.frames import TruthClass
from tests.flight.client.products import BACKGROUND, HAZARD, ROLES, SAFE, ellipse, hazard, navigation

CLASSES = tuple(TruthClass(role, role) for role in ROLES)


def test_truth_is_taken_where_the_map_looks() -> None:
    """A map of every second sensor pixel, shifted so that it looks past the frame."""
    truth = np.arange(400, dtype=np.uint8).reshape(20, 20) % 4
    product = navigation(np.zeros((8, 8)), map_to_sensor=[2.0, 0.0, 10.0, 0.0, 2.0, 4.0])
    in_map = measures.truth_in_map(truth, product)
    assert np.array_equal(in_map[:, :5], truth[4:20:2, 10:20:2])
    assert (in_map[:, 5:] == measures.UNSEEN).all()
    counted = measures.count_confusion(in_map, product.planes["class_map"], 4, 4)
    assert sum(map(sum, counted)) == 40


def test_confusion_and_iou_are_those_of_hand() -> None:
    truth = np.array([[0, 0, 1], [1, 1, measures.UNSEEN]], dtype=np.uint8)
    found = np.array([[0, 1, 1], [1, 7, 0]], dtype=np.uint8)
    counted = np.array(measures.count_confusion(truth, found, 3, 3))
    assert counted.tolist() == [[1, 1, 0, 0], [0, 2, 0, 1], [0, 0, 0, 0]]
    values = measures.intersection_over_union(counted)
    assert values[:2].tolist() == [0.5, 0.5]
    assert math.isnan(values[2])
    assert measures.mean_iou(counted) == 0.5
    assert math.isnan(measures.mean_iou(np.zeros((3, 4), dtype=np.int64)))


def test_the_centroids_error_is_in_sensor_pixels() -> None:
    truth = ellipse(64, 30.0, 32.0, 12.0, 12.0).astype(np.uint8)
    product = navigation(ellipse(64, 33.0, 36.0, 12.0, 12.0))
    error, why = measures.centroid_error(product, truth, CLASSES)
    assert error == pytest.approx(5.0, abs=0.05)
    assert why == ""


@pytest.mark.parametrize(
    ("truth", "class_map", "why"),
    [
        (ellipse(64, 2.0, 32.0, 12.0, 12.0), ellipse(64, 20.0, 32.0, 12.0, 12.0), "no whole body in the truth"),
        (np.full((64, 64), BACKGROUND), ellipse(64, 20.0, 32.0, 9.0, 9.0), "no whole body in the truth"),
        (ellipse(64, 30.0, 32.0, 9.0, 9.0), np.full((64, 64), BACKGROUND), "no_body"),
    ],
)
def test_without_a_whole_body_there_is_no_error(truth: np.ndarray, class_map: np.ndarray, why: str) -> None:
    assert measures.centroid_error(navigation(class_map), truth.astype(np.uint8), CLASSES) == (None, why)


def test_pixels_of_circles_on_hazards_are_counted() -> None:
    product = hazard(np.full((64, 64), SAFE))
    truth = np.full((64, 64), SAFE, dtype=np.uint8)
    count, pixels, hazards = measures.count_circle_pixels(product, truth, CLASSES, 3.0)
    assert count >= 1
    assert hazards == 0
    assert pixels > 0.7 * math.pi / 4 * 64 * 64
    truth[:, :32] = HAZARD
    _, same, half = measures.count_circle_pixels(product, truth, CLASSES, 3.0)
    assert same == pixels
    assert half == pytest.approx(pixels / 2, rel=0.1)
    refused = hazard(np.full((64, 64), SAFE), flags=["dark"])
    assert measures.count_circle_pixels(refused, truth, CLASSES, 3.0) == (0, 0, 0)


def test_entropy_is_that_inside_of_the_frame() -> None:
    class_map = np.zeros((32, 32))
    class_map[16:] = len(ROLES)
    entropy = np.where(class_map == len(ROLES), math.log(4), 0.25)
    assert measures.mean_entropy(navigation(class_map, entropy)) == pytest.approx(0.25)
