"""docs/hazards.md: every hazard has a verification or is open, and what it names exists."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from tests.flight.test_requirements import ROOT, requirements

PAGE = ROOT / "docs" / "hazards.md"
WORDS = {"no", "more", "less", "late", "early", "stale", "repeated", "corrupted", "other", "invented"}
_TEST = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")
_REQUIREMENT = re.compile(r"RM-FLT-\d{3}")
_ANALYSIS = re.compile(r"analysis: \[[^\]]+\]\(([\w.-]+)#([\w-]+)\)")
_OPEN = re.compile(r"open (OP-\d{2})")
_HAZARD = re.compile(r"HZ-\d{2,3}")


def rows(prefix: str) -> dict[str, list[str]]:
    """Cells of the rows whose first cell begins so, by that cell; of the others in their order."""
    found: dict[str, list[str]] = {}
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if line.startswith("|") and cells[0].startswith(prefix):
            assert cells[0] not in found, f"{cells[0]} is there twice"
            found[cells[0]] = cells[1:]
    return found


@cache
def functions_of(path: Path) -> frozenset[str]:
    """The functions of a file."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return frozenset(node.name for node in tree.body if isinstance(node, ast.FunctionDef))


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as Markdown viewers make them."""
    titles = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def test_hazards_are_numbered_and_whole() -> None:
    hazards = rows("HZ-")
    assert list(hazards) == [f"HZ-{number:02}" for number in range(1, len(hazards) + 1)]
    for name, cells in hazards.items():
        assert len(cells) == 8, f"{name}: expected 9 cells, got {len(cells) + 1}"
        words, cause, _, severity, _, _, _, _ = cells
        assert set(words.split(", ")) <= WORDS, f"{name}: no guide word: {words}"
        assert cause, f"{name}: no cause"
        assert severity in {"1", "2", "3", "4"}, f"{name}: severity {severity}"


def test_every_hazard_has_a_verification_or_is_open() -> None:
    for name, cells in rows("HZ-").items():
        verification = cells[-1]
        kinds = (_TEST, _REQUIREMENT, _ANALYSIS, _OPEN)
        assert any(kind.search(verification) for kind in kinds), f"{name}: no verification, and not open"
        rest = verification
        for kind in kinds:
            rest = kind.sub("", rest)
        assert re.fullmatch(r"[\s,;]*", rest), f"{name}: none of test, requirement, analysis, open: {rest.strip()}"


def test_every_test_and_requirement_that_is_named_exists() -> None:
    numbers = requirements()
    for name, cells in rows("HZ-").items():
        for path, test in _TEST.findall(cells[-1]):
            assert (ROOT / path).is_file(), f"{name}: no file {path}"
            assert test in functions_of(ROOT / path), f"{name}: no test {test} in {path}"
        for number in _REQUIREMENT.findall(cells[-1]):
            assert number in numbers, f"{name}: no requirement {number}"
        for page, anchor in _ANALYSIS.findall(cells[-1]):
            assert anchor in anchors(PAGE.parent / page), f"{name}: no heading #{anchor} in {page}"


def test_open_items_and_hazards_name_each_other() -> None:
    hazards, items = rows("HZ-"), rows("OP-")
    named = {(name, item) for name, cells in hazards.items() for item in _OPEN.findall(cells[-1])}
    listed = {(name, item) for item, cells in items.items() for name in _HAZARD.findall(cells[-1])}
    assert named == listed
    assert all(len(cells) == 4 for cells in items.values())
    assert {item for _, item in named} == set(items)


def test_every_function_that_fails_names_hazards() -> None:
    text = PAGE.read_text(encoding="utf-8").split("## Functions and how they fail")[1].split("\n## ")[0]
    lines = [line for line in text.splitlines() if line.startswith("|")][2:]
    assert len(lines) >= 9
    hazards = rows("HZ-")
    for line in lines:
        named = _HAZARD.findall(line)
        assert named, f"no hazard: {line}"
        assert set(named) <= set(hazards), f"unknown hazards: {line}"
        worst = re.findall(r"\| ([1-4]) \|", line)
        assert worst == [min(hazards[name][3] for name in named)], f"severity is not that of its worst row: {line}"


@pytest.mark.parametrize("page", ["README.md", "docs/architecture.md", "docs/requirements.md", "docs/security.md"])
def test_other_pages_lead_to_it(page: str) -> None:
    assert "hazards.md" in (ROOT / page).read_text(encoding="utf-8")
