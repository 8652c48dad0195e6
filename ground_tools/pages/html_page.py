"""Blocks as one HTML file that needs nothing else: pictures are inside it."""

from __future__ import annotations

import base64
from pathlib import Path

from ground_tools.pages.blocks import Block, Heading
from ground_tools.pages.templates import render

_KINDS = {".png": "image/png", ".jpg": "image/jpeg"}


def html_page(content: list[Block], title: str, images: Path) -> str:
    """Blocks as one HTML document. images: the folder of the pictures; one that is missing is said to be."""

    def source(file: str) -> str | None:
        path = images / file
        if not path.is_file():
            return None
        return f"data:{_KINDS[path.suffix]};base64,{base64.b64encode(path.read_bytes()).decode('ascii')}"

    sections = [block for block in content if isinstance(block, Heading) and block.level == 2]
    return render("pages/page.html.j2", title=title, sections=sections, blocks=content, source=source)
