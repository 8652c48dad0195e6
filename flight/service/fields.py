"""The configuration's fields as text: for the help of `flight serve` and for docs/operations.md.

Defaults, limits and descriptions are those of flight/schemas/configuration.json.
"""

from __future__ import annotations

import json
import textwrap
from typing import Any

from flight.schema import load_schema

CONFIGURATION_SCHEMA = load_schema("flight.schemas", "configuration")
SECTIONS: dict[str, dict[str, Any]] = CONFIGURATION_SCHEMA["properties"]
_HELP_WIDTH = 100


def format_default(section: str, field: dict[str, Any]) -> str:
    """A field's default as TOML writes it, or in words if it has none of its own."""
    if "default" in field:
        return json.dumps(field["default"])
    return "the bundle's" if section == "parameters" else "none"


def format_limits(field: dict[str, Any]) -> str:
    """The values that a field takes, in words."""
    if "enum" in field:
        return " or ".join(json.dumps(choice) for choice in field["enum"])
    kind = field["type"]
    if kind == "boolean":
        return "true or false"
    if kind == "string":
        # What a pattern or the code checks has a title for people.
        low = field.get("minLength", 0)
        size = f"{low}..{field['maxLength']} characters" if low else f"at most {field['maxLength']} characters"
        return f"{field['title']}, {size}" if "title" in field else size
    return f"{kind}, {field['minimum']}..{field['maximum']}"


def help_text() -> str:
    """Every section and field, for the command line's help."""
    lines = []
    for section, content in SECTIONS.items():
        lines += ["", f"  [{section}]", *_wrap(f"# {content['description']}", "  ", "  # ")]
        for name, field in content["properties"].items():
            lines.append(f"  {name} = {format_default(section, field)}")
            lines += _wrap(f"{format_limits(field)}; {field['description']}", 6 * " ", 6 * " ")
    return "\n".join(lines[1:])


def format_fields() -> str:
    """Every field, as a table in Markdown."""
    rows = ["| field | default | takes | meaning |", "|---|---|---|---|"]
    for section, content in SECTIONS.items():
        for name, field in content["properties"].items():
            default = f"`{format_default(section, field)}`" if "default" in field else format_default(section, field)
            rows.append(f"| `{section}.{name}` | {default} | {format_limits(field)} | {field['description']} |")
    return "\n".join(rows)


def _wrap(text: str, first: str, later: str) -> list[str]:
    return textwrap.wrap(text, _HELP_WIDTH, initial_indent=first, subsequent_indent=later, break_on_hyphens=False)
