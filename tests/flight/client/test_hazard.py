"""The landing circles: what they promise, and what must never come out of a map."""

from __future__ import annotations

import math
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flight.client import landing_circles
from flight.client.hazard import MOST_ENTROPY, MOST_HAZARD_PROBABILITY
from flight.inference.hazard import clearance, safe_pixels
from flight.settings import PARAMETER_SCHEMAS, LandingLimits
from tests.flight.client.products import (
    BACKGROUND,
    CLASSES,
    HAZARD,
    NO_LIMITS,
    SAFE,
    TERMINATOR,
    UNCERTAIN,
    circles_of,
    fix_of,
    hazard,
    lit_sphere,
    navigation,
)


@given(st.integers(0, 2**32 - 1), st.floats(0, 8), st.integers(1, 16))
@settings(max_examples=60)
def test_circles_keep_their_promises(seed: int, minimum: float, count: int) -> None:
    generator = np.random.default_rng(seed)
    height, width = (int(side) for side in generator.integers(4, 80, 2))
    enhanced = np.full((height, width), SAFE)
    for share, label in ((0.01, HAZARD), (0.005, UNCERTAIN), (0.005, TERMINATOR), (0.01, BACKGROUND)):
        enhanced[generator.random(enhanced.shape) < share * generator.choice([0, 1, 3])] = label
    probability = np.round(generator.random(enhanced.shape), 1).astype(np.float16)
    entropy = (generator.random(enhanced.shape) * math.log(len(CLASSES))).astype(np.float16)
    limits = LandingLimits(
        most_hazard_probability=float(generator.choice([0.9, 0.95, 1.0])),
        most_entropy=float(generator.choice([0.95, 0.99, 1.0])),
    )
    scale = float(generator.uniform(0.3, 9))
    affine = [scale, 0.0, 100.0, 0.0, scale, -7.0]
    product = hazard(enhanced, probability, entropy=entropy, limits=limits, map_to_sensor=affine)
    found = circles_of(product, minimum, count, limits)
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
        assert (probability[touched] <= limits.most_hazard_probability).all()
        assert (entropy[touched] / math.log(len(CLASSES)) <= limits.most_entropy).all()
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
    fewer = circles_of(product, minimum, 1, limits).circles
    assert fewer == circles[:1]
    if len(circles) < count:
        safe = safe_pixels(enhanced.astype(np.uint8), probability, entropy, CLASSES, limits)
        radii = clearance(safe) - math.sqrt(0.5) - 0.1
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
    probability[10, 5], probability[10, 27], probability[10, 45] = 0.3, 0.2, 0.25
    circles = circles_of(hazard(np.full((21, 61), SAFE), probability), 10.0).circles
    # Columns 10 to 50 have room for the same radius. Only the circle about 16 touches none of the three pixels; of
    # those that leave it alone, all touch 0.25 at most, and 37 comes first.
    assert [(circle.column, circle.radius) for circle in circles] == [(16, 10.5), (37, 10.5)]
    assert circles[0].worst_probability == pytest.approx(0.1, abs=1e-3)
    assert circles[1].worst_probability == pytest.approx(0.25, abs=1e-3)


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
    (circle,) = circles_of(hazard(np.full((21, 21), SAFE), probability, 30.0), 10.0, limits=NO_LIMITS).circles
    assert (circle.worst_probability, circle.worst_x, circle.worst_y) == (1.0, 12.0, 10.0)
    room = np.full((21, 21), 30.0)
    room[10, 10] = np.nan
    assert not circles_of(hazard(np.full((21, 21), SAFE), room=room), 10.0).circles


def test_a_circle_is_measured_where_the_affine_stretches_least() -> None:
    (circle,) = circles_of(hazard(np.full((21, 21), SAFE), map_to_sensor=[2.0, 0.0, 0.0, 0.0, 3.0, 0.0]), 10.0).circles
    assert circle.radius == pytest.approx(2 * 10.5)


@pytest.mark.parametrize("relative", [False, True], ids=["probability", "entropy"])
def test_no_circle_touches_a_pixel_beyond_the_limits_whatever_its_class_and_clearance(relative: bool) -> None:
    size = 41
    most = MOST_ENTROPY * math.log(len(CLASSES)) if relative else MOST_HAZARD_PROBABILITY
    place = {"entropy" if relative else "probability": np.full((size, size), 0.9 * most)}
    (values,) = place.values()
    safe = np.full((size, size), SAFE)
    promised = np.full((size, size), 20.0)
    before = circles_of(hazard(safe, room=promised, **place), 15.0)
    assert (len(before.circles), before.dropped) == (1, 0)
    values[20, 8] = 1.02 * most  # left of the middle, on the rim of what was offered
    after = circles_of(hazard(safe, room=promised, **place), 15.0)
    assert after.dropped > 0
    assert all(math.hypot(c.column - 8, c.row - 20) >= c.radius for c in after.circles)
    # A service with the same limits does not offer it in the first place.
    limits = LandingLimits(most_hazard_probability=MOST_HAZARD_PROBABILITY, most_entropy=MOST_ENTROPY)
    found = circles_of(hazard(safe, limits=limits, **place), 10.0)
    assert found.dropped == 0
    assert found.circles
    # A map that is no surer anywhere than at that pixel has no circle at all.
    values[:] = 1.02 * most
    assert not circles_of(hazard(safe, room=promised, **place)).circles


def test_consumer_and_service_have_the_same_limits_by_default() -> None:
    assert PARAMETER_SCHEMAS["most_hazard_probability"]["default"] == MOST_HAZARD_PROBABILITY
    assert PARAMETER_SCHEMAS["most_entropy"]["default"] == MOST_ENTROPY


@pytest.mark.parametrize("limit", [-0.1, 1.1, math.nan])
@pytest.mark.parametrize("name", ["most_hazard_probability", "most_entropy"])
def test_limit_out_of_range(name: str, limit: float) -> None:
    with pytest.raises(ValueError, match=rf"{name}: expected 0\.\.1"):
        landing_circles(hazard(np.full((8, 8), SAFE)), 1.0, 1, **{name: limit})


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
