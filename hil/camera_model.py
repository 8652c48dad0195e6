"""A camera in front of any frame source: optics, sensor, electronics and a link that drops and delays.

The model, for a pixel whose source value is s of full scale, 0..1, with full well W in electrons:

    signal = W * exposure * psf(smear(s));  charge = Poisson(signal + dark * exposure_s) + cosmic rays + Normal(0, read)
    value = charge * gain / W, clipped to 0..1, in steps of the bit depth

as in the EMVA 1288 standard's linear model. Everything random is drawn from the run's seed and the frame's number.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import cv2
import numpy as np
from numpy.typing import NDArray

from hil.scenarios.fields import RuleError, entry

# Streams of random numbers that are one run's, not one frame's, and those of a frame.
_PIXELS, _FRAME, _LINK = 1, 2, 3
_HOT_LEVEL = (0.5, 1.0)
_RAY_LENGTH_PX, _RAY_CHARGE = (1.0, 20.0), (0.2, 1.0)


@dataclass(frozen=True, kw_only=True)
class CameraModel:
    """What a camera makes of the source's frames; without any field, nothing."""

    bit_depth: int | None = entry("bits per pixel; none: as the source has them", None, low=8, high=16)
    exposure: float = entry("exposure over that of the source's images", 1.0, low=0, high=1000)
    exposure_s: float = entry(
        "exposure time, seconds; collects dark current, and stands in the frame's header", 0.05, low=0, high=86400
    )
    gain: float = entry("analogue gain", 1.0, low=0, high=1000)
    full_well_e: float = entry("electrons of a pixel at full scale and gain 1", 20_000.0, low=1, high=1e9)
    shot_noise: bool = entry("electrons come as a Poisson process", False)
    read_noise_e: float = entry("standard deviation of the read noise, electrons", 0.0, low=0, high=1e6)
    dark_e_per_s: float = entry("dark current, electrons per second and pixel", 0.0, low=0, high=1e9)
    dead_pixels: float = entry("share of pixels that are always 0", 0.0, low=0, high=1)
    hot_pixels: float = entry("share of pixels that are always half of full scale or more", 0.0, low=0, high=1)
    psf_sigma_px: float = entry("standard deviation of the point-spread, pixels", 0.0, low=0, high=50)
    smear_px: float = entry("length of the motion smear, pixels", 0.0, low=0, high=500)
    smear_deg: float = entry("its direction, degrees from x towards y", 0.0, low=-360, high=360)
    cosmic_rays: float = entry("mean number of hits per frame", 0.0, low=0, high=10_000)
    dropped: float = entry("share of frames that the camera never gives", 0.0, low=0, high=1)
    late: float = entry("share of frames that come late", 0.0, low=0, high=1)
    late_s: float = entry("most by which they are late, seconds", 0.5, low=0, high=60)
    epoch_every: int = entry(
        "the camera starts anew, with a new epoch, after so many frames; 0: never", 0, low=0, high=1_000_000
    )

    def __post_init__(self) -> None:
        if self.dead_pixels + self.hot_pixels > 1.0:
            raise RuleError("hot_pixels", f"at most {1.0 - self.dead_pixels:g} beside dead_pixels", self.hot_pixels)

    @property
    def changes_pixels(self) -> bool:
        """Whether frames come out otherwise than they went in."""
        unchanging = ("exposure_s", "full_well_e", "smear_deg", "dropped", "late", "late_s", "epoch_every")
        return any(getattr(self, field.name) != field.default for field in fields(self) if field.name not in unchanging)

    def expose(
        self, pixels: NDArray[np.uint8] | NDArray[np.uint16], bit_depth: int, index: int, seed: int
    ) -> tuple[NDArray[np.uint8] | NDArray[np.uint16], int]:
        """Take a picture of a frame.

        Args:
            pixels: (H, W) of the source.
            bit_depth: bits in use.
            index: of the frame.
            seed: of the run.

        Returns:
            (H, W) uint8 or uint16, and its bit depth.
        """
        depth = self.bit_depth or bit_depth
        if not self.changes_pixels:
            return pixels, bit_depth
        generator = np.random.default_rng([seed, _FRAME, index])
        scene = pixels.astype(np.float32) / np.float32((1 << bit_depth) - 1)
        charge = self._collect(self._blur(scene), generator)
        value = np.clip(charge * (self.gain / self.full_well_e), 0.0, 1.0)
        self._spoil(value, seed)
        counts = np.rint(value * ((1 << depth) - 1))
        return counts.astype(np.uint8 if depth == 8 else np.uint16), depth

    def plan_link(self, index: int, seed: int) -> tuple[bool, float]:
        """What becomes of a frame between camera and service: whether it is dropped, and by how much it is late, s."""
        draws = np.random.default_rng([seed, _LINK, index]).random(3)
        return bool(draws[0] < self.dropped), float(draws[2] * self.late_s) if draws[1] < self.late else 0.0

    def epoch_of(self, index: int) -> tuple[int, int]:
        """How often the camera had started anew before a frame, and the frame's number since."""
        return divmod(index, self.epoch_every) if self.epoch_every else (0, index)

    def _blur(self, scene: NDArray[np.float32]) -> NDArray[np.float32]:
        if self.smear_px > 0.0:
            scene = np.asarray(cv2.filter2D(scene, -1, _line(self.smear_px, self.smear_deg)), dtype=np.float32)
        if self.psf_sigma_px > 0.0:
            scene = np.asarray(cv2.GaussianBlur(scene, (0, 0), self.psf_sigma_px), dtype=np.float32)
        return scene

    def _collect(self, scene: NDArray[np.float32], generator: np.random.Generator) -> NDArray[np.float64]:
        """Electrons of each pixel."""
        charge = scene.astype(np.float64) * (self.full_well_e * self.exposure) + self.dark_e_per_s * self.exposure_s
        if self.shot_noise:
            charge = generator.poisson(np.maximum(charge, 0.0)).astype(np.float64)
        if self.read_noise_e > 0.0:
            charge += generator.normal(0.0, self.read_noise_e, charge.shape)
        for _ in range(int(generator.poisson(self.cosmic_rays)) if self.cosmic_rays else 0):
            _hit(charge, generator, self.full_well_e)
        return charge

    def _spoil(self, value: NDArray[np.float64], seed: int) -> None:
        """Dead and hot pixels: the same ones in every frame of a run and a size."""
        if not self.dead_pixels and not self.hot_pixels:
            return
        generator = np.random.default_rng([seed, _PIXELS])
        draws, level = generator.random(value.shape), generator.uniform(*_HOT_LEVEL, value.shape)
        value[draws < self.dead_pixels] = 0.0
        hot = (draws >= self.dead_pixels) & (draws < self.dead_pixels + self.hot_pixels)
        value[hot] = np.maximum(value[hot], level[hot])


def _line(length: float, degrees: float) -> NDArray[np.float32]:
    """A kernel that smears along a line; its values sum to 1."""
    half = math.ceil(length / 2.0)
    kernel = np.zeros((2 * half + 1, 2 * half + 1), dtype=np.float32)
    steps = max(round(length * 8), 1)
    along = np.linspace(-length / 2.0, length / 2.0, steps)
    x = np.rint(along * math.cos(math.radians(degrees))).astype(int) + half
    y = np.rint(along * math.sin(math.radians(degrees))).astype(int) + half
    np.add.at(kernel, (y, x), 1.0 / steps)
    return kernel


def _hit(charge: NDArray[np.float64], generator: np.random.Generator, full_well_e: float) -> None:
    """Charge along the track of one particle."""
    height, width = charge.shape
    x, y = generator.uniform(0, width), generator.uniform(0, height)
    angle, length = generator.uniform(0, 2.0 * math.pi), generator.uniform(*_RAY_LENGTH_PX)
    along = np.arange(0.0, length, 0.7)
    columns = np.floor(x + along * math.cos(angle)).astype(int)
    rows = np.floor(y + along * math.sin(angle)).astype(int)
    on_sensor = (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
    charge[rows[on_sensor], columns[on_sensor]] += generator.uniform(*_RAY_CHARGE) * full_well_e
