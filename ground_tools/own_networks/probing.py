"""What a network's output is, found by running it."""

from __future__ import annotations

from typing import Any

import numpy as np

from flight.inference.centering import center
from flight.inference.interpreter import make_interpreter, name_tensors
from flight.inference.output_kind import find_contradiction
from flight.inference.pixels import PixelInput
from flight.pixel_scaling import parse_pixels
from ground_tools.own_networks.inspection import Tensors


def find_output(content: bytes, tensors: Tensors, pixels: dict[str, Any], frames: list[np.ndarray]) -> str:
    """Run a network on images, and see what comes out.

    Args:
        content: of the .tflite file.
        tensors: from inspect_network.
        pixels: how pixels become inputs, as a manifest has it.
        frames: (H, W) uint8 or uint16 images.

    Returns:
        One of flight's OUTPUT_KINDS.
    """
    shape = (tensors.height, tensors.width, tensors.channels)
    interpreter = make_interpreter(content, 2, {tensors.image_input: shape})
    source = name_tensors(interpreter.get_input_details())[tensors.image_input]
    output = name_tensors(interpreter.get_output_details())[tensors.scores_output]
    way = PixelInput(parse_pixels(pixels, tensors.channels), tensors.channels)
    values = []
    for frame in frames:
        image = center(frame, 8 * frame.dtype.itemsize, *shape, locate=False).image
        interpreter.set_tensor(source["index"], _to_tensor(way.scale(image), source)[None])
        interpreter.invoke()
        given = interpreter.get_tensor(output["index"]).reshape(tensors.height, tensors.width, -1).astype(np.float32)
        scale, zero_point = output["quantization"]
        values.append(((given - zero_point) * scale if scale else given).transpose(2, 0, 1).astype(np.float32))
    return _find_kind(values, tensors)


def _to_tensor(values: np.ndarray, detail: dict[str, Any]) -> np.ndarray:
    if detail["dtype"] == np.float32:
        return values
    scale, zero_point = detail["quantization"]
    limits = np.iinfo(detail["dtype"])
    steps = np.rint(values / (scale or 1.0)) + zero_point
    return np.clip(steps, limits.min, limits.max).astype(detail["dtype"])


def _find_kind(values: list[np.ndarray], tensors: Tensors) -> str:
    """values: one (C, H, W) float32 array per image."""
    integer = tensors.quantization != "float32"
    together = np.concatenate([array.reshape(len(array), -1) for array in values], axis=1)[:, None]
    fitting = [
        kind
        for kind in ("probabilities", "sigmoid", "logits")
        if find_contradiction(together, kind, integer, tensors.source) is None
        and not (kind == "probabilities" and len(together) == 1)
    ]
    return fitting[0] if fitting else "logits"
