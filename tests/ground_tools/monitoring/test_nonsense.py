"""Frames of nonsense, and the fit of the monitor that is to find them."""

from __future__ import annotations

import json

import numpy as np
import pytest

from flight.inference.frame_features import FRAME_FEATURES
from ground_tools.monitoring.fitting import MonitorFigures, fit_figures, monitor_json, refused_share
from ground_tools.monitoring.judging import KindFigures, MonitorResult, SetFigures
from ground_tools.monitoring.nonsense import KINDS, make_frame
from ground_tools.monitoring.tables import monitor_section, summary
from ground_tools.monitoring.views import place_in_frame
from tests.tiny_bundle import body_frame

GOOD = [body_frame(128, 128, 30), body_frame(96, 160, 25)]


@pytest.mark.parametrize("kind", KINDS)
def test_a_frame_is_made_again_from_its_number_and_differs_from_others(kind: str) -> None:
    frames = [make_frame(kind, number, GOOD, 5) for number in range(6)]
    for number, frame in enumerate(frames):
        again = make_frame(kind, number, GOOD, 5)
        assert np.array_equal(frame.pixels, again.pixels)
        assert frame.pixels.max() < 1 << frame.bit_depth
        assert frame.bit_depth == again.bit_depth
    assert len({frame.pixels.tobytes() for frame in frames}) > 1
    assert make_frame(kind, 0, GOOD, 6).pixels.tobytes() != frames[0].pixels.tobytes()


def test_an_unknown_kind_is_named() -> None:
    with pytest.raises(ValueError, match=r"kind: expected one of .*, got clouds"):
        make_frame("clouds", 0, GOOD)


def test_a_placed_body_stays_at_least_half_in_its_frame() -> None:
    for number in range(40):
        frame = place_in_frame(body_frame(128, 128, 50), np.random.default_rng(number))
        assert frame.dtype == np.uint8
        assert frame.std() > 1.0


@pytest.mark.slow
def test_a_fit_tells_two_clouds_apart_and_refuses_its_share() -> None:
    random = np.random.default_rng(2)
    count = len(FRAME_FEATURES)
    spread = random.normal(0.0, 1.0, (count, count))

    def bodies(number: int) -> np.ndarray:
        return random.normal(0.0, 1.0, (number, count)) @ spread

    without = bodies(600) + 8.0 * spread[0]
    monitor = fit_figures([bodies(900)], [bodies(4000)], without[:300])
    assert refused_share(monitor, bodies(4000)) < 0.01
    assert refused_share(monitor, without[300:]) > 0.9
    # What was never fitted on is too far from the bodies.
    assert refused_share(monitor, bodies(200) + 60.0) == 1.0
    content = json.loads(monitor_json(monitor, MonitorFigures(900, 300, 4000, 0.004, ["d1"])))
    assert content["fitted_on"]["bodies"] == 900
    assert np.array(content["precision"]).shape == (count, count)


def test_the_tables_add_up() -> None:
    nonsense = {"stars": KindFigures(150, 1, 2), "text": KindFigures(150, 0, 0)}
    result = MonitorResult("unet_h 1.2.0", 4, nonsense, {"flyby": SetFigures(56, 1)})
    assert summary(result) == {
        "nonsense_frames": 300,
        "nonsense_missed": 1,
        "circles_on_nonsense": 2,
        "real_frames": 56,
        "real_refused": 1,
    }
    text = monitor_section(result)
    assert "| stars | 150 | 1 | 2 |" in text
    assert "1 (0.33 %)" in text
    assert "1 (1.79 %)" in text
