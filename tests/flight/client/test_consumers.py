"""The consumers: known discs and ellipses, symmetries, and what must never come out of a map."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flight.bundle import ClassDefinition
from flight.client import LandingCircles, NavigationFix, Refusal, landing_circles, navigation_fix
from flight.client.navigation import CORRELATION_LENGTH, LEAST_DOUBT, SHIFT_SHARE, ErrorTerms, error_terms
from flight.icd.catalogue import TOPIC_PLANES
from flight.icd.products import Product
from flight.inference.hazard import clearance
from tests.golden.vectors import product_header

# Not in the usual order: what a class means is its role.
ROLES = ("terminator", "safe", "background", "hazard")
TERMINATOR, SAFE, BACKGROUND, HAZARD = range(4)
UNCERTAIN = len(ROLES)
CLASSES = tuple(ClassDefinition(index, role, (0, 0, 0), role) for index, role in enumerate(ROLES))
IDENTITY = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


def header(topic: str, **changes: Any) -> dict[str, Any]:
    classes = [{"index": index, "name": role, "role": role} for index, role in enumerate(ROLES)]
    common = {"topic": topic, "classes": classes, "flags": [], "status": "valid", "map_to_sensor": list(IDENTITY)}
    return {**product_header(), **common, **changes}


def navigation(class_map: np.ndarray, entropy: Any = 0.0, **changes: Any) -> Product:
    class_map = class_map.astype(np.uint8)
    planes: dict[str, Any] = {
        "class_map": class_map,
        "enhanced_class_map": class_map,
        "predictive_entropy": np.broadcast_to(np.asarray(entropy, np.float16), class_map.shape),
    }
    return Product(header("map.navigation", **changes), planes)


def hazard(enhanced: np.ndarray, probability: Any = 0.0, room: Any = None, **changes: Any) -> Product:
    enhanced = enhanced.astype(np.uint8)
    planes: dict[str, Any] = {
        "hazard_probability": np.broadcast_to(np.asarray(probability, np.float16), enhanced.shape),
        "predictive_entropy": np.zeros(enhanced.shape, np.float16),
        "enhanced_class_map": enhanced,
        "clearance": (clearance(enhanced, CLASSES) if room is None else np.asarray(room)).astype(np.float16),
    }
    assert list(planes) == [plane.name for plane in TOPIC_PLANES["map.hazard"]]
    return Product(header("map.hazard", **changes), planes)


def fix_of(product: Product) -> NavigationFix:
    fix = navigation_fix(product)
    assert isinstance(fix, NavigationFix), fix
    return fix


def circles_of(product: Product, minimum_radius_px: float = 0.0, count: int = 16) -> LandingCircles:
    found = landing_circles(product, minimum_radius_px, count)
    assert isinstance(found, LandingCircles), found
    return found


def ellipse(side: int, u: float, v: float, major: float, minor: float, angle_deg: float = 0.0) -> np.ndarray:
    """Class map of an ellipse with these semi-axes."""
    rows, columns = np.indices((side, side), dtype=np.float64)
    angle = math.radians(angle_deg)
    along = (columns - u) * math.cos(angle) + (rows - v) * math.sin(angle)
    across = (rows - v) * math.cos(angle) - (columns - u) * math.sin(angle)
    return np.where((along / major) ** 2 + (across / minor) ** 2 <= 1.0, SAFE, BACKGROUND)


def lit_sphere(
    phase_deg: float, sun_deg: float, side: int = 128, radius: float = 45.0
) -> tuple[np.ndarray, np.ndarray]:
    """Class map of a sphere whose terminator is drawn 4 px wide, and its night side.

    sun_deg: the sun's direction in the image, from x towards y.
    """
    rows, columns = np.indices((side, side), dtype=np.float64)
    u, v = (columns - (side - 1) / 2) / radius, (rows - (side - 1) / 2) / radius
    body = u * u + v * v <= 1.0
    depth = np.sqrt(np.maximum(1.0 - u * u - v * v, 0.0))
    sun, phase = math.radians(sun_deg), math.radians(phase_deg)
    light = math.sin(phase) * (u * math.cos(sun) + v * math.sin(sun)) + math.cos(phase) * depth
    inside = u * u + v * v <= (1.0 - 3.0 / radius) ** 2
    class_map = np.where(body, SAFE, BACKGROUND)
    class_map[inside & (np.abs(light) < 2.0 / radius)] = TERMINATOR
    return class_map, body & (light < 0.0)


def angle_between(first_deg: float, second_deg: float) -> float:
    return abs((first_deg - second_deg + 180.0) % 360.0 - 180.0)


def angle_of_axes(first_deg: float, second_deg: float) -> float:
    """Between axes, which have no direction: at most 90."""
    return min(angle_between(first_deg, second_deg), angle_between(first_deg + 180, second_deg))


def drawn_axis_deg(class_map: np.ndarray) -> float:
    """The major axis of the body's pixels, from x towards y."""
    rows, columns = np.nonzero(class_map != BACKGROUND)
    _, axes = np.linalg.eigh(np.cov([columns, rows]))
    return math.degrees(math.atan2(axes[1, -1], axes[0, -1]))


# --- navigation ---


@given(
    st.floats(40, 88), st.floats(40, 88), st.floats(20, 38), st.floats(0.4, 0.95), st.floats(-85, 85), st.floats(0, 0.5)
)
@settings(max_examples=40, deadline=None)
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
@settings(max_examples=40, deadline=None)
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
@settings(max_examples=30, deadline=None)
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
    assert abs(terms.shift[1]) == pytest.approx(abs(shift), rel=0.01)
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
    assert terms.doubt == 0
    length = CORRELATION_LENGTH * LEAST_DOUBT
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
@settings(max_examples=30, deadline=None)
def test_the_terminator_of_a_sphere_tells_the_sun(phase: float, sun: float) -> None:
    fix = fix_of(navigation(lit_sphere(phase, sun)[0]))
    assert fix.sun is not None
    assert fix.sun.source == "terminator"
    assert fix.sun.sign_known
    assert angle_between(fix.sun.angle_deg, sun) < 4
    assert math.hypot(fix.sun.x, fix.sun.y) == pytest.approx(1)


@given(st.floats(35, 89), st.floats(-180, 180))
@settings(max_examples=30, deadline=None)
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


# --- landing circles ---


@given(st.integers(0, 2**32 - 1), st.floats(0, 8), st.integers(1, 16))
@settings(max_examples=60, deadline=None)
def test_circles_keep_their_promises(seed: int, minimum: float, count: int) -> None:
    generator = np.random.default_rng(seed)
    height, width = (int(side) for side in generator.integers(4, 80, 2))
    enhanced = np.full((height, width), SAFE)
    for share, label in ((0.01, HAZARD), (0.005, UNCERTAIN), (0.005, TERMINATOR), (0.01, BACKGROUND)):
        enhanced[generator.random(enhanced.shape) < share * generator.choice([0, 1, 3])] = label
    probability = np.round(generator.random(enhanced.shape), 1).astype(np.float16)
    scale = float(generator.uniform(0.3, 9))
    affine = [scale, 0.0, 100.0, 0.0, scale, -7.0]
    found = circles_of(hazard(enhanced, probability, map_to_sensor=affine), minimum, count)
    assert found.complete
    assert found.dropped == 0  # an honest clearance is never found wanting
    circles = found.circles
    assert len(circles) <= count
    assert [circle.radius for circle in circles] == sorted((circle.radius for circle in circles), reverse=True)
    rows, columns = np.indices(enhanced.shape)
    for number, circle in enumerate(circles):
        assert circle.radius >= minimum
        assert (circle.x, circle.y) == pytest.approx((scale * circle.column + 100, scale * circle.row - 7))
        # No corner of an unsafe pixel, nor the map's border, lies inside.
        across = np.maximum(np.abs(columns - circle.column) - 0.5, 0)
        down = np.maximum(np.abs(rows - circle.row) - 0.5, 0)
        touched = np.hypot(across, down) * scale < circle.radius - 1e-9
        assert (enhanced[touched] == SAFE).all()
        reach = circle.radius / scale - 0.5 - 1e-9
        assert reach <= circle.column <= width - 1 - reach
        assert reach <= circle.row <= height - 1 - reach
        assert circle.worst_probability == probability[touched].max()
        assert circle.mean_probability == pytest.approx(probability[touched].astype(np.float64).mean())
        v, u = np.argwhere(touched & (probability == circle.worst_probability))[0]
        assert (circle.worst_x, circle.worst_y) == pytest.approx((scale * u + 100, scale * v - 7))
        for other in circles[:number]:
            assert math.hypot(circle.x - other.x, circle.y - other.y) >= (circle.radius + other.radius) * (1 - 1e-12)
    # Asking for fewer gives the first of them.
    fewer = circles_of(hazard(enhanced, probability, map_to_sensor=affine), minimum, 1).circles
    assert fewer == circles[:1]
    if len(circles) < count:
        radii = clearance(enhanced.astype(np.uint8), CLASSES) - math.sqrt(0.5) - 0.1
        border = np.minimum(np.minimum(columns, width - 1 - columns), np.minimum(rows, height - 1 - rows)) + 0.5
        radii = np.minimum(radii, border)
        for circle in circles:
            radii[np.hypot(columns - circle.column, rows - circle.row) < radii + circle.radius / scale + 0.2] = 0
        assert not ((radii > 0) & (radii * scale >= minimum)).any()


def test_the_largest_circle_of_a_map_without_hazards_fills_it() -> None:
    circle, *others = circles_of(hazard(np.full((31, 31), SAFE)), 5.0).circles
    assert (circle.column, circle.row, circle.radius) == (15, 15, 15.5)
    assert not others


def test_of_equal_circles_the_safer_one_comes_first() -> None:
    probability = np.full((21, 61), 0.1)
    probability[10, 5], probability[10, 27], probability[10, 45] = 0.4, 0.3, 0.35
    circles = circles_of(hazard(np.full((21, 61), SAFE), probability), 10.0).circles
    # Columns 10 to 50 have room for the same radius. Only the circle about 16 touches none of the three pixels; of
    # those that leave it alone, all touch 0.35 at most, and 37 comes first.
    assert [(circle.column, circle.radius) for circle in circles] == [(16, 10.5), (37, 10.5)]
    assert circles[0].worst_probability == pytest.approx(0.1, abs=1e-3)
    assert circles[1].worst_probability == pytest.approx(0.35, abs=1e-3)


def test_clearance_alone_is_not_trusted() -> None:
    enhanced = np.full((32, 32), SAFE)
    enhanced[::4, ::4] = UNCERTAIN
    found = circles_of(hazard(enhanced, room=np.full((32, 32), 20.0)), 12.0)
    assert not found.circles
    assert found.dropped > 0
    assert found.complete


def test_a_damaged_plane_of_clearances_costs_no_more_than_a_bound() -> None:
    enhanced = np.full((128, 128), HAZARD)
    found = circles_of(hazard(enhanced, room=np.full((128, 128), 200.0)))
    assert (found.circles, found.complete) == ((), False)
    # Each costs more than a thousand looks, of 256 for every pixel.
    assert 100 < found.dropped < 256 * 128 * 128 / 1024


@pytest.mark.parametrize(("shape", "count"), [((3, 79), 16), ((62, 3), 16), ((5, 12), 2), ((1, 1), 1)])
def test_ties_in_a_small_map_do_not_end_the_search(shape: tuple[int, int], count: int) -> None:
    # Along the middle of a map without hazards the same room is everywhere; the circles stand side by side.
    found = circles_of(hazard(np.full(shape, SAFE)), min(shape) / 2, 16)
    assert found.complete
    assert [circle.radius for circle in found.circles] == [min(shape) / 2] * count


def test_what_is_no_number_is_the_worst() -> None:
    probability = np.full((21, 21), 0.25)
    probability[10, 12] = np.nan
    (circle,) = circles_of(hazard(np.full((21, 21), SAFE), probability), 10.0).circles
    assert (circle.worst_probability, circle.worst_x, circle.worst_y) == (1.0, 12.0, 10.0)
    room = np.full((21, 21), 30.0)
    room[10, 10] = np.nan
    assert not circles_of(hazard(np.full((21, 21), SAFE), room=room), 10.0).circles


def test_a_circle_is_measured_where_the_affine_stretches_least() -> None:
    (circle,) = circles_of(hazard(np.full((21, 21), SAFE), map_to_sensor=[2.0, 0.0, 0.0, 0.0, 3.0, 0.0]), 10.0).circles
    assert circle.radius == pytest.approx(2 * 10.5)


@pytest.mark.parametrize("radius", [-1.0, math.nan, math.inf])
def test_radius_out_of_range(radius: float) -> None:
    with pytest.raises(ValueError, match="minimum_radius_px"):
        landing_circles(hazard(np.full((8, 8), SAFE)), radius, 1)


@pytest.mark.parametrize("count", [0, 17])
def test_count_out_of_range(count: int) -> None:
    with pytest.raises(ValueError, match=r"count: expected 1\.\.16"):
        landing_circles(hazard(np.full((8, 8), SAFE)), 1.0, count)


def test_answers_are_plain_values() -> None:
    fix = asdict(fix_of(navigation(lit_sphere(50, 0)[0])))
    assert all(isinstance(value, (float, int, str, tuple, dict)) for value in fix.values())
    assert {type(value) for value in fix["sun"].values()} == {float, str, bool}
