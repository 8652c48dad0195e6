"""Tables for the terminal."""

from __future__ import annotations

from ground_tools.pages.blocks import Table
from ground_tools.pages.text import text_table


def test_columns_are_as_wide_as_their_cells() -> None:
    table = Table(["body", "images", "share"], [["67p", "7", "100.0 %"], ["hartley2", "1200", "-"], ["all", "", ""]])
    assert text_table(table).splitlines() == [
        "body      images    share",
        "67p            7  100.0 %",
        "hartley2    1200        -",
        "all",
    ]
