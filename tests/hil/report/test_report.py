"""What a run leaves: page, JSON, JUnit XML, and two results side by side."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from hil.report import charts
from hil.report.comparison import compare_results
from hil.report.page import make_page
from hil.report.results import junit_xml, make_result, read_result, write_result
from hil.runs.feed import Feed
from hil.runs.judge import judge
from hil.runs.observer import Picture
from hil.runs.record import RunRecord
from hil.runs.runner import Run
from hil.scenarios import criterion_tables as tables
from hil.scenarios.scenario import Scenario
from hil.scenarios.source_tables import FlybySource
from hil.sources.registry import open_frames
from tests.hil.runs.records import confusion, event, fault, frame, lost, record


class Pictures:
    """The part of an observer that a report needs."""

    def __init__(self) -> None:
        planes = (np.ones((128, 128), np.uint8), np.full((128, 128), 0.4, np.float16))
        affine = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0]
        self.best = [Picture(0.8 - i / 100, i, affine, *planes) for i in range(6)]
        self.worst = [Picture(-0.2 - i / 100, 9 + i, affine, *planes) for i in range(6)]


def make_run(seen: RunRecord, frames: int = 20) -> Run:
    criteria = (tables.LostAtMost(), tables.AnsweredWithin(seconds=1.0, share=0.5), tables.MiouAtLeast(value=0.3))
    scenario = Scenario(title="a test's", duration_s=frames / 2.0, criteria=criteria)
    feed = Feed(scenario, open_frames(FlybySource(), Path(), frames))
    return Run(scenario, seen, [judge(criterion, seen) for criterion in criteria], Pictures(), feed)


def usual_record() -> RunRecord:
    frames = [frame(i, confusion=confusion(80, 10, 5, 3, 2), centroid_error_px=0.7) for i in range(19)]
    return record(
        *frames,
        lost(19),
        faults=[fault("camera_noise", 2.0, until_s=4.0, degrades=True)],
        events=[event("worker_died", severity="warning_high", message="<script>alert(1)</script> & more")],
        counters={"frames_received": 20},
    )


class Reader(HTMLParser):
    """Collects what an HTML page opens, and what it would load."""

    VOID = ("meta", "img", "rect", "line", "circle", "polyline")

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.loaded: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in self.VOID:
            self.open.append(tag)
        self.loaded += [value for name, value in attrs if name in ("src", "href") and value]

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_is_whole_and_needs_nothing_else() -> None:
    page = make_page(make_run(usual_record()))
    reader = Reader()
    reader.feed(page)
    assert reader.open == []
    assert len(reader.loaded) == 12
    assert all(address.startswith("data:image/jpeg;base64,") for address in reader.loaded)
    assert "<script" not in page
    for text in ("1 of 20", "worker_died", "camera_noise", "a test's", "alert(1)"):
        assert text in reader.text
    assert "failed" in reader.text


def test_the_page_of_thousands_of_frames_stays_small() -> None:
    frames = [
        frame(i, confusion=confusion(80, 10, 5, 3, i % 7), centroid_error_px=0.1 * (i % 9), entropy=0.3 + 0.1 * (i % 3))
        for i in range(3600)
    ]
    events = [event("frame_rejected", seconds=i / 3, severity="warning_low") for i in range(4000)]
    page = make_page(make_run(record(*frames, events=events), 3600))
    assert len(page.encode()) < 1_000_000


def test_a_run_without_any_answer_has_a_page_too() -> None:
    seen = record(*(lost(i) for i in range(3)), states=[], classes=[], roles=[], housekeeping=[], streamed_s=0.0)
    run = make_run(seen, 3)
    run.observer.best = run.observer.worst = []
    assert "No map came." in make_page(run)
    assert not run.passed


def test_results_are_json_and_junit(tmp_path: Path) -> None:
    result = make_result(make_run(usual_record()))
    write_result(tmp_path / "result.json", result)
    again = read_result(tmp_path)
    assert again == json.loads(json.dumps(result, default=str))
    assert again["verdict"] == "failed"
    assert [entry["passed"] for entry in again["criteria"]] == [False, True, True]
    assert again["frames"][3] | {"flags": []} == {
        "index": 3, "time_s": 1.5, "latency_s": 0.1, "sent": True, "dropped": False, "status": "valid", "flags": [],
        "passes_used": 0, "entropy_nat": 0.3, "miou": 1.0, "centroid_error_px": 0.7,
    }  # fmt: skip
    suite = ElementTree.fromstring(junit_xml(result))
    assert (suite.tag, suite.get("tests"), suite.get("failures")) == ("testsuite", "3", "1")
    (failure,) = suite.iter("failure")
    assert failure.get("message") == "expected at most 0 frames lost, got 1 of 20"


@pytest.mark.parametrize("text", ["", "[]", '{"format": 9, "criteria": []}', '{"format": 1}'])
def test_what_is_no_result_is_told(tmp_path: Path, text: str) -> None:
    (tmp_path / "result.json").write_text(text)
    with pytest.raises(ValueError, match=r"result\.json: expected a result of `hil run`"):
        read_result(tmp_path)


def test_two_results_show_which_criterion_moved() -> None:
    good = make_result(make_run(record(*(frame(i, confusion=confusion(9, 9)) for i in range(20)))))
    bad = make_result(make_run(usual_record()))
    lines, worse = compare_results(good, bad)
    assert worse
    assert next(line for line in lines if "lost_at_most" in line).startswith("-  ")
    lines, worse = compare_results(bad, good)
    assert not worse
    assert next(line for line in lines if "lost_at_most" in line).startswith("+  ")
    del good["criteria"][0]
    assert any("not there" in line for line in compare_results(good, bad)[0])


def test_charts_are_bounded_and_keep_the_extremes() -> None:
    points = [(float(i), 1.0) for i in range(50_000)]
    points[31_234] = (31_234.0, 77.0)
    thin = charts.thin_out(points)
    assert len(thin) <= 1200
    assert (31_234.0, 77.0) in thin
    drawn = charts.draw_chart("latency", "ms", [charts.Series("a", charts.BLUE, points, "dots")], (0.0, 5e4))
    assert len(re.findall("<circle", drawn)) <= 1200
    assert "nan" not in charts.draw_chart("x", "", [charts.Series("a", charts.BLUE, [(0.0, float("nan"))])], (0.0, 0.0))
