"""Figures as dataclasses in the code, as plain values in JSON files: the one way from the one to the other.

Fields stand in a file in the order of the class. One that need not be there is of type `... | UnsetType` and UNSET
where it is not. Fields that a class does not know are left out when a file is read.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")


def from_plain(kind: type[T], value: Any, where: str) -> T:
    """Plain values of JSON as a class. Raises ValueError naming `where`, the field, what was expected and what came."""
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise ValueError(f"{where}: {error}") from error


def to_plain(value: Any) -> Any:
    """A dataclass as plain values for JSON."""
    return msgspec.to_builtins(value)


def as_read_back(value: Any) -> Any:
    """A structure, or plain values, as a JSON file gives them back: lists for tuples. To be compared with it."""
    return msgspec.json.decode(msgspec.json.encode(value))


def read_json(path: Path) -> dict[str, Any]:
    """An object from a JSON file; empty where there is no file. Raises ValueError for a file that holds none."""
    if not path.exists():
        return {}
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: no JSON ({error})") from error
    if not isinstance(record, dict):
        raise ValueError(f"{path}: expected an object, got {type(record).__name__}")
    return record


def json_bytes(plain: Any) -> bytes:
    """Plain values as a file of JSON."""
    return (json.dumps(plain, indent=1) + "\n").encode()
