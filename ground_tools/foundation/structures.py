"""Tables of TOML files as typed structures: what a field must be, its default and its meaning stand at the field.

    class Flyby(TomlTable):
        frames: Annotated[int, Meta(ge=2, le=100_000, description="equally spaced in time")]

Rules between fields raise FieldError in `__post_init__`; a field of some tables alone says so with
`Meta(extra=only_where(...))`. `descriptions.parse` holds a table to all of that.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin

import msgspec
from msgspec import inspect
from msgspec.structs import FieldInfo

from ground_tools.foundation.expectations import expected_value

_WHERE, _REQUIRED = "where", "required"


class TomlTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A table of a TOML file."""


class FieldError(ValueError):
    """A field that is not as it must be, by itself or beside the others of its table.

    Args:
        field: path of the field, as it is called in the file; "" for the table as a whole.
        expected: what it should be.
        got: what it is, as by `shown`, or in words.
    """

    def __init__(self, field: str, expected: str, got: str) -> None:
        self.field, self.expected, self.got = field, expected, got
        super().__init__(f"{field}: expected {expected}, got {got}" if field else f"expected {expected}, got {got}")


def only_where(*, required: bool = False, **fields: str) -> dict[str, Any]:
    """For `Meta(extra=...)`: a field of those tables alone in which other fields have given values.

    Args:
        required: whether those tables must have it; its default is then for the others.
        fields: the other fields' values.
    """
    return {_WHERE: fields, _REQUIRED: required}


def conditions(field: FieldInfo) -> tuple[dict[str, str], bool]:
    """What `only_where` says of a field: values of other fields, and whether tables that have them must have it."""
    extra = _metadata(field).extra or {}
    return extra.get(_WHERE, {}), extra.get(_REQUIRED, False)


def plain_type(kind: Any) -> Any:
    """A type without limits and descriptions, and without the None beside it."""
    if get_origin(kind) is Annotated:
        return plain_type(get_args(kind)[0])
    if get_origin(kind) in (Union, UnionType):
        (kind,) = (part for part in get_args(kind) if part is not NoneType)
        return plain_type(kind)
    return kind


def is_table(kind: Any) -> bool:
    """Whether a plain type is a structure for a table."""
    return isinstance(kind, type) and issubclass(kind, TomlTable)


def join_path(path: str, name: str | int) -> str:
    """The path of a field in a table, or of an item in a list, as "dropout.head" or "groups[2]"."""
    if isinstance(name, int):
        return f"{path}[{name}]"
    return f"{path}.{name}" if path and name else path or name


@dataclass(frozen=True)
class FieldDescription:
    """A field for people.

    path: with a dot between a table and its field. expected: what it must be. required: whether files must have it.
    default: where they do not. table: that the field lies in and that files may leave out, as a whole; "": none.
    only_where: values of other fields that it belongs to; none: any. meaning: what it says.
    """

    path: str
    expected: str
    required: bool
    default: Any
    table: str
    only_where: dict[str, str]
    meaning: str


def describe_fields(kind: type[TomlTable], known: Collection[str] = (), at: str = "") -> list[FieldDescription]:
    """All fields that files of a structure may have, those of the tables in it among them, in order.

    Args:
        kind: the structure.
        known: fields whose values come from elsewhere, as of `descriptions.parse`.
        at: path of the table in the file.
    """
    described: list[FieldDescription] = []
    for field in msgspec.structs.fields(kind):
        if field.encode_name in known:
            continue
        path, inner = join_path(at, field.encode_name), plain_type(field.type)
        where, required = conditions(field)
        default = field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory()
        if is_table(inner):
            for item in describe_fields(inner, at=path):
                table = item.table or (path if default is None else "")
                described.append(replace(item, table=table, only_where={**where, **item.only_where}))
            continue
        meaning = (_metadata(field).extra_json_schema or {}).get("description", "")
        required = field.required or required
        described.append(FieldDescription(path, expected_value(field.type), required, default, "", where, meaning))
    return described


def _metadata(field: FieldInfo) -> inspect.Metadata:
    kind = inspect.type_info(field.type)
    return kind if isinstance(kind, inspect.Metadata) else inspect.Metadata(kind)
