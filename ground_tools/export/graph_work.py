"""The work in a .tflite file: multiply-accumulate operations, bytes moved, size of its parameters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from ground_tools.export.tflite_graph import Operators, SourceGraph

_NAMES = {number: name for name, number in vars(Operators).items() if isinstance(number, int)}
_BYTES = {
    schema.TensorType.FLOAT32: 4,
    schema.TensorType.FLOAT16: 2,
    schema.TensorType.INT32: 4,
    schema.TensorType.INT64: 8,
    schema.TensorType.INT16: 2,
}


@dataclass(frozen=True)
class Work:
    """Of a file, of some of its operations, or of a frame.

    Attributes:
        macs: multiplications that are added up, of convolutions and matrix products.
        moved_bytes: what operations read and write, each tensor once for each operation, parameters among them.
        parameter_bytes: constants that are read.
    """

    macs: int = 0
    moved_bytes: int = 0
    parameter_bytes: int = 0

    def __add__(self, other: Work) -> Work:
        return Work(
            self.macs + other.macs,
            self.moved_bytes + other.moved_bytes,
            self.parameter_bytes + other.parameter_bytes,
        )

    def times(self, runs: int) -> Work:
        """Of so many runs; the parameters stay the same."""
        return Work(self.macs * runs, self.moved_bytes * runs, self.parameter_bytes)


def operator_name(source: SourceGraph, operator: Any) -> str:
    """What TensorFlow Lite calls an operator; a custom one's own name."""
    code = source.code(operator)
    if code == Operators.CUSTOM:
        return bytes(source.model.operatorCodes[operator.opcodeIndex].customCode or b"CUSTOM").decode(
            "utf-8", "replace"
        )
    return _NAMES[code]


def measure_work(source: SourceGraph, operators: list[Any] | None = None) -> Work:
    """The work of operations of a graph.

    Args:
        source: the graph.
        operators: of the graph; None for all.
    """
    total = Work()
    for operator in source.graph.operators if operators is None else operators:
        tensors = [int(i) for i in (*operator.inputs, *operator.outputs) if i >= 0]
        constants = [i for i in tensors if is_constant(source, i)]
        total += Work(
            _count_macs(source, operator),
            sum(tensor_bytes(source, i) for i in tensors),
            sum(tensor_bytes(source, i) for i in constants),
        )
    return total


def runs_of(passes: int, orientations: int) -> dict[str, int]:
    """How often each part of a network runs for a frame: "whole", and those of the closed form.

    Args:
        passes: P.
        orientations: of the image, which the passes take in turn.
    """
    return {"whole": passes, "features": min(orientations, passes), "passes": passes, "covariance": 1}


def is_constant(source: SourceGraph, tensor: int) -> bool:
    """Whether a tensor's values stand in the file."""
    data = source.model.buffers[source.graph.tensors[tensor].buffer].data
    return data is not None and len(data) > 0


def tensor_bytes(source: SourceGraph, tensor: int) -> int:
    """Size of a tensor."""
    return int(np.prod(source.shape(tensor))) * _BYTES.get(source.graph.tensors[tensor].type, 1)


def _count_macs(source: SourceGraph, operator: Any) -> int:
    code = source.code(operator)
    inputs = [source.shape(int(i)) if i >= 0 else () for i in operator.inputs]
    written = int(np.prod(source.shape(int(operator.outputs[0]))))
    if code == Operators.CONV_2D:
        return written * int(np.prod(inputs[1][1:]))
    if code == Operators.DEPTHWISE_CONV_2D:
        return written * int(np.prod(inputs[1][1:3]))
    if code == Operators.TRANSPOSE_CONV:
        # Each value that is read goes through the whole kernel.
        return int(np.prod(inputs[2])) * int(np.prod(inputs[1][:3]))
    if code == Operators.FULLY_CONNECTED:
        return written * inputs[1][-1]
    return 0
