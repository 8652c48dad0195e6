"""The figures of the navigation consumer: what gnc.json holds, as dataclasses, and how they follow from single fixes.

Lengths are in pixels of the sensor, angles in degrees.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from msgspec import UNSET, UnsetType

RANGES_D0 = (0.4, 0.7, 1.0, 1.3, 2.0, 5.0)
PHASES_DEG = (0.0, 30.0, 60.0, 75.0, 90.0, 180.0)
# Of a chi-squared variable with two degrees of freedom: 90 % lie below.
CHI_SQUARED_90 = 4.605
# Fewer points make no line.
_LEAST_OF_A_LINE = 10

# Median and 90 % point; None of no values.
Spread = tuple[float, float] | None


@dataclass(frozen=True)
class TrueView:
    """What is known of a sample.

    range_d0: in diameters. phase_deg: Sun, body, camera. cut: by the frame. outline: (x, y) of its centroid; mass: of
    the centre of mass. diameter: of a disk as large as the outline. sun: (x, y), unit vector towards the Sun.
    """

    range_d0: float
    phase_deg: float
    cut: bool
    outline: np.ndarray
    mass: np.ndarray
    diameter: float
    sun: np.ndarray


@dataclass(frozen=True)
class SunError:
    """The direction to the Sun of a fix. source: what it was seen by. error_deg: from the true direction in the image.

    sign_known: the direction, not its axis alone. strength: how far apart what tells the sign is, in diameters.
    """

    source: str
    error_deg: float
    sign_known: bool
    strength: float


@dataclass(frozen=True)
class FixError:
    """A fix beside the truth, or the reason why there is none.

    outline, mass: distance to the outline's centroid and to the centre of mass; outline_squared, mass_squared: the same
    as a squared error over the covariance. sigma: root of the covariance's trace. diameter_ratio: over the true one;
    pixel_diameter_ratio: of a disk of as many pixels as the map gives to the body.
    """

    true: TrueView
    refused: str | None = None
    outline: float | None = None
    mass: float | None = None
    sigma: float | None = None
    outline_squared: float | None = None
    mass_squared: float | None = None
    diameter_ratio: float | None = None
    pixel_diameter_ratio: float | None = None
    sun: SunError | None = None


@dataclass(frozen=True)
class SunFigures:
    """known: fixes with a direction to the Sun, opposite: of these, those off by more than 90 degrees. axis_only: fixes
    that tell its axis alone. by_entropy: fixes that see it by the entropy.
    """

    known: int
    error_deg: Spread
    opposite: int
    axis_only: int
    axis_error_deg: Spread
    by_entropy: int


@dataclass(frozen=True)
class GroupFigures:
    """The fixes of a group of images: errors as in FixError; the mean of the squared errors over the covariance, 2 for
    consistent ones, and the share of them within the 90 % point of chi squared.
    """

    images: int
    refused: int
    outline_error_px: Spread
    mass_error_px: Spread
    sigma_px: Spread
    diameter_ratio: Spread
    pixel_diameter_ratio: Spread
    outline_squared_mean: float | None
    outline_within_90: float | None
    mass_squared_mean: float | None
    mass_within_90: float | None
    sun: SunFigures


@dataclass(frozen=True)
class PhaseFigures:
    """Whether the terminator's distance tells the phase angle: root mean square errors over so many images, with it and
    with the mean phase angle in its place.
    """

    images: int
    rms_deg: float
    blind_rms_deg: float


Groups = dict[str, GroupFigures]


@dataclass(frozen=True, kw_only=True)
class SetFigures:
    """The figures of a set, by groups of its images. truth: of its truth masks. brightness: of the centroid of what is
    bright, network: of a bundle's maps, both of the same noisy images. chosen_on: constants were chosen on this split.
    """

    name: str
    sha256: str
    split: str | None
    images: int
    truth: Groups
    brightness: Groups
    network: Groups | UnsetType = UNSET
    chosen_on: bool
    phase: PhaseFigures | None


@dataclass(frozen=True)
class BundlePasses:
    """The bundle whose maps were measured, and how many dropout passes made them."""

    name: str
    version: str
    passes: int


@dataclass(frozen=True)
class NavigationFigures:
    """bundle: None where truth masks alone were measured."""

    bundle: BundlePasses | None
    sets: list[SetFigures]


def group_figures(rows: list[FixError]) -> Groups:
    """The figures of every group of images that there is."""
    return {name: _figures(chosen) for name, chosen in _groups(rows).items() if chosen}


def _groups(rows: list[FixError]) -> dict[str, list[FixError]]:
    """The rows whose body is wholly in the frame, by range and by phase angle; and those whose body is cut."""
    whole = [row for row in rows if not row.true.cut]
    result = {"whole bodies": whole}
    for low, high in itertools.pairwise(RANGES_D0):
        result[f"range {low:g} to {high:g} D0"] = [row for row in whole if low <= row.true.range_d0 < high]
    for low, high in itertools.pairwise(PHASES_DEG):
        result[f"phase {low:g} to {high:g} deg"] = [row for row in whole if low <= row.true.phase_deg < high]
    result["body cut by the frame"] = [row for row in rows if row.true.cut]
    return result


def _known(values: Iterable[float | None]) -> list[float]:
    return [value for value in values if value is not None]


def _spread(values: Iterable[float | None]) -> Spread:
    known = _known(values)
    if not known:
        return None
    median, most = np.percentile(known, [50, 90])
    return float(median), float(most)


def _consistency(values: Iterable[float | None]) -> tuple[float | None, float | None]:
    """Mean of squared errors over the covariance, and the share within the 90 % point."""
    squares = np.array(_known(values))
    return (float(squares.mean()), float((squares < CHI_SQUARED_90).mean())) if len(squares) else (None, None)


def _figures(rows: list[FixError]) -> GroupFigures:
    fixed = [row for row in rows if row.refused is None]
    outline_mean, outline_within = _consistency(row.outline_squared for row in fixed)
    mass_mean, mass_within = _consistency(row.mass_squared for row in fixed)
    return GroupFigures(
        images=len(rows),
        refused=len(rows) - len(fixed),
        outline_error_px=_spread(row.outline for row in fixed),
        mass_error_px=_spread(row.mass for row in fixed),
        sigma_px=_spread(row.sigma for row in fixed),
        diameter_ratio=_spread(row.diameter_ratio for row in fixed),
        pixel_diameter_ratio=_spread(row.pixel_diameter_ratio for row in fixed),
        outline_squared_mean=outline_mean,
        outline_within_90=outline_within,
        mass_squared_mean=mass_mean,
        mass_within_90=mass_within,
        sun=_sun_figures([row.sun for row in fixed if row.sun is not None]),
    )


def _sun_figures(suns: list[SunError]) -> SunFigures:
    known = [sun.error_deg for sun in suns if sun.sign_known]
    axes = [min(sun.error_deg, 180.0 - sun.error_deg) for sun in suns if not sun.sign_known]
    return SunFigures(
        known=len(known),
        error_deg=_spread(known),
        opposite=sum(error > 90.0 for error in known),
        axis_only=len(axes),
        axis_error_deg=_spread(axes),
        by_entropy=sum(sun.source == "entropy" for sun in suns),
    )


def phase_figures(fitted: list[FixError], measured: list[FixError]) -> PhaseFigures | None:
    """Whether the terminator's distance tells the phase angle: a line fitted on one set, measured on another.

    None where either has too few whole bodies with a terminator.
    """
    phases, strengths = _phase_line(fitted)
    other_phases, other_strengths = _phase_line(measured)
    if min(len(phases), len(other_phases)) < _LEAST_OF_A_LINE:
        return None
    slope, start = np.polyfit(strengths, phases, 1)
    error = other_phases - (start + slope * other_strengths)
    blind = other_phases - phases.mean()
    return PhaseFigures(
        images=len(error),
        rms_deg=float(np.sqrt(np.mean(error**2))),
        blind_rms_deg=float(np.sqrt(np.mean(blind**2))),
    )


def _phase_line(rows: list[FixError]) -> tuple[np.ndarray, np.ndarray]:
    """Phase angles of whole bodies with a terminator, degrees, and the terminator's distance that could tell them."""
    suns = [(row.true, row.sun) for row in rows if not row.true.cut and row.sun is not None]
    chosen = [(true, sun) for true, sun in suns if sun.source == "terminator"]
    return np.array([true.phase_deg for true, _ in chosen]), np.array([sun.strength for _, sun in chosen])
