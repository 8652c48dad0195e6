"""What is in a .tflite file: its image input and its output, what the output is, and how pixels become inputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from flight.inference.interpreter import describe_inputs, make_interpreter, name_tensors, strip_decorations
from flight.inference.model_file import Graph, read_graph
from flight.inference.pixels import PixelInput
from flight.pixel_scaling import parse_pixels

# Ways in which public recipes normalize pixels, as a manifest states them.
PIXELS: Mapping[str, dict[str, Any]] = {
    "0 to 1": {},
    "0 to 255": {"scale": 255.0},
    "-1 to 1": {"mean": [0.5], "std": [0.5]},
    "ImageNet's mean and deviation": {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]},
}
# A factor or a mean right after the input that makes it one of 8-bit values.
_FACTORS, _MEANS = (1 / 300, 1 / 50), (50.0, 200.0)


@dataclass(frozen=True)
class Tensors:
    """What a network takes and gives.

    Attributes:
        image_input, scores_output: names, as a manifest has them.
        height, width, channels: of the input.
        output_channels: C of the output.
        dtype: of the input, as NumPy names it.
        quantization: "int8", "uint8" or "float32": what the network gives out, and so what it computes with.
        source: the operator that computes the output, None if not known.
        pixels: how pixels become inputs, a name of PIXELS; None where the file does not tell.
    """

    image_input: str
    scores_output: str
    height: int
    width: int
    channels: int
    output_channels: int
    dtype: str
    quantization: str
    source: str | None
    pixels: str | None


def inspect_network(
    content: bytes, size: tuple[int, int] | None = None, image_input: str | None = None, output: str | None = None
) -> Tensors:
    """Look into a .tflite file.

    Args:
        content: of the file.
        size: height and width, for a network that takes any.
        image_input: name of the input, where there are several.
        output: name of the output, where several would do.

    Raises:
        ValueError: the file is no network of images, or more has to be given; says which option.
    """
    inputs = describe_inputs(content)
    name = _choose("--input", image_input, list(inputs), list(inputs))
    shape = _image_shape(name, inputs[name], size)
    interpreter = make_interpreter(content, 1, {name: shape})
    outputs = name_tensors(interpreter.get_output_details())
    channels = {key: _output_channels(detail, shape) for key, detail in outputs.items()}
    fitting = [key for key, count in channels.items() if count]
    if not fitting:
        found = ", ".join(f"{key} {tuple(int(n) for n in detail['shape'])}" for key, detail in outputs.items())
        raise ValueError(f"output: expected one of shape (1, {shape[0]}, {shape[1]}, C), got {found}")
    chosen = _choose("--scores", output, fitting, list(outputs))
    if not channels[chosen]:
        raise ValueError(f"--scores: expected one of {', '.join(fitting)}, got {chosen}")
    graph = read_graph(content)
    return Tensors(
        name,
        chosen,
        *shape,
        output_channels=channels[chosen],
        dtype=np.dtype(inputs[name]["dtype"]).name,
        quantization=_find_arithmetic(graph, chosen, outputs[chosen]),
        source=_find_source(graph, chosen),
        pixels=_find_pixels(inputs[name], shape[2], graph, name, interpreter),
    )


def _choose(option: str, given: str | None, fitting: list[str], known: list[str]) -> str:
    if given is not None:
        if given not in known:
            raise ValueError(f"{option}: expected one of {', '.join(known)}, got {given}")
        return given
    if len(fitting) != 1:
        raise ValueError(f"{option}: expected one of {', '.join(fitting)}, as there are several, got none")
    return fitting[0]


def _image_shape(name: str, detail: dict[str, Any], size: tuple[int, int] | None) -> tuple[int, int, int]:
    now = [int(side) for side in detail["shape"]]
    sides = [int(side) for side in detail.get("shape_signature", now)]
    sides = sides if len(sides) == len(now) else now
    if len(sides) != 4 or sides[3] not in (1, 3):
        hint = " (channels come first: convert it to NHWC)" if len(sides) == 4 and sides[1] in (1, 3) else ""
        raise ValueError(f"input {name}: expected images (1, H, W, 1 or 3), got {tuple(sides)}{hint}")
    if sides[1] < 0 or sides[2] < 0:
        if size is None:
            raise ValueError("--size: expected HEIGHT WIDTH, as the network takes images of any size, got none")
        sides[1:3] = [given if side < 0 else side for side, given in zip(sides[1:3], size, strict=True)]
    if size is not None and tuple(sides[1:3]) != size:
        raise ValueError(f"--size: expected {sides[1]} {sides[2]}, as the network has it, got {size[0]} {size[1]}")
    return sides[1], sides[2], sides[3]


def _output_channels(detail: dict[str, Any], shape: tuple[int, int, int]) -> int:
    """Channels of an output that is a map of the input's size; 0 where it is none."""
    sides = tuple(int(side) for side in detail["shape"])
    height, width, _ = shape
    if sides == (1, height, width):
        return 1
    if sides[:3] == (1, height, width) and len(sides) == 4:
        return sides[3]
    return sides[2] if len(sides) == 3 and sides[:2] == (1, height * width) else 0


def _whole_name(graph: Graph, name: str) -> str:
    names = strip_decorations(list(graph.tensors))
    return graph.tensors[names.index(name)] if name in names else name


def _find_source(graph: Graph, output: str) -> str | None:
    source = graph.find_source(_whole_name(graph, output))
    return None if source is None else source.name


def _find_arithmetic(graph: Graph, output: str, detail: dict[str, Any]) -> str:
    """Of a float output, int8 where it is only converted from integers at the end."""
    dtype = np.dtype(detail["dtype"]).name
    if dtype != "float32":
        return dtype
    index = graph.tensors.index(_whole_name(graph, output))
    last = next((operator for operator in graph.operators if index in operator.outputs), None)
    return "int8" if last is not None and last.name == "dequantize" else "float32"


def _find_pixels(detail: dict[str, Any], channels: int, graph: Graph, name: str, interpreter: Any) -> str | None:
    """How pixels become inputs, as far as the file tells."""
    scale, zero_point = detail["quantization"]
    if detail["dtype"] == np.uint8 and scale == 0.0:
        return "0 to 255"
    if detail["dtype"] != np.float32:
        return _find_quantized(detail["dtype"], scale, zero_point, channels)
    index = graph.tensors.index(_whole_name(graph, name))
    first = next((operator for operator in graph.operators if index in operator.inputs), None)
    if first is None or first.name not in ("mul", "div", "sub", "add"):
        return None
    constants = [other for other in first.inputs if other != index]
    try:
        value = float(np.abs(interpreter.get_tensor(constants[0])).mean())
    except (ValueError, IndexError):
        return None
    low, high = _FACTORS if first.name == "mul" else _MEANS
    return "0 to 255" if low <= value <= high else None


def _find_quantized(dtype: type, scale: float, zero_point: int, channels: int) -> str | None:
    """The way whose black and white lie closest to the ends of an integer input."""
    steps: np.iinfo[Any] = np.iinfo(dtype)
    ends = np.array([scale * (steps.min - zero_point), scale * (steps.max - zero_point)])
    known = {}
    for name, entry in PIXELS.items():
        if len(entry.get("mean", [0])) in (1, channels):
            way = PixelInput(parse_pixels(entry, channels), channels)
            if way.find_contradiction(dtype, scale, zero_point) is None:
                known[name] = float(np.abs(np.array(way.limits) - ends).max())
    return min(known, key=lambda name: known[name]) if known else None
