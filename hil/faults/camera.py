"""Faults of the camera itself: its own frames spoiled, its clock off."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hil.scenarios.fault_tables import CameraClockSteps, CameraNoise, CameraSaturated, Fault

_STREAM = 4


def active_at(faults: Sequence[Fault], time_s: float) -> list[Fault]:
    """The camera's faults at a scenario time."""
    return [
        fault
        for fault in faults
        if isinstance(fault, CameraNoise | CameraSaturated | CameraClockSteps)
        and fault.at_s <= time_s < fault.at_s + fault.for_s
    ]


def spoil(
    pixels: NDArray[np.uint8] | NDArray[np.uint16], bit_depth: int, faults: Sequence[Fault], index: int, seed: int
) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """A frame as a camera with these faults gives it; the same for the same index and seed.

    Args:
        pixels: (H, W).
        bit_depth: bits in use.
        faults: that are active.
        index: of the frame.
        seed: of the run.
    """
    full = (1 << bit_depth) - 1
    for number, fault in enumerate(faults):
        if isinstance(fault, CameraSaturated):
            spoiled = pixels.astype(np.float32) * fault.factor
        elif isinstance(fault, CameraNoise):
            generator = np.random.default_rng([seed, _STREAM, index, number])
            spoiled = pixels + generator.normal(0.0, fault.sigma * full, pixels.shape)
        else:
            continue
        pixels = np.clip(np.rint(spoiled), 0, full).astype(pixels.dtype)
    return pixels


def clock_error_s(faults: Sequence[Fault]) -> float:
    """By how much the camera's clock is off."""
    return sum(fault.step_s for fault in faults if isinstance(fault, CameraClockSteps))
