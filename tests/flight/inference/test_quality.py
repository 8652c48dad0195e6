"""The flags of the input's quality, each on a frame that deserves it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flight.bundle import load_bundle
from flight.icd.catalogue import FLAGS
from flight.inference.engine import Engine
from flight.settings import default_settings
from tests.tiny_bundle import body_frame

SKY = 5


@pytest.fixture(scope="module")
def engine(tiny_bundle: Path) -> Engine:
    return Engine(load_bundle(tiny_bundle))


def disks(*circles: tuple[int, int, int], level: int = 180, rows: int = 120, columns: int = 160) -> np.ndarray:
    """Disks (column, row, radius) in a dark sky."""
    frame = np.full((rows, columns), SKY, dtype=np.uint8)
    for column, row, radius in circles:
        cv2.circle(frame, (column, row), radius, level, cv2.FILLED)
    return frame


def flags(engine: Engine, frame: np.ndarray, centered: bool = True, bit_depth: int = 8, **changes: float) -> list[str]:
    chosen = replace(default_settings(engine.bundle), **{"passes": 2, "entropy_factor": 100.0, **changes})
    return list(engine.segment(frame, bit_depth=bit_depth, centered=centered, seed=1, settings=chosen).flags)


@pytest.mark.parametrize("centered", [True, False])
def test_a_good_frame_has_no_flag(engine: Engine, centered: bool) -> None:
    assert flags(engine, body_frame(120, 160, 30), centered) == []
    assert flags(engine, body_frame(120, 160, 30).astype(np.uint16) * 257, centered, bit_depth=16) == []


CASES = {
    "dark": disks((80, 60, 30), level=7),
    "empty_sky": np.full((120, 160), 60, dtype=np.uint8),
    "saturated": disks((80, 60, 30), level=255),
    "body_cut": disks((0, 60, 30)),
    "body_small": disks((80, 60, 8)),
    "several_bodies": disks((50, 60, 25), (125, 60, 12)),
}


@pytest.mark.parametrize("flag", CASES)
def test_a_frame_has_the_flag_that_it_deserves_and_no_other(engine: Engine, flag: str) -> None:
    assert flags(engine, CASES[flag]) == [flag]
    assert flag in FLAGS


@pytest.mark.parametrize("flag", ["dark", "empty_sky"])
def test_body_not_found_is_said_only_where_one_was_looked_for(engine: Engine, flag: str) -> None:
    nothing = np.full((64, 64), 3 if flag == "dark" else 60, dtype=np.uint8)
    assert flags(engine, nothing, centered=False) == [flag, "body_not_found"]
    assert flags(engine, nothing, centered=True) == [flag]


def test_a_white_frame_is_saturated_and_not_an_empty_sky(engine: Engine) -> None:
    assert flags(engine, np.full((64, 64), 255, dtype=np.uint8)) == ["saturated"]


@pytest.mark.parametrize(
    "circle", [(30, 60, 30), (129, 60, 30), (80, 30, 30), (80, 89, 30)], ids=["left", "right", "top", "bottom"]
)
def test_a_body_at_any_edge_is_cut(engine: Engine, circle: tuple[int, int, int]) -> None:
    assert flags(engine, disks(circle)) == ["body_cut"]


def test_a_small_body_at_the_edge_is_cut_and_not_small(engine: Engine) -> None:
    assert flags(engine, disks((0, 60, 8))) == ["body_cut"]


def test_two_lobes_close_together_are_one_body(engine: Engine) -> None:
    assert flags(engine, disks((50, 60, 25), (100, 60, 20))) == []  # 4 px of shadow between them
    assert flags(engine, disks((50, 60, 25), (110, 60, 20))) == ["several_bodies"]


def test_stars_and_hot_pixels_are_no_bodies(engine: Engine) -> None:
    frame = body_frame(120, 160, 30)
    generator = np.random.default_rng(1)
    frame[generator.integers(0, 120, 40), generator.integers(0, 160, 40)] = 255
    assert flags(engine, frame) == []


@pytest.mark.parametrize(
    ("flag", "parameter", "quiet", "loud"),
    [
        ("saturated", "saturated_fraction", 1.0, 0.0),
        ("dark", "dark_level", 0.0, 0.5),
        ("body_small", "smallest_body_pixels", 10, 100),
        ("several_bodies", "second_body_fraction", 0.5, 0.0001),
    ],
)
def test_a_threshold_decides(engine: Engine, flag: str, parameter: str, quiet: float, loud: float) -> None:
    assert flag in flags(engine, CASES[flag])
    assert flag not in flags(engine, CASES[flag], **{parameter: quiet})
    assert flag in flags(engine, CASES[flag], **{parameter: loud})


def test_loud_thresholds_flag_what_is_otherwise_good(engine: Engine) -> None:
    frame = body_frame(120, 160, 30)
    assert flags(engine, frame, dark_level=1.0) == ["dark"]
    assert flags(engine, frame, smallest_body_pixels=62) == ["body_small"]
    frame[60, 60:70] = 255
    assert flags(engine, frame) == []
    assert flags(engine, frame, saturated_fraction=0.0) == ["saturated"]


def test_high_entropy_is_measured_against_that_of_the_validation_images(engine: Engine) -> None:
    bundle = engine.bundle
    frame = body_frame(120, 160, 30)
    chosen = replace(default_settings(bundle), passes=2)
    maps = engine.segment(frame, bit_depth=8, centered=True, seed=1, settings=chosen)
    mean = float(maps.predictive_entropy[maps.enhanced_class_map != len(bundle.classes)].mean())
    whole = float(maps.predictive_entropy.mean())
    assert mean > 0
    try:
        engine.bundle = replace(bundle, validation_entropy=whole / 2.0)
        assert flags(engine, frame, entropy_factor=1.0) == ["high_entropy"]
        assert flags(engine, frame, entropy_factor=1.9) == ["high_entropy"]
        assert flags(engine, frame, entropy_factor=2.1) == []
        engine.bundle = replace(bundle, validation_entropy=None)
        assert flags(engine, frame, entropy_factor=1.0) == []
    finally:
        engine.bundle = bundle


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("shape", [(16, 4096), (4096, 16)])
def test_a_frame_that_falls_between_the_maps_pixels_is_answered(engine: Engine, shape: tuple[int, int]) -> None:
    frame = np.random.default_rng(1).integers(0, 255, shape, dtype=np.uint8)
    assert set(flags(engine, frame)) <= set(FLAGS)


@st.composite
def frames(draw: st.DrawFn) -> tuple[np.ndarray, int]:
    """A frame of any kind, and its bit depth."""
    shape: tuple[int, ...] = (draw(st.integers(16, 64)), draw(st.integers(16, 64)))
    if draw(st.booleans()):
        shape = (*shape, 3)
    depth = draw(st.integers(8, 16))
    dtype = np.uint8 if depth == 8 and draw(st.booleans()) else np.uint16
    generator = np.random.default_rng(draw(st.integers(0, 2**32)))
    full = (1 << depth) - 1
    low, high = sorted((draw(st.integers(0, full)), draw(st.integers(0, full))))
    kind = draw(st.sampled_from(["noise", "flat", "two levels", "spots", "ramp"]))
    if kind == "noise":
        frame = generator.integers(low, high + 1, shape)
    elif kind == "flat":
        frame = np.full(shape, high)
    elif kind == "two levels":
        frame = np.where(generator.random(shape) < draw(st.floats(0, 1)), low, high)
    elif kind == "spots":
        frame = np.full(shape, low)
        for _ in range(draw(st.integers(1, 4))):
            row, column = generator.integers(0, shape[0]), generator.integers(0, shape[1])
            frame[row : row + generator.integers(1, 20), column : column + generator.integers(1, 20)] = high
    else:
        frame = np.broadcast_to(np.linspace(low, high, shape[1]).reshape(1, -1, *[1] * (len(shape) - 2)), shape)
    return np.ascontiguousarray(frame).astype(dtype), depth


@settings(max_examples=150)
@given(frames(), st.booleans())
def test_any_frame_is_answered_with_flags_of_the_catalogue(
    engine: Engine, drawn: tuple[np.ndarray, int], centered: bool
) -> None:
    frame, depth = drawn
    given_flags = flags(engine, frame, centered, depth)
    assert set(given_flags) <= set(FLAGS)
    assert len(set(given_flags)) == len(given_flags)
