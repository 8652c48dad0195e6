"""Taking a .tflite file apart and building others from its parts, operator by operator.

What is copied keeps its weights and its quantization, so that a part computes the very bits that the whole computes.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from flight.inference.interpreter import strip_decorations

Operators = schema.BuiltinOperator
_DTYPES: dict[np.dtype[Any], int] = {
    np.dtype(np.float32): schema.TensorType.FLOAT32,
    np.dtype(np.int32): schema.TensorType.INT32,
    np.dtype(np.int8): schema.TensorType.INT8,
}
_NAMES: dict[int, np.dtype[Any]] = {number: dtype for dtype, number in _DTYPES.items()}
_FILE_IDENTIFIER = b"TFL3"
# Of the operators that are written, the versions that the runtime asks for with int8 tensors.
_VERSIONS = {
    Operators.CONV_2D: 3,
    Operators.PAD: 2,
    Operators.SLICE: 2,
    Operators.RESHAPE: 1,
    Operators.CONCATENATION: 2,
    Operators.DEQUANTIZE: 2,
    Operators.MUL: 2,
    Operators.ADD: 2,
    Operators.MAXIMUM: 2,
    Operators.RELU: 2,
    Operators.STRIDED_SLICE: 2,
}


@dataclass(frozen=True)
class Quantization:
    """value = scale (step - zero_point)."""

    scale: float
    zero_point: int

    def quantize(self, values: np.ndarray) -> np.ndarray:
        """The int8 steps that are nearest to values."""
        return np.clip(np.rint(values / self.scale) + self.zero_point, -128, 127).astype(np.int8)


class SourceGraph:
    """The main graph of a .tflite file. Tensors are indices."""

    def __init__(self, content: bytes) -> None:
        self.model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))
        self.graph = self.model.subgraphs[0]
        self.producers = {int(out): operator for operator in self.graph.operators for out in operator.outputs}

    def code(self, operator: Any) -> int:
        """The BuiltinOperator of an operator."""
        entry = self.model.operatorCodes[operator.opcodeIndex]
        return max(int(entry.deprecatedBuiltinCode), int(entry.builtinCode))

    def find(self, name: str) -> int:
        """The input or output of this name, as manifests have it. Raises ValueError where there is none."""
        for indices in (self.graph.inputs, self.graph.outputs):
            names = strip_decorations([self.graph.tensors[i].name.decode() for i in indices])
            if name in names:
                return int(indices[names.index(name)])
        raise ValueError(f"expected a tensor {name}, got none")

    def shape(self, tensor: int) -> tuple[int, ...]:
        """The shape of a tensor, with the batch axis."""
        return tuple(int(side) for side in self.graph.tensors[tensor].shape)

    def quantization(self, tensor: int) -> Quantization:
        """Of a tensor with one scale."""
        found = self.graph.tensors[tensor].quantization
        return Quantization(float(found.scale[0]), int(found.zeroPoint[0]))

    def set_quantization(self, tensor: int, quantization: Quantization) -> None:
        """Give a tensor that is computed other steps."""
        self.graph.tensors[tensor].quantization = _parameters(np.array([quantization.scale]), [quantization.zero_point])

    def set_bias(self, bias: int, kernel: int, input_scale: float, shift: np.ndarray | float = 0.0) -> None:
        """Put a bias, with something added to it, into the steps of the accumulator of an input with this scale."""
        values = self.weights(bias) + shift
        scales = input_scale * np.asarray(self.graph.tensors[kernel].quantization.scale, dtype=np.float64)
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(np.rint(values / scales).astype(np.int32).tobytes(), dtype=np.uint8)
        self.model.buffers.append(buffer)
        entry = self.graph.tensors[bias]
        entry.buffer, entry.quantization = len(self.model.buffers) - 1, _parameters(scales, [0] * len(scales))

    def reorder(self, operators: list[Any]) -> bytes:
        """The bytes of the file with its operators in another order."""
        self.graph.operators = operators
        return _pack(self.model)

    def cut(self, outputs: list[int]) -> bytes:
        """The bytes of a file that computes these tensors, and nothing that they do not need."""
        graph, model = self.graph, self.model
        kept = graph.operators, graph.outputs, model.signatureDefs
        needed: set[int] = set()
        stack = list(outputs)
        while stack:
            operator = self.producers.get(stack.pop())
            if operator is not None and id(operator) not in needed:
                needed.add(id(operator))
                stack += [int(i) for i in operator.inputs if i >= 0]
        graph.operators = [operator for operator in graph.operators if id(operator) in needed]
        graph.outputs, model.signatureDefs = outputs, []
        try:
            return _pack(model)
        finally:
            graph.operators, graph.outputs, model.signatureDefs = kept

    def is_int8(self, tensor: int) -> bool:
        """Whether a tensor is of int8."""
        return bool(self.graph.tensors[tensor].type == schema.TensorType.INT8)

    def constant(self, tensor: int) -> np.ndarray | None:
        """What a constant holds, quantized as it is; None for a tensor that is computed or an input."""
        entry = self.graph.tensors[tensor]
        data = self.model.buffers[entry.buffer].data
        if data is None or not len(data):
            return None
        raw = np.asarray(data, dtype=np.uint8).tobytes()
        return np.frombuffer(raw, dtype=_NAMES[entry.type]).reshape(self.shape(tensor))

    def weights(self, tensor: int) -> np.ndarray:
        """What a quantized constant stands for, float64; its scales are by one of its axes."""
        values = self.constant(tensor)
        if values is None:
            raise ValueError(f"tensor {tensor}: expected a constant")
        found = self.graph.tensors[tensor].quantization
        shape = [1] * values.ndim
        # The last one of a depthwise kernel, the first one of all others.
        shape[int(found.quantizedDimension)] = -1
        return values * np.asarray(found.scale, dtype=np.float64).reshape(shape)


class GraphWriter:
    """A .tflite file under construction. Tensors are indices."""

    def __init__(self) -> None:
        self._model = schema.ModelT()
        self._model.version = 3
        self._model.description = b"Rubblemap"
        self._model.operatorCodes = []
        self._model.buffers = [schema.BufferT()]
        graph = schema.SubGraphT()
        graph.tensors, graph.operators, graph.inputs, graph.outputs, graph.name = [], [], [], [], b"main"
        self._graph = graph
        self._model.subgraphs = [graph]

    def add_input(self, source: SourceGraph, tensor: int, name: str) -> int:
        """An input like a tensor of another graph."""
        added = self._copy_tensor(source, tensor)
        self._graph.tensors[added].name = name.encode()
        self._graph.inputs.append(added)
        return added

    def add_new_input(self, shape: Sequence[int], quantization: Quantization, name: str) -> int:
        """An int8 input."""
        added = self.add_tensor(shape, quantization)
        self._graph.tensors[added].name = name.encode()
        self._graph.inputs.append(added)
        return added

    def add_output(self, tensor: int, name: str) -> None:
        """Make a tensor an output."""
        self._graph.tensors[tensor].name = name.encode()
        self._graph.outputs.append(tensor)

    def copy(self, source: SourceGraph, wanted: Sequence[int], known: dict[int, int]) -> None:
        """Copy the operators that compute `wanted` from what is known. known: tensor there -> here; is added to."""
        needed: set[int] = set()
        stack = [tensor for tensor in wanted if tensor not in known]
        while stack:
            operator = source.producers[stack.pop()]
            if id(operator) in needed:
                continue
            needed.add(id(operator))
            inputs = [int(i) for i in operator.inputs if i >= 0]
            stack += [i for i in inputs if i not in known and i in source.producers]
        for operator in source.graph.operators:
            if id(operator) not in needed:
                continue
            for tensor in (*operator.inputs, *operator.outputs):
                if tensor >= 0 and int(tensor) not in known:
                    known[int(tensor)] = self._copy_tensor(source, int(tensor))
            self._append_copy(source, operator, known, [known[int(i)] for i in operator.outputs])

    def add_copy(
        self,
        source: SourceGraph,
        operator: Any,
        known: dict[int, int],
        options: Any,
        version: int | None = None,
        shape: Sequence[int] | None = None,
    ) -> int:
        """Copy one operator with other options; returns its output.

        known: its inputs there -> here; constants are copied. version: of the operator, None for the same. shape: of
        the output, None for the same.
        """
        known = dict(known)
        for tensor in operator.inputs:
            if tensor >= 0 and int(tensor) not in known:
                known[int(tensor)] = self._copy_tensor(source, int(tensor))
        output = self._copy_tensor(source, int(operator.outputs[0]))
        if shape is not None:
            self._graph.tensors[output].shape = list(shape)
            self._graph.tensors[output].shapeSignature = None
        self._append_copy(source, operator, known, [output], version)
        self._graph.operators[-1].builtinOptions = options
        return output

    def _append_copy(
        self, source: SourceGraph, operator: Any, known: dict[int, int], outputs: list[int], version: int | None = None
    ) -> None:
        added = copy.copy(operator)
        code = source.model.operatorCodes[operator.opcodeIndex]
        added.opcodeIndex = self._opcode(source.code(operator), int(code.version) if version is None else version)
        added.inputs = [known[int(i)] if i >= 0 else -1 for i in operator.inputs]
        added.outputs = outputs
        self._graph.operators.append(added)

    def add_tensor(self, shape: Sequence[int], quantization: Quantization | None) -> int:
        """A tensor that an operator computes: int8 with a quantization, float32 without."""
        dtype = np.dtype(np.float32 if quantization is None else np.int8)
        return self._add(tuple(shape), dtype, quantization, None)

    def add_constant(self, values: np.ndarray, quantization: Quantization | None = None) -> int:
        """A constant: float32, int32, or int8 with its quantization."""
        return self._add(values.shape, values.dtype, quantization, values)

    def add_operator(self, code: int, inputs: Sequence[int], output: int, options: Any = None) -> int:
        """An operator with one output; returns the output."""
        operator = schema.OperatorT()
        operator.opcodeIndex = self._opcode(code, _VERSIONS.get(code, 1))
        operator.inputs, operator.outputs = list(inputs), [output]
        if options is not None:
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, type(options).__name__.removesuffix("T"))
            operator.builtinOptions = options
        self._graph.operators.append(operator)
        return output

    def add_convolution(
        self,
        x: int,
        kernel: np.ndarray,
        bias: np.ndarray,
        output: Quantization | None,
        *,
        same: bool = False,
        stride: int = 1,
    ) -> int:
        """A convolution: int8 with scales per output channel where x is int8, else in float32.

        kernel: (out, rows, columns, in) float, bias (out,) float. output: quantization of the result, None in float32.
        """
        entry = self._graph.tensors[x]
        if entry.type == schema.TensorType.INT8:
            step = float(entry.quantization.scale[0])
            scales = np.maximum(np.abs(kernel).max(axis=(1, 2, 3)) / 127.0, 1e-12)
            # A bias is an int32 in steps of the accumulator; a channel of tiny weights must not overflow it.
            scales = np.maximum(scales, np.abs(bias) / (step * 2.0**30))
            steps = np.rint(kernel / scales[:, None, None, None]).astype(np.int8)
            weights = self._add_scaled(steps, scales)
            biases = self._add_scaled(np.rint(bias / (step * scales)).astype(np.int32), step * scales)
        else:
            weights, biases = (self.add_constant(each.astype(np.float32)) for each in (kernel, bias))
        options = schema.Conv2DOptionsT()
        options.padding = schema.Padding.SAME if same else schema.Padding.VALID
        options.strideH = options.strideW = stride
        options.dilationHFactor = options.dilationWFactor = 1
        rows, columns = self.shape(x)[1:3]
        if not same:
            rows, columns = rows - kernel.shape[1] + 1, columns - kernel.shape[2] + 1
        shape = (1, -(-rows // stride), -(-columns // stride), len(kernel))
        return self.add_operator(Operators.CONV_2D, [x, weights, biases], self.add_tensor(shape, output), options)

    def add_slice(self, x: int, begin: Sequence[int], size: Sequence[int]) -> int:
        """Rows and columns of a tensor: begin and size are (row, column)."""
        shape = self.shape(x)
        begins = self.add_constant(np.array([0, *begin, 0], dtype=np.int32))
        sizes = self.add_constant(np.array([1, *size, shape[3]], dtype=np.int32))
        out = self._like(x, (1, *size, shape[3]))
        return self.add_operator(Operators.SLICE, [x, begins, sizes], out, schema.SliceOptionsT())

    def add_maximum(self, x: int, y: int) -> int:
        """The larger of two int8 tensors of one quantization, element by element."""
        return self.add_operator(
            Operators.MAXIMUM, [x, y], self._like(x, self.shape(x)), schema.MaximumMinimumOptionsT()
        )

    def add_relu(self, x: int) -> int:
        """x where it is above 0, else 0."""
        return self.add_operator(Operators.RELU, [x], self._like(x, self.shape(x)))

    def add_every(self, x: int, step: int) -> int:
        """Every step-th row and column of a tensor, from the first on."""
        shape = self.shape(x)
        parts = [[0, 0, 0, 0], list(shape), [1, step, step, 1]]
        constants = [self.add_constant(np.array(part, dtype=np.int32)) for part in parts]
        out = self._like(x, (1, -(-shape[1] // step), -(-shape[2] // step), shape[3]))
        return self.add_operator(Operators.STRIDED_SLICE, [x, *constants], out, schema.StridedSliceOptionsT())

    def add_padding(self, x: int, rows: int, columns: int) -> int:
        """Zeros around a tensor: so many rows above and below, so many columns on either side."""
        shape = self.shape(x)
        widths = np.array([[0, 0], [rows, rows], [columns, columns], [0, 0]], dtype=np.int32)
        out = self._like(x, (1, shape[1] + 2 * rows, shape[2] + 2 * columns, shape[3]))
        return self.add_operator(Operators.PAD, [x, self.add_constant(widths)], out, schema.PadOptionsT())

    def add_reshape(self, x: int, shape: Sequence[int]) -> int:
        """The same values in another shape."""
        options = schema.ReshapeOptionsT()
        options.newShape = list(shape)
        constant = self.add_constant(np.array(shape, dtype=np.int32))
        return self.add_operator(Operators.RESHAPE, [x, constant], self._like(x, shape), options)

    def add_concatenation(self, parts: Sequence[int], axis: int) -> int:
        """Parts of one quantization behind each other."""
        shape = list(self.shape(parts[0]))
        shape[axis] = sum(self.shape(part)[axis] for part in parts)
        options = schema.ConcatenationOptionsT()
        options.axis = axis
        return self.add_operator(Operators.CONCATENATION, parts, self._like(parts[0], shape), options)

    def add_dequantization(self, x: int) -> int:
        """The float32 values of an int8 tensor."""
        out = self.add_tensor(self.shape(x), None)
        return self.add_operator(Operators.DEQUANTIZE, [x], out, schema.DequantizeOptionsT())

    def add_product(self, x: int, y: int, output: Quantization | None = None) -> int:
        """x times y, element by element; y may have sides of 1."""
        return self.add_operator(Operators.MUL, [x, y], self.add_tensor(self.shape(x), output), schema.MulOptionsT())

    def add_sum(self, x: int, y: int) -> int:
        """x plus y in float32, element by element."""
        return self.add_operator(Operators.ADD, [x, y], self.add_tensor(self.shape(x), None), schema.AddOptionsT())

    def shape(self, tensor: int) -> tuple[int, ...]:
        """The shape of a tensor, with the batch axis."""
        return tuple(int(side) for side in self._graph.tensors[tensor].shape)

    def quantization(self, tensor: int) -> Quantization:
        """Of an int8 tensor."""
        found = self._graph.tensors[tensor].quantization
        return Quantization(float(found.scale[0]), int(found.zeroPoint[0]))

    def finish(self) -> bytes:
        """The bytes of the file."""
        return _pack(self._model)

    def _like(self, x: int, shape: Sequence[int]) -> int:
        entry = self._graph.tensors[x]
        quantized = entry.type == schema.TensorType.INT8
        return self.add_tensor(shape, self.quantization(x) if quantized else None)

    def _add(
        self, shape: Sequence[int], dtype: np.dtype, quantization: Quantization | None, values: np.ndarray | None
    ) -> int:
        tensor = schema.TensorT()
        tensor.shape, tensor.type = [int(side) for side in shape], _DTYPES[np.dtype(dtype)]
        tensor.name = f"t{len(self._graph.tensors)}".encode()
        tensor.buffer = 0 if values is None else self._add_buffer(np.ascontiguousarray(values))
        if quantization is not None:
            tensor.quantization = _parameters(np.array([quantization.scale]), [quantization.zero_point])
        self._graph.tensors.append(tensor)
        return len(self._graph.tensors) - 1

    def _add_scaled(self, steps: np.ndarray, scales: np.ndarray) -> int:
        """A constant with a scale for each index of its first axis."""
        added = self._add(steps.shape, steps.dtype, None, steps)
        self._graph.tensors[added].quantization = _parameters(scales, [0] * len(scales))
        return added

    def _add_buffer(self, values: np.ndarray) -> int:
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(values.tobytes(), dtype=np.uint8)
        self._model.buffers.append(buffer)
        return len(self._model.buffers) - 1

    def _copy_tensor(self, source: SourceGraph, tensor: int) -> int:
        added = copy.copy(source.graph.tensors[tensor])
        values = source.constant(tensor)
        added.buffer = 0 if values is None else self._add_buffer(values)
        self._graph.tensors.append(added)
        return len(self._graph.tensors) - 1

    def _opcode(self, code: int, version: int) -> int:
        for index, entry in enumerate(self._model.operatorCodes):
            if (int(entry.builtinCode), int(entry.version)) == (code, version):
                return index
        entry = schema.OperatorCodeT()
        entry.builtinCode, entry.version = code, version
        entry.deprecatedBuiltinCode = min(code, 127)
        self._model.operatorCodes.append(entry)
        return len(self._model.operatorCodes) - 1


def _pack(model: Any) -> bytes:
    builder = flatbuffers.Builder(1 << 20)
    builder.Finish(model.Pack(builder), _FILE_IDENTIFIER)
    return bytes(builder.Output())


def _parameters(scales: np.ndarray, zero_points: list[int]) -> Any:
    parameters = schema.QuantizationParametersT()
    parameters.scale = scales.astype(np.float32)
    parameters.zeroPoint = np.array(zero_points, dtype=np.int64)
    parameters.quantizedDimension = 0
    return parameters
