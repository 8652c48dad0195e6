"""The parts of a bundle's network: its dropout masks, and the files of its head in closed form."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


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


def parse_closed_form(
    entry: dict[str, Any], masks: tuple[DropoutMask, ...], get_file: Callable[[dict[str, str]], bytes]
) -> ClosedFormFiles | None:
    """Read what the manifest says of a network's head in closed form.

    Args:
        entry: the network's, of the manifest.
        masks: all of the network.
        get_file: from the manifest's name and hash of a file to its verified bytes.

    Returns:
        None where the manifest says nothing.

    Raises:
        ValueError: what is wrong, behind the field's name.
    """
    stated = entry.get("closed_form")
    if stated is None:
        return None
    kind = entry.get("output", "logits")
    if kind != "logits":
        raise ValueError(f": expected a network whose output is logits, got {kind}")
    by_name = {mask.input: mask for mask in masks}
    for name in stated["dropout_masks"]:
        if name not in by_name:
            raise ValueError(f".dropout_masks: expected masks of the network, got {name}")
    return ClosedFormFiles(
        features=get_file(stated["features"]),
        passes=get_file(stated["passes"]),
        covariance=get_file(stated["covariance"]),
        dropout_masks=tuple(by_name[name] for name in stated["dropout_masks"]),
    )
