"""The parts of a bundle's network: its dropout masks, and the files of its head in closed form."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

# The files, as the manifest and ClosedFormFiles have them.
CLOSED_FORM_PARTS = ("features", "passes", "covariance")


@dataclass(frozen=True)
class DropoutMask:
    """A dropout mask, which is an input of the network.

    Attributes:
        input: name of the tensor.
        shape: (H, W, C), without the batch axis.
        keep_probability: probability that a unit is kept, 1 - dropout rate.
    """

    input: str
    shape: tuple[int, ...]
    keep_probability: float


@dataclass(frozen=True)
class ClosedFormFiles:
    """The files of a network whose head's dropout is computed in closed form, see inference.closed_form.

    Attributes:
        features: verified bytes of the .tflite file from the image to what no mask changes.
        passes: from there, with masks, to the scores' mean over the head's masks.
        covariance: from there, without dropout, to the scores' covariance by the head's masks.
        dropout_masks: of the passes, in the manifest's order.
    """

    features: bytes
    passes: bytes
    covariance: bytes
    dropout_masks: tuple[DropoutMask, ...]


def choose_masks(stated: dict[str, Any], masks: tuple[DropoutMask, ...], output: str) -> tuple[DropoutMask, ...]:
    """The masks that the passes of a head in closed form take.

    Args:
        stated: what the manifest says of the closed form.
        masks: all of the network.
        output: what the network's output is.

    Raises:
        ValueError: what is wrong, behind the field's name.
    """
    if output != "logits":
        raise ValueError(f": expected a network whose output is logits, got {output}")
    by_name = {mask.input: mask for mask in masks}
    for name in stated["dropout_masks"]:
        if name not in by_name:
            raise ValueError(f".dropout_masks: expected masks of the network, got {name}")
    return tuple(by_name[name] for name in stated["dropout_masks"])
