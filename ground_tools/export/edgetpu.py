"""A .tflite file that computes the same with the operations that the Coral Edge TPU's compiler documents alone.

    LEAKY_RELU                    max(x, slope x): Mul by 1 and Mul by the slope, both in the steps of the result, where
                                  what lies below its range saturates; then Maximum. Up to rounding, the same values.
    TRANSPOSE_CONV with a ReLU    the same without, in an older version of the operator; then ReLU. The same bits.
    STRIDED_SLICE of a Conv2d     the convolution once more, at that stride, on a padded input. The same bits.

Other operations stay as they are. What the Edge TPU can run comes first, so that its one part holds all of it; what is
left, in float32, is the last step of the closed form's passes and covariance. All sizes are constants and the batch is
1 already; dropout masks are inputs of int8, multiplied element by element.
"""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from flight.inference.interpreter import strip_decorations
from ground_tools.export.edgetpu_rules import check_graph
from ground_tools.export.tflite_graph import GraphWriter, Operators, Quantization, SourceGraph

# A constant of int8 that stands for a number exactly, and uses the whole range.
_LARGEST = 127
# TRANSPOSE_CONV with a bias and without an activation.
_TRANSPOSE_CONV_VERSION = 3


def rewrite_for_edgetpu(content: bytes) -> bytes:
    """Write a file for the Edge TPU's compiler.

    Args:
        content: bytes of a .tflite file in int8.

    Returns:
        Bytes of a .tflite file with the same inputs and outputs, which any runtime runs.
    """
    return _order(_Rewriter(content).rewrite())


class _Rewriter:
    """One file. Tensors of the source are known by their index there, those written by what `_known` says."""

    def __init__(self, content: bytes) -> None:
        self._source = SourceGraph(content)
        self._writer = GraphWriter()
        self._known: dict[int, int] = {}

    def rewrite(self) -> bytes:
        """The bytes of the new file."""
        graph = self._source.graph
        for tensor, name in self._names(graph.inputs):
            self._known[tensor] = self._writer.add_input(self._source, tensor, name)
        for operator in graph.operators:
            self._add(operator)
        for tensor, name in self._names(graph.outputs):
            self._writer.add_output(self._known[tensor], name)
        return self._writer.finish()

    def _names(self, tensors: Any) -> list[tuple[int, str]]:
        found = [int(i) for i in tensors]
        names = strip_decorations([self._source.graph.tensors[i].name.decode() for i in found])
        return list(zip(found, names, strict=True))

    def _add(self, operator: Any) -> None:
        source, code, output = self._source, self._source.code(operator), int(operator.outputs[0])
        int8 = source.is_int8(output)
        if code == Operators.LEAKY_RELU and int8:
            self._known[output] = self._leaky_relu(operator)
        elif code == Operators.TRANSPOSE_CONV and int8 and len(operator.inputs) == 4:
            self._known[output] = self._transpose_conv(operator)
        elif code == Operators.STRIDED_SLICE and int8 and (strided := self._strided_convolution(operator)) is not None:
            self._known[output] = strided
        else:
            self._writer.copy(source, [output], self._known)

    def _leaky_relu(self, operator: Any) -> int:
        writer, x = self._writer, self._known[int(operator.inputs[0])]
        steps = self._source.quantization(int(operator.outputs[0]))
        slope = float(operator.builtinOptions.alpha)
        kept, damped = (writer.add_product(x, self._number(value), steps) for value in (1.0, slope))
        return writer.add_maximum(kept, damped)

    def _number(self, value: float) -> int:
        """A constant that every element is multiplied by."""
        return self._writer.add_constant(
            np.full((1, 1, 1, 1), _LARGEST, dtype=np.int8), Quantization(value / _LARGEST, 0)
        )

    def _transpose_conv(self, operator: Any) -> int:
        """The operator without its activation, and the activation behind it: in int8 both have the same steps."""
        relu = operator.builtinOptions.fusedActivationFunction == schema.ActivationFunctionType.RELU
        if operator.builtinOptions.fusedActivationFunction not in (0, schema.ActivationFunctionType.RELU):
            self._writer.copy(self._source, [int(operator.outputs[0])], self._known)
            return self._known[int(operator.outputs[0])]
        options = copy.copy(operator.builtinOptions)
        options.fusedActivationFunction = schema.ActivationFunctionType.NONE
        plain = self._writer.add_copy(self._source, operator, self._known, options, _TRANSPOSE_CONV_VERSION)
        return self._writer.add_relu(plain) if relu else plain

    def _strided_convolution(self, operator: Any) -> int | None:
        """Every n-th pixel of a convolution, computed alone; None where that is not what is sliced."""
        source = self._source
        x, *constants = (int(i) for i in operator.inputs)
        producer = source.producers.get(x)
        values = [source.constant(tensor) for tensor in constants]
        if producer is None or source.code(producer) != Operators.CONV_2D or any(value is None for value in values):
            return None
        begin, end, strides = (tuple(int(side) for side in value) for value in values if value is not None)
        stride, options = strides[1], producer.builtinOptions
        read, kernel = (int(i) for i in producer.inputs[:2])
        _, rows, columns, _ = source.shape(kernel)
        masks = operator.builtinOptions
        whole = masks is None or not (masks.shrinkAxisMask or masks.newAxisMask or masks.ellipsisMask)
        whole &= begin == (0, 0, 0, 0) and end == source.shape(x) and strides == (1, stride, stride, 1)
        plain = (options.strideH, options.strideW, options.fusedActivationFunction) == (1, 1, 0)
        centered = options.padding == schema.Padding.SAME and rows % 2 == columns % 2 == 1
        if not (whole and plain and centered and options.dilationHFactor == options.dilationWFactor == 1):
            return None
        padded = self._writer.add_padding(self._known[read], rows // 2, columns // 2)
        options = copy.copy(options)
        options.padding, options.strideH, options.strideW = schema.Padding.VALID, stride, stride
        inputs = {**self._known, read: padded}
        shape = source.shape(int(operator.outputs[0]))
        return self._writer.add_copy(source, producer, inputs, options, shape=shape)


def _order(content: bytes) -> bytes:
    """The same operations: first those that map and need no other, then the rest, each in the order that they had."""
    source = SourceGraph(content)
    operators = source.graph.operators
    # Each judged by itself: as if none stood before it.
    alone = [not verdict.reason for verdict in check_graph(content)]
    late: set[int] = set()
    first, rest = [], []
    for operator, maps in zip(operators, alone, strict=True):
        if maps and not any(int(i) in late for i in operator.inputs):
            first.append(operator)
        else:
            rest.append(operator)
            late |= {int(i) for i in operator.outputs}
    return source.reorder(first + rest)
