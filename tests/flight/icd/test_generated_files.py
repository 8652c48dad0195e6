"""Files that are generated from the code: written, or compared with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from flight.icd import document as icd_document
from flight.icd.generated_files import ROOT, write_or_compare
from flight.service import document as service_document


def test_a_file_that_differs_is_named_and_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    same, other, missing = (tmp_path / name for name in ("same.md", "other.md", "missing.md"))
    same.write_text("code")
    other.write_text("edited by hand")
    files = dict.fromkeys((same, other, missing), "code")
    assert write_or_compare("python -m x", "files", files, []) == 1
    lines = capsys.readouterr().err.splitlines()
    assert lines == [f"{path}: expected what the code says; run python -m x --write" for path in (other, missing)]
    assert other.read_text() == "edited by hand"
    assert write_or_compare("python -m x", "files", files, ["--write"]) == 0
    assert [path.read_text() for path in files] == ["code"] * 3
    assert write_or_compare("python -m x", "files", files, []) == 0


@pytest.mark.parametrize("document", [icd_document, service_document], ids=lambda document: document.__name__)
def test_the_generated_files_are_up_to_date(document, capsys: pytest.CaptureFixture[str]) -> None:
    assert document.main([]) == 0
    assert capsys.readouterr().err == ""
    assert all(path.is_relative_to(ROOT) for path in document.make_files())


def test_a_page_without_a_mark_is_an_error() -> None:
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    assert service_document.fill_in(page) == page
    with pytest.raises(ValueError, match="expected once each: <!-- fields"):
        service_document.fill_in(page.replace("<!-- fields:", "<!-- other:"))
