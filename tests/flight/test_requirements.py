"""docs/requirements.md: every requirement has a verification, and every test that it names exists."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
_ROW = re.compile(r"^\| (RM-FLT-\d{3}) \| (.+) \| (.*) \|$")
_TEST = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")
_OTHER = re.compile(r"(analysis|demonstration): \[[^\]]+\]\(([\w./#-]+)\)")


def requirements() -> dict[str, tuple[str, str]]:
    """Number -> (text, verification)."""
    rows = {}
    for line in (ROOT / "docs" / "requirements.md").read_text(encoding="utf-8").splitlines():
        match = _ROW.match(line)
        if match:
            assert match[1] not in rows, f"{match[1]} is there twice"
            rows[match[1]] = (match[2], match[3])
        else:
            assert not line.startswith("| RM-"), f"not a requirement's row: {line}"
    return rows


def test_every_requirement_has_a_verification() -> None:
    found = requirements()
    assert len(found) >= 40
    numbers = [int(name.removeprefix("RM-FLT-")) for name in found]
    assert numbers == sorted(numbers)
    for name, (text, verification) in found.items():
        assert "shall" in text, f"{name}: a requirement says what shall be"
        assert _TEST.search(verification) or _OTHER.search(verification), f"{name}: no verification"


def test_every_test_that_a_requirement_names_exists() -> None:
    for name, (_, verification) in requirements().items():
        for path, test in _TEST.findall(verification):
            assert (ROOT / path).is_file(), f"{name}: no file {path}"
            tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
            assert test in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}, (
                f"{name}: no test {test} in {path}"
            )
        for _, target in _OTHER.findall(verification):
            assert (ROOT / "docs" / target.split("#")[0]).is_file(), f"{name}: no document {target}"


def test_nothing_else_is_taken_for_a_verification() -> None:
    """What stands in the last column is tests, analyses and demonstrations, and nothing that only looks like them."""
    for name, (_, verification) in requirements().items():
        rest = _OTHER.sub("", _TEST.sub("", verification))
        assert re.fullmatch(r"[\s,;]*", rest), f"{name}: neither a test nor a document: {rest.strip()}"
