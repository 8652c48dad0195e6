"""Checks plain data (from msgpack, JSON or TOML) against a subset of JSON Schema.

The schemas in this package are standard JSON Schema (2020-12) documents that any tool can use. This module implements
the keywords that they need, because flight has no JSON Schema library: type, const, enum, minimum, maximum,
minLength, maxLength, pattern, items, minItems, maxItems, properties, required, additionalProperties. One keyword is
our own: maxBytes, the largest length of a string in bytes of UTF-8. A test compares the results with those of the
jsonschema package.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from importlib import resources
from itertools import islice
from typing import Any

# Characters of a value in an error message, and bits of the largest integer that is written out: Python takes long for
# many digits, and does not write more than 4300.
_SHOWN = 60
_LARGEST_SHOWN_BITS = 256

_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list, tuple),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
}


class SchemaError(ValueError):
    """Data does not fit its schema; the message is "field: expected X, got Y".

    Attributes:
        field: dotted path of the value, such as "manifest.networks[0].file".
    """

    def __init__(self, field: str, expected: str, got: object) -> None:
        self.field = field
        super().__init__(f"{field}: expected {expected}, got {format_value(got)}")


def format_value(value: object) -> str:
    """A value as text for an error message: one line of at most 60 printable characters, for any value.

    It neither recurses nor raises, and looks at no more of the value than it shows: the value may come from a peer,
    nested as deep and as long as it likes.
    """
    text = ""
    waiting: list[object] = [value]
    while waiting and len(text) <= _SHOWN:
        item = waiting.pop()
        if isinstance(item, _Mark):
            text += item
        elif isinstance(item, dict):
            waiting += reversed([_Mark("{"), *_join(list(islice(item.items(), _SHOWN)), ": "), _Mark("}")])
        elif isinstance(item, list):
            waiting += reversed([_Mark("["), *_join([(part,) for part in item[:_SHOWN]]), _Mark("]")])
        elif isinstance(item, tuple):
            end = ",)" if len(item) == 1 else ")"
            waiting += reversed([_Mark("("), *_join([(part,) for part in item[:_SHOWN]]), _Mark(end)])
        else:
            text += _format_scalar(item)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."


def format_text(value: object, limit: int = 80) -> str:
    """A text of another's as one line of printable characters, at most so many, for a log or a terminal.

    What a terminal would obey, and what cannot be encoded, is written as Python escapes it. Never raises.
    """
    try:
        text = str(value)[: limit + 1]
    except Exception:  # an error's own code, say
        text = type(value).__name__
    if not text.isprintable():
        text = "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
    return text if len(text) <= limit else text[: limit - 3] + "..."


class _Mark(str):
    """What stands between the values that format_value shows."""

    __slots__ = ()


def _join(entries: Sequence[tuple[object, ...]], within: str = "") -> list[object]:
    """Entries with a comma between them, and `within` between the parts of one."""
    joined: list[object] = []
    for entry in entries:
        joined += [_Mark(", ")] * bool(joined) + [entry[0]]
        joined += [part for other in entry[1:] for part in (_Mark(within), other)]
    return joined


def _format_scalar(value: object) -> str:
    """What holds no other values, as Python writes it; of a long one its beginning."""
    if isinstance(value, (str, bytes, bytearray)):
        return repr(value[: _SHOWN + 1])
    if isinstance(value, int) and value.bit_length() > _LARGEST_SHOWN_BITS:
        return f"an integer of {value.bit_length()} bits"
    try:
        text = repr(value)
    except Exception:  # another type's own code; it must not make a fault of a rejection
        return f"<{type(value).__name__}>"
    return text if text.isprintable() else repr(text)


def load_schema(package: str, name: str) -> dict[str, Any]:
    """Read a JSON Schema from a package's data.

    Args:
        package: such as "flight.schemas".
        name: of the file, without .json.
    """
    text = resources.files(package).joinpath(f"{name}.json").read_text(encoding="utf-8")
    schema: dict[str, Any] = json.loads(text)
    return schema


def check(value: object, schema: dict[str, Any], field: str) -> None:
    """Check a value against a schema.

    Args:
        value: dictionaries, lists, strings, numbers, booleans, None.
        schema: a JSON Schema with the keywords listed above.
        field: path of the value, for the message.

    Raises:
        SchemaError: names the first field that does not fit.
    """
    if "const" in schema and (value != schema["const"] or isinstance(value, bool)):
        raise SchemaError(field, repr(schema["const"]), value)
    if "enum" in schema and not any(type(c) is type(value) and c == value for c in schema["enum"]):
        raise SchemaError(field, " | ".join(str(choice) for choice in schema["enum"]), value)
    kinds = schema.get("type")
    if kinds is not None:
        names = [kinds] if isinstance(kinds, str) else kinds
        if not any(_has_type(value, name) for name in names):
            raise SchemaError(field, _format_range(schema) or " or ".join(names), value)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        _check_number(value, schema, field)
    elif isinstance(value, str):
        _check_string(value, schema, field)
    elif isinstance(value, (list, tuple)):
        _check_array(value, schema, field)
    elif isinstance(value, dict):
        _check_object(value, schema, field)


def _has_type(value: object, name: str) -> bool:
    if isinstance(value, bool) and name in ("integer", "number"):
        return False
    return isinstance(value, _TYPES[name])


def _format_range(schema: dict[str, Any]) -> str:
    if "minimum" in schema and "maximum" in schema:
        return f"{schema['minimum']}..{schema['maximum']}"
    return ""


def _check_number(value: float, schema: dict[str, Any], field: str) -> None:
    low, high = schema.get("minimum"), schema.get("maximum")
    # Written so that NaN fails.
    if (low is not None and not value >= low) or (high is not None and not value <= high):
        raise SchemaError(field, _format_range(schema) or (f">= {low}" if high is None else f"<= {high}"), value)


def _check_string(value: str, schema: dict[str, Any], field: str) -> None:
    if "maxBytes" in schema and len(value.encode("utf-8", "surrogatepass")) > schema["maxBytes"]:
        raise SchemaError(field, f"at most {schema['maxBytes']} bytes", value)
    if not schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", len(value)):
        low, high = schema.get("minLength", 0), schema.get("maxLength")
        wanted = f"at least {low}" if high is None else f"{low}..{high}"
        raise SchemaError(field, f"{wanted} characters", value)
    if "pattern" in schema and re.search(schema["pattern"], value) is None:
        raise SchemaError(field, f"text matching {schema['pattern']}", value)


def _check_array(value: list[Any] | tuple[Any, ...], schema: dict[str, Any], field: str) -> None:
    low, high = schema.get("minItems", 0), schema.get("maxItems", len(value))
    if not low <= len(value) <= high:
        count = f"{low}" if low == high else f"{low}..{schema.get('maxItems', 'any')}"
        raise SchemaError(field, f"{count} items", value)
    if "items" in schema:
        for index, item in enumerate(value):
            check(item, schema["items"], f"{field}[{index}]")


def _check_object(value: dict[Any, Any], schema: dict[str, Any], field: str) -> None:
    properties: dict[str, Any] = schema.get("properties", {})
    for name in schema.get("required", ()):
        if name not in value:
            raise SchemaError(f"{field}.{name}", "a value", None)
    for name, item in value.items():
        if name in properties:
            check(item, properties[name], f"{field}.{name}")
        elif schema.get("additionalProperties") is False:
            raise SchemaError(f"{field}.{format_value(name)[1:-1]}", f"one of {', '.join(properties)}", item)
