"""The operators of a .tflite graph as plain layers, from which the graphs of other libraries are written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from flight.bundle import NetworkFile
from ground_tools.export.tflite_graph import Operators, SourceGraph

_KINDS = {
    Operators.CONV_2D: "convolution",
    Operators.TRANSPOSE_CONV: "transposed_convolution",
    Operators.MAX_POOL_2D: "max_pool",
    Operators.LEAKY_RELU: "leaky_relu",
    Operators.RELU: "relu",
    Operators.CONCATENATION: "concatenation",
    Operators.MUL: "product",
    Operators.ADD: "sum",
}
_NAMES = {number: name for name, number in vars(Operators).items() if isinstance(number, int)}
_RELU = {schema.ActivationFunctionType.NONE: False, schema.ActivationFunctionType.RELU: True}


@dataclass(frozen=True)
class Steps:
    """Quantization of a tensor: value = scales (step - zero_point); scales has one entry, or one per output channel."""

    scales: np.ndarray
    zero_point: int


@dataclass(frozen=True)
class Layer:
    """An operator with one output; tensors are named by their indices in the file.

    Attributes:
        kind: convolution, transposed_convolution, max_pool, leaky_relu, relu, concatenation (of channels), product or
            sum.
        inputs: tensors that are no constants.
        output: tensor.
        kernel: constant of a convolution, (out, rows, columns, in), float32 or int8 as in the file; else None.
        bias: (out,), float32 or int32; else None.
        kernel_steps: quantization of an int8 kernel, with scales by output channel.
        stride: of rows and columns; of a pool its side, too.
        padding: rows above and below, columns left and right, that a convolution adds, a transposed one takes away.
        slope: of leaky_relu.
        relu: whether a ReLU follows.
    """

    kind: str
    inputs: tuple[int, ...]
    output: int
    kernel: np.ndarray | None = None
    bias: np.ndarray | None = None
    kernel_steps: Steps | None = None
    stride: int = 1
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)
    slope: float = 0.0
    relu: bool = False

    def float_kernel(self) -> np.ndarray:
        """The kernel in float32."""
        assert self.kernel is not None
        if self.kernel_steps is None:
            return self.kernel
        return (self.kernel * self.kernel_steps.scales.reshape(-1, 1, 1, 1)).astype(np.float32)

    def float_bias(self, steps: dict[int, Steps]) -> np.ndarray:
        """The bias in float32; an integer one is in steps of input times kernel."""
        assert self.bias is not None
        if self.kernel_steps is None:
            return self.bias
        return (self.bias * (steps[self.inputs[0]].scales[0] * self.kernel_steps.scales)).astype(np.float32)


@dataclass(frozen=True)
class LayerGraph:
    """A network. image, masks and scores are tensors; the masks in the manifest's order.

    shapes: (1, H, W, C) of every tensor that is no constant; steps: of those that are quantized.
    """

    layers: tuple[Layer, ...]
    image: int
    masks: tuple[int, ...]
    scores: int
    shapes: dict[int, tuple[int, ...]]
    steps: dict[int, Steps]

    @property
    def inputs(self) -> tuple[int, ...]:
        """Image and masks."""
        return (self.image, *self.masks)


def read_layers(network: NetworkFile) -> LayerGraph:
    """The layers of a bundle's network. Raises ValueError where it has an operator that is not known here."""
    source = SourceGraph(network.content)
    shapes: dict[int, tuple[int, ...]] = {}
    steps: dict[int, Steps] = {}
    for index, tensor in enumerate(source.graph.tensors):
        if source.constant(index) is None and tensor.shape is not None:
            shapes[index] = source.shape(index)
            if source.is_int8(index):
                found = source.quantization(index)
                steps[index] = Steps(np.array([found.scale]), found.zero_point)
    return LayerGraph(
        tuple(_read_layer(source, operator) for operator in source.graph.operators),
        source.find(network.image_input),
        tuple(source.find(mask.input) for mask in network.dropout_masks),
        source.find(network.scores_output),
        shapes,
        steps,
    )


def _read_layer(source: SourceGraph, operator: Any) -> Layer:
    code, options = source.code(operator), operator.builtinOptions
    kind = _KINDS.get(code)
    if kind is None:
        raise ValueError(f"operator {_NAMES.get(code, code)}: expected one of {', '.join(sorted(_KINDS.values()))}")
    inputs = tuple(int(i) for i in operator.inputs if i >= 0 and source.constant(int(i)) is None)
    output = int(operator.outputs[0])
    activation = getattr(options, "fusedActivationFunction", schema.ActivationFunctionType.NONE)
    if activation not in _RELU:
        raise ValueError(f"operator {_NAMES[code]}: expected no activation or ReLU, got number {activation}")
    relu = _RELU[activation]
    if kind in ("convolution", "transposed_convolution"):
        return _read_convolution(source, operator, kind, relu)
    if kind == "max_pool":
        if len({options.strideH, options.strideW, options.filterHeight, options.filterWidth}) > 1:
            raise ValueError("operator MAX_POOL_2D: expected a stride as large as its square window")
        return Layer(kind, inputs, output, stride=int(options.strideH), relu=relu)
    if kind == "leaky_relu":
        return Layer(kind, inputs, output, slope=float(options.alpha))
    if kind in ("product", "sum") and len(inputs) != 2:
        raise ValueError(f"operator {_NAMES[code]}: expected no constant")
    return Layer(kind, inputs, output, relu=relu)


def _read_convolution(source: SourceGraph, operator: Any, kind: str, relu: bool) -> Layer:
    options, places = operator.builtinOptions, [int(i) for i in operator.inputs]
    # A transposed convolution has the shape of its output first.
    x, kernel, bias = (places[2], places[1], places[3]) if kind == "transposed_convolution" else places
    values, output = source.constant(kernel), int(operator.outputs[0])
    if values is None or options.strideH != options.strideW:
        raise ValueError("convolution: expected a constant kernel and a square stride")
    scales = None
    if values.dtype == np.int8:
        scales = Steps(np.asarray(source.graph.tensors[kernel].quantization.scale, dtype=np.float64), 0)
    stride = int(options.strideH)
    small, large = (x, output) if kind == "transposed_convolution" else (output, x)
    padding: list[int] = []
    for axis in (1, 2):
        # SAME: what the windows of all outputs need beyond the image, the odd pixel at the end; VALID: nothing.
        needed = (source.shape(small)[axis] - 1) * stride + values.shape[axis] - source.shape(large)[axis]
        before = max(needed, 0) // 2 if options.padding == schema.Padding.SAME else 0
        padding += [before, max(needed, 0) - before]
    return Layer(
        kind,
        (x,),
        output,
        values,
        source.constant(bias),
        scales,
        stride,
        (padding[0], padding[1], padding[2], padding[3]),
        relu=relu,
    )
