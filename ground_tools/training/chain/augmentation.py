"""The augmentation of `ground_tools.training.augmentation`, in JAX: on the accelerator, a whole batch at a time.

A batch that the processor prepares takes longer than an accelerator takes to train on it. So the images stay where they
are trained on, as bytes, and every step turns, shrinks, disturbs and blurs its own. Distributions and constants are
those of the NumPy module, and so are its interpolations: from equal draws come equal images, but for rounding.
Resizing and blurring are products with a matrix for the rows and one for the columns, which accelerators do at once.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import lax

from ground_tools.datasets.noise import NOISE_MEAN, NOISE_SIGMA
from ground_tools.labels.classes import BACKGROUND, BOULDERS, SURFACE, TERMINATOR
from ground_tools.labels.terminator import LIMB_MARGIN, TERMINATOR_GROWTH, disk
from ground_tools.training.augmentation import BLUR, CONTRAST, EXPOSURE, FARTHEST, LEAST_BLUR, LOG_SCALE, NOISE, SHIFT
from ground_tools.training.chain.defects import add_defects
from ground_tools.training.recipes import Recipe

# Stream of an image's key from which defects are drawn, beside the streams of the rest.
_DEFECTS = 9
# Grey levels must survive the products with matrices; accelerators would round them to ten bits.
_EXACT = lax.Precision.HIGHEST


def augment(
    key: jax.Array, images: jax.Array, masks: jax.Array | None, recipe: Recipe, noisy: bool
) -> tuple[jax.Array, jax.Array | None]:
    """A batch as a training is to see it, each image with draws of its own.

    images, masks: (N, S, S) uint8; no masks for the encoder CNN, which is shown images as they are in size and place.
    noisy: not for real images, which have noise of their own. Returns (N, S, S, 1) float32 in [0, 1] and
    (N, S, S) uint8.
    """
    keys = jax.random.split(key, len(images))
    if masks is None:
        inputs = jax.vmap(lambda k, image: _augment_alone(k, image, recipe, noisy))(keys, images)
        return inputs[..., None], None
    inputs, masks = jax.vmap(lambda k, image, mask: _augment_pair(k, image, mask, recipe, noisy))(keys, images, masks)
    return inputs[..., None], masks


def _augment_alone(key: jax.Array, image: jax.Array, recipe: Recipe, noisy: bool) -> jax.Array:
    turn, disturbance = jax.random.split(key)
    if recipe.augmentation.orientations:
        image = orient(image, jax.random.randint(turn, (), 0, 8))
    disturbed = disturb(disturbance, image.astype(jnp.float32), recipe.augmentation.photometric, noisy)
    return add_defects(jax.random.fold_in(key, _DEFECTS), disturbed, recipe.augmentation.defects)


def _augment_pair(
    key: jax.Array, image: jax.Array, mask: jax.Array, recipe: Recipe, noisy: bool
) -> tuple[jax.Array, jax.Array]:
    turn, motion, share, distance, disturbance = jax.random.split(key, 5)
    if recipe.augmentation.orientations:
        orientation = jax.random.randint(turn, (), 0, 8)
        image, mask = orient(image, orientation), orient(mask, orientation)
    grey = image.astype(jnp.float32)
    if recipe.augmentation.geometric:
        grey, mask = move(motion, grey, mask, recipe.augmentation.geometric)
    if recipe.augmentation.farther:
        scale = jnp.exp(jax.random.uniform(distance, (), minval=jnp.log(FARTHEST), maxval=0.0))
        small, labels = move_away(grey, mask, scale, recipe.minimum_boulder_pixels)
        shown = jax.random.uniform(share) < recipe.augmentation.farther
        grey, mask = jnp.where(shown, small, grey), jnp.where(shown, labels, mask)
    disturbed = disturb(disturbance, grey, recipe.augmentation.photometric, noisy)
    return add_defects(jax.random.fold_in(key, _DEFECTS), disturbed, recipe.augmentation.defects), mask


def orient(array: jax.Array, orientation: jax.Array) -> jax.Array:
    """A square array in one of its eight orientations: `flight.inference.orientations.apply_orientation`."""
    number = orientation % 4
    array = jnp.where((number == 1) | (number == 3), array[::-1], array)
    array = jnp.where((number == 1) | (number == 2), array[:, ::-1], array)
    return jnp.where(orientation >= 4, array.T, array)


def disturb(key: jax.Array, image: jax.Array, strength: float, noisy: bool) -> jax.Array:
    """Random exposure, contrast curve, pedestal, blur and noise: `augmentation.disturb`.

    image: (S, S) float32, whole grey levels 0..255. Returns (S, S) float32 in [0, 1].
    """
    x = image / 255.0
    contrast, exposure, pedestal, blur, level, noise = jax.random.split(key, 6)
    if strength <= 0.0:
        # The paper's blur of 0.1 px comes to less than rounding: the nearest pixel's weight is exp(-50).
        drawn = NOISE_MEAN + NOISE_SIGMA * jax.random.normal(noise, image.shape)
        return jnp.clip(x + drawn, 0.0, 1.0) if noisy else x

    def normal(k: jax.Array, sigma: float) -> jax.Array:
        return strength * sigma * jax.random.normal(k)

    x = x ** jnp.exp(normal(contrast, CONTRAST))
    x = x * jnp.exp(normal(exposure, EXPOSURE)) + jax.random.uniform(pedestal, maxval=NOISE_MEAN)
    x = blur_by(x, jnp.abs(normal(blur, BLUR)))
    sigma = NOISE_SIGMA * jnp.exp(normal(level, NOISE))
    return jnp.clip(x + sigma * jax.random.normal(noise, image.shape), 0.0, 1.0)


def blur_by(image: jax.Array, sigma: jax.Array) -> jax.Array:
    """OpenCV's GaussianBlur of a float image, mirrored at its borders; none for sigmas up to LEAST_BLUR."""
    size = len(image)
    safe = jnp.maximum(sigma, LEAST_BLUR)
    radius = (jnp.round(8.0 * safe + 1.0).astype(jnp.int32) | 1) // 2
    at, seen = jnp.arange(size)[:, None], jnp.arange(size)[None]

    def weight(distance: jax.Array) -> jax.Array:
        inside = jnp.abs(distance) <= radius
        return jnp.where(inside, jnp.exp(-(distance.astype(jnp.float32) ** 2) / (2.0 * safe**2)), 0.0)

    # A pixel counts again where it is seen in the mirror of the first and of the last row, which are not doubled.
    matrix = weight(seen - at)
    matrix += jnp.where(seen > 0, weight(-seen - at), 0.0)
    matrix += jnp.where(seen < size - 1, weight(2 * (size - 1) - seen - at), 0.0)
    matrix /= matrix.sum(axis=1, keepdims=True)
    return jnp.where(sigma > LEAST_BLUR, _by_rows_and_columns(matrix, image), image)


def move(key: jax.Array, image: jax.Array, mask: jax.Array, strength: float) -> tuple[jax.Array, jax.Array]:
    """The image and its mask turned by any angle, scaled and shifted alike: `augmentation.move`.

    image: (S, S) float32 grey levels. mask: (S, S) uint8. Returns both.
    """
    turn, stretch, shift = jax.random.split(key, 3)
    angle = strength * jax.random.uniform(turn, minval=-jnp.pi, maxval=jnp.pi)
    scale = jnp.exp(strength * jax.random.uniform(stretch, minval=-LOG_SCALE, maxval=LOG_SCALE))
    size = len(image)
    offset = strength * size * jax.random.uniform(shift, (2,), minval=-SHIFT, maxval=SHIFT)
    middle = (size - 1) / 2
    y, x = jnp.mgrid[:size, :size].astype(jnp.float32)
    x, y = x - middle - offset[0], y - middle - offset[1]
    # The way back: where in the stored image each pixel comes from.
    cosine, sine = jnp.cos(angle) / scale, jnp.sin(angle) / scale
    places = [sine * x + cosine * y + middle, cosine * x - sine * y + middle]
    grey = jax.scipy.ndimage.map_coordinates(image, places, order=1, mode="nearest")
    nearest = jax.scipy.ndimage.map_coordinates(mask.astype(jnp.float32), places, order=0, mode="nearest")
    return jnp.round(grey), nearest.astype(mask.dtype)


def move_away(
    image: jax.Array, mask: jax.Array, scale: jax.Array, minimum_boulder_pixels: int
) -> tuple[jax.Array, jax.Array]:
    """The body as from farther away, where it lies whole in the image: `augmentation.move_away`.

    image: (S, S) float32, whole grey levels. mask: (S, S) uint8. scale: of the body's size, up to 1. Returns both.
    """
    size = len(image)
    side = jnp.maximum(1, jnp.round(scale * size)).astype(jnp.int32)
    first = (size - side) // 2
    inner = jnp.arange(size) - first
    inside = (inner >= 0) & (inner < side)
    inner = jnp.clip(inner, 0, side - 1)
    # Each row of the small image is the mean of the rows that it covers (OpenCV's INTER_AREA); its edge goes on.
    width = size / side.astype(jnp.float32)
    low = (inner * width)[:, None]
    stored = jnp.arange(size)[None]
    covered = jnp.clip(jnp.minimum(low + width, stored + 1.0) - jnp.maximum(low, stored), 0.0, 1.0) / width
    small = jnp.round(_by_rows_and_columns(covered, image))
    # OpenCV 4's INTER_NEAREST_EXACT, in its arithmetic: which of two equally near pixels counts is decided by rounding.
    step = ((size << 16) + side // 2) // side
    nearest = (step * inner + step // 2 - size % 2) >> 16
    labels = jnp.where(inside[:, None] & inside[None], mask[nearest][:, nearest], BACKGROUND)
    labels = jnp.where(small_parts(labels == BOULDERS, minimum_boulder_pixels), SURFACE, labels)
    # The terminator is as many pixels wide from any distance, and not at the limb.
    growth = jnp.round((1.0 - scale) * TERMINATOR_GROWTH).astype(jnp.int32)
    night, widened = labels == TERMINATOR, labels == TERMINATOR
    for radius in range(1, round((1.0 - FARTHEST) * TERMINATOR_GROWTH) + 1):
        widened = jnp.where(growth == radius, dilate(night, radius), widened)
    accepted = ~dilate(labels == BACKGROUND, LIMB_MARGIN)
    labels = jnp.where(widened & accepted, TERMINATOR, labels).astype(mask.dtype)
    edge = jnp.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]])
    cut = (edge != BACKGROUND).any()
    return jnp.where(cut, image, small), jnp.where(cut, mask, labels)


def dilate(region: jax.Array, radius: int) -> jax.Array:
    """A region, (S, S) bool, grown by a disk; nothing grows in from beyond the image."""
    size = len(region)
    padded = jnp.pad(region, radius)
    grown = jnp.zeros_like(region)
    for row, columns in enumerate(disk(radius)):
        for column in columns.nonzero()[0]:
            grown |= padded[row : row + size, int(column) : int(column) + size]
    return grown


def small_parts(region: jax.Array, minimum: int) -> jax.Array:
    """The pixels of those connected parts (8 neighbours) of a region that have fewer pixels than `minimum`.

    Each pixel takes the largest number of those around it, again and again. A part of fewer than `minimum` pixels has
    one number after `minimum` - 1 rounds. A larger one may have several by then; but then each of its numbers lies
    beside another one. region: (S, S) bool. Returns (S, S) bool.
    """
    count = region.size
    own = jnp.arange(count).reshape(region.shape)
    numbers = jnp.where(region, own, -1)
    for _ in range(minimum - 1):
        numbers = jnp.where(region, _largest_around(numbers), -1)
    differs = region & ((_largest_around(numbers) != numbers) | (_least_around(region, numbers, count) != numbers))
    flat = jnp.where(region, numbers, 0).ravel()
    pixels = jnp.zeros(count, jnp.int32).at[flat].add(region.ravel())
    beside_another = jnp.zeros(count, bool).at[flat].max(differs.ravel())
    return region & ((pixels < minimum) & ~beside_another)[flat].reshape(region.shape)


def _least_around(region: jax.Array, numbers: jax.Array, beyond: int) -> jax.Array:
    return -_largest_around(jnp.where(region, -numbers, -beyond))


def _largest_around(numbers: jax.Array) -> jax.Array:
    """The largest of the nine numbers about each pixel, but for what lies beyond the image."""
    for axis in (0, 1):
        least = jnp.iinfo(numbers.dtype).min
        padded = jnp.pad(numbers, [(1, 1) if axis == along else (0, 0) for along in (0, 1)], constant_values=least)
        size = numbers.shape[axis]
        shifted = [lax.slice_in_dim(padded, first, first + size, axis=axis) for first in range(3)]
        numbers = jnp.maximum(jnp.maximum(shifted[0], shifted[1]), shifted[2])
    return numbers


def _by_rows_and_columns(matrix: jax.Array, image: jax.Array) -> jax.Array:
    """The image with a matrix on its rows and the same one on its columns."""
    return jnp.matmul(jnp.matmul(matrix, image, precision=_EXACT), matrix.T, precision=_EXACT)
