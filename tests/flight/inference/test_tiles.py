"""Maps larger than the networks: tiles that cover them, averages without seams, and honest passes."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flight.bundle import BundleError, load_bundle, write_sums
from flight.inference.engine import Engine, Maps
from flight.inference.self_test import run_self_test
from flight.inference.tiles import cut_tiles, tile_weights
from flight.settings import default_settings
from flight.tile_layout import TileLayout, find_starts, parse_layout
from tests.tiled_bundle import REACH, TILES, enlarge_map, write_network
from tests.tiny_bundle import body_frame
from tests.tiny_networks import HEIGHT, WIDTH

SIZE = (83, 131)
FRAME = body_frame(*SIZE, 36)


def segment(by: Engine, frame: np.ndarray = FRAME, seed: int = 1, **changes: Any) -> Maps:
    chosen = replace(default_settings(by.bundle), **changes)
    return by.segment(frame, bit_depth=8, centered=True, seed=seed, settings=chosen)


@pytest.fixture(scope="module")
def tiled(closed_form_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Engine:
    """Two networks with their heads in closed form, on a map of more than two tiles by two."""
    folder = tmp_path_factory.mktemp("tiles") / "bundle"
    return Engine(load_bundle(enlarge_map(closed_form_bundle, folder, 80, 128, {**TILES, "align": 8})))


@st.composite
def layouts(draw: st.DrawFn) -> tuple[int, int, TileLayout]:
    """(height, width, tiles) of a map."""
    margin, align = draw(st.integers(0, 4)), draw(st.sampled_from([1, 2, 8]))
    overlap = draw(st.integers(2 * margin + 1, 2 * margin + 9))
    sides = {}
    for side in ("height", "width"):
        tile = overlap + align + draw(st.integers(0, 40))
        sides[side] = tile, tile + align * draw(st.integers(0, 12))
    stated = {side: length for side, (_, length) in sides.items()}
    tiles = {side: tile for side, (tile, _) in sides.items()}
    layout = parse_layout({**stated, "tiles": {**tiles, "overlap": overlap, "margin": margin, "align": align}})
    assert layout is not None
    return stated["height"], stated["width"], layout


@given(layouts())
def test_tiles_cover_the_map_with_weights_that_add_up_to_one(case: tuple[int, int, TileLayout]) -> None:
    height, width, layout = case
    total = np.zeros((height, width))
    numbers = np.arange(height * width).reshape(height, width)
    weights = tile_weights(layout)
    assert len(weights) == len(layout.corners)
    for (row, column), tile, weight in zip(layout.corners, cut_tiles(numbers, layout), weights, strict=True):
        assert row % layout.align == column % layout.align == 0
        assert tile.shape == weight.shape == (layout.height, layout.width)
        total.reshape(-1)[tile] += weight
        margin = layout.margin
        inner = weight[margin if row else 0 :, margin if column else 0 :]
        assert weight.sum() == pytest.approx(inner.sum())
    assert np.allclose(total, 1.0, atol=1e-6)


@given(st.integers(1, 400), st.integers(1, 200), st.integers(1, 60), st.sampled_from([1, 2, 16]))
def test_neighbours_share_what_they_should_and_no_tile_is_too_many(
    length: int, tile: int, overlap: int, align: int
) -> None:
    try:
        starts = find_starts(length, tile, overlap, align)
    except ValueError:
        assert tile > length or (length - tile) % align or tile - overlap < align
        return
    assert starts[0] == 0
    assert starts[-1] + tile == length
    steps = np.diff(starts)
    assert (steps <= tile - overlap).all()
    # With one tile less, a step would have to be larger than it may.
    if len(starts) > 2:
        assert (len(starts) - 2) * ((tile - overlap) // align * align) < length - tile


@pytest.mark.parametrize(
    ("tiles", "message"),
    [
        ({"overlap": 4, "margin": 2}, "input.tiles.overlap: expected more than twice the margin of 2, got 4"),
        ({"height": 90}, "input.tiles.height: expected at most the map's 83 pixels, got 90"),
        ({"align": 2}, "input.tiles.height: expected the map's 83 pixels less a multiple of 2, got 32"),
        ({"overlap": 32}, "input.tiles.height: expected 33 or more, as overlap and align need, got 32"),
        (
            {"width": 4, "height": 4, "overlap": 3, "margin": 1},
            "input.tiles: expected at most 256 for a map, got 10240",
        ),
        ({"overlap": 0}, "input.tiles.overlap: expected 1..4095, got 0"),
        ({"stride": 4}, "input.tiles.stride: expected one of height, width, overlap, margin, align, got 4"),
    ],
)
def test_a_layout_that_cannot_be_is_refused(tmp_path: Path, tiles: dict[str, int], message: str) -> None:
    folder = write_network(tmp_path / "bundle", *SIZE, TILES)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["input"]["tiles"] |= tiles
    (folder / "manifest.json").write_text(json.dumps(manifest))
    write_sums(folder)
    with pytest.raises(BundleError, match="manifest." + message):
        load_bundle(folder)


def test_eight_orientations_need_square_tiles(tmp_path: Path) -> None:
    folder = write_network(tmp_path / "bundle", 64, 64, {"height": HEIGHT, "width": WIDTH, "overlap": 12})
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["input"]["orientations"] = 8
    (folder / "manifest.json").write_text(json.dumps(manifest))
    write_sums(folder)
    with pytest.raises(BundleError, match="orientations: expected 1 or 4 for 32 x 48 pixels, got 8"):
        load_bundle(folder)


@pytest.mark.parametrize("overlap", [2 * REACH + 1, 12, 20])
def test_a_network_that_does_the_same_everywhere_gives_the_answer_of_the_whole(tmp_path: Path, overlap: int) -> None:
    frame = np.random.default_rng(7).integers(0, 256, SIZE).astype(np.uint8)
    tiles = {**TILES, "overlap": overlap}
    answers = []
    for name, stated in (("whole", None), ("tiled", tiles)):
        engine = Engine(load_bundle(write_network(tmp_path / name, *SIZE, stated)), threads=1)
        assert run_self_test(engine).agreement == 1.0
        answers.append(segment(engine, frame))
    whole, tiled = answers
    assert np.abs(tiled.mean_probability - whole.mean_probability).max() < 2e-6
    assert np.abs(tiled.predictive_entropy - whole.predictive_entropy).max() < 1e-5
    assert len(np.unique(whole.class_map)) > 2


def test_without_the_margin_seams_would_show(tmp_path: Path) -> None:
    frame = np.random.default_rng(7).integers(0, 256, SIZE).astype(np.uint8)
    maps = []
    for name, stated in (("whole", None), ("tiled", {**TILES, "margin": 0})):
        maps.append(segment(Engine(load_bundle(write_network(tmp_path / name, *SIZE, stated)), threads=1), frame))
    assert np.abs(maps[0].mean_probability - maps[1].mean_probability).max() > 1e-3


def test_tiles_in_closed_form_estimate_what_whole_passes_do(tiled: Engine) -> None:
    passes = [segment(tiled, seed=seed, engine="passes", passes=60) for seed in (1, 2, 3)]
    closed = segment(tiled, seed=9, passes=60, head_samples=8)
    assert {maps.engine for maps in passes} == {"passes"}
    assert closed.engine == "closed_form"
    expected = np.mean([maps.mean_probability for maps in passes], axis=0)
    noise = np.abs(passes[0].mean_probability - expected).mean()
    assert np.abs(closed.mean_probability - expected).mean() < 3.0 * noise + 0.01
    assert closed.mutual_information.mean() == pytest.approx(passes[0].mutual_information.mean(), rel=0.3)


def test_the_same_seed_gives_the_same_bits(tiled: Engine) -> None:
    for engine in ("auto", "passes"):
        first, again, other = (segment(tiled, seed=seed, engine=engine) for seed in (1, 1, 2))
        assert first.mean_probability.tobytes() == again.mean_probability.tobytes()
        assert first.mean_probability.tobytes() != other.mean_probability.tobytes()


def test_a_deadline_leaves_every_tile_the_same_passes(tiled: Engine) -> None:
    settings = replace(default_settings(tiled.bundle), passes=50, deadline_ms=1)
    started = time.monotonic()
    maps = tiled.segment(FRAME, bit_depth=8, centered=True, seed=4, settings=settings, started=started)
    assert "deadline" in maps.flags
    assert 1 <= maps.passes_used < 50
    # Balanced masks are those of 50 passes: what has run is their beginning, in every tile.
    assert np.isfinite(maps.mean_probability).all()
    assert np.allclose(maps.mean_probability.sum(axis=0), 1.0, atol=1e-5)


def test_the_covariance_must_fit_the_tiles(closed_form_bundle: Path, tmp_path: Path) -> None:
    folder = enlarge_map(closed_form_bundle, tmp_path / "bundle", 80, 128, {**TILES, "align": 8})
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["input"]["tiles"]["align"] = 1
    manifest["input"]["height"] = 81
    (folder / "manifest.json").write_text(json.dumps(manifest))
    write_sums(folder)
    with pytest.raises(BundleError, match="align to be a multiple of its step, 2 pixels, got 1"):
        Engine(load_bundle(folder))


def test_a_frame_outside_its_tiles_is_marked_unseen(tiled: Engine) -> None:
    tall = body_frame(200, 60, 25)
    maps = segment(tiled, tall)
    assert (maps.class_map == len(tiled.bundle.classes)).any()
    assert maps.map_to_sensor[0] == pytest.approx(maps.map_to_sensor[4], rel=0.05)


def test_widths_of_tiles_and_networks_must_agree(tmp_path: Path) -> None:
    folder = write_network(tmp_path / "bundle", *SIZE, TILES)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["input"]["tiles"]["width"] = WIDTH + 1
    (folder / "manifest.json").write_text(json.dumps(manifest))
    write_sums(folder)
    with pytest.raises(BundleError, match=r"tensor image: expected shape \(1, 32, 49, 3\), got \(1, 32, 48, 3\)"):
        Engine(load_bundle(folder))
