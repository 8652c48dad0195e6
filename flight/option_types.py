"""Types of options with their limits, for `add_argument(type=...)`: the parser rejects what is beyond them.

The error names what was expected and what came; the parser adds the option. `--help` shows the limits.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from flight.endpoints import EndpointError, check_endpoint

T = TypeVar("T")


@dataclass(frozen=True)
class Limited(Generic[T]):
    """Type of an option whose value has limits.

    Attributes:
        limits: in words; `--help` shows them, and so does the error for a value beyond them.
        kind: what the text must be to be read at all, for example "a whole number"; "" when `limits` say it.
        read: text to value. Raises ValueError when the text is not of the kind.
        within: whether a value is within the limits.
    """

    limits: str
    kind: str
    read: Callable[[str], T]
    within: Callable[[T], bool] = lambda value: True

    def __call__(self, text: str) -> T:
        try:
            value = self.read(text)
        except ValueError:
            expected = ", ".join(part for part in (self.kind, self.limits) if part)
            raise argparse.ArgumentTypeError(f"expected {expected}, got {text!r}") from None
        if not self.within(value):
            raise argparse.ArgumentTypeError(f"expected {self.limits}, got {text}")
        return value


def integer(low: int, high: int | None = None) -> Limited[int]:
    """A whole number, low..high; `high` None for no limit."""
    limits = f"{low} or more" if high is None else f"{low}..{high}"
    return Limited(limits, "a whole number", int, lambda value: low <= value and (high is None or value <= high))


def number(low: float, high: float = math.inf) -> Limited[float]:
    """A finite number, low..high."""
    limits = f"{low:g}..{high:g}" if math.isfinite(high) else f"{low:g} or more"
    return Limited(limits, "a number", float, lambda value: math.isfinite(value) and low <= value <= high)


def number_above(low: float) -> Limited[float]:
    """A finite number, larger than `low`."""
    return Limited(f"more than {low:g}", "a number", float, lambda value: math.isfinite(value) and value > low)


def integers(form: str) -> Limited[tuple[int, ...]]:
    """As many whole numbers with commas between as `form` has, for example "X,Y,SIDE"."""
    return _list_of(form, int, "integers")


def numbers(form: str) -> Limited[tuple[float, ...]]:
    """As many numbers with commas between as `form` has, for example "DX,DY"."""
    return _list_of(form, float, "numbers")


def _list_of(form: str, convert: Callable[[str], T], kind: str) -> Limited[tuple[T, ...]]:
    count = form.count(",") + 1

    def read(text: str) -> tuple[T, ...]:
        values = tuple(convert(part) for part in text.split(","))
        if len(values) != count:
            raise ValueError
        return values

    return Limited("", f"{count} {kind} with commas between, {form}", read)


def names(known: Sequence[str]) -> Limited[tuple[str, ...]]:
    """Some of the known names, with commas between."""
    return Limited(
        f"some of {','.join(known)}",
        "",
        lambda text: tuple(text.split(",")),
        lambda chosen: set(chosen) <= set(known),
    )


def word_or(word: str, other: Limited[T]) -> Limited[T | None]:
    """A value of another type, or a word; that is None then."""
    return Limited(
        f"{word} or {other.limits}" if other.limits else "",
        "" if other.limits else f"{word} or {other.kind}",
        lambda text: None if text == word else other.read(text),
        lambda value: value is None or other.within(value),
    )


def endpoint(text: str) -> str:
    """A ZeroMQ endpoint to connect to."""
    try:
        return check_endpoint(text)
    except EndpointError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def existing_file(text: str) -> Path:
    """The path of a file that is there."""
    return _existing(text, "file", Path.is_file)


def existing_folder(text: str) -> Path:
    """The path of a folder that is there."""
    return _existing(text, "folder", Path.is_dir)


def existing_path(text: str) -> Path:
    """The path of a file or folder that is there."""
    return _existing(text, "file or folder", Path.exists)


def output_file(text: str) -> Path:
    """The path of a file to write; it may be there already."""
    if Path(text).is_dir() or not Path(text).name:
        raise argparse.ArgumentTypeError(f"expected a file to write, got {text!r}, a folder")
    return Path(text)


def output_folder(text: str) -> Path:
    """The path of a folder to write; it may be there already."""
    if Path(text).exists() and not Path(text).is_dir():
        raise argparse.ArgumentTypeError(f"expected a folder to write, got {text!r}, a file")
    return Path(text)


def _existing(text: str, kind: str, is_there: Callable[[Path], bool]) -> Path:
    path = Path(text)
    if not is_there(path):
        found = f"which is {'a folder' if path.is_dir() else 'a file'}" if path.exists() else "which does not exist"
        raise argparse.ArgumentTypeError(f"expected an existing {kind}, got {text!r}, {found}")
    return path
