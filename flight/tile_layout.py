"""A bundle's map and what its networks take of it at once: tiles, where the map is larger, and their orientations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

# A frame of so many network runs a pass takes minutes on any board.
MOST_TILES = 256


@dataclass(frozen=True)
class TileLayout:
    """How a map is cut into tiles, all of one size.

    Attributes:
        height: of a tile, pixels.
        width: of a tile, pixels.
        overlap: pixels that neighbours share at least.
        margin: pixels along a tile's edge that are not used where a neighbour has them: what lies beyond the edge
            reaches so far into the tile.
        align: rows and columns of the tiles' corners are multiples of it: with the step of a network's coarsest layer,
            it sees the same grid in every tile.
        rows: first row of each row of tiles.
        columns: first column of each column of tiles.
    """

    height: int
    width: int
    overlap: int
    margin: int
    align: int
    rows: tuple[int, ...]
    columns: tuple[int, ...]

    @property
    def corners(self) -> list[tuple[int, int]]:
        """(row, column) of the upper left pixel of each tile: from left to right, then from top to bottom."""
        return [(row, column) for row in self.rows for column in self.columns]


def parse_layout(stated: dict[str, Any]) -> TileLayout | None:
    """Read `input` of a manifest.

    Args:
        stated: with `height` and `width` of the map, and `tiles` where there are any.

    Returns:
        None where the networks take the map whole.

    Raises:
        ValueError: field below `input`, what was expected, and what came.
    """
    tiles = stated.get("tiles")
    if tiles is None:
        return None
    overlap, margin, align = tiles["overlap"], tiles.get("margin", 0), tiles.get("align", 1)
    if overlap <= 2 * margin:
        raise ValueError(f"tiles.overlap: expected more than twice the margin of {margin}, got {overlap}")
    starts = {}
    for side in ("height", "width"):
        try:
            starts[side] = find_starts(stated[side], tiles[side], overlap, align)
        except ValueError as error:
            raise ValueError(f"tiles.{side}: {error}") from error
    count = len(starts["height"]) * len(starts["width"])
    if count > MOST_TILES:
        raise ValueError(f"tiles: expected at most {MOST_TILES} for a map, got {count}")
    return TileLayout(tiles["height"], tiles["width"], overlap, margin, align, starts["height"], starts["width"])


def parse_orientations(stated: dict[str, Any]) -> int:
    """How many orientations of the image, or of each tile, the passes take in turn.

    Args:
        stated: `input` of a manifest.

    Raises:
        ValueError: as of parse_layout.
    """
    count: int = stated.get("orientations", 1)
    turned = stated.get("tiles", stated)
    if count == 8 and turned["height"] != turned["width"]:
        raise ValueError(
            f"orientations: expected 1 or 4 for {turned['height']} x {turned['width']} pixels, got 8: "
            f"an image turned by 90 degrees would not fit the networks"
        )
    return count


def find_starts(length: int, tile: int, overlap: int, align: int) -> tuple[int, ...]:
    """The first pixel of each tile along one side of a map: as few as possible, evenly spread.

    Args:
        length: of the side, pixels.
        tile: its length, pixels.
        overlap: pixels that neighbours share at least.
        align: starts are multiples of it.

    Raises:
        ValueError: there are no such tiles.
    """
    if tile > length:
        raise ValueError(f"expected at most the map's {length} pixels, got {tile}")
    last = length - tile
    if last % align:
        raise ValueError(f"expected the map's {length} pixels less a multiple of {align}, got {tile}")
    if not last:
        return (0,)
    step = (tile - overlap) // align
    if step < 1:
        raise ValueError(f"expected {overlap + align} or more, as overlap and align need, got {tile}")
    steps = last // align
    count = -(-steps // step)
    return tuple(number * steps // count * align for number in range(count + 1))
