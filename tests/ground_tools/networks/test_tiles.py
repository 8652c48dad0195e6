"""Images larger than a network on the ground: the same tiles and weights as in flight."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from flight.bundle import load_bundle
from flight.inference.engine import Engine
from flight.settings import default_settings
from ground_tools.datasets.resolution import coarsen
from ground_tools.networks.tiles import Tiling, blend_tiles, softmax, take_views, usual_overlap
from tests.tiled_bundle import REACH, TILES, write_network
from tests.tiny_networks import HEIGHT, WIDTH


def blur(tiles: np.ndarray) -> np.ndarray:
    """A network that does the same wherever it looks, two pixels far; of three classes."""
    found = []
    for tile in tiles:
        soft = cv2.blur(tile[..., 0], (5, 5), borderType=cv2.BORDER_CONSTANT)
        found.append(np.stack([soft, 1.0 - soft, np.full_like(soft, 0.3)], axis=-1))
    return softmax(np.stack(found))


@pytest.mark.parametrize("size", [(64, 64), (64, 128), (97, 150)])
def test_tiles_give_what_one_network_for_the_whole_would(size: tuple[int, int]) -> None:
    image = np.random.default_rng(1).random((*size, 1)).astype(np.float32)
    tiling = Tiling(64, 64, 16, margin=2, align=8)
    whole = blur(image[None])[0]
    blended = blend_tiles(image, tiling.lay(*size), blur)
    assert blended.shape == (3, *size)
    assert np.abs(blended - whole).max() < 2e-6
    # With no margin the tiles' edges show, so that the blend is of several.
    if size != (64, 64):
        assert np.abs(blend_tiles(image, Tiling(64, 64, 16).lay(*size), blur) - whole).max() > 1e-4


def test_a_training_is_judged_by_the_tiles_that_fly(tmp_path: Path) -> None:
    """One network by the engine and by the library for the ground, with equal tiles: the same probabilities."""
    height, width = 2 * HEIGHT, 2 * WIDTH
    bundle = load_bundle(write_network(tmp_path / "large", height, width, TILES))
    one = load_bundle(write_network(tmp_path / "one", HEIGHT, WIDTH))
    frame = np.random.default_rng(2).integers(0, 256, (height, width, 3)).astype(np.uint8)
    engines = Engine(bundle), Engine(one)

    def run(engine: Engine, pixels: np.ndarray) -> np.ndarray:
        settings = default_settings(engine.bundle)
        return engine.segment(pixels, bit_depth=8, centered=True, seed=1, settings=settings).mean_probability

    flown = run(engines[0], frame)
    tiling = Tiling(TILES["height"], TILES["width"], TILES["overlap"], REACH)
    ground = blend_tiles(frame, tiling.lay(height, width), lambda tiles: run(engines[1], tiles[0])[None])
    for engine in engines:
        engine.close()
    assert np.abs(ground - flown).max() < 1e-5


def test_corners_keep_to_the_networks_grid_where_the_image_allows_it() -> None:
    tiling = Tiling(64, 64, 10, align=16)
    assert tiling.place(64, 64) == {"height": 64, "width": 64}
    assert tiling.place(128, 96)["tiles"]["align"] == 16
    assert tiling.place(128, 100)["tiles"]["align"] == 4
    assert tiling.place(129, 97)["tiles"]["align"] == 1
    layout = tiling.lay(128, 96)
    assert layout is not None
    assert all(start % 16 == 0 for start in (*layout.rows, *layout.columns))
    with pytest.raises(ValueError, match=r"tiles\.height: expected at most the map's 32 pixels, got 64"):
        tiling.lay(32, 64)
    assert usual_overlap(512, 256) == 64


def test_views_are_tiles_from_all_places() -> None:
    rows, columns = np.mgrid[:48, :64]
    images = np.repeat((rows * 64 + columns)[None], 8, axis=0)
    views = take_views(images, Tiling(32, 32, 8))
    assert views.shape == (8, 32, 32)
    # Two rows of three tiles.
    assert len({int(view[0, 0]) for view in views}) == 6
    assert take_views(images, Tiling(48, 64, 8)) is images


def test_a_coarser_image_has_the_size_and_mean_of_before() -> None:
    image = np.random.default_rng(3).random((32, 48)).astype(np.float32)
    coarse = coarsen(image, 4)
    assert coarse.shape == image.shape
    assert coarse.mean() == pytest.approx(image.mean(), abs=0.02)
    assert coarse.std() < 0.4 * image.std()
    assert coarsen(image, 1) is image
    assert coarsen(image[..., None], 2).shape == (32, 48, 1)
