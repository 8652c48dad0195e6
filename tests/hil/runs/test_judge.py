"""Each criterion holds where it should, and fails where it should: on plain data."""

from __future__ import annotations

import numpy as np
import pytest

from hil.runs.judge import judge, judge_faults, pool_confusion
from hil.runs.record import CommandRecord, Comparison, RunRecord
from hil.scenarios import criterion_tables as tables
from tests.hil.runs.records import confusion, event, fault, frame, lost, record

FRAMES = [frame(index) for index in range(10)]


def check(criterion: tables.Criterion, good: RunRecord, bad: RunRecord, got: str) -> None:
    """The criterion holds of one record, and not of the other one, which it says of."""
    assert judge(criterion, good).passed
    outcome = judge(criterion, bad)
    assert not outcome.passed
    assert got in outcome.got
    assert outcome.expected


def test_answered_within() -> None:
    late = [*FRAMES[:9], frame(9, answered_s=6.0)]
    check(tables.AnsweredWithin(seconds=1.0), record(*FRAMES), record(*late), "90.0% (9 of 10), longest 1.500 s")
    assert judge(tables.AnsweredWithin(seconds=1.0, share=0.9), record(*late)).passed
    assert judge(tables.AnsweredWithin(seconds=1.0, to_s=4.5), record(*late)).passed
    assert not judge(tables.AnsweredWithin(seconds=1.0), record(*FRAMES, frame(10, status="invalid"))).passed
    assert judge(tables.AnsweredWithin(seconds=1.0), record(*FRAMES, lost(10, dropped=True))).passed
    assert judge(tables.AnsweredWithin(seconds=1.0, from_s=90.0), record(*FRAMES)).got == "no frames in the window"


def test_lost_at_most() -> None:
    two = record(*FRAMES, lost(10), lost(11, sent_s=None))
    check(tables.LostAtMost(), record(*FRAMES), two, "2 of 12, 1 of them not taken by the service")
    assert judge(tables.LostAtMost(frames=2), two).passed
    assert judge(tables.LostAtMost(), record(*FRAMES, frame(10, status="invalid"))).passed


def test_miou_at_least() -> None:
    good = record(frame(0, confusion=confusion(80, 20, 5, 5, 5)))
    bad = record(frame(0, confusion=confusion(20, 20, 5, 5, 5, wrong=60)))
    # 20 / 80 of the background, 20 / 80 of the surface, and three whole ones.
    check(tables.MiouAtLeast(value=0.9), good, bad, "0.700 over 1 frames")
    assert judge(tables.MiouAtLeast(value=0.7), bad).evidence["iou"]["background"] == 0.25
    assert not judge(tables.MiouAtLeast(value=0.0), record(*FRAMES)).passed


def test_miou_is_of_classes_of_the_same_names_or_of_roles() -> None:
    others = {"classes": ["dark", "grey", "bright", "edge"], "roles": ["background", "safe", "hazard", "terminator"]}
    counts = [[8, 0, 0, 0, 0], [0, 4, 0, 0, 0], [0, 0, 2, 0, 0], [0, 0, 2, 0, 0], [0, 0, 0, 0, 2]]
    seen = record(frame(0, confusion=counts), **others)
    assert pool_confusion(seen.frames, seen, "classes") is None
    assert not judge(tables.MiouAtLeast(value=0.1), seen).passed
    # Craters and boulders are one role; the terminator was found nowhere.
    assert judge(tables.MiouAtLeast(value=0.74, of="roles"), seen).passed
    assert judge(tables.MiouAtLeast(value=0.76, of="roles"), seen).got == "0.750 over 1 frames"


def test_centroid_error_at_most() -> None:
    near, far = [frame(i, centroid_error_px=0.5) for i in range(9)], frame(9, centroid_error_px=7.0)
    criterion = tables.CentroidErrorAtMost(pixels=1.0, share=0.95)
    check(criterion, record(*near), record(*near, far), "90.0% of 10; median 0.50 px, largest 7.00 px")
    assert judge(criterion, record(*near, far)).evidence["worst_frame"] == 9
    assert judge(criterion, record(*FRAMES)).got == "no fix of a whole body"


def test_entropy_rises() -> None:
    noise = fault("camera_noise", 2.0, until_s=4.0, degrades=True)
    risen = [frame(i, entropy=0.6 if 4 <= i < 8 else 0.3) for i in range(10)]
    same = [frame(i, entropy=0.3) for i in range(10)]
    criterion = tables.EntropyRises(factor=1.5)
    check(criterion, record(*risen, faults=[noise]), record(*same, faults=[noise]), "0.300 nat over 4 degraded frames")
    assert not judge(tables.EntropyRises(), record(*same, faults=[noise])).passed
    assert not judge(criterion, record(*risen, faults=[fault()])).passed


def test_landing_circles_clear() -> None:
    clear = [frame(0, circles=2, circle_pixels=(100, 0)), frame(1)]
    touching = [*clear, frame(2, circles=1, circle_pixels=(100, 30))]
    criterion = tables.LandingCirclesClear(share=0.1)
    check(criterion, record(*clear), record(*touching), "15.00% of 200 pixels of 3 circles")
    assert judge(criterion, record(*touching)).evidence["worst_frames"] == [2]
    assert judge(criterion, record(*FRAMES)).got == "no landing circle"


def test_recovered_within() -> None:
    killed = fault(at_s=2.0)
    gap = [*FRAMES[:4], *(lost(i) for i in range(4, 8)), *FRAMES[8:]]
    check(
        tables.RecoveredWithin(seconds=1.0), record(*FRAMES, faults=[killed]), record(*gap, faults=[killed]), "2.10 s"
    )
    never = record(*FRAMES[:4], lost(4), faults=[killed])
    assert judge(tables.RecoveredWithin(seconds=99.0), never).got == "worker_killed never"
    # A map of a frame from before the fault is no recovery, and neither is a product without a map.
    before = record(frame(3, answered_s=9.0), frame(4, status="invalid"), faults=[killed])
    assert not judge(tables.RecoveredWithin(seconds=99.0), before).passed


def test_safe_state() -> None:
    safe = record(*FRAMES, states=[(0.0, "ready"), (3.0, "safe")])
    check(tables.SafeState(), record(*FRAMES), safe, "ready → safe")
    check(tables.SafeState(reached=True), safe, record(*FRAMES), "ready")
    told = record(*FRAMES, events=[event("safe_state_entered")])
    assert not judge(tables.SafeState(), told).passed
    assert not judge(tables.SafeState(), record(*FRAMES, states=[])).passed


def test_no_wrong_map() -> None:
    equal = [Comparison(0, "map.navigation", True), Comparison(1, "map.navigation", True)]
    wrong = [*equal, Comparison(2, "map.hazard", False)]
    check(tables.NoWrongMap(), record(comparisons=equal), record(comparisons=wrong), "1 of 3 products differ")
    assert judge(tables.NoWrongMap(), record(comparisons=wrong)).evidence["wrong"] == [
        {"frame": 2, "topic": "map.hazard"}
    ]
    assert not judge(tables.NoWrongMap(), record(comparisons=[])).passed
    assert not judge(tables.NoWrongMap(), record()).passed


def test_flag_raised() -> None:
    half = record(*(frame(i, flags=("body_cut",) if i < 5 else ()) for i in range(10)))
    check(tables.FlagRaised(flag="body_cut", least=0.4), half, record(*FRAMES), "0% of 10")
    assert not judge(tables.FlagRaised(flag="body_cut", most=0.4), half).passed
    assert judge(tables.FlagRaised(flag="body_cut", least=1.0, to_s=2.5), half).passed


def test_event_seen() -> None:
    seen = record(*FRAMES, events=[event("bundle_activated"), event("bundle_activated", suppressed=2)])
    check(tables.EventSeen(event="bundle_activated", least=4), seen, record(*FRAMES), "0 times")
    assert not judge(tables.EventSeen(event="bundle_activated", most=3), seen).passed


def test_frames_rejected() -> None:
    counters = {"frames_rejected.not_increasing": 4, "frames_rejected.size_mismatch": 1, "frames_received": 9}
    criterion = tables.FramesRejected(reason="not_increasing", least=2)
    check(criterion, record(counters=counters), record(), "0")
    assert judge(tables.FramesRejected(least=5, most=5), record(counters=counters)).passed
    assert not judge(tables.FramesRejected(least=0, most=0), record(counters=counters)).passed


def test_commands_answered() -> None:
    done = CommandRecord("no_op", 1.0, "completed", 1.0, 0.2, "completed")
    slow = CommandRecord("no_op", 1.0, "completed", 1.0, 9.0, "completed")
    refused = CommandRecord("set_mode", 1.0, "completed", 1.0, 0.2, "rejected", "no such mode")
    criterion = tables.CommandsAnswered(seconds=5.0)
    check(
        criterion,
        record(commands=[done]),
        record(commands=[done, refused]),
        "set_mode: expected completed, got rejected",
    )
    assert not judge(criterion, record(commands=[slow])).passed
    assert not judge(criterion, record()).passed


def test_faults_that_were_not_carried_out_fail_the_run() -> None:
    assert judge_faults(record(faults=[fault()])).passed
    for bad in (fault(failed=True, note="no worker runs"), fault(ended_s=None, note="")):
        assert not judge_faults(record(faults=[fault(), bad])).passed


def test_evidence_is_plain_data_for_json() -> None:
    import json

    everything = record(
        *FRAMES, frame(10, confusion=confusion(5, 5)), counters={"frames_received": 3}, faults=[fault()]
    )
    for criterion in (tables.AnsweredWithin(seconds=1.0), tables.LostAtMost(), tables.MiouAtLeast(value=0.5)):
        assert json.loads(json.dumps(judge(criterion, everything).evidence, allow_nan=False))
    assert np.isfinite(judge(tables.MiouAtLeast(value=0.5), everything).evidence["miou"])


def test_a_window_that_ends_before_it_begins_is_refused() -> None:
    with pytest.raises(ValueError, match="to_s: expected more than from_s, 5, got 4"):
        tables.LostAtMost(from_s=5.0, to_s=4.0)
