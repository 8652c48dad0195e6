"""The defects of `ground_tools.training.defects`, with draws of JAX."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from ground_tools.training.defects import Draws, spoil


def add_defects(key: jax.Array, image: jax.Array, strength: float) -> jax.Array:
    """An image as a worse camera takes it. image: (S, S) float32 in [0, 1]. Returns the same kind."""
    if strength <= 0.0:
        return image
    keys = jax.random.split(key, 10)
    uniform, normal = jax.random.uniform, jax.random.normal
    draws = Draws(
        *(uniform(keys[0]), uniform(keys[1]), normal(keys[2]), uniform(keys[3])),
        *(normal(keys[4], image.shape), normal(keys[5], image.shape[1:])),
        *(uniform(keys[6]), uniform(keys[7]), uniform(keys[8], image.shape), uniform(keys[9], image.shape)),
    )
    return spoil(jnp, image, strength, draws)
