"""What a network's output is, as the manifest states it: raw values to scores, and whether the statement fits.

Fusion and the mean over passes go by raw scores s, of which the softmax gives the probabilities. With q a value of the
network's output, taken from its last tensor:

- logits: s = q. One channel q for two classes: s = (0, q), so that the second class has probability 1 / (1 + exp(-q)).
- probabilities: s = ln q. They sum to one, and so softmax(s) = q.
- sigmoid: s = ln q - ln(1 - q) for each channel, which has the probability of one class, independent of the others.
  softmax(s) is the probability of each class given that exactly one of them is there. With a channel less than classes
  the first class is "none of them" and has s = 0; one channel is the probability of the second of two classes.

ln is taken of at least 1e-7 for float32, and of at least half a step, 1/512, for integers, to which 0 means no more.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

OUTPUT_KINDS = ("logits", "probabilities", "sigmoid")
_LEAST_FLOAT, _LEAST_INTEGER = 1e-7, 1.0 / 512.0
_TOLERANCE, _STEP = 1e-3, 1.0 / 256.0
# Values between 0 and 1 that all lie closer together than this say nothing about what they are.
_LEAST_SPREAD = 0.1


def expected_channels(kind: str, classes: int) -> tuple[int, ...]:
    """Numbers of channels that an output of a kind may have.

    Args:
        kind: one of OUTPUT_KINDS.
        classes: K of them.
    """
    if kind == "sigmoid":
        return classes, classes - 1
    return (classes, 1) if kind == "logits" and classes == 2 else (classes,)


def make_scores(values: NDArray[np.float32], kind: str, classes: int, integer: bool) -> NDArray[np.float32]:
    """Turn a network's output into raw scores.

    Args:
        values: (C, H, W) float32, C from expected_channels.
        kind: one of OUTPUT_KINDS.
        classes: K of them.
        integer: whether the network computes with integers.

    Returns:
        (K, H, W) float32. Where values are not what `kind` says, all of a pixel's scores are NaN.
    """
    if kind == "logits":
        scores = values
    else:
        kept = _keeps_statement(values, kind, integer)
        least = np.float32(_LEAST_INTEGER if integer else _LEAST_FLOAT)
        with np.errstate(invalid="ignore"):
            scores = np.log(np.maximum(values, least))
            if kind == "sigmoid":
                scores -= np.log(np.maximum(1.0 - values, least))
        scores[:, ~kept] = np.nan
    if len(scores) < classes:
        none = np.where(np.isfinite(scores).all(axis=0), np.float32(0.0), np.float32(np.nan))
        scores = np.concatenate([none[None], scores])
    return scores


def find_contradiction(values: NDArray[np.float32], kind: str, integer: bool, source: str | None) -> str | None:
    """Find out whether what a network gave is something else than the manifest states.

    Args:
        values: (C, H, W) float32; pixels that are not finite say nothing.
        kind: what is stated, one of OUTPUT_KINDS.
        integer: whether the network computes with integers.
        source: name of the operator that computed them, None if not known.

    Returns:
        "expected X, got Y" with the reason; None if they fit.
    """
    values = values[:, np.isfinite(values).all(axis=0)]
    if not values.size:
        return None
    between = bool(_lies_between_0_and_1(values).all())
    sums_to_one = between and len(values) > 1 and bool(_sums_to_one(values, integer).all())
    seen = "its values lie between 0 and 1" + (" and sum to one" if sums_to_one else "")
    if source in ("softmax", "logistic"):
        seen = f"the network ends in {source}, {seen}"
    if kind == "logits":
        spread = float(values.max() - values.min())
        if source in ("softmax", "logistic") or (between and spread > _LEAST_SPREAD):
            return f"expected {'probabilities' if sums_to_one else 'sigmoid'}, got logits: {seen}"
    elif not between:
        found = f"{float(values.min()):.3g} to {float(values.max()):.3g}"
        return f"expected logits, got {kind}: its values lie between {found}"
    elif kind == "probabilities" and not sums_to_one:
        totals = values.sum(axis=0)
        found = f"{float(totals.min()):.3g} to {float(totals.max()):.3g}"
        return f"expected sigmoid, got probabilities: its values sum to {found} in a pixel, not to one"
    elif kind == "sigmoid" and sums_to_one:
        return f"expected probabilities, got sigmoid: {seen}"
    return None


def _keeps_statement(values: NDArray[np.float32], kind: str, integer: bool) -> NDArray[np.bool_]:
    """(H, W) bool, of values (C, H, W): whether a pixel's are probabilities of this kind. What is no number is not."""
    between: NDArray[np.bool_] = _lies_between_0_and_1(values).all(axis=0)
    return between & _sums_to_one(values, integer) if kind == "probabilities" else between


def _lies_between_0_and_1(values: NDArray[np.float32]) -> NDArray[np.bool_]:
    between: NDArray[np.bool_] = (values >= -_TOLERANCE) & (values <= 1.0 + _TOLERANCE)
    return between


def _sums_to_one(values: NDArray[np.float32], integer: bool) -> NDArray[np.bool_]:
    tolerance = _TOLERANCE + (len(values) * _STEP if integer else 0.0)
    with np.errstate(invalid="ignore"):
        one: NDArray[np.bool_] = np.abs(values.sum(axis=0) - 1.0) <= tolerance
    return one
