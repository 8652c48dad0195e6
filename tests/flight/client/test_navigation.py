"""The navigation consumer: known discs and ellipses, symmetries, and what must never come out of a map."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flight.client import Refusal, landing_circles, navigation_fix
from flight.client.navigation import CORRELATION_LENGTH, LEAST_RELATIVE_ENTROPY, SHIFT_SHARE, ErrorTerms, error_terms
from flight.icd.products import Product
from tests.flight.client.products import (
    BACKGROUND,
    HAZARD,
    SAFE,
    TERMINATOR,
    UNCERTAIN,
    angle_between,
    angle_of_axes,
    circles_of,
    drawn_axis_deg,
    ellipse,
    fix_of,
    hazard,
    header,
    lit_sphere,
    navigation,
)


@given(
    st.floats(40, 88), st.floats(40, 88), st.floats(20, 38), st.floats(0.4, 0.95), st.floats(-85, 85), st.floats(0, 0.5)
)
@settings(max_examples=40)
def test_an_ellipse_is_measured(u: float, v: float, major: float, ratio: float, angle: float, entropy: float) -> None:
    class_map = ellipse(128, u, v, major, ratio * major, angle)
    fix = fix_of(navigation(class_map))
    assert math.hypot(fix.x - u, fix.y - v) < 0.3
    assert fix.area == pytest.approx(math.pi * major * ratio * major, rel=0.03)
    assert fix.diameter == pytest.approx(2 * major * math.sqrt(ratio), rel=0.02)
    assert fix.major_axis == pytest.approx(2 * major, rel=0.03)
    assert fix.minor_axis == pytest.approx(2 * ratio * major, rel=0.03)
    if ratio < 0.9:
        assert angle_of_axes(fix.major_angle_deg, drawn_axis_deg(class_map)) < 1e-6
    if ratio < 0.8:  # Pixels turn the axis of a rounder one by more: 3.4 degrees at 0.89.
        assert angle_of_axes(fix.major_angle_deg, angle) < 3
    assert fix.sun is None
    doubtful = fix_of(navigation(class_map, entropy))
    assert math.hypot(doubtful.x - fix.x, doubtful.y - fix.y) < 0.2
    assert doubtful.covariance_xx >= fix.covariance_xx


def test_a_certain_map_leaves_the_quantization() -> None:
    fix = fix_of(navigation(ellipse(64, 30, 33, 12, 12)))
    assert fix.covariance_xx == fix.covariance_yy == pytest.approx(1 / 12 / fix.body_pixels)
    assert fix.covariance_xy == 0


def test_doubt_on_one_limb_makes_the_error_long_across_it() -> None:
    rows, columns = np.indices((64, 64))
    entropy = np.where(columns > 40, 0.8 * math.log(4), 0.0) * (np.abs(np.hypot(columns - 32, rows - 32) - 15) < 2)
    fix = fix_of(navigation(ellipse(64, 32, 32, 15, 15), entropy))
    assert fix.covariance_xx > 2 * fix.covariance_yy
    assert fix.covariance_xx * fix.covariance_yy > fix.covariance_xy**2


@given(
    st.floats(0.2, 30), st.floats(-3, 3), st.floats(0.7, 1.4), st.floats(-1e4, 1e4), st.floats(-1e4, 1e4), st.booleans()
)
@settings(max_examples=40)
def test_the_affine_carries_the_fix(scale: float, turn: float, shear: float, c: float, f: float, flip: bool) -> None:
    """Positions through the affine, covariances and moments by its linear part, areas by its determinant."""
    class_map, night = lit_sphere(70, 20, 64, 20)
    entropy = np.where(night, 0.7, 0.1)
    linear = np.array(
        [[scale * math.cos(turn), -scale * math.sin(turn)], [scale * math.sin(turn), scale * math.cos(turn)]]
    )
    linear = linear @ np.array([[1.0, 0.2], [0.0, shear * (-1 if flip else 1)]])
    (a, b), (d, e) = linear
    plain = fix_of(navigation(class_map, entropy))
    carried = fix_of(navigation(class_map, entropy, map_to_sensor=[a, b, c, d, e, f]))
    assert carried.x == pytest.approx(a * plain.x + b * plain.y + c, rel=1e-9, abs=1e-6)
    assert carried.y == pytest.approx(d * plain.x + e * plain.y + f, rel=1e-9, abs=1e-6)
    before, after = (
        np.array([[n.covariance_xx, n.covariance_xy], [n.covariance_xy, n.covariance_yy]]) for n in (plain, carried)
    )
    assert np.allclose(after, linear @ before @ linear.T, rtol=1e-9, atol=1e-12 * scale**2)
    assert carried.area == pytest.approx(plain.area * abs(np.linalg.det(linear)), rel=1e-9)
    assert carried.sun is not None
    assert plain.sun is not None
    sun = linear @ [plain.sun.x, plain.sun.y]
    assert np.allclose([carried.sun.x, carried.sun.y], sun / np.linalg.norm(sun), atol=1e-9)


@given(st.integers(0, 2**32 - 1), st.integers(1, 3), st.booleans())
@settings(max_examples=30)
def test_turning_and_mirroring_the_map_turns_the_fix(seed: int, quarters: int, mirror: bool) -> None:
    generator = np.random.default_rng(seed)
    class_map = ellipse(48, *generator.uniform(18, 30, 2), 14, 9, generator.uniform(0, 180))
    class_map[(class_map == SAFE) & (generator.random(class_map.shape) < 0.2)] = TERMINATOR
    entropy = generator.random(class_map.shape)

    def moved(plane: np.ndarray) -> np.ndarray:
        plane = np.rot90(plane, quarters)
        return plane[:, ::-1] if mirror else plane

    def carried(x: float, y: float) -> tuple[float, float]:
        for _ in range(quarters):
            x, y = y, -x
        return (-x, y) if mirror else (x, y)

    before, after = fix_of(navigation(class_map, entropy)), fix_of(navigation(moved(class_map), moved(entropy)))
    middle = 23.5
    x, y = carried(before.x - middle, before.y - middle)
    assert (after.x - middle, after.y - middle) == pytest.approx((x, y), abs=1e-9)
    swapped = (
        (before.covariance_yy, before.covariance_xx) if quarters % 2 else (before.covariance_xx, before.covariance_yy)
    )
    assert (after.covariance_xx, after.covariance_yy) == pytest.approx(swapped)
    assert (after.area, after.major_axis, after.minor_axis) == pytest.approx(
        (before.area, before.major_axis, before.minor_axis)
    )
    assert before.sun is not None
    assert after.sun is not None
    assert (after.sun.source, after.sun.sign_known) == (before.sun.source, before.sun.sign_known)
    if after.sun.sign_known:
        assert (after.sun.x, after.sun.y) == pytest.approx(carried(before.sun.x, before.sun.y), abs=1e-6)


def test_doubt_about_one_side_makes_the_error_long_where_the_side_would_move_the_centroid() -> None:
    class_map, night = lit_sphere(80, 90)
    product = navigation(class_map, np.where(night, 0.8 * math.log(4), 0.0))
    fix, terms = fix_of(product), error_terms(product)
    assert isinstance(terms, ErrorTerms)
    body = class_map != BACKGROUND
    rows = np.indices(body.shape)[0][body]
    shift = np.average(rows) - np.average(rows, weights=np.where(night, 0.2, 1.0)[body])
    assert abs(terms.certainty_shift[1]) == pytest.approx(abs(shift), rel=0.01)
    assert fix.covariance_yy > SHIFT_SHARE * shift**2
    assert fix.covariance_xx < 0.1 * fix.covariance_yy


def test_more_doubt_all_over_makes_pixels_err_together_over_more_of_the_limb() -> None:
    class_map = ellipse(64, 32, 32, 15, 15)
    little, much = (fix_of(navigation(class_map, doubt * math.log(4))) for doubt in (0.1, 0.3))
    # p (1 - p) alone grows from 0.0475 to 0.1275 with p = 1 - h / 2, the length's square ninefold.
    assert much.covariance_xx / little.covariance_xx == pytest.approx(9 * 0.1275 / 0.0475, rel=0.2)


def test_a_body_without_doubt_under_a_doubtful_sky_still_errs() -> None:
    class_map = ellipse(64, 32, 32, 15, 15)
    entropy = np.where(class_map == BACKGROUND, 0.2 * math.log(4), 0.0)
    product = navigation(class_map, entropy)
    fix, terms = fix_of(product), error_terms(product)
    assert isinstance(terms, ErrorTerms)
    assert terms.mean_relative_entropy == 0
    length = CORRELATION_LENGTH * LEAST_RELATIVE_ENTROPY
    assert fix.covariance_xx == pytest.approx(length**2 * terms.limb.xx + terms.quantization)
    assert fix.covariance_xx > 10 * terms.quantization


def test_a_body_without_a_certain_pixel_is_refused() -> None:
    answer = navigation_fix(navigation(ellipse(32, 16, 16, 8, 8), 2.0))
    assert isinstance(answer, Refusal)
    assert answer.reason == "no_certainty"


def test_only_the_largest_component_counts() -> None:
    class_map = ellipse(96, 30, 40, 12, 12)
    alone = fix_of(navigation(class_map))
    class_map[70:90, 70:90] = HAZARD  # 400 pixels against 441
    assert fix_of(navigation(class_map)) == alone
    class_map[68:92, 68:92] = HAZARD
    fix = fix_of(navigation(class_map))
    assert (fix.x, fix.y, fix.body_pixels) == (79.5, 79.5, 24 * 24)


@given(st.permutations(range(4)))
def test_of_equal_components_the_first_in_raster_order_counts(corners: list[int]) -> None:
    class_map = np.full((20, 20), BACKGROUND)
    chosen = sorted(corners[:3])
    for corner in chosen:
        v, u = 12 * (corner // 2) + 2, 12 * (corner % 2) + 2
        class_map[v : v + 3, u : u + 3] = SAFE
    fix = fix_of(navigation(class_map))
    assert (fix.x, fix.y) == (12 * (chosen[0] % 2) + 3, 12 * (chosen[0] // 2) + 3)


def test_what_was_not_seen_belongs_to_nothing_and_its_edge_is_the_maps_edge() -> None:
    """A body that goes on where the frame ends, in the middle of the map."""
    body = ellipse(64, 32, 32, 14, 14)
    doubt = np.full(body.shape, 0.2)
    cut = body.copy()
    cut[:, 40:] = UNCERTAIN  # K: outside of the camera's frame
    doubt[:, 40:] = math.log(4)
    fix = fix_of(navigation(cut, doubt))
    # As if the map ended there.
    alone = fix_of(navigation(body[:, :40], doubt[:, :40]))
    assert fix == alone
    assert fix.edge_pixels == (body[:, 39] == SAFE).sum() > 0
    assert fix_of(navigation(body, 0.2)).edge_pixels == 0
    # The corner of a pixel is enough.
    corner = np.full((9, 9), BACKGROUND)
    corner[4, 4] = SAFE
    corner[3, 3] = UNCERTAIN
    assert fix_of(navigation(corner)).edge_pixels == 1


def test_a_map_of_nothing_seen_has_no_body() -> None:
    answer = navigation_fix(navigation(np.full((16, 16), UNCERTAIN), math.log(4)))
    assert isinstance(answer, Refusal)
    assert answer.reason == "no_body"


def test_touching_corners_make_one_body() -> None:
    class_map = np.where(np.eye(16, dtype=bool), SAFE, BACKGROUND)
    fix = fix_of(navigation(class_map))
    assert (fix.body_pixels, fix.edge_pixels, fix.x) == (16, 2, 7.5)


def test_doubtful_sky_counts_near_the_body_only() -> None:
    class_map = np.full((40, 40), BACKGROUND)
    class_map[18:22, 18:22] = SAFE
    entropy = np.zeros((40, 40))
    entropy[20, 24] = math.log(4)  # 3 px off
    near = fix_of(navigation(class_map, entropy))
    assert near.x == pytest.approx((16 * 19.5 + 0.5 * 24) / 16.5, rel=1e-3)
    entropy[20, 24], entropy[20, 25] = 0, math.log(4)  # 4 px off
    assert fix_of(navigation(class_map, entropy)).x == 19.5


def test_a_body_that_fills_the_map_says_so() -> None:
    assert fix_of(navigation(np.full((10, 12), SAFE))).edge_pixels == 2 * 10 + 2 * 12 - 4
    assert fix_of(navigation(np.full((1, 5), SAFE))).edge_pixels == 5
    assert fix_of(navigation(ellipse(64, 32, 32, 10, 10))).edge_pixels == 0


@given(st.floats(35, 60), st.floats(-180, 180))
@settings(max_examples=30)
def test_the_terminator_of_a_sphere_tells_the_sun(phase: float, sun: float) -> None:
    fix = fix_of(navigation(lit_sphere(phase, sun)[0]))
    assert fix.sun is not None
    assert fix.sun.source == "terminator"
    assert fix.sun.sign_known
    assert angle_between(fix.sun.angle_deg, sun) < 4
    assert math.hypot(fix.sun.x, fix.sun.y) == pytest.approx(1)


@given(st.floats(35, 89), st.floats(-180, 180))
@settings(max_examples=30)
def test_doubt_about_the_night_side_tells_the_sun_up_to_the_quarter(phase: float, sun: float) -> None:
    class_map, night = lit_sphere(phase, sun)
    fix = fix_of(navigation(class_map, np.where(night, 0.9, 0.1)))
    assert fix.sun is not None
    assert fix.sun.source == "entropy"
    assert angle_between(fix.sun.angle_deg, sun) < 4


def test_a_terminator_through_the_middle_leaves_the_sign_open() -> None:
    fix = fix_of(navigation(lit_sphere(89, 30)[0]))
    assert fix.sun is not None
    assert not fix.sun.sign_known
    assert min(angle_between(fix.sun.angle_deg, 30), angle_between(fix.sun.angle_deg, 210)) < 4


def test_without_a_terminator_there_is_no_sun() -> None:
    class_map = ellipse(64, 32, 32, 15, 15)
    class_map[30, 25:36] = TERMINATOR
    fix = fix_of(navigation(class_map))
    assert (fix.terminator_pixels, fix.sun) == (11, None)
    class_map[30, 36] = TERMINATOR
    assert fix_of(navigation(class_map)).sun is not None


@pytest.mark.parametrize("flag", ["body_not_found", "dark", "empty_sky"])
def test_a_map_that_is_not_to_be_used_is_refused(flag: str) -> None:
    class_map = ellipse(32, 16, 16, 8, 8)
    for answer in (
        navigation_fix(navigation(class_map, flags=["deadline", flag])),
        landing_circles(hazard(class_map, flags=["deadline", flag]), 0.0, 1),
    ):
        assert answer == Refusal(flag)
        assert flag in answer.text


def test_an_invalid_product_gives_nothing() -> None:
    for topic, ask in (("map.navigation", navigation_fix), ("map.hazard", lambda p: landing_circles(p, 1.0, 1))):
        answer = ask(Product(header(topic, status="invalid", flags=["worker_failed"]), {}))
        assert isinstance(answer, Refusal)
        assert answer.reason == "invalid_product"
        assert "invalid" in answer.text


def test_no_body_and_no_way_to_the_sensor_are_refused() -> None:
    answer = navigation_fix(navigation(np.full((8, 8), BACKGROUND)))
    assert isinstance(answer, Refusal)
    assert answer.reason == "no_body"
    flat = [1.0, 2.0, 0.0, 2.0, 4.0, 0.0]
    for refused in (
        navigation_fix(navigation(np.full((8, 8), SAFE), map_to_sensor=flat)),
        landing_circles(hazard(np.full((8, 8), SAFE), map_to_sensor=flat), 0.0, 1),
    ):
        assert isinstance(refused, Refusal)
        assert refused.reason == "degenerate_affine"


def test_other_flags_are_handed_on() -> None:
    class_map, flags = ellipse(32, 16, 16, 8, 8), ["of a later version", "several_bodies", "high_entropy", "body_cut"]
    fix = fix_of(navigation(class_map, flags=flags))
    assert fix.warnings == ("body_cut", "several_bodies", "high_entropy", "unknown_flag")
    answer = landing_circles(hazard(class_map, flags=flags), 0.0, 1)
    assert answer == Refusal("high_entropy")  # trust no class
    assert circles_of(hazard(class_map, flags=["body_cut"])).warnings == ("body_cut",)


def test_a_product_of_another_topic_is_a_mistake() -> None:
    class_map = ellipse(32, 16, 16, 8, 8)
    with pytest.raises(ValueError, match=r"expected topic map\.navigation, got map\.hazard"):
        navigation_fix(hazard(class_map))
    with pytest.raises(ValueError, match=r"expected topic map\.hazard, got map\.navigation"):
        landing_circles(navigation(class_map), 1.0, 1)
