"""Whole pages from Jinja templates, which lie beside the modules that fill them: `FOLDER/NAME.md.j2`, `.html.j2`."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import jinja2
from markupsafe import Markup, escape

from ground_tools.pages.blocks import number, percent
from ground_tools.pages.markdown import markdown_table


def render(template: str, **values: Any) -> str:
    """A page from a template, as "export/card.md.j2"; in .html.j2 every value is escaped.

    Raises jinja2.UndefinedError naming a value that the template needs and `values` lacks.
    """
    return _environment().get_template(template).render(**values)


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("ground_tools", ""),
        autoescape=lambda name: name is not None and name.endswith(".html.j2"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "anchor": _anchor,
        "inline": _inline,
        "markdown_table": markdown_table,
        "number": number,
        "percent": percent,
    }
    return environment


def _inline(text: str) -> Markup:
    """Text with `code` in back quotes as HTML."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))


def _anchor(text: str) -> str:
    """A heading's name in links."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
