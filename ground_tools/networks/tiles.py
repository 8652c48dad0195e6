"""Images larger than a network, on the ground: cut and blended by the code that flies, for networks of any library."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from flight.inference.tiles import cut_tiles, tile_weights
from flight.tile_layout import TileLayout, parse_layout

Predict = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Tiling:
    """How images are cut that are larger than a network.

    Attributes:
        height: of a tile, the network's, pixels.
        width: of a tile.
        overlap: pixels that neighbours share at least.
        margin: see TileLayout.
        align: the step of the network's coarsest layer; corners keep to as much of it as the image's size allows.
    """

    height: int
    width: int
    overlap: int
    margin: int = 0
    align: int = 1

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of a tile, pixels."""
        return self.height, self.width

    def place(self, height: int, width: int) -> dict[str, Any]:
        """An image's height and width, and its tiles where there are several, as `input` of a manifest states them."""
        if (height, width) == self.size:
            return {"height": height, "width": width}
        align = math.gcd(self.align, height - self.height, width - self.width)
        tiles = {"height": self.height, "width": self.width, "overlap": self.overlap}
        tiles |= {"margin": self.margin, "align": align}
        return {"height": height, "width": width, "tiles": tiles}

    def lay(self, height: int, width: int) -> TileLayout | None:
        """The tiles of an image of some height and width; None where the network takes it whole.

        Raises:
            ValueError: there are no such tiles.
        """
        return parse_layout(self.place(height, width))


def usual_overlap(height: int, width: int) -> int:
    """Pixels that tiles of some size share where nobody says how many: a quarter of the shorter side."""
    return max(min(height, width) // 4, 1)


def blend_tiles(image: np.ndarray, layout: TileLayout | None, predict: Predict) -> np.ndarray:
    """Probabilities for a whole image, tile by tile.

    Args:
        image: (H, W, C).
        layout: of its tiles; None for an image that the network takes whole.
        predict: from tiles (N, h, w, C) to their probabilities (N, K, h, w).

    Returns:
        (K, H, W) float32: the average of the tiles' probabilities by the weights of flight.
    """
    if layout is None:
        whole: np.ndarray = predict(image[None])[0]
        return whole
    blended: np.ndarray | None = None
    weights = tile_weights(layout)
    # One at a time: memory does not grow with their number.
    for tile, weight, (row, column) in zip(cut_tiles(image, layout), weights, layout.corners, strict=True):
        part = predict(tile[None])[0]
        if blended is None:
            blended = np.zeros((len(part), *image.shape[:2]), dtype=np.float32)
        blended[:, row : row + layout.height, column : column + layout.width] += weight * part
    assert blended is not None
    return blended


def take_views(images: np.ndarray, tiling: Tiling) -> np.ndarray:
    """One tile of each image, another place of the layout for each, so that all places are seen.

    Args:
        images: (N, H, W) or (N, H, W, C): images, or their masks.
        tiling: of the network; images of its size stay as they are.
    """
    layout = tiling.lay(*images.shape[1:3])
    if layout is None:
        return images
    corners = layout.corners
    return np.stack([cut_tiles(image, layout)[number % len(corners)] for number, image in enumerate(images)])


def softmax(scores: np.ndarray) -> np.ndarray:
    """Scores (N, H, W, K) as probabilities (N, K, H, W) float32."""
    power = np.exp(scores - scores.max(axis=-1, keepdims=True))
    probability: np.ndarray = (power / power.sum(axis=-1, keepdims=True)).transpose(0, 3, 1, 2).astype(np.float32)
    return probability
