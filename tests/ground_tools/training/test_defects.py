"""What worse cameras do to training images: by NumPy and by JAX alike, and of the strength that is stated."""

from __future__ import annotations

import numpy as np
import pytest

from ground_tools.training.batches import UNetBatches
from ground_tools.training.defects import HOT_LEVEL, Draws, add_defects, spoil
from ground_tools.training.pixels import Pixels
from ground_tools.training.recipes import load_recipe

SIZE = 48


def draws(**changes: object) -> Draws:
    """Draws that do nothing to speak of, but for some."""
    none = np.zeros((SIZE, SIZE), dtype=np.float32)
    plain = {"angle": 0.0, "length": 0.0, "gain": 0.0, "well": 0.0, "noise": none, "columns": none[0]}
    return Draws(**{**plain, "hot_share": 0.0, "dead_share": 0.0, "spots": none + 0.5, "level": none, **changes})


def test_no_defects_leave_the_image_as_it_is() -> None:
    image = np.random.default_rng(0).random((SIZE, SIZE)).astype(np.float32)
    assert add_defects(image, 0.0, np.random.default_rng(0)) is image
    assert spoil(np, image, 1.0, draws()) == pytest.approx(image, abs=1e-6)
    spoilt = add_defects(image, 1.0, np.random.default_rng(0))
    assert spoilt.dtype == np.float32
    assert (spoilt.min() >= 0.0, spoilt.max() <= 1.0) == (True, True)
    assert np.abs(spoilt - image).mean() > 0.01


def test_each_defect_does_what_it_is_called() -> None:
    spot = np.zeros((SIZE, SIZE), dtype=np.float32)
    spot[20, 20] = 1.0
    # Along the columns, three pixels long at strength 1: the light stays, spread over the line alone.
    smeared = spoil(np, spot, 1.0, draws(length=1.0))
    assert smeared.sum() == pytest.approx(1.0, abs=1e-5)
    assert smeared[20, 19:22].sum() > 0.8
    assert smeared[[19, 21]].max() == pytest.approx(0.0, abs=1e-6)
    down = spoil(np, spot, 1.0, draws(length=1.0, angle=0.5))
    assert down == pytest.approx(smeared.T, abs=1e-5)
    grey = np.full((SIZE, SIZE), 0.5, dtype=np.float32)
    noise = np.random.default_rng(1).standard_normal(grey.shape)
    # Shot noise: variance is the mean over the well.
    shot = spoil(np, grey, 1.0, draws(well=1.0, noise=noise))
    assert shot.std() == pytest.approx(np.sqrt(0.5 / np.exp(6.0)), rel=0.05)
    assert spoil(np, 0.25 * grey, 1.0, draws(well=1.0, noise=noise)).std() < 0.6 * shot.std()
    # A gain saturates.
    assert spoil(np, grey, 1.0, draws(gain=3.0)).max() == 1.0
    spots = np.linspace(0.0, 1.0, SIZE * SIZE).reshape(SIZE, SIZE)
    marked = spoil(np, grey, 1.0, draws(hot_share=1.0, dead_share=1.0, spots=spots, level=spots))
    assert marked[0, 0] == HOT_LEVEL
    assert marked[-1, -1] == 0.0
    assert (marked != 0.5).sum() <= 2 * (2 + SIZE * SIZE / 1000)


def test_equal_draws_give_equal_images_in_jax() -> None:
    jnp = pytest.importorskip("jax.numpy")
    generator = np.random.default_rng(3)
    image = generator.random((SIZE, SIZE)).astype(np.float32)
    drawn = draws(
        **{name: np.float32(generator.random()) for name in ("angle", "length", "gain", "well")},
        hot_share=1.0,
        dead_share=1.0,
        noise=generator.standard_normal(image.shape).astype(np.float32),
        columns=generator.standard_normal(SIZE).astype(np.float32),
        spots=generator.random(image.shape).astype(np.float32),
        level=generator.random(image.shape).astype(np.float32),
    )
    assert np.asarray(spoil(jnp, jnp.asarray(image), 0.7, drawn)) == pytest.approx(
        spoil(np, image, 0.7, drawn), abs=1e-5
    )


def test_batches_have_the_recipes_defects() -> None:
    image = np.full((SIZE, SIZE), 120, dtype=np.uint8)
    pixels = Pixels(np.stack([image] * 8), np.zeros((8, SIZE, SIZE), dtype=np.uint8), noisy=False)
    changes = {"augmentation.photometric": 0.0, "batch": 8, "augmentation.defects": 0.0}
    clean, _ = UNetBatches(pixels, load_recipe("best-cpu-rubble", changes))[0]
    assert np.ptp(clean) == 0.0
    spoilt, labels = UNetBatches(pixels, load_recipe("best-cpu-rubble", {**changes, "augmentation.defects": 1.0}))[0]
    assert spoilt.shape == (8, SIZE, SIZE, 1)
    assert labels.shape == (8, SIZE, SIZE)
    assert spoilt.std() > 0.02
