"""The floor: the products that a frame takes, over the most that this machine was seen to make in a second."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from flight.bundle import Bundle
from flight.inference.interpreter import make_interpreter
from ground_tools.export.tflite_graph import GraphWriter, Operators, Quantization, SourceGraph

# (rows and columns, channels in, channels out, side of the kernel): what convolutions are fast with.
_SHAPES = ((64, 512, 512, 1), (32, 256, 256, 3), (64, 128, 256, 3))
_REPEATS = 12
# Of operators with kernels, the input that the products are counted by: its own, or the output's.
_COUNTED = {Operators.CONV_2D: None, Operators.DEPTHWISE_CONV_2D: None, Operators.TRANSPOSE_CONV: 2}


@dataclass(frozen=True)
class Floor:
    """peak: int8 products summed up per second, 10^9; work: of a frame by engine, 10^9; floor_ms: work over peak."""

    peak: float
    work: dict[str, float]
    floor_ms: dict[str, float]


def measure_floor(bundle: Bundle, passes: int, threads: int) -> Floor:
    """The floor of each of our engines that the bundle has."""
    peak = max(_products_per_second(shape, threads) for shape in _SHAPES)
    work = frame_products(bundle, passes)
    return Floor(
        round(peak / 1e9, 1),
        {name: round(products / 1e9, 2) for name, products in work.items()},
        {name: round(1e3 * products / peak, 1) for name, products in work.items()},
    )


def frame_products(bundle: Bundle, passes: int) -> dict[str, int]:
    """Products that the convolutions of a frame sum up, by engine."""
    orientations = min(bundle.orientations, passes)
    found = {"passes": passes * sum(count_products(network.content) for network in bundle.networks)}
    parts = [network.closed_form for network in bundle.networks if network.closed_form is not None]
    if len(parts) == len(bundle.networks):
        found["closed_form"] = sum(
            orientations * count_products(part.features)
            + passes * count_products(part.passes)
            + count_products(part.covariance)
            for part in parts
        )
    return found


def count_products(content: bytes) -> int:
    """Products that the convolutions of a .tflite file sum up in one run."""
    source = SourceGraph(content)
    total = 0
    for operator in source.graph.operators:
        code = source.code(operator)
        if code not in _COUNTED:
            continue
        # A transposed convolution multiplies once for each pixel that it reads, others for each that they write.
        place = _COUNTED[code]
        counted = int(operator.outputs[0] if place is None else operator.inputs[place])
        total += int(np.prod(source.shape(counted)[1:3])) * int(np.prod(source.shape(int(operator.inputs[1]))))
    return total


def _products_per_second(shape: tuple[int, int, int, int], threads: int) -> float:
    """Of one convolution, the fastest of several runs."""
    side, inputs, outputs, kernel = shape
    generator = np.random.default_rng(0)
    writer = GraphWriter()
    x = writer.add_new_input((1, side, side, inputs), Quantization(0.02, 0), "x")
    weights = generator.normal(0.0, 0.1, (outputs, kernel, kernel, inputs))
    y = writer.add_convolution(x, weights, np.zeros(outputs), Quantization(0.05, 0), same=True)
    writer.add_output(y, "y")
    content = writer.finish()
    interpreter = make_interpreter(content, threads)
    (detail,) = interpreter.get_input_details()
    interpreter.set_tensor(detail["index"], generator.integers(-128, 128, detail["shape"], dtype=np.int8))
    interpreter.invoke()
    seconds = []
    for _ in range(_REPEATS):
        began = time.perf_counter()
        interpreter.invoke()
        seconds.append(time.perf_counter() - began)
    return count_products(content) / min(seconds)
