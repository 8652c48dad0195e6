"""Python's and C++'s checkers find the same of the same products, to the last of nine digits."""

from __future__ import annotations

import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from flight.client import Checker, Expectation
from flight.client.check import RULES
from flight.icd.products import Product, ProductError, decode_product
from tests.flight.client.checked_products import WRONG, by_risk, expectation, message_of, plausible_product
from tests.flight.gnc.test_consumers_agree import random_products
from tests.golden.vectors import GOLDEN, read_vector

pytestmark = pytest.mark.slow

# Whether the products before are forgotten, the product, and what is expected of it.
Case = tuple[bool, Product, Expectation]


def case_bytes(forget: bool, product: Product, expected: Expectation) -> bytes:
    width, height = expected.sensor or (0, 0)
    known = struct.pack("<2I2d", forget, expected.sensor is not None, width, height)
    known += struct.pack("<Id", expected.area is not None, expected.area or 0.0)
    known += struct.pack("<I3d", expected.sun is not None, *(expected.sun or (0.0, 0.0, 0.0)))
    sha256 = expected.bundle_sha256
    known += struct.pack("<I", sha256 is not None) + (sha256 or "").encode("ascii")
    parts = message_of(product)
    return known + struct.pack("<I", len(parts)) + b"".join(struct.pack("<I", len(part)) + part for part in parts)


def cases() -> Iterator[Case]:
    """Passes of sound products, every wrong one after a sound one, golden ones, and random maps of any content."""
    nothing = Expectation()
    for topic in ("map.navigation", "map.hazard", "map.full"):
        for number in range(6):
            product = plausible_product(topic, number)
            yield number == 0, product, expectation(product)
        yield True, decode_product(read_vector(GOLDEN / f"{topic.replace('.', '_')}.bin")), nothing
        sound = plausible_product(topic, 1)
        yield True, Product({**sound.header, **by_risk(1.2)}, sound.planes), expectation(sound)
    for wrong in WRONG.values():
        before = plausible_product(wrong.topic, 0)
        yield True, before, expectation(before)
        yield False, wrong.product(), wrong.expected or expectation(plausible_product(wrong.topic, 1))
    generator = np.random.default_rng(18)
    for number in range(40):
        for product in random_products(generator):
            header = {
                **product.header,
                "source": f"camera {generator.integers(0, 11)}",
                "frame_id": int(generator.integers(0, 5)),
                "seed": int(generator.integers(0, 3)),
                "capture_time_ns": int(generator.integers(0, 2**63)),
                "passes_used": int(generator.integers(0, 25)),
            }
            sensor = (int(generator.integers(1, 3000)), int(generator.integers(1, 3000)))
            sun = tuple(float(value) for value in generator.uniform(-1, 1, 3))
            area = float(generator.uniform(0, 1e6))
            yield number == 20, Product(header, product.planes), Expectation(sensor, area, (sun[0], sun[1], sun[2]))


def test_both_languages_find_the_same(compared_programs: Path) -> None:
    chosen = []
    for forget, product, expected in cases():
        try:
            # As a consumer has it; random tables of many classes may break the contract.
            chosen.append((forget, decode_product(message_of(product)), expected))
        except ProductError:
            continue
    assert len(chosen) > 150
    data = b"".join(case_bytes(*case) for case in chosen)
    program = compared_programs / "rubblemap_check_products"
    done = subprocess.run([program], input=data, capture_output=True, check=False, timeout=200)
    assert done.returncode == 0, done.stderr.decode()
    printed = done.stdout.decode().split("product\n")[1:]
    assert len(printed) == len(chosen)
    checker, seen = Checker(), set()
    for number, (forget, product, expected) in enumerate(chosen):
        if forget:
            checker.forget()
        findings = checker.check(product, expected)
        seen |= {finding.rule for finding in findings}
        lines = [f"{finding.rule} {finding.value:.9g} {finding.limit:.9g}" for finding in findings]
        assert printed[number].splitlines() == lines, f"case {number}, {product.topic}"
    assert seen == set(RULES)
