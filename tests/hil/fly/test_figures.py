"""Figures of flights, the report, the film, and the documents, from made-up records."""

from __future__ import annotations

import io
import json
from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import Image

from hil.fly.documents import FILE, FILM, PAGE, PICTURE, write_documents
from hil.fly.figures import descent_figures, flyby_figures, recovery_figures
from hil.fly.film import make_film
from hil.fly.page import make_page
from hil.fly.record import DrawRecord, read_draw, write_draw
from hil.fly.scenario import DrawnSphere, find_flight, read_flight
from hil.fly.scenery import SphereScenery
from tests.hil.fly.records import POINTING, make_descents, make_draw, make_exposure, make_flight

MARKS = "\n\n".join(
    f"<!-- {name} figures: begin -->\n<!-- {name} figures: end -->" for name in ("flyby", "descent", "faults")
)


def test_pointing_is_told_by_phase_angle_as_a_median_over_draws() -> None:
    draws = [make_draw(draw) for draw in range(3)]
    for flight in draws[2].flights:
        for entry in flight.exposures:
            entry.pointing_deg *= 100.0
    figures = flyby_figures(draws)
    for name in ("phase_30_to_60", "phase_above_60"):
        assert figures["pointing"][name] == {f"{kind}_deg": value for kind, value in POINTING.items()}
    # Before the camera has settled nothing counts: there is no exposure below 30 degrees after 60 s.
    assert set(figures["pointing"]["phase_0_to_30"].values()) == {None}
    assert figures["nees_inside"] == pytest.approx(2 / 5)
    assert figures["kinds"]["none"]["out_of_field"] == 1.0
    assert figures["kinds"]["weighted"] == {
        "out_of_field": 0.0,
        "within_3_sigma": 1.0,
        "position_error": pytest.approx(0.2),
        "nees_inside": pytest.approx(2 / 5),
        "nees_above": pytest.approx(3 / 5),
        "measured": 1.0,
    }
    assert figures["answers"] == {"measured": 66}


def test_descents_are_counted_where_they_end() -> None:
    touchdowns = make_descents(0).touchdowns
    figures = descent_figures([entry for entry in touchdowns if entry.kind == "maps"])
    assert figures == {
        "count": 2,
        "on_hazard": 1,
        "miss_m": 5.5,
        "miss_radii": pytest.approx(5.5 / 3.0),
        "without_site": 1,
        "retargeted": 1.0,
    }


def test_recovery_is_told_of_each_fault() -> None:
    flight = make_flight("weighted")
    for index in (4, 5, 6):
        flight.exposures[index] = make_exposure(index, "weighted", answer="no product", pointing_deg=0.3 + index)
    draw = DrawRecord(0, "pebble", 0.5, [flight], faults=[{"kind": "link_cut", "began_s": 35.0, "ended_s": 55.0}])
    (entry,) = recovery_figures([draw])
    assert entry["measured_again_s"] == 70.0
    assert entry["frames_lost"] == 3
    assert entry["largest_pointing_deg"] == 6.3


def test_a_draw_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "draw.json"
    made = make_draw()
    made.touchdowns = make_descents(0).touchdowns
    write_draw(path, made)
    assert read_draw(path) == made
    path.write_text("{}")
    with pytest.raises(ValueError, match="expected a draw of `hil fly`"):
        read_draw(path)


class Tags(HTMLParser):
    """Open tags that are not closed, and whatever is loaded from elsewhere."""

    VOID = ("meta", "img", "br")

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.loaded: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_startendtag(tag, attrs)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        addresses = [value or "" for name, value in attrs if name in ("src", "href")]
        self.loaded += [address for address in addresses if not address.startswith("data:")]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.mark.parametrize("name", ["flyby", "descent", "faults"])
def test_the_report_is_whole_and_needs_nothing_else(name: str) -> None:
    draw = make_descents(0) if name == "descent" else make_draw()
    draw.body = "<pebble>"
    if name == "faults":
        draw.faults = [{"kind": "worker_killed", "began_s": 35.0, "ended_s": 36.0, "note": ""}]
    page = make_page(name, read_flight(find_flight(name)), [draw], b"GIF89a")
    tags = Tags()
    tags.feed(page)
    assert tags.open == []
    assert tags.loaded == []
    assert "<pebble>" not in page
    assert ("worker_killed" in page) == (name == "faults")
    assert page.count("<svg") == (0 if name == "descent" else 4)


def test_the_film_shows_both_flights_and_is_small() -> None:
    film, picture = make_film(SphereScenery(DrawnSphere(), 64, 1), make_draw(pictures=True))
    with Image.open(io.BytesIO(film)) as image:
        assert image.n_frames == 11  # type: ignore[attr-defined]
        assert image.width > 480
    with Image.open(io.BytesIO(picture)) as image:
        assert image.size[0] > 480
    assert len(film) < 300_000
    assert make_film(SphereScenery(DrawnSphere(), 64, 1), make_draw()) == (b"", b"")


def test_documents_keep_the_figures_of_other_runs(tmp_path: Path) -> None:
    (tmp_path / PAGE).write_text(f"# Closed loop\n\n{MARKS}\n")
    (tmp_path / "images").mkdir()
    write_documents(tmp_path, read_flight(find_flight("flyby")), [make_draw()], b"film", b"picture")
    write_documents(tmp_path, read_flight(find_flight("descent")), [make_descents(0)], b"", b"")
    written = json.loads((tmp_path / FILE).read_text())
    assert written["pointing"]["phase_above_60"]["weighted_deg"] == POINTING["weighted"]
    assert written["descents"]["count"] == 2
    assert written["descents"]["by_variance"]["on_hazard"] == 1
    assert 0.0 < written["nees_inside"] < 1.0
    text = (tmp_path / PAGE).read_text()
    assert f"({FILM})" in text
    assert "One draw; bodies: pebble; bundle: unet_h 9.9.9" in text
    assert "| landing circles | 2 | 1 |" in text
    assert (tmp_path / FILM).read_bytes() == b"film"
    assert (tmp_path / PICTURE).read_bytes() == b"picture"
