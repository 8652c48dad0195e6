"""Ranges of int8 tensors by what rounds least, in place of the smallest and largest value that was ever seen.

An int8 tensor has 256 steps for its whole range. A few extreme values stretch it, and every other value is rounded to
coarser steps. Here a range is where the mean squared error is least, of rounding inside and of clipping outside: what
few values lose, all others gain. Weights stay as they are; biases are put into the new steps.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from flight.inference.interpreter import make_interpreter, name_tensors
from flight.inference.network import quantize
from ground_tools.export.tflite_graph import Operators, Quantization, SourceGraph

# Of the extremes on either side, what is tried as the range's ends.
_SHARES = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.42, 0.35, 0.3, 0.25, 0.2)
# Means of channels are compared over one of so many images.
_CORRECTED_BY = 2
# Values of one tensor that are kept of one image.
_VALUES = 4096
# Operators whose output has the steps of what they read.
_PASSING = (
    Operators.MAX_POOL_2D,
    Operators.CONCATENATION,
    Operators.RESHAPE,
    Operators.PAD,
    Operators.SLICE,
    Operators.RESIZE_BILINEAR,
    Operators.RESIZE_NEAREST_NEIGHBOR,
    Operators.SPACE_TO_BATCH_ND,
    Operators.BATCH_TO_SPACE_ND,
    Operators.TILE,
)
_WITH_BIAS = {Operators.CONV_2D: (0, 1, 2), Operators.TRANSPOSE_CONV: (2, 1, 3), Operators.DEPTHWISE_CONV_2D: (0, 1, 2)}


def float_twin(content: bytes, outputs: list[int]) -> bytes:
    """The same graph in float32, with the values that its constants stand for.

    Args:
        content: of an int8 .tflite file.
        outputs: tensors that become the twin's outputs, in place of its own; named "t" and their index.
    """
    source = SourceGraph(content)
    model, graph = source.model, source.graph
    constants = {index: values for index in range(len(graph.tensors)) if (values := source.constant(index)) is not None}
    for index, tensor in enumerate(graph.tensors):
        scales = None if tensor.quantization is None else tensor.quantization.scale
        if scales is None or not len(scales):
            continue
        if index in constants:
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(source.weights(index).astype(np.float32).tobytes(), dtype=np.uint8)
            model.buffers.append(buffer)
            tensor.buffer = len(model.buffers) - 1
        tensor.type, tensor.quantization = schema.TensorType.FLOAT32, None
    for index in outputs:
        graph.tensors[index].name = f"t{index}".encode()
    return source.cut(outputs)


@dataclass(frozen=True)
class MaskProduct:
    """A product with a dropout mask: its output, what is masked, and the mask's value where a unit is kept."""

    output: int
    masked: int
    kept: float


def recalibrate(
    source: SourceGraph,
    content: bytes,
    tensors: set[int],
    inputs: list[dict[str, np.ndarray]],
    products: Sequence[MaskProduct] = (),
) -> None:
    """Give tensors of a graph the ranges in which they are rounded least, and put biases into the new steps.

    A product with a mask is not rounded at all: in steps that are as much larger as the mask's value, it has the
    numbers of what is masked.

    Args:
        source: the graph, changed in place.
        content: the file that it was read from.
        tensors: computed by the graph.
        inputs: values of all inputs by name, float32, for each image.
        products: with masks.
    """
    wanted = sorted(tensor for tensor in tensors if tensor in source.producers and source.is_int8(tensor))
    groups = _groups(source, wanted)
    seen = _observe(content, wanted, inputs)
    for group in groups:
        values = np.concatenate([seen[tensor] for tensor in group])
        found = best_range(values, _find_slope(source, group))
        for tensor in group:
            source.set_quantization(tensor, found)
    for product in products:
        of_masked = source.quantization(product.masked)
        source.set_quantization(product.output, Quantization(of_masked.scale * product.kept, of_masked.zero_point))
    corrected: list[tuple[int, int, int, float]] = []
    for operator in source.graph.operators:
        places = _WITH_BIAS.get(source.code(operator))
        if places is None or len(operator.inputs) <= places[2] or int(operator.outputs[0]) not in wanted:
            continue
        x, kernel, bias = (int(operator.inputs[place]) for place in places)
        source.set_bias(bias, kernel, source.quantization(x).scale)
        corrected.append((int(operator.outputs[0]), bias, kernel, source.quantization(x).scale))
    _correct_biases(source, content, corrected, inputs[::_CORRECTED_BY])


def _correct_biases(
    source: SourceGraph, content: bytes, layers: list[tuple[int, int, int, float]], inputs: list[dict[str, np.ndarray]]
) -> None:
    """Give each channel the mean that it has in float32 (Nagel et al. 2019, bias correction), layer after layer.

    Rounded weights and clipped values move a channel's mean, and every later layer passes that on.

    layers: output, bias, kernel, and the input's scale of each convolution, in the graph's order.
    """
    expected = _find_means(float_twin(content, [layer[0] for layer in layers]), inputs)
    for (output, bias, kernel, scale), mean in zip(layers, expected, strict=True):
        (found,) = _find_means(source.cut([output]), inputs)
        source.set_bias(bias, kernel, scale, mean - found)


def _find_means(content: bytes, inputs: list[dict[str, np.ndarray]]) -> list[np.ndarray]:
    """The mean over images and pixels of each channel of each output of a file, in the order of its outputs."""
    interpreter = make_interpreter(content, 1)
    bound, outputs = name_tensors(interpreter.get_input_details()), interpreter.get_output_details()
    sums: list[Any] = [0.0] * len(outputs)
    for values in inputs:
        for name, detail in bound.items():
            interpreter.set_tensor(detail["index"], quantize(values[name], detail))
        interpreter.invoke()
        for number, detail in enumerate(outputs):
            given = interpreter.get_tensor(detail["index"]).astype(np.float64)
            step, zero_point = detail["quantization"]
            sums[number] += ((given - zero_point) * step if step else given).mean(axis=(0, 1, 2))
    return [each / len(inputs) for each in sums]


def is_passing(source: SourceGraph, operator: Any) -> bool:
    """Whether an operator's output must have the steps of what it reads."""
    return source.code(operator) in _PASSING


def _find_slope(source: SourceGraph, tensors: list[int]) -> float:
    """The slope of the LeakyReLU that alone reads these tensors, which lessens what negative values are off by."""
    readers = [operator for operator in source.graph.operators if {int(i) for i in operator.inputs} & set(tensors)]
    slopes = {
        float(reader.builtinOptions.alpha) if source.code(reader) == Operators.LEAKY_RELU else 1.0 for reader in readers
    }
    return slopes.pop() if len(slopes) == 1 else 1.0


def best_range(values: np.ndarray, slope: float = 1.0) -> Quantization:
    """The int8 quantization, 0 among its values, by which the mean squared error of values is least.

    slope: errors of negative values count as multiplied by it.
    """
    counted = np.where(values < 0.0, slope * slope, 1.0)
    low, high = min(float(values.min()), 0.0), max(float(values.max()), 1e-6)
    best, least = None, np.inf
    for below in _SHARES if low < 0.0 else (1.0,):
        for above in _SHARES:
            scale = (above * high - below * low) / 255.0
            tried = Quantization(scale, int(np.clip(np.rint(-128 - below * low / scale), -128, 127)))
            steps = tried.quantize(values).astype(np.float64)
            error = float(np.mean(counted * ((steps - tried.zero_point) * scale - values) ** 2))
            if error < least:
                best, least = tried, error
    assert best is not None
    return best


def _groups(source: SourceGraph, tensors: list[int]) -> list[list[int]]:
    """Tensors that must have the same steps, together."""
    parent = {tensor: tensor for tensor in tensors}

    def find(tensor: int) -> int:
        while parent[tensor] != tensor:
            tensor = parent[tensor]
        return tensor

    for operator in source.graph.operators:
        if is_passing(source, operator):
            together = [int(i) for i in (*operator.inputs, *operator.outputs) if int(i) in parent]
            for other in together[1:]:
                parent[find(other)] = find(together[0])
    groups = defaultdict(list)
    for tensor in tensors:
        groups[find(tensor)].append(tensor)
    return list(groups.values())


def _observe(content: bytes, tensors: list[int], inputs: list[dict[str, np.ndarray]]) -> dict[int, np.ndarray]:
    twin = make_interpreter(float_twin(content, tensors), 1)
    bound, outputs = name_tensors(twin.get_input_details()), twin.get_output_details()
    generator = np.random.default_rng(0)
    seen: dict[int, list[np.ndarray]] = {tensor: [] for tensor in tensors}
    for values in inputs:
        for name, value in values.items():
            twin.set_tensor(bound[name]["index"], value)
        twin.invoke()
        for detail in outputs:
            tensor = int(detail["name"].removeprefix("t").split(":")[0])
            flat = twin.get_tensor(detail["index"]).reshape(-1)
            seen[tensor].append(flat[generator.integers(0, len(flat), _VALUES)])
    return {tensor: np.concatenate(values) for tensor, values in seen.items()}
