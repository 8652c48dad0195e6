"""The floor: the products that a frame takes, over the most that this machine was seen to make in a second."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from flight.bundle import Bundle
from flight.closed_form_files import CLOSED_FORM_PARTS
from flight.inference.interpreter import make_interpreter
from ground_tools.export.graph_work import measure_work, runs_of
from ground_tools.export.tflite_graph import GraphWriter, Quantization, SourceGraph

# (rows and columns, channels in, channels out, side of the kernel): what convolutions are fast with.
_SHAPES = ((64, 512, 512, 1), (32, 256, 256, 3), (64, 128, 256, 3))
_REPEATS = 12


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
        {name: float(f"{1e3 * products / peak:.3g}") for name, products in work.items()},
    )


def frame_products(bundle: Bundle, passes: int) -> dict[str, int]:
    """Products that the convolutions of a frame sum up, by engine."""
    runs = runs_of(passes, bundle.orientations)
    found = {"passes": runs["whole"] * sum(_count_products(network.content) for network in bundle.networks)}
    if bundle.in_closed_form:
        parts = [network.closed_form for network in bundle.networks if network.closed_form is not None]
        found["closed_form"] = sum(
            runs[name] * _count_products(getattr(part, name)) for part in parts for name in CLOSED_FORM_PARTS
        )
    return found


def _count_products(content: bytes) -> int:
    return measure_work(SourceGraph(content)).macs


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
    return _count_products(content) / min(seconds)
