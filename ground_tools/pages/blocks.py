"""A page as blocks: headings, text, tables and pictures; and how figures stand in them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Heading:
    text: str
    level: int


@dataclass(frozen=True)
class Text:
    text: str


@dataclass(frozen=True)
class Table:
    head: list[str]
    rows: list[list[str]]


@dataclass(frozen=True)
class Picture:
    file: str
    caption: str


Block = Heading | Text | Table | Picture


def percent(value: float | None, digits: int = 1) -> str:
    """A fraction in per cent, a dash where there is none."""
    return "-" if value is None else f"{100.0 * value:.{digits}f}"


def number(value: float | None, digits: int = 3) -> str:
    """A number, a dash where there is none."""
    return "-" if value is None else f"{value:.{digits}f}"
