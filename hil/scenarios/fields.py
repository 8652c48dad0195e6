"""Tables of TOML files as frozen dataclasses: what a field takes, its default and its meaning stand at the field.

    @dataclass(frozen=True, kw_only=True)
    class Target:
        keys: bool = entry("whether ...", False)

Types of fields are bool, int, float, str, one of these or None, another table, a tuple of tables or values, and
dict[str, Any] for what is checked elsewhere. A tuple of a union of tables is a list of tables whose `kind` says which
one is meant: the `kind` of a class is that of its ClassVar.
"""

from __future__ import annotations

import dataclasses
import json
import types
from collections.abc import Iterator
from dataclasses import MISSING, dataclass
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from flight.schema import SchemaError, check, format_value

Table = TypeVar("Table")
_SCALARS = {bool: "boolean", int: "integer", float: "number", str: "string"}
# Of numbers without a limit of their own, so that neither NaN nor infinity passes.
_LARGEST = 1e12
_MOST_CHARACTERS = 1024
_MOST_ITEMS = 1000


def entry(
    meaning: str,
    default: Any = MISSING,
    *,
    low: float | None = None,
    high: float | None = None,
    choices: tuple[str, ...] = (),
) -> Any:
    """A field of a table.

    Args:
        meaning: what it says, for people; of a field with a limit, its unit too.
        default: where the file does not have it; without one the file must.
        low: least number, or least number of items or characters.
        high: largest one.
        choices: the texts that it takes.
    """
    return dataclasses.field(
        default=default, metadata={"meaning": meaning, "low": low, "high": high, "choices": choices}
    )


@dataclass(frozen=True)
class FieldDescription:
    """A field for people: its path, what it takes, its default in TOML ("" if required), and what it says."""

    path: str
    takes: str
    default: str
    meaning: str


def read_table(kind: type[Table], value: Any, path: str = "") -> Table:
    """Read what tomllib gave into a table.

    Args:
        kind: class of the table.
        value: as tomllib gives it.
        path: of the table in the file; "" for the whole file.

    Raises:
        SchemaError: names the first field that does not fit.
    """
    check(value, {"type": "object"}, path or "the file")
    fields = {field.name: field for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    hints = get_type_hints(kind)
    for name in value:
        if name not in fields:
            raise SchemaError(_join(path, format_value(name)[1:-1]), f"one of {', '.join(fields)}", value[name])
    given = {}
    for name, field in fields.items():
        if name in value:
            given[name] = _read_value(hints[name], value[name], field.metadata, _join(path, name))
        elif field.default is MISSING:
            raise SchemaError(_join(path, name), "a value", None)
    try:
        return kind(**given)
    except SchemaError as error:  # a rule between fields, which does not know where the table lies
        raise type(error)(*_placed(error, path)) from None


class RuleError(SchemaError):
    """A rule between the fields of a table is broken; for `__post_init__`.

    Args:
        field: name of the field.
        expected: what it should be.
        got: what it is.
    """

    def __init__(self, field: str, expected: str, got: object) -> None:
        super().__init__(field, expected, got)
        self.expected, self.got = expected, got


def _placed(error: SchemaError, path: str) -> tuple[str, str, object]:
    assert isinstance(error, RuleError)
    return _join(path, error.field), error.expected, error.got


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _read_value(hint: Any, value: Any, limits: Any, path: str) -> Any:
    plain = _without_none(hint)
    if get_origin(plain) is tuple:
        low, high = limits["low"] or 0, limits["high"] or _MOST_ITEMS
        check(value, {"type": "array", "minItems": int(low), "maxItems": int(high)}, path)
        item = get_args(plain)[0]
        bare = {**limits, "low": None, "high": None}
        return tuple(_read_value(item, part, bare, f"{path}[{number}]") for number, part in enumerate(value))
    members = _members(plain)
    if members:
        check(value, {"type": "object"}, path)
        check(value.get("kind", ""), {"enum": list(members)}, _join(path, "kind"))
        return read_table(members[value["kind"]], {k: v for k, v in value.items() if k != "kind"}, path)
    if dataclasses.is_dataclass(plain):
        return read_table(plain, value, path)  # type: ignore[arg-type]
    if get_origin(plain) is dict:
        check(value, {"type": "object"}, path)
        return value
    check(value, _scalar_schema(plain, limits), path)
    return float(value) if plain is float else value


def _scalar_schema(kind: type, limits: Any) -> dict[str, Any]:
    if limits["choices"]:
        return {"enum": list(limits["choices"])}
    schema: dict[str, Any] = {"type": _SCALARS[kind]}
    low, high = limits["low"], limits["high"]
    if kind is str:
        schema |= {"minLength": int(low or 0), "maxLength": int(high or _MOST_CHARACTERS)}
    elif kind is not bool:
        schema |= {"minimum": -_LARGEST if low is None else low, "maximum": _LARGEST if high is None else high}
    return schema


def _without_none(hint: Any) -> Any:
    """A type without the None beside it."""
    if get_origin(hint) in (Union, types.UnionType):
        rest = [part for part in get_args(hint) if part is not type(None)]
        return rest[0] if len(rest) == 1 else hint
    return hint


def _members(hint: Any) -> dict[str, Any]:
    """The tables of a union, or the one table, by their kind; empty where a type has none."""
    parts = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
    return {part.kind: part for part in parts if isinstance(getattr(part, "kind", None), str)}


def describe_table(kind: type, path: str = "", without: tuple[str, ...] = ()) -> list[FieldDescription]:
    """The fields of a table and of the tables in it, in order.

    Args:
        kind: class of the table.
        path: of the table in the file.
        without: names of fields that are described elsewhere.
    """
    described: list[FieldDescription] = []
    hints = get_type_hints(kind)
    for field in dataclasses.fields(kind):
        if field.name in without:
            continue
        plain, place = _without_none(hints[field.name]), _join(path, field.name)
        if dataclasses.is_dataclass(plain) and not _members(plain):
            described += describe_table(plain, place)  # type: ignore[arg-type]
            continue
        default = "" if field.default is MISSING else _format_default(field.default)
        described.append(
            FieldDescription(place, _format_type(plain, field.metadata), default, field.metadata["meaning"])
        )
    return described


def list_kinds(kind: type, field: str) -> dict[str, type]:
    """The tables that a list of a table's field may hold, or the field itself, by their kind."""
    plain = _without_none(get_type_hints(kind)[field])
    return _members(get_args(plain)[0] if get_origin(plain) is tuple else plain)


def _format_default(value: Any) -> str:
    if value is None or value == ():
        return "none"
    if dataclasses.is_dataclass(value):
        return str(getattr(value, "kind", ""))
    return json.dumps(value)


def _format_type(hint: Any, limits: Any) -> str:
    if limits["choices"]:
        return " or ".join(json.dumps(choice) for choice in limits["choices"])
    if get_origin(hint) is tuple:
        item = get_args(hint)[0]
        if _members(item):
            return "list of tables"
        bare = {**limits, "low": None, "high": None}
        return f"list of {'tables' if dataclasses.is_dataclass(item) else _format_type(item, bare)}"
    if _members(hint) or get_origin(hint) is dict:
        return "table"
    name = "text" if hint is str else "true or false" if hint is bool else _SCALARS[hint]
    low, high = limits["low"], limits["high"]
    if hint in (str, bool) or (low is None and high is None):
        return name
    return (
        f"{name}, {low:.12g} or more"
        if high is None
        else f"{name}, {-_LARGEST if low is None else low:.12g}..{high:.12g}"
    )


def iterate_tables(table: Any) -> Iterator[Any]:
    """A table and every table in it."""
    yield table
    for field in dataclasses.fields(table):
        value = getattr(table, field.name)
        for part in value if isinstance(value, tuple) else (value,):
            if dataclasses.is_dataclass(part):
                yield from iterate_tables(part)
