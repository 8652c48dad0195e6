"""The command's figures: measured on small networks, written beside what other commands wrote."""

from __future__ import annotations

import json
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
from markdown_it import MarkdownIt

from ground_tools.benchmark import performance, service
from ground_tools.benchmark.engines import ENGINES
from ground_tools.benchmark.performance import QUICK, Performance, Plan, measure_performance
from ground_tools.benchmark.report import PAGE, RECORD, check_page, write_page
from ground_tools.benchmark.service import Extent, ServiceFigures, measure_service
from ground_tools.cli import main
from ground_tools.commands.benchmark import ENGINE_NAMES

PLAN = Plan(
    frames=1,
    reference_passes=20,
    rounds=2,
    float_passes=[2, 8],
    passes={"auto": [1, 8], "passes": [1, 8]},
    factors=[1.0, 2.0],
    repeats=1,
    extent=QUICK.extent,
)
SERVICE = ServiceFigures(
    passes=8,
    overhead=0.081,
    least_overhead=-0.02,
    largest_overhead=0.1,
    engine_overhead=0.12,
    bare_ms=100.0,
    whole_ms=108.1,
    frame_ms=20.0,
    p50_ms=20.1,
    p99_ms=25.0,
    frames=200,
    rss_mb=150.2,
    pss_mb=140.1,
    ready_s=1.5,
    cold_start_s=1.9,
    demo_rate_hz=2.0,
    answered_share=1.0,
    flyby_rate_hz=None,
    flyby_frames=56,
)


@pytest.fixture(scope="module")
def measured(closed_form_bundle: Path, images: Path, tmp_path_factory: pytest.TempPathFactory) -> Performance:
    """Of small networks; the service's figures, which have a test of their own, are made up."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(performance, "measure_service", lambda *arguments: SERVICE)
        cache = tmp_path_factory.mktemp("cache")
        return measure_performance(closed_form_bundle, images, ["passes", "torch_bfloat16"], PLAN, 8, 1, cache)


def test_page_record_and_pictures_are_written_and_others_figures_stay(measured: Performance, tmp_path: Path) -> None:
    (tmp_path / PAGE).write_text("# By hand\n\n<!-- benchmark: begin -->\nold\n<!-- benchmark: end -->\n\nmore\n")
    (tmp_path / RECORD).write_text(json.dumps({"parity": {"D-1": 1}, "engines": {"old": {}}}))
    write_page(measured, tmp_path)
    record = json.loads((tmp_path / RECORD).read_text())
    assert record["parity"] == {"D-1": 1}
    assert list(record["engines"]) == ["closed_form", "passes", "torch_bfloat16"]
    ours = record["engines"]["closed_form"]
    assert ours["ratio_to_ours"] == 1.0
    assert ours["median_ms"] > 0.0
    assert 0.0 < ours["entropy_error_nat"] < 0.15
    assert record["service"]["answered_share"] == 1.0
    assert record["service"]["rss_mb"] == 150.2
    page = (tmp_path / PAGE).read_text()
    assert page.startswith("# By hand")
    assert page.endswith("more\n")
    assert "old" not in page
    pictures = re.findall(r"\]\((\S+\.svg)\)", page)
    assert len(pictures) == 3
    for picture in pictures:
        assert (tmp_path / picture).read_text().rstrip().endswith("</svg>")
    html = MarkdownIt().enable("table").render(page)
    assert html.count("<table>") == 3
    if measured.engines["torch_bfloat16"].problem is not None:
        assert f"PyTorch, bfloat16: {measured.engines['torch_bfloat16'].problem}." in page
    before = {name: (tmp_path / name).read_bytes() for name in (PAGE, RECORD, *pictures)}
    write_page(measured, tmp_path)
    assert before == {name: (tmp_path / name).read_bytes() for name in before}


def test_costs_and_the_floor_are_of_every_number_asked_for(measured: Performance) -> None:
    for kind in ("auto", "passes"):
        assert [cost.by for cost in measured.curves.passes[kind]] == [1, 8]
        assert [cost.by for cost in measured.curves.size[kind]] == [32, 64]
        assert measured.curves.threads[kind][0].by == 1
        assert all(cost.median_ms > 0.0 for cost in measured.curves.size[kind])
    assert measured.floor.peak > 0.0
    # A frame cannot be faster than its products; small networks cannot come near.
    for name, floor_ms in measured.floor.floor_ms.items():
        assert 0.0 < floor_ms < measured.engines[name].median_ms


def test_a_page_without_a_place_for_the_figures_is_refused(
    closed_form_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / PAGE).write_text("# nothing\n")
    with pytest.raises(ValueError, match="benchmark: begin"):
        check_page(tmp_path)
    assert main(["benchmark", "--bundle", str(closed_form_bundle), "--write", str(tmp_path)]) == 2
    assert "expected the lines <!-- benchmark: begin -->" in capsys.readouterr().err


def test_a_bundle_without_the_closed_form_is_refused(
    tiny_bundle: Path, images: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["benchmark", "--bundle", str(tiny_bundle), "--frames", str(images), "--quick"]) == 2
    assert "expected closed-form heads, got none of First, Second" in capsys.readouterr().err


def test_the_command_offers_every_engine() -> None:
    assert [kind.name for kind in ENGINES] == list(ENGINE_NAMES)


def test_the_shipped_page_has_its_place() -> None:
    check_page(Path(__file__).parents[3] / "docs")


def test_the_service_is_measured_from_start_to_flyby(
    closed_form_bundle: Path, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Takes several starts of the service, each a second or two."""
    monkeypatch.setattr(service, "_RATE_SHARES", (0.2,))
    monkeypatch.setattr(service, "DEMO_RATE_HZ", 8.0)
    frame = cv2.resize(cv2.imread(str(images / "0.png"), cv2.IMREAD_GRAYSCALE), (48, 32))
    extent = Extent(rounds=2, frames=5, starts=1, flyby_frames=4)
    found = measure_service(closed_form_bundle, np.ascontiguousarray(frame), 4, 1, extent)
    assert found.frames == 5
    assert 0.0 < found.p50_ms <= found.p99_ms
    assert found.least_overhead <= found.overhead <= found.largest_overhead
    assert 50.0 < found.rss_mb < 1000.0
    assert 0.2 < found.cold_start_s < 60.0
    assert found.flyby_frames == 4
    assert 0.25 <= found.answered_share <= 1.0
    assert found.flyby_rate_hz is None or found.flyby_rate_hz > 0.0
