"""How a frame's pixels become a network's input, as a bundle's manifest states it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class PixelScaling:
    """An input's value is (scale p - mean) / std, with p in [0, 1]; by default p itself.

    Attributes:
        scale: 255 for a network of plain 8-bit values.
        mean: one value, or one per channel in the network's order.
        std: the same.
        order: of three channels, "rgb" or "bgr".
    """

    scale: float = 1.0
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    order: str = "rgb"


PLAIN_PIXELS = PixelScaling()


def parse_pixels(entry: dict[str, Any], channels: int) -> PixelScaling:
    """Make a PixelScaling from a manifest's networks[].pixels, which has passed its schema.

    Args:
        entry: empty for the default.
        channels: of the network's input.

    Raises:
        ValueError: the number of values is not that of the channels.
    """
    for name in ("mean", "std"):
        if name in entry and len(entry[name]) not in (1, channels):
            expected = "1 item" if channels == 1 else f"1 or {channels} items"
            raise ValueError(f"{name}: expected {expected} for {channels} channels, got {len(entry[name])}")
    return PixelScaling(
        scale=float(entry.get("scale", PLAIN_PIXELS.scale)),
        mean=tuple(map(float, entry.get("mean", PLAIN_PIXELS.mean))),
        std=tuple(map(float, entry.get("std", PLAIN_PIXELS.std))),
        order=entry.get("order", PLAIN_PIXELS.order),
    )
