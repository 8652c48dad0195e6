"""`hil board measure` on a board in a folder: its engines, its service, and the row in docs."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import hil.cli
from hil.board.boards_page import check_row, format_table, write_row
from hil.board.measure import Extent, measure_board
from hil.board.progress import Progress
from hil.deploy.connection import DeployError, Link
from hil.deploy.deploy import deploy
from tests.hil.deploy.fake_board import FakeBoard
from tests.tiny_bundle import write_tiny_bundle

DOCS = Path(__file__).parents[3] / "docs"
EXTENT = Extent(rounds=2, frames=3, timeout_s=120.0, note="in a folder")


@pytest.fixture
def board(tmp_path: Path) -> Iterator[FakeBoard]:
    board = FakeBoard(tmp_path / "board")
    yield board
    board.close()


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/boards.md").write_text("# Boards\n\n<!-- boards: begin -->\n<!-- boards: end -->\n\nThe end.\n")
    return tmp_path / "docs"


def quiet() -> Progress:
    return Progress(io.StringIO())


def row(**changes: Any) -> dict[str, Any]:
    """What was measured of some board."""
    engine = {"engine": "auto", "kind": "closed_form", "threads": 4, "load_ms": 100.0, "one_pass_ms": 50.0}
    service = {"frames": 10, "frame_ms": 210.4, "least_ms": 200.0, "most_ms": 250.0, "ready_s": 3.2}
    memory = {"service_rss_mb": 31.0, "worker_rss_mb": 131.0, "pss_mb": 139.0}
    return {
        "board": "Raspberry Pi 5 Model B Rev 1.0",
        "virtual": "",
        "processor": "Cortex-A76",
        "architecture": "aarch64",
        "cores": 4,
        "memory_mib": 8064,
        "system": "Debian GNU/Linux 12 (bookworm)",
        "kernel": "6.6.31",
        "rubblemap": "1.0",
        "bundle": "unet_h 1.2.0",
        "sha256": "ab" * 32,
        "mode": "UNetH",
        "measured": "2026-11-27",
        "rounds": 5,
        "engines": [{**engine, "pass_ms": 8.0, "passes": 20, "frame_ms": 202.0, "spread": [0.98, 1.05]}],
        "service": {**service, **memory},
        "temperature": {"begin_c": 51.0, "end_c": 63.5, "throttling": []},
        "note": "",
        **changes,
    }


def test_a_board_is_measured_and_serves_again(board: FakeBoard, tmp_path: Path) -> None:
    bundle = write_tiny_bundle(tmp_path / "bundle", ("Tiny",))
    text = board.configuration("measured")
    with board.link() as link:
        deploy(link, board.wishes(bundle, text), quiet())
    with board.link() as link:
        measured = measure_board(link, EXTENT, quiet())
    check_row(measured)
    assert measured["bundle"] == "bundle 1.0"
    assert measured["note"] == "in a folder"
    assert {engine["kind"] for engine in measured["engines"]} == {"passes"}
    assert measured["service"]["frames"] == 3
    assert 0 < measured["service"]["least_ms"] <= measured["service"]["frame_ms"] <= measured["service"]["most_ms"]
    # Python and the runtime alone take more; a worker without them would be none.
    assert measured["service"]["worker_rss_mb"] > 20
    assert measured["service"]["pss_mb"] <= measured["service"]["service_rss_mb"] + measured["service"]["worker_rss_mb"]
    assert board.service_runs
    assert board.read("etc/rubblemap/flight.toml") == text
    calls = (board.home / "calls").read_text().splitlines()
    stopped = calls.index("stop rubblemap-flight.service")
    assert any(call.startswith("restart") for call in calls[stopped:])


def test_a_service_that_was_halted_starts_again_when_the_link_is_lost(board: FakeBoard, tmp_path: Path) -> None:
    bundle = write_tiny_bundle(tmp_path / "bundle", ("Tiny",))
    with board.link() as link:
        deploy(link, board.wishes(bundle, board.configuration("halted")), quiet())
    with board.link() as link:
        link.ask("halt")
        assert not board.service_runs
    assert board.service_runs


def test_a_board_without_a_release_is_told_to_be_deployed_to(board: FakeBoard) -> None:
    with board.link() as link, pytest.raises(DeployError, match="expected a deployed release on the board, got none"):
        measure_board(link, EXTENT, quiet())


def test_a_row_goes_into_the_page_and_replaces_that_of_the_same_board(docs: Path) -> None:
    write_row(docs, row(board="Virtual", virtual="emulated"))
    write_row(docs, row(service={**row()["service"], "frame_ms": 999.0}))
    write_row(docs, row())
    page = (docs / "boards.md").read_text()
    assert page.startswith("# Boards\n\n<!-- boards: begin -->\n\n| board |")
    assert page.endswith("<!-- boards: end -->\n\nThe end.\n")
    assert "999" not in page
    assert "| Raspberry Pi 5 Model B Rev 1.0: 4 x Cortex-A76, 7.9 GiB |" in page
    assert "| 210 (200 to 250) | 3.2 | 139 | 51 to 64 |" in page
    assert "Virtual, **emulated**" in page
    rows = json.loads((docs / "boards.json").read_text())["boards"]
    assert [each["virtual"] for each in rows] == ["", "emulated"]


def test_a_row_that_somebody_sent_is_checked(docs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sent = tmp_path / "board.json"
    before = (docs / "boards.md").read_text()
    for wrong, problem in [
        (row(board="<script>"), "row.board: expected text matching"),
        (row(virtual="no"), "row.virtual: expected "),
        ({"board": "x"}, "expected a value, got None"),
        (row(engines=[]), "row.engines: expected 1..any items"),
    ]:
        sent.write_text(json.dumps(wrong))
        assert hil.cli.main(["board", "measure", "--row", str(sent), "--write", str(docs)]) == 2
        error = capsys.readouterr().err
        assert error.startswith(f"hil board measure: {sent}: ")
        assert problem in error
        assert error.count("\n") == 1
    assert (docs / "boards.md").read_text() == before
    sent.write_text(json.dumps(row()))
    assert hil.cli.main(["board", "measure", "--row", str(sent), "--write", str(docs)]) == 0
    assert "Cortex-A76" in capsys.readouterr().out
    assert "Cortex-A76" in (docs / "boards.md").read_text()


def test_what_cannot_be_measured_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, problem in [
        ([], "expected TARGET or --row FILE, one of them"),
        (["virtual", "--state", str(tmp_path)], "the virtual board is off: `hil board up`"),
        (["--", "-x"], "TARGET: expected a host as ssh takes it, got '-x'"),
        (["somewhere", "--write", str(tmp_path)], "expected the lines <!-- boards: begin -->"),
    ]:
        assert hil.cli.main(["board", "measure", *arguments]) == 2
        error = capsys.readouterr().err
        assert problem in error
        assert error.count("\n") == 1


def test_a_lost_link_is_one_line() -> None:
    with pytest.raises(DeployError), Link(["false"]) as link:
        measure_board(link, EXTENT, quiet())


def test_the_shipped_page_is_what_the_command_writes() -> None:
    page = (DOCS / "boards.md").read_text()
    found = re.search(r"<!-- boards: begin -->\n\n(.*)\n\n<!-- boards: end -->", page, re.DOTALL)
    assert found is not None
    rows = json.loads((DOCS / "boards.json").read_text())["boards"]
    for each in rows:
        check_row(each)
    assert found[1] == format_table(rows)
