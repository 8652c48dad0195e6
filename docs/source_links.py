"""A hook of MkDocs: links that lead out of docs/, to files of the source tree, become their text."""

from __future__ import annotations

import re

_LINK = re.compile(r"\[([^\]]*)\]\(\.\./[^)]*\)")


def on_page_markdown(markdown: str, **_: object) -> str:
    """Replace such links in a page's Markdown."""
    return _LINK.sub(r"\1", markdown)
