"""Boundary F-score of drawn shapes, and against a plain count."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest

from ground_tools.metrics.boundaries import boundary, boundary_f_scores, tolerance_pixels


def test_boundary_f_score_of_drawn_shapes() -> None:
    truth = np.zeros((128, 128), dtype=np.uint8)
    truth[30:70, 30:70] = 1
    assert tolerance_pixels(128, 128) == 2
    assert boundary(truth == 1).sum() == 4 * 40 - 4
    assert boundary_f_scores(truth, truth, 3)[:2] == pytest.approx([1.0, 1.0])
    assert np.isnan(boundary_f_scores(truth, truth, 3)[2])
    moved_by_2 = np.roll(truth, 2, axis=1)
    assert boundary_f_scores(truth, moved_by_2, 2)[1] == pytest.approx(1.0)
    # By 6 px: upper and lower edges lie on each other but for 4 px beyond the tolerance at each end, the sides do not,
    # but for the two pixels from each corner that are near the other's edge.
    moved = np.roll(truth, 6, axis=1)
    own, other = np.argwhere(boundary(truth == 1)), np.argwhere(boundary(moved == 1))
    near = [np.mean([(((b - p) ** 2).sum(axis=1).min() <= 4) for p in a]) for a, b in ((own, other), (other, own))]
    assert 0.4 < near[0] < 0.6
    assert boundary_f_scores(truth, moved, 2)[1] == pytest.approx(2 * near[0] * near[1] / sum(near))
    assert boundary_f_scores(truth, np.zeros_like(truth), 2)[1] == 0.0
    assert boundary_f_scores(truth, np.roll(truth, 60, axis=1), 2)[1] == 0.0


def test_boundary_f_score_of_random_maps_against_a_plain_count() -> None:
    generator = np.random.default_rng(5)
    for _ in range(6):
        truth, predicted = (cv2.resize(generator.integers(0, 3, (4, 5)).astype(np.uint8), (20, 16)) for _ in range(2))
        for index, score in enumerate(boundary_f_scores(truth, predicted, 3)):
            outlines = [plain_outline(labels == index) for labels in (truth, predicted)]
            if not (truth == index).any() or not (outlines[0] or outlines[1]):
                assert np.isnan(score)
                continue
            shares = [
                np.mean([any(math.dist(p, q) <= 1.0 for q in other) for p in own]) if own else 0.0
                for own, other in (outlines, outlines[::-1])
            ]
            assert tolerance_pixels(16, 20) == 1
            assert score == pytest.approx(2 * shares[0] * shares[1] / sum(shares) if sum(shares) else 0.0)


def plain_outline(region: np.ndarray) -> list[tuple[int, int]]:
    height, width = region.shape
    touching = {
        (v, u)
        for v, u in np.argwhere(region).tolist()
        for y, x in ((v - 1, u), (v + 1, u), (v, u - 1), (v, u + 1))
        if 0 <= y < height and 0 <= x < width and not region[y, x]
    }
    return sorted(touching)


def test_the_edge_of_the_image_is_no_boundary() -> None:
    whole = np.ones((20, 30), dtype=np.uint8)
    assert not boundary(whole == 1).any()
    assert np.isnan(boundary_f_scores(whole, whole, 2)).all()
    half = whole.copy()
    half[:, :15] = 0
    assert boundary(half == 0).sum() == 20
    assert boundary_f_scores(whole, half, 2)[1] == 0.0
