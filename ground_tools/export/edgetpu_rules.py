"""What the compiler of the Coral Edge TPU does with each operation of a .tflite file, by what Coral documents.

The compiler itself is closed and not part of the project. Its documented rules stand in edgetpu_operations.toml, with
their source. It makes one part for the Edge TPU, from the beginning to the first operation that cannot run there; that
one, and all behind it, stay on the CPU.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from msgspec import Meta

from flight.inference.model_file import read_graph
from ground_tools.export.graph_work import is_constant, operator_name
from ground_tools.export.tflite_graph import Operators, SourceGraph
from ground_tools.foundation.descriptions import read_structure
from ground_tools.foundation.structures import TomlTable

_TABLE = Path(__file__).with_name("edgetpu_operations.toml")
_INTEGERS = (schema.TensorType.INT8, schema.TensorType.UINT8)
# Of constants that an operation on the Edge TPU may have.
_DTYPES = {schema.TensorType.INT8: np.int8, schema.TensorType.UINT8: np.uint8, schema.TensorType.INT32: np.int32}
_TYPE_NAMES = {number: name.lower() for name, number in vars(schema.TensorType).items() if isinstance(number, int)}
# Where an operator's weights and biases are among its inputs.
_PARAMETERS = {Operators.TRANSPOSE_CONV: (1, 3)}
_COMPILED = "edgetpu-custom-op"


class Source(TomlTable, frozen=True):
    """Where the table comes from."""

    title: str
    url: str
    second: str
    versions: str


class Memory(TomlTable, frozen=True):
    """What the chip holds."""

    parameters_bytes: Annotated[int, Meta(gt=0, description="room on the chip for parameters")]
    source: str


class Operation(TomlTable, frozen=True):
    """What is documented of one operation."""

    name: Annotated[str, Meta(description="in Coral's table")]
    runtime: Annotated[int, Meta(ge=0, description="from this version of the Edge TPU's runtime on; 0: all")] = 0
    version: Annotated[int, Meta(ge=1, description="highest version of the operator that the compiler knows")] = 1
    rules: Annotated[tuple[str, ...], Meta(description="limits that a file tells")] = ()
    limit: Annotated[str, Meta(description="a limit by which the compiler decides")] = ""


class Rules(TomlTable, frozen=True):
    """The table."""

    source: Source
    memory: Memory
    operations: dict[str, Operation]


@dataclass(frozen=True)
class Verdict:
    """What becomes of an operation.

    Attributes:
        operator: of TensorFlow Lite.
        output: its shape.
        reason: why it stays on the CPU by itself; "" where it does not.
        behind: the operation before it that stays on the CPU; "" without one.
        note: a limit by which the compiler decides.
    """

    operator: str
    output: str
    reason: str
    behind: str
    note: str

    @property
    def maps(self) -> bool:
        """Whether it runs on the Edge TPU."""
        return not (self.reason or self.behind)

    def __str__(self) -> str:
        if self.maps:
            return f"maps{self.note and f' (the compiler decides: {self.note})'}"
        behind = self.behind and f"behind operation {self.behind}: the compiler makes one part alone"
        return f"stays on the CPU: {'; '.join(filter(None, (self.reason, behind)))}"


@cache
def read_rules() -> Rules:
    """The table of the project."""
    return read_structure("table of operations", _TABLE, Rules)


def check_graph(content: bytes) -> list[Verdict]:
    """Say for every operation of a file whether it maps, in the order of the file.

    Args:
        content: bytes of a .tflite file.

    Raises:
        ValueError: they are no such file.
    """
    read_graph(content)
    source = SourceGraph(content)
    verdicts: list[Verdict] = []
    first = ""
    for number, operator in enumerate(source.graph.operators, start=1):
        name = operator_name(source, operator)
        reason, note = _judge(source, operator)
        verdicts.append(Verdict(name, _shape_text(source, operator), reason, first, note))
        if reason and not first:
            first = f"{number}, {name}"
    return verdicts


def _judge(source: SourceGraph, operator: Any) -> tuple[str, str]:
    """Why an operation stays on the CPU, "" if it maps by itself; and the limit by which the compiler decides."""
    name = operator_name(source, operator)
    if name == _COMPILED:
        return "", ""
    documented = read_rules().operations.get(name)
    if documented is None:
        return "not among the operations that are documented as supported", ""
    version = int(source.model.operatorCodes[operator.opcodeIndex].version)
    if version > documented.version:
        return f"version {version} of the operator, expected at most {documented.version} (the file is rejected)", ""
    found = _check_tensors(source, operator)
    for rule in documented.rules:
        found = found or _RULES[rule](source, operator)
    return found, documented.limit


def _check_tensors(source: SourceGraph, operator: Any) -> str:
    """What is wrong with the tensors that an operation reads and writes: types, sizes, ranks."""
    for tensor in (int(i) for i in (*operator.inputs, *operator.outputs) if i >= 0):
        entry = source.graph.tensors[tensor]
        if is_constant(source, tensor):
            if entry.type not in _DTYPES:
                return f"a constant of {_TYPE_NAMES[entry.type]}, expected int8"
            continue
        shape = source.shape(tensor)
        if entry.type not in _INTEGERS:
            return f"a tensor of {_TYPE_NAMES[entry.type]}, expected int8"
        if entry.shapeSignature is not None and any(side < 0 for side in entry.shapeSignature):
            return "a tensor whose size is not constant"
        if any(side > 1 for side in shape[:-3]):
            return f"a tensor of shape {shape}, expected 1 for all but the last three sides"
    return ""


def _shape_text(source: SourceGraph, operator: Any) -> str:
    return "x".join(str(side) for side in source.shape(int(operator.outputs[0])))


def _values(source: SourceGraph, tensor: int) -> np.ndarray | None:
    """What a constant of one of _DTYPES holds; None for a tensor that is computed."""
    if not is_constant(source, tensor):
        return None
    entry = source.graph.tensors[tensor]
    raw = np.asarray(source.model.buffers[entry.buffer].data, dtype=np.uint8).tobytes()
    return np.frombuffer(raw, dtype=_DTYPES[entry.type]).reshape(source.shape(tensor))


def _no_fused_activation(source: SourceGraph, operator: Any) -> str:
    fused = getattr(operator.builtinOptions, "fusedActivationFunction", 0)
    return "" if fused == schema.ActivationFunctionType.NONE else "a fused activation function"


def _constant_parameters(source: SourceGraph, operator: Any) -> str:
    places = _PARAMETERS.get(source.code(operator), (1, 2))
    given = [int(operator.inputs[place]) for place in places if place < len(operator.inputs)]
    fine = all(tensor < 0 or is_constant(source, tensor) for tensor in given)
    return "" if fine else "weights or a bias that are computed, expected constants"


def _same_dilation(source: SourceGraph, operator: Any) -> str:
    options = operator.builtinOptions
    fine = options is None or options.dilationHFactor == options.dilationWFactor
    return "" if fine else "different dilations in x and y"


def _zero_padding_only(source: SourceGraph, operator: Any) -> str:
    constants = [int(i) for i in operator.inputs if is_constant(source, int(i))]
    if not constants:
        return ""
    zero = all(
        np.all(_values(source, tensor) == int(source.graph.tensors[tensor].quantization.zeroPoint[0]))
        for tensor in constants
    )
    return "" if zero and len(operator.inputs) == 2 else "a constant input, expected one of zeros beside one other"


def _default_weight_format(source: SourceGraph, operator: Any) -> str:
    fine = operator.builtinOptions is None or operator.builtinOptions.weightsFormat == 0
    return "" if fine else "weights of another than the default format"


def _flat_output(source: SourceGraph, operator: Any) -> str:
    shape = source.shape(int(operator.outputs[0]))
    return "" if all(side == 1 for side in shape[:-1]) else f"an output of shape {shape}, expected one dimension"


def _small_softmax(source: SourceGraph, operator: Any) -> str:
    shape = source.shape(int(operator.inputs[0]))
    fine = all(side == 1 for side in shape[:-1]) and shape[-1] <= 16_000
    return "" if fine else f"an input of shape {shape}, expected one dimension of at most 16,000"


def _not_over_batch(source: SourceGraph, operator: Any) -> str:
    axes, rank = _values(source, int(operator.inputs[1])), len(source.shape(int(operator.inputs[0])))
    if axes is None:
        return "axes that are computed, expected constants"
    return "over the batch" if rank > 3 and any(axis in (0, -rank) for axis in axes.reshape(-1)) else ""


def _no_batch_padding(source: SourceGraph, operator: Any) -> str:
    widths = _values(source, int(operator.inputs[1]))
    if widths is None:
        return "widths that are computed, expected constants"
    return "padding of the batch" if len(widths) > 3 and np.any(widths[0]) else ""


def _flat_alpha(source: SourceGraph, operator: Any) -> str:
    shape = source.shape(int(operator.inputs[1]))
    fine = is_constant(source, int(operator.inputs[1])) and all(side == 1 for side in shape[:-1])
    return "" if fine else f"an alpha of shape {shape}, expected a constant for each channel"


def _unit_strides(source: SourceGraph, operator: Any) -> str:
    strides = _values(source, int(operator.inputs[3]))
    if strides is None:
        return "strides that are computed, expected constants"
    options = operator.builtinOptions
    masked = options is not None and (options.ellipsisMask or options.newAxisMask)
    if masked:
        return "an ellipsis or a new axis"
    return "" if np.all(strides == 1) else f"strides of {strides.max()}, expected 1"


_RULES: dict[str, Callable[[SourceGraph, Any], str]] = {
    "no fused activation": _no_fused_activation,
    "constant parameters": _constant_parameters,
    "same dilation": _same_dilation,
    "constant only as zero padding": _zero_padding_only,
    "default weight format": _default_weight_format,
    "one-dimensional output": _flat_output,
    "one-dimensional input of at most 16,000": _small_softmax,
    "not over the batch": _not_over_batch,
    "no padding of the batch": _no_batch_padding,
    "one-dimensional alpha": _flat_alpha,
    "strides of 1": _unit_strides,
}
