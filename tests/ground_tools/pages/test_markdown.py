"""Tables in Markdown, read again by a Markdown parser."""

from __future__ import annotations

import itertools
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from ground_tools.pages.blocks import Gallery, Heading, Picture, Table, Text
from ground_tools.pages.markdown import markdown, markdown_table

# Of these the parser makes something else before it reads any table.
TEXTS = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0")) | st.text("|\\\r\n `-:a")


def read_table(text: str) -> tuple[list[str], list[list[str]], list[bool]]:
    """Head, rows and whether columns are right-aligned, as a parser of GitHub's tables sees them."""
    tokens = MarkdownIt("commonmark").enable("table").parse(text)
    assert tokens[0].type == "table_open"
    assert tokens[-1].type == "table_close"
    rows: list[list[str]] = []
    right = []
    for token, inline in itertools.pairwise(tokens):
        if token.type == "tr_open":
            rows.append([])
        elif token.type in ("th_open", "td_open"):
            rows[-1].append(inline.content)
            if token.type == "th_open":
                right.append("right" in str(token.attrGet("style")))
    return rows[0], rows[1:], right


def written(text: str) -> str:
    """What is to be read of a cell: ends of line are breaks, and space around it does not count."""
    return re.sub(r"\r\n|[\r\n]", "<br>", text.strip())


@st.composite
def tables(draw: st.DrawFn) -> Table:
    columns = draw(st.integers(1, 4))
    lines = st.lists(TEXTS, min_size=columns, max_size=columns)
    return Table(draw(lines), draw(st.lists(lines, max_size=4)))


@given(tables())
def test_any_cell_is_read_again(table: Table) -> None:
    head, rows, right = read_table(markdown_table(table))
    assert head == [written(cell) for cell in table.head]
    assert rows == [[written(cell) for cell in row] for row in table.rows]
    assert right == table.right_aligned


def test_pipes_in_code_stay_in_their_cell() -> None:
    table = Table(["what", "values"], [["`a | b`", "1"], [r"a\|b", "2"], ["two\nlines\r\n", "3"]])
    assert markdown_table(table).splitlines()[2:] == [r"| `a \| b` | 1 |", r"| a\\|b | 2 |", "| two<br>lines | 3 |"]
    page = MarkdownIt("commonmark").enable("table").render(markdown_table(table))
    assert "<code>a | b</code>" in page
    assert "two<br>lines" in page


def test_columns_of_figures_go_to_the_right() -> None:
    rows = [["a", "1.5", "-", "3 of 4", "52.1 (4 to 99)", "`1a2b`", "0.1 / 0.2", "", ">= 65.0"]]
    rows.append(["7", "+12 %", "0.2", "10 of 10", "-", "`3333`", "1.0 / 2.0", "", "-"])
    table = Table([""] * len(rows[0]), rows)
    assert table.right_aligned == [False, True, True, True, True, False, True, False, True]
    assert markdown_table(table).splitlines()[1] == "|---|---:|---:|---:|---:|---|---:|---|---:|"


def test_a_row_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="table: row 1: expected 2 cells, got 1"):
        Table(["a", "b"], [["1", "2"], ["3"]])


def test_blocks_stand_apart_by_blank_lines() -> None:
    pictures = [Picture("a.png", "A"), Picture("b.png", "B")]
    content = [Heading("H", 2), Text("`x`\ny"), Table(["n"], [["1"]]), pictures[0], Gallery(pictures)]
    assert markdown(content, "images/here", deeper=1) == (
        "### H\n\n`x`\ny\n\n| n |\n|---:|\n| 1 |\n\nA:\n\n![A](images/here/a.png)\n\n"
        "![A](images/here/a.png)\n![B](images/here/b.png)\n"
    )
