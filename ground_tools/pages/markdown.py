"""Blocks as Markdown."""

from __future__ import annotations

from ground_tools.pages.blocks import Block, Heading, Picture, Table, Text


def markdown_table(head: list[str], rows: list[list[str]]) -> list[str]:
    """A Markdown table."""
    return ["| " + " | ".join(cells) + " |" for cells in [head, ["---"] * len(head), *rows]]


def markdown(content: list[Block], images: str, deeper: int = 0) -> str:
    """Blocks as Markdown. images: the pictures' folder as seen from the page. deeper: levels to add to headings."""
    lines: list[str] = []
    for block in content:
        lines.append("")
        match block:
            case Heading(text, level):
                lines.append("#" * (level + deeper) + " " + text)
            case Text(text):
                lines.append(text)
            case Table(head, rows):
                lines += markdown_table(head, rows)
            case Picture(file, caption):
                lines += [caption + ":", "", f"![{caption}]({images}/{file})"]
    return "\n".join(lines) + "\n\n"
