"""Teachers: UNets of the reference paper whose mean answer a network is to come near (Hinton et al. 2015).

They see the very image that the network sees, disturbed as it is, without dropout. Where a mask is known, their answer
stands beside it in the loss. Where none is, it takes its place, in those pixels in which all of them name one class.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import keras
import msgspec

from ground_tools.labels.classes import CLASS_NAMES
from ground_tools.networks.unet import UNetDropout, build_unet
from ground_tools.training.heads import fold_head
from ground_tools.training.origins import describe_origin

_LEAST = 1e-6

Weights = tuple[list[jax.Array], list[jax.Array]]


def build_teacher(size: int) -> keras.Model:
    """The graph of all teachers, the head folded: (N, S, S, 1) -> (N, S, S, K) scores."""
    return fold_head(build_unet(len(CLASS_NAMES), UNetDropout(0.0, 0.0), size=size))


def read_teacher(weights: Path, size: int) -> Weights:
    """A teacher's weights. Raises ValueError for a network that is not the paper's UNet."""
    origin = describe_origin(weights)
    if origin.get("training", {}).get("recipe", {}).get("design") is not None:
        raise ValueError(f"teacher {weights}: expected the reference paper's UNet, got a design")
    unet = build_unet(len(CLASS_NAMES), UNetDropout(0.0, 0.0), size=size)
    unet.load_weights(weights)
    folded = fold_head(unet)
    return [v.value for v in folded.trainable_variables], [v.value for v in folded.non_trainable_variables]


def ask_teacher(model: keras.Model, teacher: Weights, images: jax.Array) -> jax.Array:
    """A teacher's scores, (N, S, S, K) float32."""
    scores, _ = model.stateless_call(*teacher, images, training=False)
    result: jax.Array = jax.lax.stop_gradient(scores.astype(jnp.float32))
    return result


def join_answers(scores: list[jax.Array]) -> tuple[jax.Array, jax.Array]:
    """What teachers say together, from the scores of each, (N, S, S, K).

    Returns the mean of their probabilities, (N, S, S, K), and where all of them name one class, (N, S, S) bool.
    """
    mean = jnp.stack([jax.nn.softmax(of_one) for of_one in scores]).mean(axis=0)
    named = jnp.stack([of_one.argmax(axis=-1) for of_one in scores])
    return mean, (named == named[0]).all(axis=0)


def distance(probability: jax.Array, counted: jax.Array, scores: jax.Array) -> jax.Array:
    """Kullback-Leibler divergence of a network's answer from its teachers', summed over the pixels that count.

    probability: (N, S, S, K). counted: (N, S, S) bool. scores: (N, S, S, K) of the network.
    """
    log_own = jax.nn.log_softmax(scores.astype(jnp.float32))
    each = jnp.sum(probability * (jnp.log(jnp.maximum(probability, _LEAST)) - log_own), axis=-1)
    return jnp.sum(jnp.where(counted, each, 0.0))


def describe_teachers(weights: dict[str, Path]) -> list[dict[str, Any]]:
    """For a training's record."""
    return [{"stage": name, **msgspec.to_builtins(describe_origin(path))} for name, path in weights.items()]
