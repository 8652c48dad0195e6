"""The report of an evaluation as one HTML file that needs nothing else: pictures are inside it."""

from __future__ import annotations

import base64
import html
import re
from pathlib import Path

from ground_tools.pages.blocks import Block, Heading, Picture, Table, Text

_STYLE = """
:root { color-scheme: light dark; --ink: #1d2330; --paper: #ffffff; --line: #d5d9e0; --soft: #f3f5f8; --link: #1f4e79; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e2e5ea; --paper: #171a21; --line: #3a404c; --soft: #212631; --link: #8ab4e8; }
}
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); margin: 0 auto;
       max-width: 1180px; padding: 1rem 1.5rem 4rem; }
h1 { margin-bottom: 0.2rem; } h2 { margin-top: 2.5rem; border-bottom: 1px solid var(--line); }
nav { columns: 3 18rem; background: var(--soft); padding: 0.8rem 1rem; border-radius: 6px; }
nav a { display: block; color: var(--link); text-decoration: none; }
.wide { overflow-x: auto; margin: 0.8rem 0; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 13.5px; }
th, td { padding: 0.25rem 0.6rem; border-bottom: 1px solid var(--line); text-align: left; white-space: nowrap; }
th { background: var(--soft); white-space: normal; vertical-align: bottom; }
figure { margin: 1.2rem 0; } figcaption { font-size: 13.5px; margin-bottom: 0.3rem; }
img { max-width: 100%; background: white; border-radius: 4px; }
"""
_KINDS = {".png": "image/png", ".jpg": "image/jpeg"}


def html_page(content: list[Block], title: str, images: Path) -> str:
    """Blocks as one HTML document. images: the folder of the pictures; one that is missing is said to be."""
    headings = [block for block in content if isinstance(block, Heading) and block.level == 2]
    links = "".join(f'<a href="#{_anchor(block.text)}">{_inline(block.text)}</a>' for block in headings)
    body = "\n".join(_element(block, images) for block in content)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html.escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        f"<h1>{html.escape(title)}</h1>\n<nav>{links}</nav>\n{body}\n</body>\n</html>\n"
    )


def _element(block: Block, images: Path) -> str:
    match block:
        case Heading(text, level):
            # Only what the navigation points to has an id: names of sets come again in every part.
            anchor = f' id="{_anchor(text)}"' if level == 2 else ""
            return f"<h{level}{anchor}>{_inline(text)}</h{level}>"
        case Text(text):
            return f"<p>{_inline(text)}</p>"
        case Table(head, rows):
            top = "".join(f"<th>{_inline(cell)}</th>" for cell in head)
            lines = "".join("<tr>" + "".join(f"<td>{_inline(cell)}</td>" for cell in row) + "</tr>\n" for row in rows)
            return f'<div class="wide"><table>\n<tr>{top}</tr>\n{lines}</table></div>'
        case Picture(file, caption):
            return f"<figure><figcaption>{_inline(caption)}</figcaption>{_image(images / file, caption)}</figure>"


def _image(path: Path, caption: str) -> str:
    if not path.is_file():
        return f"<p>({html.escape(path.name)} is not there)</p>"
    data = base64.b64encode(path.read_bytes()).decode("ascii")
    return f'<img alt="{html.escape(caption)}" src="data:{_KINDS[path.suffix]};base64,{data}">'


def _inline(text: str) -> str:
    """Text with `code` in back quotes."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(text, quote=False))


def _anchor(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
