"""The table of costs in docs/hil.md: what measures it, and how it gets there."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.hil import measure
from tests.hil.measure import BEGIN, END, Cost, fill_costs

PAGE = f"before\n\n{BEGIN}\n\nold text\n\n{END}\n\nafter\n"


def test_costs_are_put_into_the_page_and_others_stay() -> None:
    first = fill_costs(PAGE, [Cost("a", "< 1", "0.5", "so"), Cost("b", "< 2", "1", "thus")], "here")
    assert "old text" not in first
    assert "| a | < 1 | 0.5 | so; here |\n| b | < 2 | 1 | thus; here |" in first
    second = fill_costs(first, [Cost("b", "< 2", "1.5", "again")], "there")
    assert "| a | < 1 | 0.5 | so; here |\n| b | < 2 | 1.5 | again; there |" in second
    assert second.count("| what | to be | measured | how |") == 1
    assert second.startswith("before\n")
    assert second.endswith("after\n")
    with pytest.raises(ValueError, match="expected once each"):
        fill_costs("no marks", [], "")


def test_the_page_has_the_marks() -> None:
    page = (Path(__file__).parents[2] / "docs" / "hil.md").read_text(encoding="utf-8")
    assert fill_costs(page, [], "").count(BEGIN) == 1


def test_the_report_of_an_hour_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its size holds on any computer; the browser's time is left to the command."""
    monkeypatch.setattr(measure, "CHROMIUM", None)
    cost = measure.measure_report(tmp_path, True)
    assert (tmp_path / "report.html").stat().st_size < 15e6
    assert cost.measured.endswith("MiB, not opened, as there is no Chromium here")
