"""A consumer's last line: cheap rules that every sound product keeps, and that many a wrong one breaks.

Nothing calls it by itself. The service flags what it notices; these rules look at what came out, with nothing of the
service's code, and at the product before it. The C++ library has the same rules with the same answers
(rubblemap/check.hpp). docs/gnc.md states each rule and how often sound products break it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from flight.client.map_summary import MapSummary, summarize
from flight.icd.catalogue import FLAGS, STATUSES, flags_forbidding
from flight.icd.products import Product

RULES = (
    "status",
    "passes",
    "bundle",
    "order",
    "time",
    "seed",
    "unknown_class",
    "entropy_range",
    "probability_range",
    "class_probability",
    "uncertain",
    "clearance",
    "constant_map",
    "stripes",
    "ragged",
    "outside_frame",
    "edge",
    "area",
    "sun",
    "centroid_jump",
    "area_jump",
    "repeated_map",
)
# Cameras whose last product of each topic is kept; the one that has been there longest gives way.
SOURCES_KEPT = 8
# Fewer terminator pixels show no terminator, and a sun this near to the camera's axis casts it about the whole limb.
LEAST_TERMINATOR_PIXELS = 12
LEAST_SUN_ACROSS = 0.2
# Below this cosine of the phase angle, the terminator may lie on the sun's side of the centroid.
LEAST_PHASE_COSINE = 0.5


@dataclass(frozen=True)
class CheckLimits:
    """What a sound product may have at most. Shares are of the map's pixels unless said otherwise.

    Attributes:
        time_s: by which a capture time may go back within an epoch, and a product be published before it was received.
        class_probability: share of pixels whose class is not one that their probability allows.
        uncertain: share of pixels that are not marked although their entropy lies above the threshold.
        entropy_span: least difference of the largest and the smallest entropy, nats.
        stripes: changes of class along one axis, over those along the other.
        ragged: pairs of neighbours of different classes, over all pairs.
        outside_frame: pixels of the body outside the sensor's frame, over all of the body.
        edge: pixels of the body on the map's border, over the border's pixels, without the flag body_cut.
        area: the body's area over the expected one, or the other way round.
        sun: distance of the terminator from the body's centroid towards the sun, radii of the disc of the body's area.
        shift: of the centroid since the product before, diameters of that disc; and for each second between them.
        shift_per_s: see shift.
        growth: by which the area may change since the product before, as a part of the smaller one.
        growth_per_s: for each second between them.
    """

    time_s: float = 0.0
    class_probability: float = 0.002
    uncertain: float = 0.001
    entropy_span: float = 0.001
    stripes: float = 8.0
    ragged: float = 0.25
    outside_frame: float = 0.02
    edge: float = 0.05
    area: float = 2.0
    sun: float = 0.4
    shift: float = 0.25
    shift_per_s: float = 0.05
    growth: float = 0.5
    growth_per_s: float = 0.1


@dataclass(frozen=True)
class Expectation:
    """What the consumer knows by other means; a rule whose part is None is left out.

    Attributes:
        sensor: width and height of the camera's frame, pixels.
        area: of the body in the frame, square sensor pixels.
        sun: unit vector to the sun in the camera's axes, x right, y down, z along the line of sight, as in the frame's
            header: sun_direction_camera.
        bundle_sha256: of the bundle that is to serve.
    """

    sensor: tuple[int, int] | None = None
    area: float | None = None
    sun: tuple[float, float, float] | None = None
    bundle_sha256: str | None = None


@dataclass(frozen=True)
class Finding:
    """A rule that a product breaks.

    Attributes:
        rule: one of RULES.
        value: what was measured; 1 for rules that measure nothing.
        limit: of the rule.
    """

    rule: str
    value: float
    limit: float

    @property
    def text(self) -> str:
        """For people: the rule, what was expected and what came."""
        bound = "at least" if self.rule == "constant_map" else "at most"
        return f"{self.rule}: expected {bound} {self.limit:g}, got {self.value:g}"


@dataclass(frozen=True)
class _Kept:
    """What is kept of a product for the next one of its topic and source. summary: None if it had no map."""

    topic: str
    source: str
    product: Product
    summary: MapSummary | None


class Checker:
    """Checks products one after the other, each against the one of its topic and source before it.

    Args:
        limits: of the rules.
    """

    def __init__(self, limits: CheckLimits | None = None) -> None:
        self._limits = limits or CheckLimits()
        self._kept: list[_Kept] = []

    def check(self, product: Product, expected: Expectation | None = None) -> tuple[Finding, ...]:
        """Check a product, and keep it for the next one.

        Args:
            product: as received.
            expected: what is known by other means.

        Returns:
            The rules that it breaks, in the order of RULES; empty for a plausible product.
        """
        expected = expected or Expectation()
        sensor = None if expected.sensor is None else (float(expected.sensor[0]), float(expected.sensor[1]))
        summary = summarize(product, sensor) if product.planes else None
        before = next((k for k in self._kept if (k.topic, k.source) == (product.topic, product.header["source"])), None)
        found: list[Finding] = []
        self._check_header(product, expected, found)
        self._check_order(product, before, found)
        if summary is not None:
            self._check_values(summary, found)
            if not set(product.header["flags"]) & set(flags_forbidding("navigation_fix")):
                self._check_shape(product, summary, expected, found)
                self._check_change(product, summary, before, found)
        self._keep(product, summary, before)
        return tuple(sorted(found, key=lambda finding: RULES.index(finding.rule)))

    def forget(self) -> None:
        """Forget the products so far, as after a manoeuvre that makes the next one unlike the last."""
        self._kept = []

    def _keep(self, product: Product, summary: MapSummary | None, before: _Kept | None) -> None:
        kept = _Kept(product.topic, str(product.header["source"]), product, summary)
        if before is not None:
            self._kept[self._kept.index(before)] = kept
            return
        same = [entry for entry in self._kept if entry.topic == product.topic]
        if len(same) == SOURCES_KEPT:
            self._kept.remove(same[0])
        self._kept.append(kept)

    def _check_header(self, product: Product, expected: Expectation, found: list[Finding]) -> None:
        header = product.header
        known = [FLAGS[flag].status for flag in header["flags"] if flag in FLAGS]
        worst = max(map(STATUSES.index, known), default=0)
        if STATUSES.index(header["status"]) < worst:
            found.append(Finding("status", 1.0, 0.0))
        fewer = header["passes_used"] < header["passes_requested"]
        told = bool({"deadline", "single_pass"} & set(header["flags"]))
        if header["status"] != "invalid" and (
            not 1 <= header["passes_used"] <= header["passes_requested"] or (fewer and not told)
        ):
            found.append(Finding("passes", 1.0, 0.0))
        if expected.bundle_sha256 is not None and header["bundle"]["sha256"] != expected.bundle_sha256:
            found.append(Finding("bundle", 1.0, 0.0))

    def _check_order(self, product: Product, before: _Kept | None, found: list[Finding]) -> None:
        header = product.header
        back = _seconds(header["received_time_ns"], header["published_time_ns"])
        if before is not None:
            former = before.product.header
            key, former_key = ((h["epoch"], h["frame_id"]) for h in (header, former))
            if key <= former_key:
                found.append(Finding("order", 1.0, 0.0))
            if header["epoch"] == former["epoch"]:
                back = max(back, _seconds(former["capture_time_ns"], header["capture_time_ns"]))
            if key != former_key and header["seed"] == former["seed"]:
                found.append(Finding("seed", 1.0, 0.0))
        if back > self._limits.time_s:
            found.append(Finding("time", back, self._limits.time_s))

    def _check_values(self, summary: MapSummary, found: list[Finding]) -> None:
        """Rules for single pixels, that hold whatever the map shows."""
        limits, pixels = self._limits, float(summary.pixels)
        for rule, count, limit in (
            ("unknown_class", summary.unknown, 0.0),
            ("entropy_range", summary.entropy_faults, 0.0),
            ("probability_range", summary.probability_faults, 0.0),
            ("class_probability", summary.class_faults, limits.class_probability),
            ("uncertain", summary.unmarked, limits.uncertain),
            ("clearance", summary.clearance_faults, 0.0),
        ):
            if count / pixels > limit:
                found.append(Finding(rule, count / pixels, limit))
        span = summary.entropy_high - summary.entropy_low
        if span < limits.entropy_span:
            found.append(Finding("constant_map", span, limits.entropy_span))

    def _check_shape(self, product: Product, summary: MapSummary, expected: Expectation, found: list[Finding]) -> None:
        limits = self._limits
        most, least = (
            max(summary.changes_across, summary.changes_down),
            min(summary.changes_across, summary.changes_down),
        )
        ratio = most / float(max(least, 1))
        if most > summary.height + summary.width and ratio > limits.stripes:
            found.append(Finding("stripes", ratio, limits.stripes))
        pairs = max(summary.height * (summary.width - 1) + (summary.height - 1) * summary.width, 1)
        ragged = (summary.changes_across + summary.changes_down) / float(pairs)
        if ragged > limits.ragged:
            found.append(Finding("ragged", ragged, limits.ragged))
        if summary.body == 0:
            return
        outside = summary.outside / float(summary.body)
        if outside > limits.outside_frame:
            found.append(Finding("outside_frame", outside, limits.outside_frame))
        edge = summary.edge / float(summary.border)
        cut = "body_cut" in product.header["flags"]
        if not cut and edge > limits.edge:
            found.append(Finding("edge", edge, limits.edge))
        if expected.area is not None and expected.area > 0.0 and not cut and summary.edge == 0 and summary.area > 0.0:
            factor = max(summary.area / expected.area, expected.area / summary.area)
            if factor > limits.area:
                found.append(Finding("area", factor, limits.area))
        if expected.sun is not None and not cut and summary.edge == 0:
            towards = _terminator_towards_sun(summary, expected.sun)
            if towards > limits.sun:
                found.append(Finding("sun", towards, limits.sun))

    def _check_change(self, product: Product, summary: MapSummary, before: _Kept | None, found: list[Finding]) -> None:
        if before is None or before.summary is None:
            return
        header, former, limits = product.header, before.product.header, self._limits
        if (header["epoch"], header["frame_id"]) == (former["epoch"], former["frame_id"]):
            return
        if header["seed"] != former["seed"] and summary.fingerprint == before.summary.fingerprint:
            found.append(Finding("repeated_map", 1.0, 0.0))
        whole = (
            entry.area > 0.0 and entry.edge == 0 and not {"body_cut", "several_bodies"} & set(of["flags"])
            for entry, of in ((summary, header), (before.summary, former))
        )
        if not all(whole) or header["epoch"] != former["epoch"]:
            return
        between = max(_seconds(header["capture_time_ns"], former["capture_time_ns"]), 0.0)
        x, y = summary.x - before.summary.x, summary.y - before.summary.y
        diameter = 2.0 * math.sqrt(max(summary.area, before.summary.area) / math.pi)
        shift, most = math.sqrt(x * x + y * y) / diameter, limits.shift + limits.shift_per_s * between
        if shift > most:
            found.append(Finding("centroid_jump", shift, most))
        larger, smaller = max(summary.area, before.summary.area), min(summary.area, before.summary.area)
        growth, most = larger / smaller - 1.0, limits.growth + limits.growth_per_s * between
        if growth > most:
            found.append(Finding("area_jump", growth, most))


def _seconds(later_ns: int, earlier_ns: int) -> float:
    """Seconds from one time to the other; negative if `later_ns` is the earlier one."""
    return (later_ns - earlier_ns) * 1e-9 if later_ns >= earlier_ns else -((earlier_ns - later_ns) * 1e-9)


def _terminator_towards_sun(summary: MapSummary, sun: tuple[float, float, float]) -> float:
    """How far the terminator lies from the body's centroid towards the sun, radii; 0.0 where that tells nothing."""
    x, y, z = sun
    across = math.sqrt(x * x + y * y)
    if summary.terminator < LEAST_TERMINATOR_PIXELS or across < LEAST_SUN_ACROSS or -z < LEAST_PHASE_COSINE:
        return 0.0
    radius = math.sqrt(summary.area / math.pi)
    if not radius > 0.0:
        return 0.0
    towards = (summary.terminator_x - summary.x) * x + (summary.terminator_y - summary.y) * y
    return towards / (across * radius)
