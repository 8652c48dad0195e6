"""Whether a run keeps a criterion: functions of plain data."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from hil.runs.measures import intersection_over_union
from hil.runs.record import FaultRecord, FrameRecord, Outcome, RunRecord
from hil.scenarios import criterion_tables as tables
from hil.scenarios.fault_tables import CAMERA_FAULTS

# Frames, products or events that an outcome names, at most.
_NAMED = 20
_CAMERA_KINDS = frozenset(fault.kind for fault in CAMERA_FAULTS)


def judge(criterion: tables.Criterion, record: RunRecord) -> Outcome:
    """Judge a criterion on what a run has seen."""
    return JUDGES[criterion.kind](criterion, record)


def judge_faults(record: RunRecord) -> Outcome:
    """Whether all faults were carried out and over, and the service turned away what it must."""
    why = {number: _fault_problem(fault, record) for number, fault in enumerate(record.faults)}
    bad = [f"{record.faults[number].kind}: {problem}" for number, problem in why.items() if problem]
    got = "; ".join(bad) or f"{len(record.faults)} carried out"
    evidence = {"faults": [dataclasses.asdict(fault) for fault in record.faults]}
    return Outcome("faults_carried_out", not bad, "all faults of the scenario", got, evidence)


def _fault_problem(fault: FaultRecord, record: RunRecord) -> str:
    """Why a fault does not count as carried out; "" if it does."""
    if fault.failed or fault.ended_s is None:
        return fault.note or "not over"
    if fault.kind in _CAMERA_KINDS and not any(
        fault.at_s <= frame.time_s < (fault.until_s or math.inf) and frame.sent_s is not None for frame in record.frames
    ):
        return "no frame was sent meanwhile"
    return ""


def _name(criterion: Any) -> str:
    """A criterion as in the file: its kind, and what sets it apart from others of its kind."""
    parts = []
    for field in dataclasses.fields(criterion):
        value = getattr(criterion, field.name)
        if value != field.default and field.name in ("flag", "event", "reason", "of", "from_s", "to_s"):
            parts.append(f"{value:g} s" if field.name.endswith("_s") else str(value))
    return f"{criterion.kind} ({', '.join(parts)})" if parts else str(criterion.kind)


def _window(criterion: Any, record: RunRecord) -> list[FrameRecord]:
    """The frames that the camera gave in a criterion's window."""
    end = math.inf if criterion.to_s is None else criterion.to_s
    return [frame for frame in record.frames if criterion.from_s <= frame.time_s < end and not frame.dropped]


def _nothing(criterion: Any, expected: str, what: str) -> Outcome:
    """A criterion that has nothing to be judged on does not hold."""
    return Outcome(_name(criterion), False, expected, f"no {what}", {})


def _answered_within(criterion: tables.AnsweredWithin, record: RunRecord) -> Outcome:
    frames = _window(criterion, record)
    expected = f"{criterion.share:.1%} of the frames answered with a map within {criterion.seconds:g} s"
    if not frames:
        return _nothing(criterion, expected, "frames in the window")
    latencies = sorted(f.latency_s for f in frames if f.has_map and f.latency_s is not None)
    good = [f for f in frames if f.has_map and f.latency_s is not None and f.latency_s <= criterion.seconds]
    late = [f.index for f in frames if f not in good]
    share = len(good) / len(frames)
    longest = f", longest {latencies[-1]:.3f} s" if latencies else ""
    evidence = {
        "frames": len(frames),
        "in_time": len(good),
        "median_s": latencies[len(latencies) // 2] if latencies else None,
        "longest_s": latencies[-1] if latencies else None,
        "not_in_time": late[:_NAMED],
    }
    got = f"{share:.1%} ({len(good)} of {len(frames)}){longest}"
    return Outcome(_name(criterion), share >= criterion.share, expected, got, evidence)


def _lost_at_most(criterion: tables.LostAtMost, record: RunRecord) -> Outcome:
    frames = _window(criterion, record)
    expected = f"at most {criterion.frames} frames lost"
    if not frames:
        return _nothing(criterion, expected, "frames in the window")
    lost = [frame for frame in frames if frame.answered_s is None]
    unsent = sum(frame.sent_s is None for frame in lost)
    got = f"{len(lost)} of {len(frames)}" + (f", {unsent} of them not taken by the service" if unsent else "")
    counters = {name: value for name, value in record.counters.items() if name.startswith("frames_")}
    evidence = {"lost": [frame.index for frame in lost][:_NAMED], "count": len(lost), "counters": counters}
    return Outcome(_name(criterion), len(lost) <= criterion.frames, expected, got, evidence)


def pool_confusion(frames: list[FrameRecord], record: RunRecord, of: str) -> np.ndarray | None:
    """Pixels of frames by true class and class of the map, (K, K + 1); None without any.

    Args:
        frames: to pool.
        record: of the run, for the names of classes.
        of: "classes", which must be named alike, or "roles".
    """
    counted = [frame.confusion for frame in frames if frame.confusion is not None]
    if not counted or not record.classes:
        return None
    total = np.sum(np.array(counted, dtype=np.int64), axis=0)
    if of == "classes":
        if record.truth_classes != record.classes:
            return None
        return np.asarray(total)
    names = sorted(set(record.truth_roles) | set(record.roles))
    pooled = np.zeros((len(names), len(names) + 1), dtype=np.int64)
    for row, true in enumerate(record.truth_roles):
        for column, found in enumerate(record.roles):
            pooled[names.index(true), names.index(found)] += total[row][column]
        pooled[names.index(true), len(names)] += total[row][len(record.roles)]
    return pooled


def _miou_at_least(criterion: tables.MiouAtLeast, record: RunRecord) -> Outcome:
    expected = f"mIoU of {criterion.of} at least {criterion.value:g}"
    frames = _window(criterion, record)
    confusion = pool_confusion(frames, record, criterion.of)
    if confusion is None or not confusion.sum():
        return _nothing(criterion, expected, "maps with truth")
    values = intersection_over_union(confusion)
    value = float(np.nanmean(values))
    names = record.classes if criterion.of == "classes" else sorted(set(record.truth_roles) | set(record.roles))
    each = {name: None if math.isnan(iou) else round(float(iou), 4) for name, iou in zip(names, values, strict=True)}
    judged = sum(frame.confusion is not None for frame in frames)
    evidence = {"miou": round(value, 4), "iou": each, "frames": judged}
    return Outcome(_name(criterion), value >= criterion.value, expected, f"{value:.3f} over {judged} frames", evidence)


def _centroid_error_at_most(criterion: tables.CentroidErrorAtMost, record: RunRecord) -> Outcome:
    expected = f"{criterion.share:.1%} of the fixes within {criterion.pixels:g} px"
    fixes = [frame for frame in _window(criterion, record) if frame.centroid_error_px is not None]
    if not fixes:
        return _nothing(criterion, expected, "fix of a whole body")
    errors = sorted(float(frame.centroid_error_px or 0.0) for frame in fixes)
    within = sum(error <= criterion.pixels for error in errors)
    share = within / len(errors)
    worst = max(fixes, key=lambda frame: frame.centroid_error_px or 0.0)
    evidence = {
        "fixes": len(errors),
        "within": within,
        "median_px": errors[len(errors) // 2],
        "largest_px": errors[-1],
        "worst_frame": worst.index,
    }
    got = f"{share:.1%} of {len(errors)}; median {errors[len(errors) // 2]:.2f} px, largest {errors[-1]:.2f} px"
    return Outcome(_name(criterion), share >= criterion.share, expected, got, evidence)


def is_degraded(frame: FrameRecord, faults: list[FaultRecord]) -> bool:
    """Whether a fault degraded a frame's image."""
    return any(
        fault.degrades and fault.at_s <= frame.time_s < (math.inf if fault.until_s is None else fault.until_s)
        for fault in faults
    )


def _entropy_rises(criterion: tables.EntropyRises, record: RunRecord) -> Outcome:
    expected = f"mean entropy at least {criterion.factor:g} times that of the other frames, and more"
    maps = [frame for frame in record.frames if frame.entropy is not None]
    degraded = [float(f.entropy or 0.0) for f in maps if is_degraded(f, record.faults)]
    others = [float(f.entropy or 0.0) for f in maps if not is_degraded(f, record.faults)]
    if not degraded or not others:
        return _nothing(criterion, expected, "maps of degraded and of other frames")
    high, low = float(np.mean(degraded)), float(np.mean(others))
    evidence = {"degraded_nat": high, "others_nat": low, "degraded": len(degraded), "others": len(others)}
    got = f"{high:.3f} nat over {len(degraded)} degraded frames, {low:.3f} nat over {len(others)} others"
    return Outcome(_name(criterion), high > low and high >= criterion.factor * low, expected, got, evidence)


def _landing_circles_clear(criterion: tables.LandingCirclesClear, record: RunRecord) -> Outcome:
    expected = f"at most {criterion.share:.1%} of the circles' pixels on craters and boulders"
    frames = [f for f in _window(criterion, record) if f.circle_pixels is not None and f.circles]
    pixels = sum(f.circle_pixels[0] for f in frames if f.circle_pixels)
    hazards = sum(f.circle_pixels[1] for f in frames if f.circle_pixels)
    if not pixels:
        return _nothing(criterion, expected, "landing circle")
    share = hazards / pixels
    worst = sorted(frames, key=lambda f: -(f.circle_pixels[1] / max(f.circle_pixels[0], 1) if f.circle_pixels else 0))
    evidence = {
        "circles": sum(f.circles for f in frames),
        "pixels": pixels,
        "hazard_pixels": hazards,
        "worst_frames": [f.index for f in worst if f.circle_pixels and f.circle_pixels[1]][:_NAMED],
    }
    got = f"{share:.2%} of {pixels} pixels of {evidence['circles']} circles"
    return Outcome(_name(criterion), share <= criterion.share, expected, got, evidence)


def _recovered_within(criterion: tables.RecoveredWithin, record: RunRecord) -> Outcome:
    expected = f"a map within {criterion.seconds:g} s of the end of each fault"
    waits: list[dict[str, Any]] = []
    for fault in record.faults:
        if fault.ended_s is None:
            continue
        after = [
            f.answered_s
            for f in record.frames
            if f.has_map and f.answered_s is not None and f.acquired_s >= fault.ended_s
        ]
        waits.append({"fault": fault.kind, "seconds": min(after) - fault.ended_s if after else None})
    if not waits:
        return _nothing(criterion, expected, "fault that ended")
    bad = [wait for wait in waits if wait["seconds"] is None or wait["seconds"] > criterion.seconds]
    told = [f"{w['fault']} " + ("never" if w["seconds"] is None else f"{w['seconds']:.2f} s") for w in bad or waits]
    return Outcome(_name(criterion), not bad, expected, ", ".join(told), {"waits": waits})


def _safe_state(criterion: tables.SafeState, record: RunRecord) -> Outcome:
    reached = any(state == "safe" for _, state in record.states) or any(
        event.name == "safe_state_entered" for event in record.events
    )
    expected = "the safe state" if criterion.reached else "no safe state"
    states = [state for _, state in record.states]
    if not states:
        return _nothing(criterion, expected, "housekeeping")
    return Outcome(
        _name(criterion), reached == criterion.reached, expected, " → ".join(states), {"states": record.states}
    )


def _no_wrong_map(criterion: tables.NoWrongMap, record: RunRecord) -> Outcome:
    expected = "every compared product as the offline answer, bit for bit"
    if not record.comparisons:
        return _nothing(criterion, expected, "product that was compared")
    wrong = [entry for entry in record.comparisons if not entry.equal]
    evidence = {
        "compared": len(record.comparisons),
        "wrong": [{"frame": entry.frame, "topic": entry.topic} for entry in wrong[:_NAMED]],
    }
    got = f"{len(wrong)} of {len(record.comparisons)} products differ"
    return Outcome(_name(criterion), not wrong, expected, got, evidence)


def _flag_raised(criterion: tables.FlagRaised, record: RunRecord) -> Outcome:
    expected = f"{criterion.flag} on {criterion.least:.0%}..{criterion.most:.0%} of the products"
    frames = [frame for frame in _window(criterion, record) if frame.answered_s is not None]
    if not frames:
        return _nothing(criterion, expected, "products in the window")
    raised = [frame.index for frame in frames if criterion.flag in frame.flags]
    share = len(raised) / len(frames)
    evidence = {"products": len(frames), "raised": len(raised), "frames": raised[:_NAMED]}
    passed = criterion.least <= share <= criterion.most
    return Outcome(_name(criterion), passed, expected, f"{share:.0%} of {len(frames)}", evidence)


def _between(least: int, most: int | None) -> str:
    return f"at least {least}" if most is None else f"{least}" if least == most else f"{least}..{most}"


def _event_seen(criterion: tables.EventSeen, record: RunRecord) -> Outcome:
    seen = [event for event in record.events if event.name == criterion.event]
    count = len(seen) + sum(event.suppressed for event in seen)
    passed = criterion.least <= count and (criterion.most is None or count <= criterion.most)
    evidence = {"count": count, "messages": [event.message for event in seen[:_NAMED]]}
    expected = f"{criterion.event} {_between(criterion.least, criterion.most)} times"
    return Outcome(_name(criterion), passed, expected, f"{count} times", evidence)


def _frames_rejected(criterion: tables.FramesRejected, record: RunRecord) -> Outcome:
    reasons = {n.partition(".")[2]: v for n, v in record.counters.items() if n.startswith("frames_rejected.")}
    count = sum(reasons.values()) if criterion.reason == "any" else reasons.get(criterion.reason, 0)
    passed = criterion.least <= count and (criterion.most is None or count <= criterion.most)
    expected = f"{_between(criterion.least, criterion.most)} frames rejected ({criterion.reason})"
    return Outcome(_name(criterion), passed, expected, f"{count}", {"rejected": reasons})


def _commands_answered(criterion: tables.CommandsAnswered, record: RunRecord) -> Outcome:
    expected = f"each command replied to as expected within {criterion.seconds:g} s"
    bad = [c for c in record.commands if c.outcome != c.expect or c.seconds is None or c.seconds > criterion.seconds]
    took = [c.seconds for c in record.commands if c.seconds is not None]
    got = "; ".join(f"{c.name}: expected {c.expect}, got {c.outcome or 'no reply'} {c.message}".strip() for c in bad)
    fine = f"{len(record.commands)} replies, longest {max(took, default=0.0):.2f} s"
    evidence = {"commands": [dataclasses.asdict(command) for command in record.commands]}
    return Outcome(_name(criterion), not bad and bool(record.commands), expected, got or fine, evidence)


JUDGES: dict[str, Callable[[Any, RunRecord], Outcome]] = {
    "answered_within": _answered_within,
    "lost_at_most": _lost_at_most,
    "miou_at_least": _miou_at_least,
    "centroid_error_at_most": _centroid_error_at_most,
    "entropy_rises": _entropy_rises,
    "landing_circles_clear": _landing_circles_clear,
    "recovered_within": _recovered_within,
    "safe_state": _safe_state,
    "no_wrong_map": _no_wrong_map,
    "flag_raised": _flag_raised,
    "event_seen": _event_seen,
    "frames_rejected": _frames_rejected,
    "commands_answered": _commands_answered,
}
