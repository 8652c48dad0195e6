"""Tables for the terminal."""

from __future__ import annotations

from ground_tools.pages.blocks import Table

_GAP = "  "


def text_table(table: Table) -> str:
    """A table as lines of text, without an end of line after the last: columns of figures at the right, others left."""
    lines = [table.head, *table.rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(table.head))]
    columns = list(zip(widths, table.right_aligned, strict=True))
    return "\n".join(
        _GAP.join(
            cell.rjust(width) if right else cell.ljust(width)
            for cell, (width, right) in zip(line, columns, strict=True)
        ).rstrip()
        for line in lines
    )
