"""Reports as HTML files that need nothing else: a page's template, filled, in the style that all of them have."""

from __future__ import annotations

from importlib import resources
from string import Template


def fill_page(package: str, **values: str) -> str:
    """Fill the `page.html` of a package.

    Args:
        package: that has the template, by its full name.
        values: what its `$names` stand for, as HTML; `$style` is not one of them.
    """
    template = Template(resources.files(package).joinpath("page.html").read_text(encoding="utf-8"))
    style = resources.files("hil.report").joinpath("style.css").read_text(encoding="utf-8")
    return template.substitute(values, style=style)
