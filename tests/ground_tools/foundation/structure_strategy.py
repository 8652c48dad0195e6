"""Random structures of a kind, and structures as TOML: what is written and read back must be the same."""

from __future__ import annotations

import tomllib
from typing import Any

import msgspec
import tomli_w
from hypothesis import reject
from hypothesis import strategies as st
from msgspec import inspect

from ground_tools.foundation.structures import FieldError, TomlTable, conditions

TEXTS = st.text(st.characters(codec="utf-8"), max_size=8)
# As ground_tools.foundation.names takes them; hardly any text of all characters is one.
NAMES = st.text("ab9_-. é", max_size=6).map(lambda text: f"n{text}n")
ANYTHING = st.booleans() | st.integers(-(2**62), 2**62) | st.floats(allow_nan=False, allow_infinity=False) | TEXTS


def structures(kind: type[TomlTable], **fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Structures with every field within its limits, those that break a rule between fields left out.

    fields: by name, in place of what the types tell.
    """
    known = msgspec.structs.fields(kind)
    drawn = {field.name: fields.get(field.name, values(inspect.type_info(field.type))) for field in known}

    def make(chosen: dict[str, Any]) -> TomlTable:
        for field in known:
            if any(chosen[name] != value for name, value in conditions(field)[0].items()):
                chosen[field.name] = field.default
        try:
            return kind(**chosen)
        except FieldError:
            return reject()

    return st.fixed_dictionaries(drawn).map(make)


def values(kind: inspect.Type) -> st.SearchStrategy[Any]:
    """Values that fit a type."""
    match kind:
        case inspect.Metadata():
            return values(kind.type)
        case inspect.UnionType():
            return st.one_of(*map(values, kind.types))
        case inspect.NoneType():
            return st.none()
        case inspect.LiteralType():
            return st.sampled_from(kind.values)
        case inspect.BoolType():
            return st.booleans()
        case inspect.IntType():
            return st.integers(-(2**62) if kind.ge is None else kind.ge, 2**62 if kind.le is None else kind.le)
        case inspect.FloatType():
            return st.floats(
                kind.ge if kind.gt is None else kind.gt,
                kind.le,
                exclude_min=kind.gt is not None,
                allow_nan=False,
                allow_infinity=False,
            )
        case inspect.StrType():
            return TEXTS.filter(lambda text: len(text) >= (kind.min_length or 0))
        case inspect.VarTupleType():
            items = st.lists(values(kind.item_type), min_size=kind.min_length or 0, max_size=kind.max_length or 4)
            return items.map(tuple)
        case inspect.NamedTupleType():
            return st.builds(kind.cls, *(values(field.type) for field in kind.fields))
        case inspect.DictType():
            return st.dictionaries(TEXTS, values(kind.value_type), min_size=kind.min_length or 0, max_size=4)
        case inspect.StructType():
            return structures(kind.cls)
        case inspect.AnyType():
            return ANYTHING
    raise TypeError(f"{kind}: expected the type of a value in a TOML file")


def as_read(structure: TomlTable, *known: str) -> dict[str, Any]:
    """The table that tomllib reads of a file that says all of a structure. known: fields that files do not have."""
    table: dict[str, Any] = tomllib.loads(tomli_w.dumps(_table(structure, known)))
    return table


def _table(structure: TomlTable, known: tuple[str, ...]) -> dict[str, Any]:
    table = {}
    for field in msgspec.structs.fields(structure):
        value = getattr(structure, field.name)
        applies = all(getattr(structure, name) == wanted for name, wanted in conditions(field)[0].items())
        if field.name not in known and applies and value is not None:
            table[field.encode_name] = _table(value, ()) if isinstance(value, TomlTable) else value
    return table
