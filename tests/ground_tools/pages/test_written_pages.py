"""The pages that commands have written into docs/ and models/ are those that their figures give today."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ground_tools.datasets.report import section as datasets_section
from ground_tools.evaluation.covariance import figures_text as covariance_section
from ground_tools.evaluation.navigation import figures_text as navigation_section
from ground_tools.evaluation.report import section as results_section
from ground_tools.evaluation.results import results_of
from ground_tools.export.card import card
from ground_tools.pages.sections import write_section
from ground_tools.training.compare import as_text as comparisons_section
from tests.gnc.measure import as_text as client_section

ROOT = Path(__file__).parents[3]
SECTIONS: dict[str, tuple[str, str, Callable[[Any], str]]] = {
    "results": ("results.md", "figures", lambda record: results_section(results_of(record, "results.json"))),
    "datasets": ("datasets.md", "figures", datasets_section),
    "comparisons": ("training.md", "comparisons", comparisons_section),
    "covariance": ("gnc.md", "covariance figures", covariance_section),
    "gnc": ("gnc.md", "navigation figures", navigation_section),
    "gnc_client": ("gnc.md", "client figures", client_section),
}


@pytest.mark.parametrize("name", SECTIONS)
def test_a_section_is_that_of_its_figures(name: str, tmp_path: Path) -> None:
    page, mark, section = SECTIONS[name]
    text, figures = ((ROOT / "docs" / file).read_text() for file in (page, f"{name}.json"))
    (tmp_path / page).write_text(text)
    record = json.loads(figures)
    write_section(tmp_path / page, mark, section(record), record, tmp_path / f"{name}.json")
    assert (tmp_path / page).read_text() == text
    assert (tmp_path / f"{name}.json").read_text() == figures


@pytest.mark.parametrize("manifest", sorted(ROOT.glob("models/*/manifest.json")), ids=lambda path: path.parent.name)
def test_a_card_is_that_of_its_manifest(manifest: Path) -> None:
    assert card(json.loads(manifest.read_text())) == (manifest.parent / "card.md").read_text()
