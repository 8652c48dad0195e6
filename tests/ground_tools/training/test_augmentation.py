"""Augmentation: noise, exposure, moves, and the body from farther away."""

from __future__ import annotations

import numpy as np
import pytest

from ground_tools.datasets.noise import add_noise, network_inputs
from ground_tools.training.augmentation import disturb, move, move_away, paper_noise


def test_noise_is_the_papers() -> None:
    image = np.full((400, 400), 100, dtype=np.uint8)
    noisy = paper_noise(image, np.random.default_rng(0))
    assert noisy.mean() == pytest.approx(100 / 255 + 0.1, abs=1e-3)
    assert noisy.std() == pytest.approx(0.01, rel=0.05)
    generators = [np.random.default_rng(4) for _ in range(2)]
    assert np.array_equal(disturb(image, 0.0, generators[0]), paper_noise(image, generators[1]))
    wild = disturb(image, 1.0, np.random.default_rng(1))
    assert wild.min() >= 0.0
    assert wild.max() <= 1.0


def test_real_images_keep_their_own_noise() -> None:
    image = np.random.default_rng(0).integers(0, 256, (2, 64, 64), dtype=np.uint8)
    plain = image.astype(np.float32) / 255.0
    assert np.array_equal(network_inputs(image, None)[..., 0], plain)
    assert network_inputs(image, {"seed": 3})[..., 0].mean() == pytest.approx(plain.mean() + 0.1, abs=0.02)
    assert np.array_equal(network_inputs(image, {"seed": 3}), add_noise(image, 3))
    generator = np.random.default_rng(1)
    assert np.array_equal(disturb(image[0], 0.0, generator, noisy=False), plain[0])
    assert not np.array_equal(disturb(image[0], 0.5, generator, noisy=False), plain[0])


def test_an_image_and_its_mask_are_moved_alike() -> None:
    rows, columns = np.mgrid[:128, :128]
    body = (columns - 60) ** 2 / 35**2 + (rows - 66) ** 2 / 20**2 < 1.0
    image, mask = (200 * body).astype(np.uint8), body.astype(np.uint8)
    assert all(a is b for a, b in zip(move(image, mask, 0.0, np.random.default_rng(0)), (image, mask), strict=True))
    ratios, angles = [], []
    for seed in range(40):
        turned, labels = move(image, mask, 1.0, np.random.default_rng(seed))
        assert (turned.dtype, labels.dtype) == (np.uint8, np.uint8)
        assert set(np.unique(labels)) == {0, 1}
        # But for the pixels that the interpolation spreads the outline over.
        assert ((turned > 100) == (labels == 1)).mean() > 0.995
        ratios.append(labels.sum() / mask.sum())
        y, x = np.nonzero(labels)
        angles.append(0.5 * np.arctan2(2.0 * np.cov(x, y)[0, 1], np.var(x) - np.var(y)))
    assert 0.5 < min(ratios) < 0.75
    assert 1.3 < max(ratios) < 1.9
    assert np.ptp(angles) > 2.5


def test_a_body_is_shown_from_farther_away() -> None:
    rows, columns = np.mgrid[:128, :128]
    body = (columns - 63.5) ** 2 + (rows - 63.5) ** 2 < 50**2
    mask = body.astype(np.uint8)
    mask[40:88, 60:65] = 4
    mask[60:66, 30:34] = 3
    image = np.where(body, 200, 7).astype(np.uint8)
    sizes = []
    for seed in range(30):
        small, labels = move_away(image, mask, 5, np.random.default_rng(seed))
        seen = labels > 0
        assert ((small > 100) == seen).mean() > 0.99
        assert (small[0] == 7).all()  # the sky goes on
        sizes.append(np.sqrt(seen.sum() / body.sum()))
        # The terminator keeps its width of 5 pixels, the boulder of 24 shrinks and is dropped below 5.
        widths = (labels[62:66] == 4).sum(axis=1)
        assert 4 <= np.median(widths) <= 6
        assert (labels == 3).sum() == 0 or 5 <= (labels == 3).sum() <= 30
        if sizes[-1] < 0.4:
            assert (labels == 3).sum() == 0
    assert 0.28 < min(sizes) < 0.4
    assert 0.8 < max(sizes) <= 1.0
    # A body that reaches the edge of the image stays as it is.
    mask[0, 5] = 1
    same = move_away(image, mask, 5, np.random.default_rng(0))
    assert same[0] is image
    assert same[1] is mask
