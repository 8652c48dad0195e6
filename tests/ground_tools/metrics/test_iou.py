"""IoU in both definitions, and the interval of its mean, against plain counts."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ground_tools.metrics.iou import (
    confusion_matrix,
    image_ious,
    intersection_over_union,
    iou_per_class,
    mean_iou,
    miou_interval,
    over_images,
    paper_iou,
    precision_recall_f1,
    set_iou,
)

maps = arrays(np.uint8, st.tuples(st.just(3), st.integers(2, 6), st.integers(2, 6)), elements=st.integers(0, 3))


@settings(max_examples=60)
@given(maps, st.randoms(use_true_random=False))
def test_iou_in_both_definitions_and_precision_recall_f1(truths: np.ndarray, random: Any) -> None:
    predictions = np.random.default_rng(random.randrange(1 << 30)).integers(0, 4, truths.shape).astype(np.uint8)
    confusions = np.stack([confusion_matrix(t, p, 4) for t, p in zip(truths, predictions, strict=True)])
    np.testing.assert_allclose(paper_iou(confusions), iou_per_class(truths, predictions, 4))
    precision, recall, f1 = precision_recall_f1(confusions.sum(axis=0))
    for index in range(4):
        true, predicted = truths == index, predictions == index
        each = [(t & p).sum() / (t | p).sum() for t, p in zip(true, predicted, strict=True) if t.any()]
        if each:
            assert over_images(image_ious(confusions), "min")[index] == pytest.approx(min(each))
            assert over_images(image_ious(confusions), "max")[index] == pytest.approx(max(each))
            assert set_iou(confusions)[index] == pytest.approx((true & predicted).sum() / (true | predicted).sum())
            assert recall[index] == pytest.approx((true & predicted).sum() / true.sum())
        else:
            assert np.isnan(set_iou(confusions)[index])
            assert np.isnan(recall[index])
        if predicted.any():
            assert precision[index] == pytest.approx((true & predicted).sum() / predicted.sum())
        if predicted.any() or true.any():
            assert f1[index] == pytest.approx(2 * (true & predicted).sum() / (true.sum() + predicted.sum()))


def test_a_marked_pixel_leaves_every_prediction_and_stays_in_the_truth() -> None:
    truth = np.array([[0, 0, 0, 0], [1, 1, 1, 1]], dtype=np.uint8)
    predicted = np.array([[0, 0, 0, 1], [1, 1, 1, 0]], dtype=np.uint8)
    marked = predicted.copy()
    marked[0, 3] = marked[1, 0] = 2
    assert image_ious(confusion_matrix(truth, predicted, 2)) == pytest.approx([3 / 5, 3 / 5])
    # The wrong pixel of row 0 no longer spoils class 1; the right one of row 1 is lost to it.
    assert image_ious(confusion_matrix(truth, marked, 2, 3)) == pytest.approx([3 / 5, 2 / 4])


def test_the_interval_of_the_miou_is_that_of_independent_views() -> None:
    generator = np.random.default_rng(2)
    values = generator.normal(0.5, 0.1, (400, 1))
    low, high = miou_interval(values, np.arange(400))
    # One class everywhere: the mean of independent images, 1.96 standard errors to each side.
    error = 1.96 * values.std() / math.sqrt(400)
    assert (low, high) == pytest.approx((values.mean() - error, values.mean() + error), abs=0.1 * error)
    # Four copies of every image tell nothing more; taken for independent, they would halve the interval.
    copies = np.repeat(values, 4, axis=0)
    assert miou_interval(copies, np.repeat(np.arange(400) * 3, 4)) == pytest.approx((low, high))
    narrow = miou_interval(copies, np.arange(1600))
    assert narrow[1] - narrow[0] == pytest.approx((high - low) / 2, rel=0.1)


def test_every_draw_of_the_interval_is_of_all_classes_of_the_set() -> None:
    """A draw without a class of low IoU would have the mean of the others."""
    ious = np.column_stack([np.full(20, 0.9), np.full(20, np.nan), np.full(20, np.nan)])
    ious[7, 1] = 0.1
    assert miou_interval(ious, np.arange(20)) == pytest.approx((0.5, 0.5))
    # Twice as many views with it: their own spread is in the interval.
    ious[8, 1] = 0.3
    low, high = miou_interval(ious, np.arange(20))
    assert (low, high) == pytest.approx((0.5, 0.6))
    # Four in ten draws of many show two classes that one view each shows.
    ious[8, 1], ious[9, 2] = np.nan, 0.4
    assert miou_interval(ious, np.arange(20)) == (None, None)
    assert miou_interval(ious, np.where(np.arange(20) == 9, 7, np.arange(20))) == pytest.approx((1.4 / 3, 1.4 / 3))
    # One view alone is all that can be drawn.
    assert miou_interval(ious, np.zeros(20, dtype=np.int64)) == pytest.approx((1.4 / 3, 1.4 / 3))


def test_iou_by_hand() -> None:
    truth = np.array([[0, 0, 1, 1], [2, 2, 2, 2]])
    predicted = np.array([[0, 1, 1, 1], [2, 2, 0, 0]])
    confusion = confusion_matrix(truth, predicted, 4)
    assert confusion[2].tolist() == [2, 0, 2, 0]
    iou = intersection_over_union(confusion)
    assert iou[:3] == pytest.approx([1 / 4, 2 / 3, 2 / 4])
    assert np.isnan(iou[3])


def test_the_papers_iou_is_the_mean_over_images_that_show_the_class() -> None:
    truths = np.array([[[0, 0, 1, 1]], [[0, 0, 0, 0]]])
    predictions = np.array([[[0, 0, 1, 0]], [[0, 0, 0, 1]]])
    iou = iou_per_class(truths, predictions, 3)
    assert iou[0] == pytest.approx((2 / 3 + 3 / 4) / 2)
    assert iou[1] == pytest.approx(1 / 2)  # the second image does not show class 1
    assert np.isnan(iou[2])
    assert mean_iou(iou) == pytest.approx((iou[0] + iou[1]) / 2)
