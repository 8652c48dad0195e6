"""A page, or a part of one, as blocks: headings, text, tables and pictures; and how figures stand in them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

# Signs, digits, brackets and units that hold no letter; the words between two figures are taken out before.
_FIGURES = re.compile(r"[-+<>=\d.,/()% ]*\d[-+\d.,/()% ]*")


@dataclass(frozen=True)
class Heading:
    """A heading of a level, 1 being that of the page."""

    kind: ClassVar[str] = "heading"
    text: str
    level: int


@dataclass(frozen=True)
class Text:
    """A paragraph, in which `code` may stand in back quotes."""

    kind: ClassVar[str] = "text"
    text: str


@dataclass(frozen=True)
class Table:
    """A table of texts, each as in a paragraph. Raises ValueError for a row of another length than the head."""

    kind: ClassVar[str] = "table"
    head: list[str]
    rows: list[list[str]]

    def __post_init__(self) -> None:
        for number, row in enumerate(self.rows):
            if len(row) != len(self.head):
                raise ValueError(f"table: row {number}: expected {len(self.head)} cells, got {len(row)}")

    @property
    def right_aligned(self) -> list[bool]:
        """For each column whether it holds figures, or dashes where there are none, alone: these go to the right."""
        return [_holds_figures([row[column] for row in self.rows]) for column in range(len(self.head))]


@dataclass(frozen=True)
class Picture:
    """A picture below its caption. file: its name in the folder of the page's pictures."""

    kind: ClassVar[str] = "picture"
    file: str
    caption: str


@dataclass(frozen=True)
class Gallery:
    """Pictures one after the other, their captions for those alone who cannot see them."""

    kind: ClassVar[str] = "gallery"
    pictures: list[Picture]


Block = Heading | Text | Table | Picture | Gallery


def percent(value: float | None, digits: int = 1) -> str:
    """A fraction in per cent, a dash where there is none."""
    return "-" if value is None else f"{100.0 * value:.{digits}f}"


def number(value: float | None, digits: int = 3) -> str:
    """A number, a dash where there is none."""
    return "-" if value is None else f"{value:.{digits}f}"


def _holds_figures(cells: list[str]) -> bool:
    known = [re.sub(r" (to|of) ", " ", cell) for cell in cells if cell not in ("", "-")]
    return bool(known) and all(_FIGURES.fullmatch(cell) for cell in known)
