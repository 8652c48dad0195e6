"""Scores of labelled pixels in any classes."""

from __future__ import annotations

import numpy as np
import pytest

from ground_tools.metrics.iou import confusion_matrix
from ground_tools.metrics.scores import score

TRUTH = np.array([[0, 0, 0, 1], [1, 1, 2, 255]])
PREDICTED = np.array([[0, 0, 1, 1], [1, 0, 0, 2]])


def test_scores_of_labelled_pixels() -> None:
    scores = score(confusion_matrix(TRUTH, PREDICTED, 4))
    assert scores.accuracy == pytest.approx(4 / 7)
    assert scores.recall[:3] == pytest.approx([2 / 3, 2 / 3, 0.0])
    assert scores.iou[:3] == pytest.approx([2 / 5, 2 / 4, 0.0])
    assert scores.f1[:3] == pytest.approx([4 / 7, 4 / 6, 0.0])
    # The fourth class is neither there nor predicted.
    assert np.isnan(scores.iou[3])
    assert scores.miou == pytest.approx((2 / 5 + 2 / 4) / 3)
    assert scores.macro_f1 == pytest.approx((4 / 7 + 4 / 6) / 3)


def test_images_without_labels_have_no_score() -> None:
    with pytest.raises(ValueError, match="expected pixels with labels"):
        score(confusion_matrix(np.full((2, 2), 255), np.zeros((2, 2), int), 3))
