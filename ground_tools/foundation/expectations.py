"""What a value of a typed structure must be, in words: for errors, and for the tables of fields in docs/."""

from __future__ import annotations

import json
from typing import Any

from msgspec import inspect

_LONGEST_VALUE = 100


def format_toml_value(value: Any) -> str:
    """A value as it stands in a TOML file, cut where it is long."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}..."


def expected_value(kind: Any) -> str:
    """What a type asks for, as `a whole number 1..4096` or `"constant" or "cosine"`.

    Args:
        kind: a type that msgspec can convert to, with limits as `msgspec.Meta`.

    Raises:
        TypeError: for a type that no TOML value becomes.
    """
    return _phrase(inspect.type_info(kind), many=False)


def _phrase(kind: inspect.Type, many: bool) -> str:
    match kind:
        case inspect.Metadata():
            return _phrase(kind.type, many)
        case inspect.UnionType():
            return " or ".join(_phrase(part, many) for part in kind.types if not isinstance(part, inspect.NoneType))
        case inspect.LiteralType():
            *others, last = map(format_toml_value, kind.values)
            return f"{', '.join(others)} or {last}" if others else last
        case inspect.BoolType():
            return "true or false"
        case inspect.IntType():
            return ("whole numbers" if many else "a whole number") + _limits(kind)
        case inspect.FloatType():
            return ("numbers" if many else "a number") + _limits(kind)
        case inspect.StrType():
            filled = (" that are not empty" if many else " that is not empty") if kind.min_length else ""
            return ("strings" if many else "a string") + filled
        case inspect.VarTupleType():
            return _list_phrase(kind, many)
        case inspect.NamedTupleType():
            return _row_phrase(kind, many)
        case inspect.StructType() | inspect.DictType(value_type=inspect.AnyType()):
            return "tables" if many else "a table"
        case inspect.DictType():
            least = "one or more " if kind.min_length else ""
            return f"{'tables' if many else 'a table'} of {least}{_phrase(kind.value_type, many=True)}"
    raise TypeError(f"{kind}: expected the type of a value in a TOML file")


def _limits(kind: inspect.IntType | inspect.FloatType) -> str:
    """Limits as " 0..1" where both are part of the range, else as " > 0"."""
    if kind.ge is not None and kind.le is not None:
        return f" {kind.ge}..{kind.le}"
    signs = ((">=", kind.ge), (">", kind.gt), ("<=", kind.le), ("<", kind.lt))
    limits = " and ".join(f"{sign} {limit}" for sign, limit in signs if limit is not None)
    return f" {limits}" if limits else ""


def _list_phrase(kind: inspect.VarTupleType, many: bool) -> str:
    items = _phrase(kind.item_type, many=True)
    if kind.min_length is not None and kind.min_length == kind.max_length:
        items = f"{kind.min_length} {items}"
    elif kind.min_length:
        items = f"one or more {items}"
    return f"{'lists' if many else 'a list'} of {items}"


def _row_phrase(kind: inspect.NamedTupleType, many: bool) -> str:
    """A list whose places have names, as "[row, column], numbers >= 0"."""
    lists = "lists " if many else ""
    phrases = [_phrase(field.type, many=True) for field in kind.fields]
    if len(set(phrases)) == 1:
        return f"{lists}[{', '.join(field.name for field in kind.fields)}], {phrases[0]}"
    places = [f"{field.name}: {_phrase(field.type, many=False)}" for field in kind.fields]
    return f"{lists}[{', '.join(places)}]"
