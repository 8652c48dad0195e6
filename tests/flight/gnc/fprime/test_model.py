"""The F Prime component's model, without F Prime: its names are those of the catalogue, the library and the page.

What F Prime's tools and the component's tests say of it, `make integration-fprime` shows.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from flight.icd.catalogue import COMMANDS
from flight.icd.catalogue.states import STATES
from tests.flight.gnc.fprime import integration

HERE = Path(__file__).parent
ROOT = Path(__file__).parents[4]
FOLDER = ROOT / "flight" / "gnc" / "fprime" / "rubblemap" / "Rubblemap"
MODEL = (FOLDER / "MapClient" / "MapClient.fpp").read_text(encoding="utf-8")
TYPES = (FOLDER / "MapTypes" / "MapTypes.fpp").read_text(encoding="utf-8")
CODE = "".join(path.read_text(encoding="utf-8") for path in sorted((FOLDER / "MapClient").glob("*.cpp")))
PAGE = (ROOT / "docs" / "gnc.md").read_text(encoding="utf-8")
# The component's own; and those whose maps F Prime's typed arguments do not hold.
OWN_COMMANDS = {"OPEN", "TELL_PARAMETER"}
NOT_PASSED_ON = {"get_parameters", "set_parameters"}


def section(title: str) -> str:
    """A part of the page from its title to the next one of the same level."""
    return PAGE.split(f"\n## {title}\n")[1].split("\n## ")[0]


def declared(kind: str) -> dict[str, str]:
    """Name -> the lines of its declaration; special ports, which begin with the same word, left out."""
    pattern = rf"^    (?:async )?{kind} (?!port|\w+ port)(\w+)(.*?)(?=^    \S|^  \}})"
    found = re.findall(pattern, MODEL, re.MULTILINE | re.DOTALL)
    assert found
    return dict(found)


def constants(enumeration: str) -> list[str]:
    """The constants of an enumeration of the model, in order."""
    body = re.search(rf"enum {enumeration} : U8 \{{(.*?)\}}", TYPES, re.DOTALL)
    assert body is not None
    return re.findall(r"^\s+([A-Z_]+)\b", body[1], re.MULTILINE)


def test_commands_are_the_catalogues_with_its_arguments() -> None:
    commands = declared("command")
    passed = {name.upper() for name in COMMANDS} - {name.upper() for name in NOT_PASSED_ON}
    assert set(commands) == passed | OWN_COMMANDS
    for name, definition in COMMANDS.items():
        if name in NOT_PASSED_ON:
            continue
        arguments = re.findall(r"\$?(\w+): string size", commands[name.upper()])
        assert arguments == [argument.name for argument in definition.arguments], name
        handler = re.search(rf"MapClient::{name.upper()}_cmdHandler\(.*?\}}\n\n", CODE, re.DOTALL)
        assert handler is not None
        assert f'"{name}"' in handler[0], name
        assert ("slow_ms" in handler[0]) == definition.takes_time, name


def test_enumerations_are_the_librarys_and_the_catalogues() -> None:
    header = (ROOT / "flight/gnc/include/rubblemap/consumers.hpp").read_text(encoding="utf-8")
    for enumeration in ("Refusal", "SunSource"):
        body = re.search(
            rf"enum class (?:\[\[nodiscard\]\] )?{enumeration} : std::uint8_t ?\{{(.*?)\}};", header, re.DOTALL
        )
        assert body is not None
        names = re.findall(r"[a-z_]+", re.sub(r"//.*", "", body[1]))
        assert [name.upper() for name in names] == constants(enumeration)
    assert constants("ServiceState") == ["UNKNOWN", *(state.upper() for state in STATES)]


def test_every_event_and_channel_is_sent() -> None:
    severities = {"activity low": "ACTIVITY_LO", "activity high": "ACTIVITY_HI"}
    severities |= {"warning low": "WARNING_LO", "warning high": "WARNING_HI"}
    for name, text in declared("event").items():
        severity = re.search(r"severity (\w+ \w+)", text)
        assert severity is not None
        assert f"log_{severities[severity[1]]}_{name}(" in CODE
    for name in declared("telemetry"):
        assert f"tlmWrite_{name}(" in CODE


def test_structures_are_small_enough_for_the_dictionary() -> None:
    """fpp-to-dict 2.2 puts the members of larger ones into another order than they have."""
    structures = re.findall(r"struct \w+ \{(.*?)\n  \}", TYPES, re.DOTALL)
    assert len(structures) >= 5
    for body in structures:
        assert len(re.findall(r"^\s+\w+: ", body, re.MULTILINE)) <= 4


@pytest.mark.parametrize("kind", ["command", "event", "telemetry", "param"])
def test_the_page_tells_of_everything(kind: str) -> None:
    told = set(re.findall(r"`(\w+)`", section("In an F Prime component")))
    assert set(declared(kind)) <= told, set(declared(kind)) - told


def test_the_page_counts_the_tests() -> None:
    words = {8: "eight", 9: "nine", 10: "ten", 11: "eleven", 12: "twelve"}
    unit = re.findall(r"^TEST\(", (HERE / "MapClientTest.cpp").read_text(encoding="utf-8"), re.MULTILINE)
    checks = re.findall(r"^def test_", (HERE / "ground_checks.py").read_text(encoding="utf-8"), re.MULTILINE)
    assert f"{words[len(unit)]} unit tests" in section("In an F Prime component")
    assert f"{words[len(checks)]} checks" in section("In an F Prime component")


def test_the_page_names_the_version_that_the_command_wants() -> None:
    assert f"F Prime {integration.FPRIME_VERSION}" in section("In an F Prime component")


@pytest.mark.parametrize(
    ("requirements", "message"),
    [
        (None, "got nothing: make integration-fprime FPRIME=DIR [GOOGLETEST=DIR]"),
        ("", "without cmake/FPrime.cmake or requirements.txt"),
        ("fprime-tools==3.6.0\n", "whose requirements.txt names fprime-tools 3.6.0"),
        ("fprime-tools==3.5.0\n", "GOOGLETEST: expected the folder of GoogleTest's sources"),
    ],
)
def test_what_is_missing_is_said_in_one_line(requirements: str | None, message: str, tmp_path: Path) -> None:
    if requirements:
        (tmp_path / "cmake").mkdir()
        (tmp_path / "cmake" / "FPrime.cmake").touch()
        (tmp_path / "requirements.txt").write_text(requirements, encoding="utf-8")
    options = [] if requirements is None else ["--fprime", str(tmp_path)]
    command = [sys.executable, "-m", "tests.flight.gnc.fprime.integration", *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


def test_the_command_is_in_the_makefile() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert "python -m tests.flight.gnc.fprime.integration" in makefile
    assert "make integration-fprime" in makefile
