"""Python's and C++'s consumers give the same answers, to the last of nine digits."""

from __future__ import annotations

import dataclasses
import struct
import subprocess
from pathlib import Path
from typing import Any

import numpy as np

from flight.bundle import ClassDefinition
from flight.client import LandingCircles, NavigationFix, Refusal, landing_circles, navigation_fix
from flight.client.hazard import MOST_ENTROPY, MOST_HAZARD_PROBABILITY
from flight.client.map_view import UNKNOWN_FLAG
from flight.icd.catalogue import CLASS_ROLES, FLAGS, TOPIC_PLANES
from flight.icd.products import PLANE_DTYPES, Product, decode_product
from flight.inference.hazard import clearance, safe_pixels
from flight.settings import LandingLimits
from tests.golden.vectors import GOLDEN, product, product_header, read_vector

FLAG_NAMES = (*FLAGS, UNKNOWN_FLAG)
ROLE_NAMES = tuple(CLASS_ROLES)
DEFAULT_LIMITS = LandingLimits(most_hazard_probability=MOST_HAZARD_PROBABILITY, most_entropy=MOST_ENTROPY)


def flag_bits(flags: tuple[str, ...] | list[str]) -> int:
    known = {name: 1 << number for number, name in enumerate(FLAG_NAMES)}
    return sum({known.get(flag, known[UNKNOWN_FLAG]) for flag in flags})


Case = tuple[Product, float, int, LandingLimits]


def case_bytes(product: Product, minimum_radius: float, count: int, limits: LandingLimits) -> bytes:
    header = product.header
    height, width = next(iter(product.planes.values()), np.zeros((1, 1))).shape
    roles = bytes(ROLE_NAMES.index(entry["role"]) for entry in header["classes"])
    hazard = product.topic == "map.hazard"
    sizes = struct.pack("<4I", int(hazard), width, height, len(roles))
    state = struct.pack("<2I6d", product.status != "invalid", flag_bits(header["flags"]), *header["map_to_sensor"])
    numbers = (minimum_radius, count, limits.most_hazard_probability, limits.most_entropy)
    arguments = struct.pack("<dIdd", *numbers) if hazard else b""
    planes = [product.planes[name] for name in product.planes] or [
        np.zeros((1, 1), PLANE_DTYPES[plane.dtype]) for plane in TOPIC_PLANES[product.topic]
    ]
    return sizes + roles + state + arguments + b"".join(plane.tobytes() for plane in planes)


def shown(name: str, value: Any) -> str:
    if name == "warnings":
        return f"warnings {flag_bits(value)}"
    return f"{name} {int(value)}" if isinstance(value, (bool, int)) else f"{name} {value:.9g}"


def python_lines(product: Product, minimum_radius: float, count: int, limits: LandingLimits) -> list[str]:
    if product.topic == "map.navigation":
        fix = navigation_fix(product)
        return ["navigation", *([f"refused {fix.reason}"] if isinstance(fix, Refusal) else fix_lines(fix))]
    found = landing_circles(product, minimum_radius, count, **vars(limits))
    return ["hazard", *([f"refused {found.reason}"] if isinstance(found, Refusal) else circle_lines(found))]


def fix_lines(fix: NavigationFix) -> list[str]:
    lines = []
    for field in dataclasses.fields(fix):
        value = getattr(fix, field.name)
        if field.name != "sun":
            lines.append(shown(field.name, value))
            continue
        lines.append(f"sun {'none' if value is None else value.source}")
        if value is not None:
            names = ("x", "y", "angle_deg", "strength", "sign_known")
            lines += [shown(f"sun_{name}", getattr(value, name)) for name in names]
    return lines


def circle_lines(found: LandingCircles) -> list[str]:
    lines = []
    for circle in found.circles:
        lines += ["circle", *(shown(name, value) for name, value in dataclasses.asdict(circle).items())]
    return [*lines, *(shown(name, getattr(found, name)) for name in ("dropped", "complete", "warnings"))]


def random_products(generator: np.random.Generator) -> list[Product]:
    """A product of each topic over one random map: an ellipse with a night side, rocks, debris, any class table."""
    height, width = (int(side) for side in generator.integers(1, 97, 2))
    if generator.random() < 0.5:
        height = width = int(generator.choice([32, 64, 128]))
    extra = [ROLE_NAMES[index] for index in generator.integers(0, 4, generator.integers(0, 3))]
    roles = [*generator.permutation(ROLE_NAMES), *extra]
    count = len(roles)
    index = {role: roles.index(role) for role in ROLE_NAMES}
    rows, columns = np.indices((height, width), dtype=np.float64)
    middle_v, middle_u = generator.uniform(0.2, 0.8, 2) * (height, width)
    angle, radius = generator.uniform(0, 2 * np.pi), generator.uniform(0.05, 0.7) * max(height, width)
    along = (columns - middle_u) * np.cos(angle) + (rows - middle_v) * np.sin(angle)
    across = (rows - middle_v) * np.cos(angle) - (columns - middle_u) * np.sin(angle)
    body = along**2 + (across / generator.uniform(0.4, 1.0)) ** 2 < radius**2
    night = along < generator.uniform(-0.9, 0.2) * radius
    class_map = np.where(body, index["safe"], index["background"]).astype(np.uint8)
    rim = body & (np.abs(along - generator.uniform(-0.9, 0.2) * radius) < generator.uniform(0, 4))
    class_map[rim] = index["terminator"]
    class_map[body & (generator.random(body.shape) < generator.choice([0, 0.002, 0.05]))] = index["hazard"]
    class_map[generator.random(body.shape) < generator.choice([0, 0.003, 0.3])] = generator.integers(0, count + 1)
    if generator.random() < 0.4:  # a map that reaches beyond the camera's frame
        class_map[:, : generator.integers(0, width)] = count
        class_map[generator.integers(1, height + 1) :] = count
    entropy = generator.random(body.shape) * np.log(count) * (0.1 + 0.9 * night) * generator.choice([0, 0.3, 1.0])
    entropy = entropy.astype(np.float16)
    enhanced = np.where(generator.random(body.shape) < generator.choice([0, 0.01]), count, class_map).astype(np.uint8)
    classes = tuple(ClassDefinition(i, f"class{i}", (0, 0, 0), role) for i, role in enumerate(roles))
    hazard = np.round(generator.random(body.shape) * generator.choice([0.3, 0.45, 1.0]), generator.integers(1, 4))
    hazard = hazard.astype(np.float16)
    most = float(generator.choice([0.3, 0.5, 1.0]))
    most_of_service = LandingLimits(most_hazard_probability=most, most_entropy=most)
    room = clearance(safe_pixels(enhanced, hazard, entropy, classes, most_of_service)).astype(np.float16)
    if generator.random() < 0.3:  # what no service sends, but a consumer must stand
        for plane in (entropy, hazard, room):
            spots = generator.random(body.shape) < 0.01
            plane[spots] = generator.choice(np.array([np.nan, np.inf, -np.inf, -1.0, 300.0]), spots.sum())
    scale, turn = generator.uniform(0.3, 20.0), generator.choice([0.0, 0.3, np.pi / 2])
    shear = generator.choice([1.0, generator.uniform(0.8, 1.2)])
    affine = [scale * np.cos(turn), -scale * np.sin(turn), generator.uniform(-99, 2000)]
    affine += [shear * scale * np.sin(turn), shear * scale * np.cos(turn), generator.uniform(-99, 2000)]
    flags = [str(flag) for flag in generator.choice([*FLAG_NAMES, "new"], generator.choice([0, 0, 0, 1, 2]))]
    header = {
        **product_header(),
        "status": str(generator.choice(["valid", "degraded"])),
        "flags": flags,
        "map_to_sensor": [float(value) for value in affine],
        "classes": [{"index": i, "name": f"class{i}", "role": str(role)} for i, role in enumerate(roles)],
    }
    planes: dict[str, Any] = {
        "class_map": class_map,
        "enhanced_class_map": enhanced,
        "predictive_entropy": entropy,
        "hazard_probability": hazard,
        "clearance": room,
    }
    return [
        Product({**header, "topic": topic}, {plane.name: planes[plane.name] for plane in TOPIC_PLANES[topic]})
        for topic in ("map.navigation", "map.hazard")
    ]


def cases() -> list[Case]:
    """The golden products, some that are refused, and 60 random maps of each topic: with the search's arguments."""
    result: list[Case] = []
    for topic in ("map.navigation", "map.hazard"):
        result.append((decode_product(read_vector(GOLDEN / f"{topic.replace('.', '_')}.bin")), 0.5, 16, DEFAULT_LIMITS))
        for changes in (
            {"flags": ["dark", "body_not_found"]},
            {"flags": ["high_entropy"]},
            {"map_to_sensor": [0.0] * 6},
        ):
            result.append((decode_product(product(topic, **changes)), 0.0, 3, DEFAULT_LIMITS))
        invalid = {**product_header(), "topic": topic, "status": "invalid", "flags": ["worker_failed"]}
        result.append((Product(invalid, {}), 1.0, 1, DEFAULT_LIMITS))
    empty = decode_product(product("map.navigation"))
    sky = {**empty.planes, "class_map": np.zeros((4, 6), np.uint8)}
    result.append((Product(empty.header, sky), 1.0, 1, DEFAULT_LIMITS))
    unsure = np.full((4, 6), 2.0, np.float16)
    result.append((Product(empty.header, {**empty.planes, "predictive_entropy": unsure}), 1.0, 1, DEFAULT_LIMITS))
    generator = np.random.default_rng(20260)
    for _ in range(60):
        for random_product in random_products(generator):
            probability, entropy = (float(generator.choice([0.1, 0.4, 0.8, 1.0])) for _ in range(2))
            limits = LandingLimits(most_hazard_probability=probability, most_entropy=entropy)
            radius, count = float(generator.uniform(0.0, 12.0)), int(generator.integers(1, 17))
            result.append((random_product, radius, count, limits))
    return result


def test_both_languages_print_the_same(compared_programs: Path) -> None:
    chosen = cases()
    data = b"".join(case_bytes(*case) for case in chosen)
    program = compared_programs / "rubblemap_consumers_test"
    done = subprocess.run([program], input=data, capture_output=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr.decode()
    printed = done.stdout.decode().splitlines()
    assert printed[: len(FLAG_NAMES)] == [f"flag {name}" for name in FLAG_NAMES]
    del printed[: len(FLAG_NAMES)]
    assert printed.pop(0) == f"limits {MOST_HAZARD_PROBABILITY:.9g} {MOST_ENTROPY:.9g}"
    for number, case in enumerate(chosen):
        expected = python_lines(*case)
        assert printed[: len(expected)] == expected, f"case {number}, {case[0].topic}"
        del printed[: len(expected)]
    assert not printed


def test_the_cases_reach_every_branch() -> None:
    lines = [line for case in cases() for line in python_lines(*case)]
    reasons = {line.split()[1] for line in lines if line.startswith("refused")}
    assert reasons >= {"invalid_product", "dark", "high_entropy", "degenerate_affine", "no_body", "no_certainty"}
    assert {"sun none", "sun entropy", "sun terminator", "sun_sign_known 0", "sun_sign_known 1"} <= set(lines)
    assert "circle" in lines
    assert any(line.startswith("dropped") and line != "dropped 0" for line in lines)
