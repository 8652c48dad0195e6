"""A network over a map larger than itself: tile by tile, blended so smoothly that no seam shows.

Where tiles overlap, each pixel's probabilities are the average of theirs, with weights that fall as a squared sine
from one tile to its neighbour and add up to 1; entropies are those of the average. Every pass goes through all tiles
before the next begins, always in the same order, and they share the pass's dropout masks: a frame that the deadline
ends early has had the same number of passes everywhere, and memory does not grow with their number.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from flight.bundle import Bundle, BundleError
from flight.inference.closed_form import ClosedFormNetwork
from flight.inference.masks import Masks
from flight.inference.network import Network
from flight.tile_layout import TileLayout

# Of a blended probability, so that its logarithm is finite: far below what float32 keeps of a sum beside 1.
_LEAST_PROBABILITY = np.float32(1e-30)


class TiledNetwork:
    """A network that answers for a whole map, tile by tile, and takes the network's place. Not thread-safe.

    Args:
        network: that takes a tile.
        layout: of the tiles.

    Raises:
        BundleError: the covariance of the head's noise is not given at pixels that tiles share.
    """

    def __init__(self, network: Network | ClosedFormNetwork, layout: TileLayout) -> None:
        if isinstance(network, ClosedFormNetwork):
            for step, corners in zip(network.covariance_steps, (layout.rows, layout.columns), strict=True):
                if any(corner % step for corner in corners):
                    raise BundleError(
                        f"network {network.name}: covariance: expected manifest.input.tiles.align to be a multiple of "
                        f"its step, {step} pixels, got {layout.align}"
                    )
        self._network = network
        self._layout = layout
        self._weights = tile_weights(layout)

    @property
    def name(self) -> str:
        """Of the network."""
        return self._network.name

    @property
    def masks(self) -> Masks:
        """Of the network; all tiles of a pass share them."""
        return self._network.masks

    @property
    def stochastic(self) -> bool:
        """Whether passes differ."""
        return self._network.stochastic

    @property
    def in_closed_form(self) -> bool:
        """Whether the network's head is in closed form."""
        return self._network.in_closed_form

    @property
    def frame_arrays(self) -> list[NDArray[Any]]:
        """Arrays that do not change from one `begin` to the next."""
        return [*self._network.frame_arrays, *self._weights]

    def begin(self, image: NDArray[np.float32], seed: int, passes: int) -> None:
        """Cut the image into tiles, and draw the masks of all passes; arguments as of PassInputs.begin."""
        self._network.begin_tiles(cut_tiles(image, self._layout), seed, passes)

    def check(self) -> None:
        """Check that what the passes used is what it was. Raises UpsetError."""
        self._network.check()

    def check_output(self, image: NDArray[np.float32]) -> None:
        """Compare what the network gives for the first tile with the manifest; see Network.check_output."""
        assert isinstance(self._network, Network)
        self._network.check_output(cut_tiles(image, self._layout)[0])

    def run(self, number: int) -> NDArray[np.float32]:
        """Run one pass through all tiles.

        Args:
            number: of the pass, 0..passes-1.

        Returns:
            (K, H, W) float32: logarithms of the blended probabilities, which are what their softmax gives. NaN where
            scores of a tile that counts there were not finite.

        Raises:
            NetworkFaultError: as of the network.
        """
        return self._blend_probability(lambda: self._network.run(number))

    def run_without_dropout(self) -> NDArray[np.float32]:
        """Run the network once through all tiles with all masks 1. Returns as `run`."""
        return self._blend_probability(self._network.run_without_dropout)

    def find_covariance(self) -> NDArray[np.float32]:
        """The covariance of the scores by the head's masks, averaged as the probabilities are.

        The noise is added to the logarithms that `run` gives: they differ from scores by one number a pixel for all
        classes, which no softmax sees.

        Returns:
            (K (K + 1) / 2, h, w) float32, see ClosedFormNetwork.find_covariance.

        Raises:
            NetworkFaultError: as of the network.
        """
        assert isinstance(self._network, ClosedFormNetwork)
        return self._blend(self._network.find_covariance)

    def _blend_probability(self, run: Callable[[], NDArray[np.float32]]) -> NDArray[np.float32]:
        """Logarithms of the average over the tiles of the softmax of what `run` gives."""
        blended = self._blend(lambda: _softmax(run()))
        np.maximum(blended, _LEAST_PROBABILITY, out=blended)
        return np.log(blended, out=blended)

    def _blend(self, run: Callable[[], NDArray[np.float32]]) -> NDArray[np.float32]:
        """The weighted average over the tiles of planes that `run` gives of the tile that was selected."""
        layout, whole = self._layout, None
        for tile, ((row, column), weights) in enumerate(zip(layout.corners, self._weights, strict=True)):
            self._network.select_tile(tile)
            planes = run()
            count, height, width = planes.shape
            down, across = layout.height // height, layout.width // width
            if whole is None:
                size = (layout.rows[-1] + layout.height) // down, (layout.columns[-1] + layout.width) // across
                whole = np.zeros((count, *size), dtype=np.float32)
            row, column, weights = row // down, column // across, weights[::down, ::across]
            # What has no weight here may be anything, NaN too.
            part = np.where(weights > 0.0, weights * planes, np.float32(0.0))
            whole[:, row : row + height, column : column + width] += part
        assert whole is not None
        return whole


PassNetwork = Network | ClosedFormNetwork | TiledNetwork
N = TypeVar("N", Network, ClosedFormNetwork)


def tile_networks(bundle: Bundle, networks: Iterable[N]) -> list[N | TiledNetwork]:
    """Networks as they answer for a bundle's whole map: tile by tile, where the bundle has tiles.

    Args:
        bundle: a validated bundle.
        networks: of it, loaded.

    Raises:
        BundleError: see TiledNetwork.
    """
    if bundle.tiles is None:
        return list(networks)
    return [TiledNetwork(network, bundle.tiles) for network in networks]


def cut_tiles(image: NDArray[Any], layout: TileLayout) -> list[NDArray[Any]]:
    """Cut an image into tiles.

    Args:
        image: (H, W) or (H, W, C), of the map's size.
        layout: of the tiles.

    Returns:
        One view of the image per tile, in the order of the layout's corners.
    """
    return [image[y : y + layout.height, x : x + layout.width] for y, x in layout.corners]


def tile_weights(layout: TileLayout) -> list[NDArray[np.float32]]:
    """What each tile's pixels count in the average.

    Args:
        layout: of the tiles.

    Returns:
        (height, width) float32 per tile, in the order of its corners; at each pixel of the map they add up to 1.
    """
    of_rows = _side_weights(layout.rows, layout.height, layout.margin)
    of_columns = _side_weights(layout.columns, layout.width, layout.margin)
    return [np.outer(down, across).astype(np.float32) for down in of_rows for across in of_columns]


def _side_weights(starts: tuple[int, ...], tile: int, margin: int) -> list[NDArray[np.float64]]:
    """Along one side: 1 inside a tile and at the map's edges; from and to a neighbour by a squared sine.

    Args:
        starts: first pixel of each tile.
        tile: length of a tile, pixels.
        margin: pixels at its ends that do not count where a neighbour has them.
    """
    unscaled = []
    for number, start in enumerate(starts):
        weights = np.ones(tile)
        if number > 0:
            shared = starts[number - 1] + tile - start
            weights[:shared] *= _rise(shared, margin)
        if number + 1 < len(starts):
            shared = start + tile - starts[number + 1]
            weights[tile - shared :] *= _rise(shared, margin)[::-1]
        unscaled.append(weights)
    # More than two tiles may lie over a pixel.
    total = np.zeros(starts[-1] + tile)
    for start, weights in zip(starts, unscaled, strict=True):
        total[start : start + tile] += weights
    return [weights / total[start : start + tile] for start, weights in zip(starts, unscaled, strict=True)]


def _rise(length: int, margin: int) -> NDArray[np.float64]:
    """From 0 to 1 over `length` pixels, 0 and 1 over `margin` pixels at its ends."""
    share = (np.arange(length) + 0.5 - margin) / (length - 2 * margin)
    rise: NDArray[np.float64] = np.square(np.sin(0.5 * np.pi * np.clip(share, 0.0, 1.0)))
    return rise


def _softmax(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """Over the first axis; NaN where a score is not finite. Overwrites the scores."""
    with np.errstate(invalid="ignore", over="ignore"):
        scores -= scores.max(axis=0)
        np.exp(scores, out=scores)
        scores /= scores.sum(axis=0)
    return scores
