"""The configuration: one schema with defaults, limits and descriptions, from which all else is made."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from flight.icd.limits import DEFAULT_ENDPOINTS
from flight.schema import check
from flight.service.configuration import Configuration, ConfigurationError, load_configuration
from flight.service.document import fill_in
from flight.service.fields import SECTIONS, format_default, format_limits

OPERATIONS = Path(__file__).parents[3] / "docs" / "operations.md"
FIELDS = [(section, name) for section, content in SECTIONS.items() for name in content["properties"]]
# The bundle's default counts, or no default makes sense.
WITHOUT_DEFAULT = {
    *(("parameters", name) for name in ("passes", "gamma", "uncertainty_threshold", "risk")),
    *(("storage", "state"), ("storage", "bundles"), ("security", "keys")),
}
TYPES = {"integer": int, "number": float, "boolean": bool, "string": str}


def schema(section: str, name: str) -> dict[str, Any]:
    field: dict[str, Any] = SECTIONS[section]["properties"][name]
    return field


def value_in(configuration: Configuration, section: str, name: str) -> Any:
    """A field of a configuration, by the name that it has in the file."""
    content = getattr(configuration, section)
    return content[name] if isinstance(content, dict) else getattr(content, name)


def write(folder: Path, section: str, **values: Any) -> Path:
    path = folder / "flight.toml"
    lines = [f"{name} = {json.dumps(value)}" for name, value in values.items()]
    path.write_text("\n".join([f"[{section}]", *lines]))
    return path


def test_every_field_has_a_description_and_a_default_within_its_limits() -> None:
    assert {(s, n) for s, n in FIELDS if "default" not in schema(s, n)} == WITHOUT_DEFAULT
    for section, name in FIELDS:
        field = schema(section, name)
        assert field["description"]
        if "default" in field:
            check(field["default"], field, name)
            assert "enum" in field or type(field["default"]) is TYPES[field["type"]]


def test_the_default_endpoints_are_those_of_the_wire_contract() -> None:
    assert {name: schema("endpoints", name)["default"] for name in DEFAULT_ENDPOINTS} == DEFAULT_ENDPOINTS


def test_the_configuration_has_the_sections_of_the_schema() -> None:
    assert [field.name for field in fields(Configuration)] == list(SECTIONS)


@pytest.mark.parametrize(("section", "name"), FIELDS)
def test_a_field_is_its_default_until_it_is_set(tmp_path: Path, section: str, name: str) -> None:
    default = load_configuration(None)
    if section != "parameters":
        assert value_in(default, section, name) == schema(section, name).get("default")
    if section == "security":
        return  # which needs keys: tests/flight/service/test_security.py
    field = schema(section, name)
    other: Any = {"integer": 2, "number": 2.5, "boolean": True, "string": "ipc:///tmp/x"}.get(field.get("type", ""))
    if "enum" in field:
        other = field["enum"][-1]
    elif "maximum" in field:
        other = min(other, field["maximum"])
    needed = {"state": "/tmp/state"} if name == "bundles" else {}
    loaded = load_configuration(write(tmp_path, section, **needed, **{name: other}))
    assert value_in(loaded, section, name) == (Path(other) if section == "storage" else other)
    for other_section, other_name in FIELDS:
        if other_section != "parameters" and other_name not in (name, *needed):
            assert value_in(loaded, other_section, other_name) == value_in(default, other_section, other_name)


@pytest.mark.parametrize(("section", "name"), [(s, n) for s, n in FIELDS if "minimum" in schema(s, n)])
def test_a_number_beyond_its_limits_is_refused(tmp_path: Path, section: str, name: str) -> None:
    low, high = schema(section, name)["minimum"], schema(section, name)["maximum"]
    for value in (low, high):
        load_configuration(write(tmp_path, section, **{name: value}))
    for value in (low - 1, high + 1, True, "1"):
        if isinstance(value, int) and value >= 2**63:
            continue
        with pytest.raises(ConfigurationError) as caught:
            load_configuration(write(tmp_path, section, **{name: value}))
        assert str(caught.value) == f"{tmp_path}/flight.toml: {section}.{name}: expected {low}..{high}, got {value!r}"


def test_the_help_prints_every_field_with_default_limits_and_description() -> None:
    command = [sys.executable, "-m", "flight.cli", "serve", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    text = " ".join(done.stdout.split())
    for section, name in FIELDS:
        field = schema(section, name)
        line = f"{name} = {format_default(section, field)} {format_limits(field)}; {field['description']}"
        assert " ".join(line.split()) in text
    for section in SECTIONS:
        assert f"[{section}]" in text


@pytest.mark.parametrize(
    ("section", "name", "text"),
    [
        ("endpoints", "frames", "tcp://HOST:PORT or ipc://PATH, at most 200 characters"),
        ("storage", "state", "1..1024 characters"),
        ("parameters", "centering", '"auto" or "off"'),
        ("parameters", "publish_full", "true or false"),
        ("parameters", "gamma", "number, 1..10"),
    ],
)
def test_the_limits_of_a_field_are_those_that_are_checked(section: str, name: str, text: str) -> None:
    assert format_limits(schema(section, name)) == text


def test_every_text_with_a_pattern_says_in_words_what_it_takes() -> None:
    for section, name in FIELDS:
        field = schema(section, name)
        assert "pattern" not in field or field["title"] in format_limits(field)


def test_bundles_without_a_state_folder_are_rejected(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load_configuration(write(tmp_path, "storage", bundles="/srv/uplink"))
    expected = f"{tmp_path}/flight.toml: storage.state: expected a folder, needed by storage.bundles, got none"
    assert str(caught.value) == expected


def test_docs_operations_has_what_the_code_says() -> None:
    text = OPERATIONS.read_text(encoding="utf-8")
    assert fill_in(text) == text, "run: python -m flight.service.document --write"
    for section, name in FIELDS:
        assert f"| `{section}.{name}` |" in text
