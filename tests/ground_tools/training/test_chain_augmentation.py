"""The accelerator's augmentation beside NumPy's: equal for equal draws, alike in distribution."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from flight.inference.orientations import apply_orientation
from ground_tools.labels.classes import BACKGROUND, BOULDERS
from ground_tools.training import augmentation as numpy_augmentation
from ground_tools.training.batches import UNetBatches
from ground_tools.training.pixels import Pixels
from ground_tools.training.recipes import Recipe, load_recipe

jax = pytest.importorskip("jax")

from ground_tools.training.chain import augmentation  # noqa: E402

SIZE = 64
# Nothing here is computed often enough to be worth compiling it well.
QUICK = {"xla_backend_optimization_level": 0}


def scene(seed: int, size: int = SIZE) -> tuple[np.ndarray, np.ndarray]:
    """A body whole in the image with rocks of all sizes, a crater and a terminator: image and mask, (S, S) uint8."""
    generator = np.random.default_rng(seed)
    rows, columns = np.mgrid[:size, :size]
    middle = size / 2 + generator.uniform(-0.05, 0.05, 2) * size
    body = (rows - middle[0]) ** 2 + (columns - middle[1]) ** 2 < (0.38 * size) ** 2
    mask = body.astype(np.uint8)
    mask[body & (columns < 0.35 * size) & (columns > 0.3 * size)] = 4
    for label, count in ((2, 1), (BOULDERS, 25)):
        for _ in range(count):
            radius = generator.integers(0, 4) if label == BOULDERS else size // 12
            row, column = generator.integers(size // 4, 3 * size // 4, 2)
            mask[((rows - row) ** 2 + (columns - column) ** 2 <= radius**2) & body] = label
    texture = cv2.GaussianBlur(generator.normal(0.0, 60.0, (size, size)), (0, 0), 1.0)
    image = np.clip(np.where(body, 120 + 20 * mask + texture, 5), 0, 255).astype(np.uint8)
    return image, mask


def test_the_eight_orientations_are_those_of_flight() -> None:
    array = np.arange(25).reshape(5, 5)
    for orientation in range(8):
        turned = augmentation.orient(jax.numpy.asarray(array), jax.numpy.asarray(orientation))
        assert np.array_equal(turned, apply_orientation(array, orientation))


@pytest.mark.parametrize("sigma", [0.1, 0.21, 0.5, 0.93, 1.7, 3.0])
def test_blur_is_opencvs(sigma: float) -> None:
    image = np.random.default_rng(1).uniform(0.0, 1.0, (SIZE, SIZE)).astype(np.float32)
    expected = cv2.GaussianBlur(image, (0, 0), sigma) if sigma > numpy_augmentation.LEAST_BLUR else image
    assert np.abs(np.asarray(augmentation.blur_by(jax.numpy.asarray(image), sigma)) - expected).max() < 2e-5


@pytest.mark.parametrize("minimum", [1, 2, 5])
def test_small_parts_are_the_connected_components_of_few_pixels(minimum: int) -> None:
    generator = np.random.default_rng(minimum)
    check = jax.jit(augmentation.small_parts, static_argnums=1, compiler_options=QUICK)
    for share in (0.05, 0.2, 0.35, 0.5):
        region = generator.random((SIZE, SIZE)) < share
        _, parts, found, _ = cv2.connectedComponentsWithStats(region.astype(np.uint8), connectivity=8)
        expected = region & (found[:, cv2.CC_STAT_AREA] < minimum)[parts]
        assert np.array_equal(check(jax.numpy.asarray(region), minimum), expected)


class Fixed:
    """A generator whose next uniform draw is known."""

    def __init__(self, value: float) -> None:
        self.value = value

    def uniform(self, low: float, high: float) -> float:
        return self.value


@pytest.mark.parametrize("minimum", [1, 5])
def test_a_body_from_farther_away_is_numpys(minimum: int) -> None:
    move_away = jax.jit(augmentation.move_away, static_argnums=3, compiler_options=QUICK)
    changed = 0
    for seed, scale in enumerate((0.31, 0.42, 0.5, 0.58, 0.74, 0.76, 0.88, 0.97, 1.0)):
        image, mask = scene(seed)
        expected = numpy_augmentation.move_away(image, mask.copy(), minimum, Fixed(np.log(scale)))
        small, labels = move_away(image.astype(np.float32), mask, np.float32(scale), minimum)
        assert np.array_equal(labels, expected[1])
        assert np.abs(np.asarray(small) - expected[0]).max() <= 1.0
        assert (np.asarray(small) != expected[0]).mean() < 0.02
        changed += not np.array_equal(labels, mask)
    assert changed >= 7
    image, mask = scene(0)
    mask[0, 3] = 1
    small, labels = move_away(image.astype(np.float32), mask, np.float32(0.5), minimum)
    assert np.array_equal(small, image)
    assert np.array_equal(labels, mask)


def measures(images: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """What a batch looks like, (N, M): brightness of body and sky, contrast, grain, sizes, where the night is."""
    found = []
    for image, mask in zip(images, masks, strict=True):
        body, sky = image[mask != BACKGROUND], image[mask == BACKGROUND]
        grain = np.abs(np.diff(image, axis=0))[mask[1:] != BACKGROUND].mean()
        rows, columns = np.nonzero(mask == 4)
        found.append(
            [
                body.mean(),
                sky.mean(),
                sky.std(),
                body.std(),
                grain,
                (mask != BACKGROUND).mean(),
                (mask == BOULDERS).mean(),
                (mask == 4).mean(),
                rows.mean() if len(rows) else -1.0,
                columns.mean() if len(columns) else -1.0,
            ]
        )
    return np.asarray(found)


def two_sample_statistic(one: np.ndarray, other: np.ndarray) -> float:
    """Kolmogorov and Smirnov's: the largest difference of two cumulative distributions, by its scale."""
    places = np.sort(np.concatenate([one, other]))
    shares = [np.searchsorted(np.sort(values), places, side="right") / len(values) for values in (one, other)]
    return float(np.abs(shares[0] - shares[1]).max() * np.sqrt(len(one) * len(other) / (len(one) + len(other))))


def augmented_by_numpy(recipe: Recipe, noisy: bool) -> np.ndarray:
    """The measures of a batch of one scene."""
    image, mask = scene(3)
    pixels = Pixels(np.stack([image] * recipe.batch), np.stack([mask] * recipe.batch), noisy)
    (inputs, _), labels = UNetBatches(pixels, recipe)[0]
    return measures(inputs[..., 0], labels)


def augmented_by_jax(recipe: Recipe, noisy: bool) -> np.ndarray:
    image, mask = scene(3)
    augment = jax.jit(augmentation.augment, static_argnums=(3, 4), compiler_options=QUICK)
    images, masks = (np.stack([array] * recipe.batch) for array in (image, mask))
    inputs, labels = map(np.asarray, augment(jax.random.key(7), images, masks, recipe, noisy))
    assert inputs.shape == (recipe.batch, SIZE, SIZE, 1)
    assert (inputs.min() >= 0.0, inputs.max() <= 1.0) == (True, True)
    return measures(inputs[..., 0], labels)


@pytest.mark.parametrize(
    ("changes", "noisy"),
    [
        ({"augmentation.photometric": 0.5, "augmentation.farther": 0.5}, True),
        ({"augmentation.photometric": 0.7, "augmentation.geometric": 0.7}, False),
        ({"augmentation.photometric": 0.0}, True),
    ],
)
def test_the_distributions_are_numpys(changes: dict[str, float], noisy: bool) -> None:
    common = {"batch": 500, "head": "windowed", "window": SIZE, "feature_windows": 0.0}
    recipe = load_recipe("best-cpu-unet-s", {**common, **changes})
    one, other = augmented_by_numpy(recipe, noisy), augmented_by_jax(recipe, noisy)
    # Passed by chance alone in all but one of 500,000 draws of a measure.
    for column in range(one.shape[1]):
        assert two_sample_statistic(one[:, column], other[:, column]) < 2.75, column
    # Sharp enough to tell another strength of disturbance, and orientations that leave out one side.
    for change in ({"augmentation.photometric": 0.25}, {"augmentation.orientations": False}):
        changed = augmented_by_numpy(load_recipe("best-cpu-unet-s", {**common, **changes, **change}), noisy)
        assert max(two_sample_statistic(other[:, c], changed[:, c]) for c in range(one.shape[1])) > 2.75


def test_real_images_that_are_not_disturbed_stay_as_they_are() -> None:
    image, mask = scene(2)
    recipe = load_recipe("paper-unet-as")
    augment = jax.jit(augmentation.augment, static_argnums=(3, 4), compiler_options=QUICK)
    inputs, labels = augment(jax.random.key(0), image[None], mask[None], recipe, False)
    # But for the last bit: a compiled division is a product with the inverse.
    assert np.abs(np.asarray(inputs)[0, ..., 0] - image.astype(np.float32) / np.float32(255.0)).max() < 1e-7
    assert np.array_equal(labels[0], mask)
    noisy = augment(jax.random.key(0), image[None], mask[None], recipe, True)[0]
    assert np.asarray(noisy).mean() == pytest.approx(np.asarray(inputs).mean() + 0.1, abs=0.002)
