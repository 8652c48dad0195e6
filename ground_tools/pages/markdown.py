"""Blocks as Markdown, tables as GitHub Flavored Markdown has them."""

from __future__ import annotations

import re

from ground_tools.pages.blocks import Block, Gallery, Heading, Picture, Table, Text

_LINE_END = re.compile(r"\r\n|[\r\n]")


def markdown_table(table: Table) -> str:
    """A table as lines of Markdown, without an end of line after the last.

    What a cell holds stays inline Markdown, and stays in its cell: pipes are escaped, ends of line become `<br>`.
    Columns are not padded: one longer cell would change every line.
    """
    marks = ["---:" if right else "---" for right in table.right_aligned]
    return "\n".join([_row(table.head), "|" + "|".join(marks) + "|", *map(_row, table.rows)])


def _row(cells: list[str]) -> str:
    return "|" + "|".join(f" {text} " if (text := _cell(cell)) else " " for cell in cells) + "|"


def _cell(text: str) -> str:
    return _LINE_END.sub("<br>", text.strip()).replace("|", r"\|")


def markdown(content: list[Block], images: str = "images", deeper: int = 0) -> str:
    """Blocks as Markdown with a blank line between two, and an end of line after the last.

    images: the pictures' folder as seen from the page. deeper: levels to add to headings.
    """
    return "\n\n".join(_element(block, images, deeper) for block in content) + "\n"


def _element(block: Block, images: str, deeper: int) -> str:
    match block:
        case Heading(text, level):
            return "#" * (level + deeper) + " " + text
        case Text(text):
            return text
        case Table():
            return markdown_table(block)
        case Picture(_, caption):
            return f"{caption}:\n\n{_image(block, images)}"
        case Gallery(pictures):
            return "\n".join(_image(picture, images) for picture in pictures)


def _image(picture: Picture, images: str) -> str:
    return f"![{picture.caption}]({images}/{picture.file})"
