"""The camera model: its statistics are those of its parameters, and it is the same for the same seed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flight.schema import SchemaError
from hil.camera_model import CameraModel

SIDE = 200
FULL = 65535


def flat(level: float) -> np.ndarray:
    """A uniformly lit frame of 16 bits."""
    return np.full((SIDE, SIDE), round(level * FULL), dtype=np.uint16)


def electrons(model: CameraModel, level: float, seed: int = 5, index: int = 0) -> np.ndarray:
    """What each pixel of a uniform frame collected, in electrons."""
    pixels, depth = model.expose(flat(level), 16, index, seed)
    assert depth == 16
    return pixels / FULL * model.full_well_e / model.gain


def test_a_camera_without_fields_gives_the_sources_pixels() -> None:
    frame = np.random.default_rng(1).integers(0, 256, (40, 50)).astype(np.uint8)
    pixels, depth = CameraModel().expose(frame, 8, 3, 7)
    assert depth == 8
    assert np.array_equal(pixels, frame)
    assert CameraModel().plan_link(3, 7) == (False, 0.0)
    assert CameraModel().epoch_of(123) == (0, 123)


@settings(max_examples=15)
@given(level=st.floats(0.05, 0.7), full_well=st.floats(2e3, 2e5), seed=st.integers(0, 2**32 - 1))
def test_shot_noise_has_the_variance_of_its_mean(level: float, full_well: float, seed: int) -> None:
    charge = electrons(CameraModel(full_well_e=full_well, shot_noise=True), level, seed)
    mean = level * full_well
    deviation = np.sqrt(mean / charge.size)
    assert abs(charge.mean() - mean) < 6 * deviation + 1
    assert charge.var() == pytest.approx(mean, rel=0.1)


@settings(max_examples=15)
@given(
    read=st.floats(5.0, 200.0), dark=st.floats(0.0, 2000.0), exposure_s=st.floats(0.0, 1.0), seed=st.integers(0, 999)
)
def test_read_noise_and_dark_current(read: float, dark: float, exposure_s: float, seed: int) -> None:
    model = CameraModel(full_well_e=1e4, read_noise_e=read, dark_e_per_s=dark, exposure_s=exposure_s)
    charge = electrons(model, 0.3, seed)
    assert charge.mean() == pytest.approx(3e3 + dark * exposure_s, abs=6 * read / SIDE + 1)
    assert charge.std() == pytest.approx(read, rel=0.05, abs=0.2)


@settings(max_examples=15)
@given(exposure=st.floats(0.1, 2.0), gain=st.floats(0.2, 2.0), level=st.floats(0.0, 1.0))
def test_exposure_and_gain_scale_and_clip(exposure: float, gain: float, level: float) -> None:
    pixels, _ = CameraModel(exposure=exposure, gain=gain).expose(flat(level), 16, 0, 1)
    assert np.ptp(pixels) == 0
    assert pixels[0, 0] == pytest.approx(min(level * exposure * gain, 1.0) * FULL, abs=2)


@pytest.mark.parametrize("depth", [8, 10, 12, 14, 16])
def test_values_have_the_bit_depth(depth: int) -> None:
    ramp = np.linspace(0, 255, 64).astype(np.uint8)[None].repeat(64, axis=0)
    pixels, told = CameraModel(bit_depth=depth, shot_noise=True).expose(ramp, 8, 0, 1)
    assert told == depth
    assert pixels.dtype == (np.uint8 if depth == 8 else np.uint16)
    assert pixels.max() <= (1 << depth) - 1
    assert pixels.max() > 0.9 * (1 << depth)


@settings(max_examples=10)
@given(dead=st.floats(0.0, 0.2), hot=st.floats(0.0, 0.2), seed=st.integers(0, 999))
def test_dead_and_hot_pixels_are_as_many_and_the_same_in_each_frame(dead: float, hot: float, seed: int) -> None:
    model = CameraModel(dead_pixels=dead, hot_pixels=hot)
    first, second = (model.expose(flat(0.25), 16, index, seed)[0] for index in (0, 9))
    assert np.array_equal(first, second)
    spread = 6 * np.sqrt(0.2 / first.size)
    assert np.mean(first == 0) == pytest.approx(dead, abs=spread)
    assert np.mean(first > 0.45 * FULL) == pytest.approx(hot, abs=spread)


def test_the_point_spread_keeps_the_light_and_widens_it() -> None:
    point = np.zeros((65, 65), dtype=np.uint16)
    point[32, 32] = FULL
    for model in (CameraModel(psf_sigma_px=2.0), CameraModel(smear_px=8.0, smear_deg=0.0)):
        pixels = model.expose(point, 16, 0, 1)[0].astype(np.float64)
        assert pixels.sum() == pytest.approx(FULL, rel=0.01)
        assert pixels.max() < 0.3 * FULL
    rows, columns = np.nonzero(CameraModel(smear_px=8.0, smear_deg=90.0).expose(point, 16, 0, 1)[0])
    assert np.ptp(rows) == pytest.approx(8, abs=1)
    assert np.ptp(columns) == 0
    x = np.arange(65) - 32
    spread = CameraModel(psf_sigma_px=2.0).expose(point, 16, 0, 1)[0].astype(np.float64)
    assert (spread * x * x).sum() / spread.sum() == pytest.approx(4.0, rel=0.05)


def test_cosmic_rays_are_as_many_on_the_mean_and_short_tracks() -> None:
    model = CameraModel(cosmic_rays=3.0)
    dark = np.zeros((256, 256), dtype=np.uint16)
    hits = [int(np.count_nonzero(model.expose(dark, 16, index, 2)[0])) for index in range(200)]
    # A track is 1 to 20 px long, of steps of 0.7 px; some leave the sensor.
    assert 3.0 * 5 < np.mean(hits) < 3.0 * 20
    assert min(hits) == 0


def test_frames_are_dropped_and_late_as_often_as_stated_and_epochs_roll() -> None:
    model = CameraModel(dropped=0.2, late=0.3, late_s=0.5, epoch_every=7)
    plans = [model.plan_link(index, 4) for index in range(4000)]
    assert np.mean([dropped for dropped, _ in plans]) == pytest.approx(0.2, abs=0.03)
    delays = np.array([late for _, late in plans])
    assert np.mean(delays > 0) == pytest.approx(0.3, abs=0.03)
    assert 0.45 < delays.max() <= 0.5
    assert model.epoch_of(6) == (0, 6)
    assert model.epoch_of(7) == (1, 0)
    assert model.epoch_of(15) == (2, 1)


def test_the_same_seed_gives_the_same_frame_and_others_another() -> None:
    model = CameraModel(shot_noise=True, read_noise_e=20.0, cosmic_rays=5.0)
    first = model.expose(flat(0.4), 16, 3, 11)[0]
    assert np.array_equal(first, model.expose(flat(0.4), 16, 3, 11)[0])
    assert not np.array_equal(first, model.expose(flat(0.4), 16, 4, 11)[0])
    assert not np.array_equal(first, model.expose(flat(0.4), 16, 3, 12)[0])


def test_more_bad_pixels_than_there_are_is_refused() -> None:
    with pytest.raises(SchemaError, match=r"hot_pixels: expected at most 0\.4 beside dead_pixels, got 0\.5"):
        CameraModel(dead_pixels=0.6, hot_pixels=0.5)
