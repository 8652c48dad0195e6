"""A network as an ONNX file, which ONNX Runtime and OpenVINO read: in float32, or with the int8 steps of the bundle.

ONNX has channels before rows and columns; image, masks and scores have, too. In int8 every tensor between two layers
goes through QuantizeLinear and DequantizeLinear, which the runtimes fuse with the layers around them. The steps are
those of the .tflite file: int8, since with uint8 ONNX Runtime's sums overflow on x86 processors without VNNI.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from ground_tools.benchmark.peers.layers import Layer, LayerGraph

_OPSET = 17
_IR_VERSION = 8
_OPERATORS = {
    "convolution": "Conv",
    "transposed_convolution": "ConvTranspose",
    "max_pool": "MaxPool",
    "leaky_relu": "LeakyRelu",
    "relu": "Relu",
    "concatenation": "Concat",
    "product": "Mul",
    "sum": "Add",
}


def build_onnx(graph: LayerGraph, quantized: bool = False) -> bytes:
    """The file. Inputs "image", "mask_1", ...: (1, C, H, W); output "scores". quantized: inputs are int8 steps."""
    return _Writer(graph, quantized).finish()


def input_names(graph: LayerGraph) -> list[str]:
    """The names of image and masks, in this order."""
    return ["image", *(f"mask_{number}" for number in range(1, len(graph.masks) + 1))]


class _Writer:
    def __init__(self, graph: LayerGraph, quantized: bool) -> None:
        self._graph, self._quantized = graph, quantized
        self._nodes: list[Any] = []
        self._constants: list[Any] = []
        self._inputs = []
        for name, tensor in zip(input_names(graph), graph.inputs, strict=True):
            kind = TensorProto.INT8 if quantized else TensorProto.FLOAT
            self._inputs.append(helper.make_tensor_value_info(name, kind, self._shape(tensor)))
            self._dequantize(name, f"t{tensor}", tensor) if quantized else self._add("Identity", [name], f"t{tensor}")
        for layer in graph.layers:
            self._add_layer(layer)

    def finish(self) -> bytes:
        scores = f"t{self._graph.scores}"
        self._add("Identity", [scores], "scores")
        output = helper.make_tensor_value_info("scores", TensorProto.FLOAT, self._shape(self._graph.scores))
        graph = helper.make_graph(self._nodes, "network", self._inputs, [output], self._constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)])
        model.ir_version = _IR_VERSION
        onnx.checker.check_model(model)
        content: bytes = model.SerializeToString()
        return content

    def _add_layer(self, layer: Layer) -> None:
        inputs = [f"t{tensor}" for tensor in layer.inputs]
        attributes: dict[str, Any] = {}
        if layer.kernel is not None:
            inputs += self._weights(layer)
            top, bottom, left, right = layer.padding
            attributes = {
                "kernel_shape": layer.kernel.shape[1:3],
                "strides": [layer.stride] * 2,
                "pads": [top, left, bottom, right],
            }
        elif layer.kind == "max_pool":
            attributes = {"kernel_shape": [layer.stride] * 2, "strides": [layer.stride] * 2}
        elif layer.kind == "leaky_relu":
            attributes = {"alpha": layer.slope}
        elif layer.kind == "concatenation":
            attributes = {"axis": 1}
        name, exact = f"t{layer.output}", f"t{layer.output}_exact"
        steps = self._quantized and layer.output in self._graph.steps
        computed = exact if steps else name
        before = f"{computed}_linear" if layer.relu else computed
        self._add(_OPERATORS[layer.kind], inputs, before, **attributes)
        if layer.relu:
            self._add("Relu", [before], computed)
        if steps:
            self._quantize(exact, f"{name}_steps", layer.output)
            self._dequantize(f"{name}_steps", name, layer.output)

    def _weights(self, layer: Layer) -> list[str]:
        """Kernel and bias, in float32 or dequantized; ONNX has (out, in, ...), transposed (in, out, ...)."""
        name = f"t{layer.output}"
        order = (3, 0, 1, 2) if layer.kind == "transposed_convolution" else (0, 3, 1, 2)
        if not self._quantized or layer.kernel_steps is None:
            kernel = self._constant(f"{name}_kernel", layer.float_kernel().transpose(order))
            return [kernel, self._constant(f"{name}_bias", layer.float_bias(self._graph.steps))]
        assert layer.kernel is not None
        assert layer.bias is not None
        scales = layer.kernel_steps.scales
        bias_scales = scales * self._graph.steps[layer.inputs[0]].scales[0]
        named = (
            ("kernel", layer.kernel.transpose(order), scales, order.index(0)),
            ("bias", layer.bias.astype(np.int32), bias_scales, 0),
        )
        found = []
        for part, values, factors, axis in named:
            inputs = [
                self._constant(f"{name}_{part}_steps", values),
                self._constant(f"{name}_{part}_scales", factors.astype(np.float32)),
                self._constant(f"{name}_{part}_zeros", np.zeros(len(factors), dtype=values.dtype)),
            ]
            found.append(self._add("DequantizeLinear", inputs, f"{name}_{part}", axis=axis))
        return found

    def _quantize(self, exact: str, steps: str, tensor: int) -> str:
        return self._add("QuantizeLinear", [exact, *self._steps(tensor)], steps)

    def _dequantize(self, steps: str, values: str, tensor: int) -> str:
        return self._add("DequantizeLinear", [steps, *self._steps(tensor)], values)

    def _steps(self, tensor: int) -> list[str]:
        steps, names = self._graph.steps[tensor], [f"t{tensor}_scale", f"t{tensor}_zero"]
        if not any(constant.name == names[0] for constant in self._constants):
            self._constant(names[0], np.array(steps.scales[0], dtype=np.float32))
            self._constant(names[1], np.array(steps.zero_point, dtype=np.int8))
        return names

    def _constant(self, name: str, values: np.ndarray) -> str:
        self._constants.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def _add(self, operator: str, inputs: list[str], output: str, **attributes: Any) -> str:
        self._nodes.append(helper.make_node(operator, inputs, [output], **attributes))
        return output

    def _shape(self, tensor: int) -> list[int]:
        _, height, width, channels = self._graph.shapes[tensor]
        return [1, channels, height, width]
