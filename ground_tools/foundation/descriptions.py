"""TOML files shipped with the project or given by a user, read into typed structures: recipes, campaigns, and so on.

All follow one rule: types are strict (`true` is no number, 1.0 no whole number), numbers are finite, unknown fields are
rejected, and an error reads "kind file: path of the field: expected X, got Y".
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin

import msgspec

from ground_tools.foundation.expectations import expected_value, format_toml_value
from ground_tools.foundation.structures import FieldError, TomlTable, conditions, is_table, join_path, plain_type

Structure = TypeVar("Structure", bound=TomlTable)


def find_file(name_or_path: str, folder: Path) -> Path:
    """The file that is meant: a path, or the name of one in `folder`, with dashes, and with or without ".toml"."""
    path = Path(name_or_path)
    if path.is_file() or path.parent != Path():
        return path
    return folder / f"{name_or_path.removesuffix('.toml').replace('-', '_')}.toml"


def read_toml(what: str, path: Path, folder: Path | None = None) -> dict[str, Any]:
    """Read a TOML file.

    Args:
        what: its kind, for messages.
        path: the file, as from `find_file`.
        folder: whose names are listed when the file cannot be read.

    Raises:
        ValueError: naming the file, when it cannot be read or is not TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        names = ", ".join(sorted(p.stem.replace("_", "-") for p in folder.glob("*.toml"))) if folder else ""
        shipped = f" (shipped with the project: {names})" if names else ""
        raise ValueError(f"{what} {path}: {error.strerror}{shipped}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{what} {path}: {error}") from error


def read_structure(
    what: str,
    path: Path,
    kind: type[Structure],
    folder: Path | None = None,
    overrides: dict[str, Any] | None = None,
    **known: Any,
) -> Structure:
    """Read a TOML file into a structure.

    Args:
        what: the kind of file, for messages.
        path: the file, as from `find_file`.
        kind: the structure.
        folder: whose names are listed when the file cannot be read.
        overrides: values in place of the file's, by field, with a dot between a table and its field ("dropout.head").
        known: fields whose values come from elsewhere, as a name from the file's; the file cannot have them.

    Raises:
        ValueError: naming file and field, when the file cannot be read, is not TOML, or does not fit.
    """
    place, table = f"{what} {path}", read_toml(what, path, folder)
    for field, value in (overrides or {}).items():
        _override(place, table, field, value)
    return parse(place, table, kind, **known)


def parse(place: str, table: Any, kind: type[Structure], at: str = "", **known: Any) -> Structure:
    """A table that was read as a structure.

    Args:
        place: what the table is of, for messages: kind and file.
        table: as tomllib gives it.
        kind: the structure.
        at: path of the table in the file; "" for the file as a whole.
        known: as of `read_structure`.

    Raises:
        ValueError: naming place and field, when the table does not fit.
    """
    try:
        for path, number in _numbers(table, at):
            if not math.isfinite(number):
                raise FieldError(path, "a finite number", format_toml_value(number))
        if not isinstance(table, dict):
            raise FieldError(at, "a table", format_toml_value(table))
        _reject_unknown(table, kind, at, known)
        complete = {**table, **known}
        try:
            structure = msgspec.convert(complete, kind)
        except msgspec.ValidationError as error:
            raise _find_fault(complete, kind, at, error) from error
        _check_conditions(table, structure, at)
    except FieldError as error:
        raise ValueError(f"{place}: {error}") from error
    return structure


def _override(place: str, table: dict[str, Any], field: str, value: Any) -> None:
    *tables, last = field.split(".")
    at: Any = table
    for name in tables:
        at = at.setdefault(name, {})
        if not isinstance(at, dict):
            raise ValueError(f"{place}: {field}: expected {name} to be a table, got {format_toml_value(at)}")
    at[last] = value


def _numbers(value: Any, at: str) -> Iterator[tuple[str, float]]:
    """Every float in a value, with its path."""
    if isinstance(value, float):
        yield at, value
    elif isinstance(value, dict | list):
        for name, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _numbers(item, join_path(at, name))


def _reject_unknown(table: dict[str, Any], kind: type[TomlTable], at: str, known: dict[str, Any]) -> None:
    names = [field.encode_name for field in msgspec.structs.fields(kind) if field.encode_name not in known]
    for name in table:
        if name not in names:
            raise FieldError(join_path(at, name), f"one of {', '.join(names)}", "an unknown field")


def _check_conditions(table: dict[str, Any], structure: TomlTable, at: str) -> None:
    """Hold a table to what `only_where` says of its fields."""
    for field in msgspec.structs.fields(structure):
        where, required = conditions(field)
        path, given = join_path(at, field.encode_name), field.encode_name in table
        unmet = [(name, value) for name, value in where.items() if getattr(structure, name) != value]
        if unmet and given:
            name, value = unmet[0]
            raise FieldError(
                path, f"only where {name} = {format_toml_value(value)}", format_toml_value(table[field.encode_name])
            )
        if required and not unmet and not given:
            raise FieldError(path, expected_value(field.type), "nothing")


def _find_fault(value: Any, kind: Any, at: str, error: msgspec.ValidationError) -> FieldError:
    """Where a value does not fit its type, and what is expected there.

    msgspec's message names neither the keys of tables nor the value, so its way down to the fault is gone once more.
    """
    plain = plain_type(kind)
    table = is_table(plain) and isinstance(value, dict)
    if table:
        try:
            _reject_unknown(value, plain, at, {})
        except FieldError as unknown:
            return unknown
    for path, item, part in _parts(value, plain, at):
        try:
            msgspec.convert(item, part)
        except msgspec.ValidationError as inner:
            return _find_fault(item, part, path, inner)
    if table:
        for field in msgspec.structs.fields(plain):
            if field.required and field.encode_name not in value:
                return FieldError(join_path(at, field.encode_name), expected_value(field.type), "nothing")
        if isinstance(rule := error.__cause__, FieldError):
            return FieldError(join_path(at, rule.field), rule.expected, rule.got)
    return FieldError(at, expected_value(kind), format_toml_value(value))


def _parts(value: Any, kind: Any, at: str) -> Iterator[tuple[str, Any, Any]]:
    """Path, value and type of what a table has in its fields, or a table or list of one type as its items."""
    if isinstance(value, dict) and is_table(kind):
        for field in msgspec.structs.fields(kind):
            if field.encode_name in value:
                yield join_path(at, field.encode_name), value[field.encode_name], field.type
    elif isinstance(value, dict) and get_origin(kind) is dict:
        for name, item in value.items():
            yield join_path(at, name), item, get_args(kind)[1]
    elif isinstance(value, list) and get_origin(kind) is tuple:
        for number, item in enumerate(value):
            yield join_path(at, number), item, get_args(kind)[0]
