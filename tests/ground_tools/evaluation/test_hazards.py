"""Maps judged as a lander would, on maps whose answer is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from flight.bundle import Bundle, load_bundle
from ground_tools.evaluation.hazards import OBJECT_SIZES, count_objects, judge_hazards
from ground_tools.labels.classes import BACKGROUND, BOULDERS, CRATERS, SURFACE

MODELS = Path(__file__).parents[3] / "models"
SIZE = 128


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return load_bundle(MODELS / "unet_s")


def scene() -> tuple[np.ndarray, np.ndarray]:
    """Truth and identifiers: ground with boulders of 6 x 6 and 2 x 3 pixels, a crater of 20 x 20, and sky above."""
    truth = np.full((SIZE, SIZE), SURFACE, np.uint8)
    truth[:8] = BACKGROUND
    identifiers = np.where(truth == SURFACE, 1, 0).astype(np.uint16)
    for label, identifier, rows, columns in (
        (BOULDERS, 1000, slice(30, 36), slice(30, 36)),
        (BOULDERS, 1001, slice(60, 62), slice(100, 103)),
        (CRATERS, 100, slice(80, 100), slice(40, 60)),
    ):
        truth[rows, columns], identifiers[rows, columns] = label, identifier
    return truth, identifiers


def moments(predicted: np.ndarray, certainty: float = 0.99) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The moments of a network that gives the predicted class this probability everywhere."""
    mean = np.full((5, *predicted.shape), (1.0 - certainty) / 4.0, np.float32)
    np.put_along_axis(mean, predicted[None].astype(np.int64), np.float32(certainty), axis=0)
    entropy = -(mean * np.log(mean)).sum(axis=0)
    return mean, entropy, np.zeros_like(entropy)


def frame_of(truth: np.ndarray) -> np.ndarray:
    generator = np.random.default_rng(1)
    return np.where(truth == BACKGROUND, 2, generator.integers(90, 140, truth.shape)).astype(np.uint8)


def test_of_a_map_without_fault_everything_is_found_and_no_circle_is_unsafe(bundle: Bundle) -> None:
    truth, identifiers = scene()
    judged = judge_hazards(bundle, moments(truth), frame_of(truth), truth, identifiers)
    assert judged["objects"].tolist() == [
        [[1, 1, 0], [1, 1, 0], [0, 0, 0], [0, 0, 0]],
        [[0, 0, 0], [0, 0, 0], [0, 0, 0], [1, 1, 0]],
    ]
    circles, unsafe = judged["circles"]
    assert circles > 3
    assert unsafe == 0
    lit, offered, covered, hazards = judged["ground"]
    assert lit == pytest.approx((truth == SURFACE).sum(), rel=0.02)
    assert offered > 0.95 * lit
    assert 0.3 * lit < covered <= offered
    assert hazards == 0


def test_a_map_that_sees_no_hazard_is_caught(bundle: Bundle) -> None:
    truth, identifiers = scene()
    blind = np.where(truth == BACKGROUND, BACKGROUND, SURFACE).astype(np.uint8)
    judged = judge_hazards(bundle, moments(blind), frame_of(truth), truth, identifiers)
    assert judged["objects"][..., 1].sum() == 0
    assert judged["objects"][..., 2].sum() == judged["objects"][..., 0].sum() == 3
    assert judged["circles"][1] > 0
    assert judged["ground"][3] == 36 + 6 + 400
    pixels, right, confidence = judged["hazard_calibration"].sum(axis=1)
    assert pixels == (truth != BACKGROUND).sum()
    assert right == 442
    # What the other four classes get, of which one is safe ground where the map says something else.
    assert confidence == pytest.approx(0.01 * pixels, rel=0.01)


def test_a_lander_that_doubts_everything_is_offered_nothing(bundle: Bundle) -> None:
    truth, identifiers = scene()
    judged = judge_hazards(bundle, moments(truth, certainty=0.4), frame_of(truth), truth, identifiers)
    assert judged["circles"].tolist() == [0, 0]
    assert judged["ground"][1:].tolist() == [0, 0, 0]
    assert judged["objects"][..., 2].sum() == 0


def test_an_object_is_found_from_half_of_its_pixels_on(bundle: Bundle) -> None:
    truth, identifiers = scene()
    nothing = np.zeros(truth.shape, bool)
    for shown, found in ((17, 0), (18, 1)):
        predicted = np.full(truth.shape, SURFACE, np.uint8)
        predicted[30:36, 30:36].flat[:shown] = CRATERS
        counts = count_objects(bundle, identifiers, truth, predicted, nothing)
        assert counts[0, OBJECT_SIZES.index(16)].tolist() == [1, found, 0]
    assert not count_objects(bundle, np.zeros((0, 0), np.uint16), truth, truth, nothing).any()
