"""The one interface of all frame sources: plain frames with what is known of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Is given a line about how far something is, again and again.
Tell = Callable[[str], None]


@dataclass(frozen=True)
class TruthClass:
    """A class of a truth mask: its name, and its role as in docs/icd.md."""

    name: str
    role: str


# Of rendered and drawn truth masks, by index; those of the shipped bundles.
TRUTH_CLASSES = (
    TruthClass("background", "background"),
    TruthClass("surface", "safe"),
    TruthClass("craters", "hazard"),
    TruthClass("boulders", "hazard"),
    TruthClass("terminator", "terminator"),
)


@dataclass(frozen=True)
class Frame:
    """A frame and what is known of it.

    Attributes:
        pixels: (H, W) uint8 or uint16.
        bit_depth: bits per pixel in use, 8..16.
        time_s: of acquisition in the source's own time, seconds; None if it has none.
        geometry: of range_km and sun_direction_camera what is known; fields of the frame's header.
        truth: (H, W) uint8, index of the stream's classes; None if not known.
    """

    pixels: NDArray[np.uint8] | NDArray[np.uint16]
    bit_depth: int
    time_s: float | None = None
    geometry: dict[str, Any] = field(default_factory=dict)
    truth: NDArray[np.uint8] | None = None


class FrameStream(ABC):
    """Frames in order, each of which can be made again: the same index gives the same frame.

    Attributes:
        name: of the source, for people.
        classes: of its truth masks, by index; empty where no truth is known.
    """

    name: str
    classes: tuple[TruthClass, ...] = ()

    @abstractmethod
    def __len__(self) -> int:
        """Number of frames."""

    def prepare(self, tell: Tell) -> None:
        """Make ready what takes time, once, before the first frame is asked for. Most sources have nothing to do.

        Raises:
            ValueError, OSError, RuntimeError: it cannot be; the message says why. Nothing is left running.
        """
        tell(f"{self.name}: {len(self)} frames")

    @abstractmethod
    def frame(self, index: int) -> Frame:
        """A frame, 0..len - 1.

        Raises:
            ValueError, OSError: it cannot be read; the message names it.
        """

    def __iter__(self) -> Iterator[Frame]:
        """The frames in order."""
        for index in range(len(self)):
            yield self.frame(index)


def spread(index: int, count: int, stored: int) -> int:
    """Which of the stored frames is frame `index` of `count`: evenly spread over all of them."""
    return round(index * (stored - 1) / (count - 1)) if count > 1 else stored // 2
