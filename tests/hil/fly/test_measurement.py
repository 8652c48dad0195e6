"""Measurements: where the body is by its map and by brightness, and no measurement where docs/gnc.md forbids one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from flight.icd.products import Product, decode_product
from hil.fly.measurement import NOISES, Sighting, noise_of, sight_by_brightness, sight_in_map
from tests.golden.vectors import product

CLASSES = [
    {"index": index, "name": name, "role": role}
    for index, (name, role) in enumerate(
        (("sky", "background"), ("ground", "safe"), ("rock", "hazard"), ("dusk", "terminator"))
    )
]
SIDE = 64
ROWS, COLUMNS = np.mgrid[:SIDE, :SIDE]


def disc(x: float, y: float, radius: float) -> np.ndarray:
    return np.hypot(COLUMNS - x, ROWS - y) <= radius


def make_product(body: np.ndarray, entropy: np.ndarray, **header: Any) -> Product:
    affine = [2.0, 0.0, 10.0, 0.0, 2.0, 20.0]
    fields = {"classes": CLASSES, "flags": [], "status": "valid", "map_to_sensor": affine, **header}
    made = decode_product(product("map.navigation", **fields))
    made.planes.clear()
    made.planes.update({"class_map": body.astype(np.uint8), "predictive_entropy": entropy.astype(np.float16)})
    return made


def test_both_kinds_find_a_body_that_is_certain() -> None:
    shown = make_product(disc(30, 25, 12), np.zeros((SIDE, SIDE)))
    for kind in ("class_map", "weighted"):
        sighting = sight_in_map(shown, kind)
        assert isinstance(sighting, Sighting)
        assert (sighting.x, sighting.y) == pytest.approx((2 * 30 + 10, 2 * 25 + 20), abs=0.05)
        assert sighting.diameter_px == pytest.approx(2 * 24, rel=0.05)


def test_doubt_moves_the_weighted_one_alone() -> None:
    entropy = np.where(COLUMNS > 30, 1.2, 0.0)
    shown = make_product(disc(30, 25, 12), entropy)
    plain, weighted = sight_in_map(shown, "class_map"), sight_in_map(shown, "weighted")
    assert isinstance(plain, Sighting)
    assert isinstance(weighted, Sighting)
    assert plain.x == pytest.approx(70.0, abs=0.05)
    assert abs(weighted.x - plain.x) > 0.5  # towards the limb in doubt, beyond which there may be more of it
    assert weighted.covariance[0, 0] > 4.0 * sight_covariance(disc(30, 25, 12))


def sight_covariance(body: np.ndarray) -> float:
    certain = sight_in_map(make_product(body, np.zeros((SIDE, SIDE))), "weighted")
    assert isinstance(certain, Sighting)
    return float(certain.covariance[0, 0])


def test_a_body_that_is_cut_is_a_rough_direction_without_a_size() -> None:
    cut = sight_in_map(make_product(disc(4, 25, 12), np.zeros((SIDE, SIDE))), "weighted")
    assert isinstance(cut, Sighting)
    assert cut.diameter_px is None
    assert np.sqrt(cut.covariance[0, 0]) > 8.0


@pytest.mark.parametrize("flag", ["body_not_found", "dark", "empty_sky", "not_a_body"])
def test_a_map_that_must_not_be_used_is_no_measurement(flag: str) -> None:
    refused = make_product(disc(30, 25, 12), np.zeros((SIDE, SIDE)), flags=[flag], status="degraded")
    for kind in ("class_map", "weighted"):
        assert sight_in_map(refused, kind) == flag


def test_a_map_without_a_body_is_no_measurement() -> None:
    assert sight_in_map(make_product(np.zeros((SIDE, SIDE)), np.zeros((SIDE, SIDE))), "class_map") == "no_body"


@pytest.mark.parametrize("bit_depth", [8, 12])
def test_brightness_finds_bright_pixels_and_no_body_in_noise(bit_depth: int) -> None:
    generator = np.random.default_rng(1)
    scale = 1 << (bit_depth - 8)
    noise = generator.integers(0, 4, (SIDE, SIDE))
    kind = np.uint8 if bit_depth == 8 else np.uint16
    bright = sight_by_brightness((scale * (noise + 150 * disc(40, 20, 9))).astype(kind), bit_depth)
    assert isinstance(bright, Sighting)
    assert (bright.x, bright.y) == pytest.approx((40, 20), abs=0.1)
    assert bright.diameter_px == pytest.approx(18.0, rel=0.06)
    assert sight_by_brightness((scale * noise).astype(kind), bit_depth) == "no_body"


def test_maps_of_long_bodies_are_trusted_less() -> None:
    for kind in ("class_map", "weighted"):
        round_body, long_body = noise_of(kind, 1.0), noise_of(kind, 2.0)
        assert round_body == NOISES[kind]
        assert long_body.offset > round_body.offset
        assert long_body.offset_unlit > round_body.offset_unlit
        assert long_body.scale == pytest.approx(round_body.scale + 0.2)
        assert (long_body.center, long_body.size) == (round_body.center, round_body.size)
    assert noise_of("brightness", 2.0) == NOISES["brightness"]
