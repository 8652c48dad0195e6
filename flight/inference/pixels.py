"""How a frame's pixels become a network's input: value = (scale p - mean) / std, per channel, with p in [0, 1]."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from flight.pixel_scaling import PixelScaling

# Of an integer input: what black and white must be apart, in steps, and which part of the tensor's range the pixels
# must fill. Converters set that range from images, so that one of twice the pixels' range was made for other pixels.
_LEAST_STEPS = 16
_LEAST_FILLED = 0.6
_LEAST_INSIDE = 0.2


class PixelInput:
    """Makes a network's input from an image.

    Args:
        scaling: from the manifest.
        channels: of the input, 1 or 3.
    """

    def __init__(self, scaling: PixelScaling, channels: int) -> None:
        mean, std = (np.broadcast_to(np.asarray(values), channels) for values in (scaling.mean, scaling.std))
        self._gain = (scaling.scale / std).astype(np.float32)
        self._offset = (-mean / std).astype(np.float32)
        self._reversed = scaling.order == "bgr"
        self._plain = not self._reversed and bool((self._gain == 1.0).all() and (self._offset == 0.0).all())

    @property
    def limits(self) -> tuple[float, float]:
        """What black and white become, the smallest and the largest of any channel."""
        values = np.concatenate([self._offset, self._offset + self._gain])
        return float(values.min()), float(values.max())

    def scale(self, image: NDArray[np.float32]) -> NDArray[np.float32]:
        """Scale an image.

        Args:
            image: (H, W, C) float32 in [0, 1], red, green, blue where C is 3.

        Returns:
            (H, W, C) float32; the image itself where the manifest states nothing else than [0, 1].
        """
        if self._plain:
            return image
        ordered = image[:, :, ::-1] if self._reversed else image
        scaled: NDArray[np.float32] = ordered * self._gain + self._offset
        return np.ascontiguousarray(scaled)

    def find_contradiction(self, dtype: type, scale: float, zero_point: int) -> str | None:
        """Find out whether an integer input was made for other pixels than these.

        Args:
            dtype: of the tensor, np.int8 or np.uint8.
            scale: of its quantization.
            zero_point: of its quantization.

        Returns:
            "expected X, got Y"; None if they fit.
        """
        low, high = self.limits
        steps: np.iinfo[Any] = np.iinfo(dtype)
        least, largest = scale * (steps.min - zero_point), scale * (steps.max - zero_point)
        shared = max(min(high, largest) - max(low, least), 0.0)
        filled, inside = shared / (largest - least), shared / (high - low)
        if filled >= _LEAST_FILLED and inside >= _LEAST_INSIDE and shared >= _LEAST_STEPS * scale:
            return None
        wanted = f"black and white at about {least:.3g} and {largest:.3g}, as the input is quantized"
        return f"expected {wanted}, got {low:.3g} and {high:.3g}"
