"""The graph inside a .tflite file, as far as it tells what a network's output is.

The file is a FlatBuffer of TensorFlow's schema.fbs, of which a few fields are read here; fields keep their numbers in
every version of the schema, and flight has no library for them. Source:
https://github.com/tensorflow/tensorflow/blob/master/tensorflow/compiler/mlir/lite/schema/schema.fbs
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

# BuiltinOperator of the schema: those that a reader of networks asks for, and those that only pass values on.
OPERATORS = {
    0: "add", 3: "conv_2d", 4: "depthwise_conv_2d", 6: "dequantize", 14: "logistic", 18: "mul", 22: "reshape",
    23: "resize_bilinear", 25: "softmax", 34: "pad", 39: "transpose", 41: "sub", 42: "div", 43: "squeeze",
    50: "log_softmax", 53: "cast", 56: "arg_max", 67: "transpose_conv", 70: "expand_dims",
    97: "resize_nearest_neighbor", 114: "quantize",
}  # fmt: skip
_PASSING_ON = frozenset(
    {"dequantize", "quantize", "reshape", "transpose", "squeeze", "expand_dims", "cast", "resize_bilinear",
     "resize_nearest_neighbor"}
)  # fmt: skip
_CUSTOM = 32
_OLD_CODES = 127  # operators of higher codes have their number in a second field


@dataclass(frozen=True)
class Operator:
    """One operator of a graph.

    Attributes:
        name: from OPERATORS; of a custom operator its own name; "operator N" for another one.
        inputs, outputs: indices of tensors; -1 for an input that is left out.
    """

    name: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


@dataclass(frozen=True)
class Graph:
    """The main graph of a .tflite file.

    Attributes:
        tensors: names of all tensors, by index.
        inputs, outputs: indices of the graph's own.
        operators: in the order in which they run.
    """

    tensors: tuple[str, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    operators: tuple[Operator, ...]

    def find_source(self, name: str) -> Operator | None:
        """The operator that computes a tensor, past those that only convert, reshape or resize it; None without one."""
        producers = {index: operator for operator in self.operators for index in operator.outputs}
        index = self.tensors.index(name) if name in self.tensors else -1
        for _ in self.operators:
            operator = producers.get(index)
            if operator is None or operator.name not in _PASSING_ON or not operator.inputs:
                return operator
            index = operator.inputs[0]
        return None


def read_graph(content: bytes) -> Graph:
    """Read the main graph of a .tflite file.

    Args:
        content: bytes of the file.

    Raises:
        ValueError: the bytes are no such file, or one that is damaged.
    """
    try:
        if content[4:8] != b"TFL3":
            raise ValueError("expected a .tflite file, whose bytes 4 to 8 are TFL3")
        root = _Table(content, _read(content, "<I", 0))
        codes = [_operator_name(code) for code in root.tables(1)]
        graph = root.tables(2)[0]
        operators = tuple(
            Operator(codes[item.number(0, "<I")], item.integers(1), item.integers(2)) for item in graph.tables(3)
        )
        names = tuple(tensor.text(3) for tensor in graph.tables(0))
        return Graph(names, graph.integers(1), graph.integers(2), operators)
    except (struct.error, IndexError) as error:
        raise ValueError(f"expected a whole .tflite file ({error})") from error


def _operator_name(entry: _Table) -> str:
    """Of an operator code: builtin_code, in its old and its new field, or custom_code."""
    code = max(entry.number(0, "<b"), entry.number(3, "<i"))
    return entry.text(1) if code == _CUSTOM else OPERATORS.get(code, f"operator {code}")


def _read(content: bytes, form: str, position: int) -> int:
    if position < 0:
        raise IndexError("a position before the file")
    return int(struct.unpack_from(form, content, position)[0])


class _Table:
    """A table of a FlatBuffer: its fields by number."""

    def __init__(self, content: bytes, position: int) -> None:
        self._content = content
        self._position = position
        self._fields = position - _read(content, "<i", position)
        self._size = _read(content, "<H", self._fields)

    def _find(self, field: int) -> int | None:
        """Position of a field, None where it has its default."""
        entry = 4 + 2 * field
        offset = _read(self._content, "<H", self._fields + entry) if entry + 2 <= self._size else 0
        return self._position + offset if offset else None

    def _follow(self, field: int) -> int | None:
        position = self._find(field)
        return None if position is None else position + _read(self._content, "<I", position)

    def number(self, field: int, form: str) -> int:
        """A field that is one number, 0 by default. form: as of the module struct."""
        position = self._find(field)
        return 0 if position is None else _read(self._content, form, position)

    def integers(self, field: int) -> tuple[int, ...]:
        """A field that is a vector of int32."""
        begin = self._follow(field)
        if begin is None:
            return ()
        count = _read(self._content, "<I", begin)
        # Not more than there is: a damaged file may say any number.
        if count > len(self._content) // 4:
            raise IndexError(f"a list of {count} numbers")
        return struct.unpack_from(f"<{count}i", self._content, begin + 4)

    def tables(self, field: int) -> list[_Table]:
        """A field that is a vector of tables."""
        begin = self._follow(field) or 0
        offsets = self.integers(field)
        return [_Table(self._content, begin + 4 + 4 * index + offset) for index, offset in enumerate(offsets)]

    def text(self, field: int) -> str:
        """A field that is text, "" by default."""
        begin = self._follow(field)
        if begin is None:
            return ""
        count = _read(self._content, "<I", begin)
        return self._content[begin + 4 : begin + 4 + count].decode("utf-8", "replace")
