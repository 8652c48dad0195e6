"""Blocks as Markdown and as one HTML page."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from ground_tools.pages.blocks import Heading, Picture, Table, Text
from ground_tools.pages.html_page import html_page
from ground_tools.pages.markdown import markdown


def test_blocks_become_markdown_and_one_page(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((4, 4), np.uint8))
    content = [Heading("A & B", 2), Text("`x` < y"), Table(["n", "v"], [["a", "1"]]), Picture("a.png", "Of a")]
    assert "## A & B\n\n`x` < y\n\n| n | v |\n| --- | --- |\n| a | 1 |" in markdown(content, "images")
    assert "![Of a](images/a.png)" in markdown(content, "images")
    text = html_page([*content, Picture("gone.png", "Gone")], "Title", tmp_path)
    assert '<h2 id="a-b">A &amp; B</h2>' in text
    assert "<code>x</code> &lt; y" in text
    assert "data:image/png;base64," in text
    assert "gone.png is not there" in text
