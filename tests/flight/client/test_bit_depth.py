"""Which value is full scale: given, stated by the file, or assumed by a rule and said."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flight.client.bit_depth import BIT_DEPTHS, BitDepthRule, Samples, least_full_scale, scale_frame, scale_to_grey
from flight.client.images import ImageItem, ImageSequence, read_samples


def samples(brightest: float, dtype: type = np.uint16, stated: float | None = None) -> Samples:
    return Samples(np.full((16, 16), brightest, dtype=dtype), stated)


@given(st.integers(0, 65535))
def test_the_least_of_the_bit_depths_that_holds_the_brightest_pixel_is_assumed(brightest: int) -> None:
    scale = least_full_scale(brightest, whole=True)
    assert scale == min(2**bits - 1 for bits in BIT_DEPTHS if brightest <= 2**bits - 1)


@given(st.floats(1e-6, 1e9))
def test_fractions_are_never_taken_for_darker_than_a_fifth(brightest: float) -> None:
    scale = least_full_scale(brightest, whole=False)
    assert 0.24 < brightest / scale <= 1.2501
    assert np.log2(scale) % 2 == 0


@pytest.mark.parametrize(
    ("one", "given_bits", "bits", "warned"),
    [
        (samples(3000), None, 12, True),
        (samples(300), None, 10, True),
        (samples(9000), None, 14, True),
        (samples(60000), None, 16, False),
        (samples(200), None, 8, True),
        (samples(3000, stated=16383.0), None, 14, False),
        (samples(3000, stated=16383.0), 12, 12, False),
        (samples(3000), 16, 16, False),
        (samples(3000), 10, 10, True),
        (samples(200, np.uint8), None, 8, False),
        (samples(200, np.uint8), 12, 8, False),
        (samples(3000, np.int16), None, 12, True),
        (samples(3000, np.int32), None, 12, True),
        (samples(0.8, np.float32), None, 16, False),
        (samples(0.8, np.float32), 12, 16, False),
        (samples(0.02, np.float32), None, 16, True),
        (samples(3000.5, np.float32), None, 16, True),
        (samples(1e6, np.float64), None, 16, True),
        (samples(1e300, np.float64), None, 16, True),
    ],
)
def test_what_is_given_goes_before_what_is_stated_and_that_before_the_rule(
    one: Samples, given_bits: int | None, bits: int, warned: bool
) -> None:
    said: list[str] = []
    frame = scale_frame(one, BitDepthRule(given_bits, said.append).full_scale(one, "frame.tif"))
    assert frame.bit_depth == bits
    assert frame.pixels.dtype == (np.uint8 if one.values.dtype == np.uint8 else np.uint16)
    # Never darker than a fifth of full scale when it was assumed.
    if warned and given_bits is None:
        assert frame.pixels.max() >= 0.18 * (2**bits - 1)
    assert len(said) == warned
    assert all(line.startswith("frame.tif: ") and "bit depth" in line for line in said)
    assert all("--bit-depth" in line for line in said if given_bits is None)


def test_pixels_of_16_bits_are_handed_on_bit_for_bit() -> None:
    values = np.random.default_rng(3).integers(0, 4096, (20, 30), dtype=np.uint16)
    frame = scale_frame(Samples(values, 4095.0), 4095.0)
    assert np.array_equal(frame.pixels, values)
    assert frame.bit_depth == 12


def test_no_low_byte_is_dropped_in_8_bits() -> None:
    values = np.arange(4096, dtype=np.uint16).reshape(64, 64)
    grey = scale_to_grey(Samples(values, 4095.0), 4095.0)
    assert np.array_equal(grey, np.rint(values / 4095.0 * 255.0).astype(np.uint8))


def test_missing_and_negative_values_are_black_and_brighter_ones_white() -> None:
    values = np.array([[np.nan, -5.0, np.inf, 2.0, 0.5, -np.inf]])
    assert scale_frame(Samples(values, None), 1.0).pixels.tolist() == [[0, 0, 65535, 65535, 32768, 0]]


def write(folder: Path, brightest: list[int]) -> list[ImageItem]:
    items = []
    for number, value in enumerate(brightest):
        path = folder / f"{number:04}.png"
        pixels = np.zeros((16, 16), dtype=np.uint16)
        pixels[4:8, 4:8] = value
        cv2.imwrite(str(path), pixels)
        items.append(ImageItem(path))
    return items


def test_all_frames_of_a_folder_get_the_same_bit_depth_which_is_said_once(tmp_path: Path) -> None:
    said: list[str] = []
    sequence = ImageSequence(write(tmp_path, [200, 900, 3900, 100, 1000]), read_samples, warn=said.append)
    assert [sequence.frame(index).bit_depth for index in range(5)] == [12] * 5
    assert len(said) == 1
    assert "0000.png: the file does not state its bit depth; taken as 12 bits" in said[0]


def test_a_brighter_frame_among_thousands_raises_the_bit_depth_and_is_named(tmp_path: Path) -> None:
    items = write(tmp_path, [900, 15000])
    said: list[str] = []
    # The bright one is none of those that are looked at beforehand.
    sequence = ImageSequence([items[0]] * 50 + [items[1]] + [items[0]] * 49, read_samples, warn=said.append)
    assert [sequence.frame(index).bit_depth for index in (0, 49, 50, 51)] == [10, 10, 14, 14]
    assert len(said) == 2
    assert "0001.png: brighter than the images before it; from here on 14 bits" in said[1]
