"""The checker's rules: sound products break none, and each way to be wrong breaks its rule."""

from __future__ import annotations

import dataclasses
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from flight.bundle import load_bundle
from flight.client import Checker, CheckLimits, Expectation
from flight.client.check import RULES, SOURCES_KEPT
from flight.icd.catalogue import worst_status
from flight.icd.products import Product, decode_product
from flight.inference.engine import Engine
from flight.inference.planes import topic_planes
from flight.settings import default_settings, describe_rule, frame_seed
from hil.sources.folder import open_source
from tests.flight.client.checked_products import (
    WRONG,
    FaultyProduct,
    expectation,
    header_of,
    make_product,
    message_of,
    plausible_product,
)

ROOT = Path(__file__).parents[3]
TOPICS = ("map.navigation", "map.hazard", "map.full")


def rules(checker: Checker, product: Product, expected: Expectation | None = None) -> set[str]:
    findings = checker.check(product, expected)
    names = [finding.rule for finding in findings]
    assert names == sorted(set(names), key=RULES.index)
    for finding in findings:
        assert (finding.value < finding.limit) == (finding.rule == "constant_map"), finding
        assert finding.text.startswith(f"{finding.rule}: expected at ")
    return set(names)


@pytest.mark.parametrize("topic", TOPICS)
def test_a_sound_pass_breaks_no_rule(topic: str) -> None:
    checker = Checker()
    for number in range(12):
        product = plausible_product(topic, number)
        assert decode_product(message_of(product)).header["seed"] == product.header["seed"]
        assert rules(checker, product, expectation(product)) == set()


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG.keys())
def test_what_is_wrong_breaks_its_rule(wrong: FaultyProduct) -> None:
    checker = Checker()
    before = plausible_product(wrong.topic, 0)
    assert rules(checker, before, expectation(before)) == set()
    expected = wrong.expected or expectation(plausible_product(wrong.topic, 1))
    found = rules(checker, wrong.product(), expected)
    assert found & wrong.rules, found


@pytest.mark.slow
@pytest.mark.parametrize("sky", [0, 70], ids=["as shipped", "off the middle of a larger frame"])
def test_no_product_of_the_shipped_flyby_breaks_a_rule(sky: int) -> None:
    """By the shipped networks, with the true sun and size: all 56 frames; larger ones about the closest approach."""
    bundle = load_bundle(ROOT / "models" / "unet_h")
    source = open_source("flyby")
    settings = replace(default_settings(bundle), passes=2)
    classes = [{"index": c.index, "name": c.name, "role": c.role} for c in bundle.classes]
    checker, broken = Checker(), []
    engine = Engine(bundle, 2)
    frames = len(source.files)
    for number in range(frames // 3, 2 * frames // 3) if sky else range(frames):
        frame = np.pad(source.frame(number), ((0, sky), (sky, 0)), constant_values=4)
        seed = frame_seed(0, "navcam", 7, number)
        maps = engine.segment(frame, bit_depth=8, centered=False, seed=seed, settings=settings)
        sun = tuple(source.frame_geometry(number)["sun_direction_camera"])
        expected = Expectation((frame.shape[1], frame.shape[0]), None, sun, bundle.sha256)
        for topic in TOPICS:
            header = {
                **header_of(topic, number),
                "flags": list(maps.flags),
                "status": worst_status(maps.flags),
                "seed": seed,
                "classes": classes,
                "passes_requested": 2,
                "passes_used": maps.passes_used,
                **describe_rule(bundle, settings),
                "map_to_sensor": list(maps.map_to_sensor),
                "bundle": bundle.identity,
            }
            planes = topic_planes(maps, bundle.classes, topic, settings)
            product = Product(header, {name: plane for name, plane, _ in planes})
            broken += [(number, topic, finding.text) for finding in checker.check(product, expected)]
    engine.close()
    assert broken == []


def test_the_wrong_products_break_every_rule() -> None:
    assert set().union(*(wrong.rules for wrong in WRONG.values())) == set(RULES)


def test_an_invalid_product_is_checked_by_its_header_alone() -> None:
    checker = Checker()
    header = {**header_of("map.navigation", 0), "status": "invalid", "flags": ["worker_failed"], "passes_used": 0}
    assert rules(checker, make_product(header, {})) == set()
    assert rules(checker, plausible_product(number=1)) == set()


def test_a_map_that_may_not_be_navigated_on_is_not_checked_for_its_shape() -> None:
    wrong = WRONG["cut without the flag"].product()
    header = {**wrong.header, "flags": ["dark"], "status": "degraded"}
    assert rules(Checker(), Product(header, wrong.planes)) == set()


def test_a_limit_decides() -> None:
    wrong = WRONG["cut without the flag"].product()
    assert "edge" in rules(Checker(), wrong)
    assert "edge" not in rules(Checker(CheckLimits(edge=1.0)), wrong)
    assert {field.default for field in dataclasses.fields(CheckLimits)} >= {0.0, 0.25, 2.0}


def test_products_are_compared_with_those_of_their_topic_and_camera_alone() -> None:
    checker = Checker()
    for source in ("a", "b"):
        for topic in TOPICS:
            product = plausible_product(topic, 3)
            assert rules(checker, Product({**product.header, "source": source}, product.planes)) == set()
    again = plausible_product("map.hazard", 3)
    assert "order" in rules(checker, Product({**again.header, "source": "a"}, again.planes))
    checker.forget()
    assert rules(checker, Product({**again.header, "source": "a"}, again.planes)) == set()


def test_of_many_cameras_the_latest_are_kept() -> None:
    checker = Checker()
    product = plausible_product(number=3)
    for number in range(SOURCES_KEPT + 1):
        assert rules(checker, Product({**product.header, "source": f"camera {number}"}, product.planes)) == set()
    assert "order" in rules(checker, Product({**product.header, "source": "camera 1"}, product.planes))
    assert rules(checker, Product({**product.header, "source": "camera 0"}, product.planes)) == set()
