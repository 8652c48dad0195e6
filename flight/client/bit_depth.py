"""Which value of a file's pixels is full scale: what the file states, or else a rule over the whole sequence.

A frame of a 10-, 12- or 14-bit camera often lies in the low bits of 16. Taken for 16 bits it would be 64 to 4 times
too dark, and its map wrong.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

# Bits per pixel of cameras; a file that does not state its own gets the least of them.
BIT_DEPTHS = (8, 10, 12, 14, 16)
RULE = "the least of 8, 10, 12, 14 and 16 bits that holds the brightest pixel"
_RULE_OF_FRACTIONS = "the least power of 4 that holds the brightest pixels"
# Interpolation and calibration carry pixels of a scale of 0..1 a little beyond 1.
_OVERSHOOT = 1.25
# Of 32 bits, in which the brightest is looked for.
_LARGEST = 3e38


@dataclass(frozen=True)
class Samples:
    """The pixels of an image as its file has them.

    Attributes:
        values: (H, W) of any real number type; NaN where the file says that there is no value.
        full_scale: the value that is white, as the file states it; None: it does not.
    """

    values: NDArray[np.generic]
    full_scale: float | None

    @property
    def brightest(self) -> float:
        """The largest value; of types that a camera does not give, beside single pixels, which may be anything."""
        values = self.values
        if values.dtype.kind == "u" and values.dtype.itemsize <= 2:
            return float(values.max())
        finite = np.clip(np.where(np.isfinite(values), values, 0), -_LARGEST, _LARGEST).astype(np.float32)
        return float(cv2.medianBlur(finite, 3).max())


@dataclass(frozen=True)
class FrameImage:
    """A frame as it goes to the service.

    Attributes:
        pixels: (H, W) uint8 or uint16.
        bit_depth: bits per pixel in use, 8..16.
    """

    pixels: NDArray[np.uint8] | NDArray[np.uint16]
    bit_depth: int


def least_full_scale(brightest: float, whole: bool) -> float:
    """The full scale that is assumed of pixels whose file does not state it.

    Args:
        brightest: the brightest pixel.
        whole: the pixels are whole numbers.

    Returns:
        Of whole numbers 2^n - 1 with the least n of 8, 10, 12, 14, 16, 18, ... that holds `brightest`. Of others the
        least of ..., 1/16, 1/4, 1, 4, 16, ... that does, with a quarter more taken for overshoot, which is clipped.
    """
    if whole:
        return float(2 ** max(8, 2 * math.ceil(math.log2(max(brightest, 1.0) + 1.0) / 2.0)) - 1)
    return 4.0 ** math.ceil(math.log(brightest / _OVERSHOOT, 4.0)) if brightest > 0.0 else 1.0


def bits_of(full_scale: float) -> int | None:
    """The n of a full scale of 2^n - 1 with n in 8..16; None of another one."""
    bits = round(math.log2(full_scale + 1.0))
    return bits if full_scale == 2**bits - 1 and 8 <= bits <= 16 else None


def scale_frame(samples: Samples, full_scale: float) -> FrameImage:
    """Make a frame of an image.

    Args:
        samples: of the image. Those of 8 and 16 bits stay as they are where the full scale is 2^n - 1; values below 0,
            and those that are missing, become 0.
        full_scale: the value that is white.
    """
    values = samples.values
    if values.dtype == np.uint8:
        return FrameImage(np.ascontiguousarray(values, dtype=np.uint8), 8)
    bits = bits_of(full_scale)
    if bits is not None and values.dtype.kind in "ui":
        # Brighter ones are full scale, too; the service clips them.
        return FrameImage(np.ascontiguousarray(np.clip(values, 0, 65535), dtype=np.uint16), bits)
    return FrameImage(np.rint(_unit(values, full_scale) * 65535.0).astype(np.uint16), 16)


def scale_to_grey(samples: Samples, full_scale: float) -> NDArray[np.uint8]:
    """The image in 8 bits, 255 being full scale; see scale_frame."""
    if samples.values.dtype == np.uint8:
        return np.ascontiguousarray(samples.values, dtype=np.uint8)
    grey: NDArray[np.uint8] = np.rint(_unit(samples.values, full_scale) * 255.0).astype(np.uint8)
    return grey


def _unit(values: NDArray[np.generic], full_scale: float) -> NDArray[np.float64]:
    scaled = np.nan_to_num(values.astype(np.float64) / full_scale, nan=0.0, posinf=1.0, neginf=0.0)
    return np.clip(scaled, 0.0, 1.0)


class BitDepthRule:
    """The full scale of the images of one sequence: given, or as each file states it, or the same for all others.

    Args:
        bit_depth: given by a person, for images of more than 8 bits; None: not given.
        warn: is told, in one line, what was assumed; None: nobody is.
    """

    def __init__(self, bit_depth: int | None = None, warn: Callable[[str], None] | None = None) -> None:
        self._given = None if bit_depth is None else float(2**bit_depth - 1)
        self._warn = warn or (lambda text: None)
        # Of whole numbers (True) and of others: what is assumed, and what a warning has said.
        self._assumed: dict[bool, float] = {}
        self._told: dict[bool, float] = {}
        self._warned_of_given = False

    def look_at(self, samples: Samples) -> None:
        """Take an image into account before the first one is scaled, so that all of a sequence get the same."""
        if self.must_assume(samples):
            whole = _is_whole(samples)
            self._assumed[whole] = max(self._assumed.get(whole, 0.0), least_full_scale(samples.brightest, whole))

    def full_scale(self, samples: Samples, name: str) -> float:
        """The full scale of an image; warns where it is assumed. name: of the image, for the warning."""
        if not self.must_assume(samples):
            return self._stated(samples, name)
        whole = _is_whole(samples)
        needed = least_full_scale(samples.brightest, whole)
        before = self._assumed.get(whole)
        if before is None or needed > before:
            self._assumed[whole] = needed
        self._tell(whole, name, None if before is None or needed <= before else before)
        return self._assumed[whole]

    def must_assume(self, samples: Samples) -> bool:
        """Whether neither a person nor the file says what full scale is."""
        return self._given is None and samples.values.dtype != np.uint8 and samples.full_scale is None

    def _stated(self, samples: Samples, name: str) -> float:
        if samples.values.dtype == np.uint8:
            return 255.0
        if self._given is None:
            assert samples.full_scale is not None
            return samples.full_scale
        brightest = samples.brightest
        if brightest <= 1.0 and samples.values.dtype.kind == "f":
            return 1.0
        if brightest > self._given and not self._warned_of_given:
            self._warned_of_given = True
            self._warn(f"{name}: its brightest pixel, {brightest:g}, is above the bit depth given, {self._given:g}")
        return self._given

    def _tell(self, whole: bool, name: str, before: float | None) -> None:
        told = self._told.get(whole)
        scale = self._assumed[whole]
        if told == scale or (told is None and scale in (65535.0, 1.0)):
            return  # all of the container's bits: nothing was assumed
        self._told[whole] = scale
        if before is not None:
            self._warn(f"{name}: brighter than the images before it; from here on {_in_words(scale)}; set --bit-depth")
        else:
            self._warn(
                f"{name}: the file does not state its bit depth; taken as {_in_words(scale)}, "
                f"{RULE if whole else _RULE_OF_FRACTIONS}; if that is wrong, set --bit-depth"
            )


def _is_whole(samples: Samples) -> bool:
    values = np.nan_to_num(samples.values)
    if values.dtype.kind in "ui":
        return True
    return samples.brightest > 1.0 and bool(np.array_equal(values, np.rint(values)))


def _in_words(scale: float) -> str:
    bits = bits_of(scale)
    return f"full scale {scale:g}" if bits is None else f"{bits} bits (full scale {scale:g})"
