"""Uncertain pixels by the risk that a bundle promises: which they are, and which promise counts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flight.bundle import Bundle, load_bundle
from flight.inference.engine import Engine, Maps
from flight.inference.enhanced_map import enhance_class_map
from flight.inference.hazard import find_dark
from flight.inference.planes import topic_planes
from flight.risk_thresholds import RiskThreshold, choose_threshold, default_risk
from flight.settings import check_risk, default_settings, risk_in_force
from tests.tiny_bundle import body_frame

TABLE = (RiskThreshold(0.01, 0.6, 0.3), RiskThreshold(0.03, 0.9, 0.5), RiskThreshold(0.1, 1.2, 0.8))
FRAME = body_frame(32, 48, 14)


def promising(path: Path, **tables: tuple[RiskThreshold, ...]) -> Bundle:
    """A bundle that promises in the modes given, and in no others."""
    bundle = load_bundle(path)
    return replace(bundle, risk_thresholds={mode: tables.get(mode, ()) for mode in bundle.modes})


def segment(bundle: Bundle, **changes: Any) -> Maps:
    settings = replace(default_settings(bundle), **changes)
    return Engine(bundle).segment(FRAME, bit_depth=8, centered=True, seed=1, settings=settings)


@pytest.mark.parametrize("engine", ["auto", "passes"])
@pytest.mark.parametrize(("risk", "threshold"), [(0.01, 0.6), (0.02, 0.6), (0.03, 0.9), (0.5, 1.2), (0.001, 0.6)])
def test_marked_is_what_lies_above_the_threshold_and_all_but_sky_in_the_dark(
    closed_form_bundle: Path, engine: str, risk: float, threshold: float
) -> None:
    bundle = promising(closed_form_bundle, Fused=TABLE)
    maps = segment(bundle, engine=engine, risk=risk)
    assert maps.engine == ("closed_form" if engine == "auto" else "passes")
    dark = find_dark(FRAME.astype(np.float32) / np.float32(255.0))
    assert 0 < dark.sum() < dark.size
    marked = (maps.predictive_entropy > np.float32(threshold)) | (dark & (maps.class_map != 0))
    assert np.array_equal(maps.enhanced_class_map == 4, marked)
    assert np.array_equal(maps.enhanced_class_map[~marked], maps.class_map[~marked])
    planes = {n: p for n, p, _ in topic_planes(maps, bundle.classes, "map.hazard", default_settings(bundle))}
    assert (planes["clearance"][marked] == 0).all()


def test_a_bundle_or_a_mode_without_a_promise_keeps_the_relative_rule(tiny_bundle: Path) -> None:
    plain, bundle = load_bundle(tiny_bundle), promising(tiny_bundle, Fused=TABLE)
    for one, other in (
        (segment(plain), segment(bundle, uncertain_rule="relative")),
        (segment(plain, mode="First"), segment(bundle, mode="First")),
    ):
        assert np.array_equal(one.enhanced_class_map, other.enhanced_class_map)
    assert not np.array_equal(segment(plain).enhanced_class_map, segment(bundle).enhanced_class_map)
    assert risk_in_force(plain, default_settings(plain)) is None


def test_what_is_not_seen_or_no_number_is_uncertain_by_both_rules(tiny_bundle: Path) -> None:
    bundle = promising(tiny_bundle, Fused=TABLE)
    class_map = np.full((4, 6), 1, np.uint8)
    class_map[0] = 4
    entropy = np.full((4, 6), 0.1, np.float32)
    entropy[1, :3] = [np.nan, np.inf, 0.2]
    known = class_map < 4
    known[2, 0] = False
    expected = class_map.copy()
    expected[1, :2] = expected[2, 0] = 4
    dark = np.zeros((4, 6), bool)
    settings = default_settings(bundle)
    assert np.array_equal(enhance_class_map(bundle, settings, class_map, entropy, dark, known), expected)
    relative = replace(settings, uncertain_rule="relative", uncertainty_threshold=1.0)
    assert np.array_equal(enhance_class_map(bundle, relative, class_map, entropy, dark, known), expected)


def test_in_the_dark_the_rules_differ_in_what_is_no_safe_ground(tiny_bundle: Path) -> None:
    """By risk, nobody can see anything there; by the relative rule, a hazard in the dark stays one."""
    bundle = promising(tiny_bundle, Fused=TABLE)
    class_map = np.array([[0, 1, 2, 3]], np.uint8)
    entropy, dark = np.linspace(0.1, 0.2, 4, dtype=np.float32)[None], np.ones((1, 4), bool)
    settings = replace(default_settings(bundle), uncertainty_threshold=1.0)
    assert enhance_class_map(bundle, settings, class_map, entropy, dark).tolist() == [[0, 4, 4, 4]]
    relative = replace(settings, uncertain_rule="relative")
    assert enhance_class_map(bundle, relative, class_map, entropy, dark).tolist() == [[0, 4, 2, 3]]


def test_the_largest_promise_up_to_the_risk_counts() -> None:
    for risk, line in ((0.01, 0), (0.02, 0), (0.03, 1), (0.0999, 1), (0.1, 2), (1.0, 2), (0.001, 0)):
        assert choose_threshold(TABLE, risk) is TABLE[line]
    assert choose_threshold((), 0.02) is None
    assert default_risk(()) == default_risk(TABLE) == 0.02
    assert default_risk(TABLE[1:]) == 0.03


def test_a_risk_below_the_least_that_is_promised_is_refused(tiny_bundle: Path) -> None:
    bundle = promising(tiny_bundle, Fused=TABLE)
    check_risk(bundle, "Fused", 0.01)
    check_risk(bundle, "First", 0.001)
    with pytest.raises(ValueError, match=r"^risk: expected 0.01 or more, the least that bundle tiny promises in"):
        check_risk(bundle, "Fused", 0.009)
    assert default_settings(promising(tiny_bundle, Fused=TABLE[1:])).risk == 0.03
