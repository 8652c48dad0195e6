"""Blocks as one HTML page, and templates."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path

import cv2
import jinja2
import numpy as np
import pytest

from ground_tools.pages.blocks import Block, Gallery, Heading, Picture, Table, Text
from ground_tools.pages.html_page import html_page
from ground_tools.pages.templates import render


class Elements(HTMLParser):
    """Raises AssertionError for an element that is closed before those inside it."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.cells: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)
        if tag == "td":
            self.cells.append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "td" in self.open:
            self.cells[-1] += data


def test_blocks_become_one_page(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((4, 4), np.uint8))
    picture = Picture("a.png", 'Of "a" & b')
    content: list[Block] = [Heading("A & B", 2), Text("`x` < y"), Heading("C", 3), picture]
    content += [Table(["n", "v"], [["<a|b>", "1"], ["`c`", "-"]]), Gallery([picture, Picture("gone.png", "Gone")])]
    text = html_page(content, "Title <1>", tmp_path)
    assert "<title>Title &lt;1&gt;</title>" in text
    assert '<h2 id="a-b">A &amp; B</h2>' in text
    assert '<a href="#a-b">A &amp; B</a>' in text
    assert "<h3>C</h3>" in text
    assert "<code>x</code> &lt; y" in text
    assert text.count("data:image/png;base64,") == 2
    assert 'alt="Of &#34;a&#34; &amp; b"' in text
    assert "gone.png is not there" in text
    assert '<td class="figures">1</td>' in text
    elements = Elements()
    elements.feed(text)
    assert elements.open == []
    assert elements.cells == ["<a|b>", "1", "c", "-"]


def test_a_value_that_a_template_lacks_is_named() -> None:
    with pytest.raises(jinja2.UndefinedError, match="manifest"):
        render("export/card.md.j2")
