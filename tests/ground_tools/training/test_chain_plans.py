"""Training plans, and the pace at which a stage goes through its schedule."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ground_tools.training.chain.pace import Pace, learning_rate, stage_seconds
from ground_tools.training.chain.plan import PLANS, load_plan
from tests.ground_tools.training.small_plan import PLAN


def test_plans_of_the_project() -> None:
    for path in PLANS.glob("*.toml"):
        plan = load_plan(path.stem)
        wanted = plan.wanted()
        own = ["d1", "d4", "d4_by_body", "d4_paper_split", "d5"]
        sets = {"check": ["d4"], "rubble": own, "self_training": ["d4", "real"]}
        assert sorted(wanted) == sets.get(plan.name, ["d1", "d4"])
        assert wanted["d4"].rules == ((5,) if plan.name in ("rubble", "self_training") else (1,))
        for stage in plan.stages:
            # The real head, in the whole image.
            assert stage.recipe.head in ("whole", "windowed")
            assert stage.recipe.window == 128
    full = load_plan("full")
    assert full.wanted()["d1"].rules == (1, 5)
    assert {"UNetS", "UNetAS", "UNetR"} <= {stage.recipe.role for stage in full.stages}
    assert full.only(["unet_as", "encoder"]).stages == (full.stages[0], full.stages[3])
    with pytest.raises(ValueError, match="--stages: expected some of encoder, unet_s"):
        full.only(["unet_x"])
    assert {stage.recipe.batch for stage in full.limit_batch(40).stages} == {32, 40}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"best-unet-s"', '"best-unet-x"', "stage unet_s: recipe .*best_unet_x.toml: No such file"),
        ("share = 1", "share = 0", r"stage\[0\].share: expected a number > 0, got 0"),
        ("share = 1", "share = true", r"stage\[0\].share: expected a number > 0, got true"),
        (
            'encoder = ["encoder"]',
            'encoder = ["unet_as"]',
            "an earlier stage that trains .*_cnn, got unet_as",
        ),
        ('encoder = ["encoder"]\n', "", "stage unet_s: expected either encoder or start_from, got neither"),
        ('start_from = ["unet_s"]', 'start_from = ["encoder"]', "earlier stage that trains network unet, got encoder"),
        ('name = "unet_as"', 'name = "unet_s"', r"stage\[2\].name: expected another name than .*, got \"unet_s\""),
        (
            'name = "unet_as"',
            'name = "unet_as"\nmood = 1',
            r"stage\[2\].mood: expected one of .*unknown field",
        ),
        ("minutes = 15", "minutes = 0", "minutes: expected a number > 0 and <= 1440, got 0"),
        ("window = 32,", "window = 32, feature_windows = 0.5,", "feature_windows: expected 0 and the whole image"),
        (
            '"best-encoder"',
            '"moon-unet"',
            "network: expected encoder_cnn or unet: a chain",
        ),
        ("window = 32,", "window = 32, images = 8,", "images: expected 0, all images of one set, got 8"),
    ],
)
def test_a_malformed_plan_is_named(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = tmp_path / "wrong.toml"
    assert old in PLAN
    path.write_text(PLAN.replace(old, new, 1))
    with pytest.raises(ValueError, match=message) as caught:
        load_plan(str(path))
    assert str(path) in str(caught.value)


def run_pace(pace: Pace, seconds: list[float], steps: int) -> tuple[float, list[float]]:
    """Go through a stage whose rounds take so long for each step; returns when it ended and the progress on the way."""
    now, progress = 0.0, []
    for each in seconds:
        count, end = pace.next_round(now, steps)
        if not count:
            break
        pace.record(count, end, each * count)
        now += each * count
        progress.append(end)
    return now, progress


def test_a_stage_that_has_time_does_all_of_its_steps() -> None:
    pace = Pace(steps=100, deadline=1e3, seconds=1.0)
    ended, progress = run_pace(pace, [1.0] * 99, 10)
    assert (pace.done, ended) == (100, 100.0)
    assert progress == pytest.approx(np.arange(1, 11) / 10)


def test_the_time_budget_stops_a_stage_at_the_end_of_its_schedule() -> None:
    # Steps become slower than was measured, and faster again.
    pace = Pace(steps=10_000, deadline=100.0, seconds=0.5)
    seconds = [0.5] * 3 + [1.5] * 3 + [0.4] * 999
    ended, progress = run_pace(pace, seconds, 10)
    assert 94.0 < ended <= 100.0
    assert 100 < pace.done < 200
    assert progress == sorted(progress)
    assert progress[-1] == pytest.approx(1.0)
    # No time is left for a round that is not worth it: 10 of 14 steps, then 4, would be two validations.
    assert Pace(steps=100, deadline=14.5, seconds=1.0, done=20, progress=0.5).next_round(0.0, 10) == (14, 1.0)
    assert Pace(steps=100, deadline=4.5, seconds=1.0, done=20, progress=1.0).next_round(0.0, 10) == (0, 1.0)
    # With no time for a round, a part of one; a first step in any case.
    assert Pace(steps=100, deadline=3.5, seconds=1.0).next_round(0.0, 10) == (3, 1.0)
    assert Pace(steps=100, deadline=0.5, seconds=1.0).next_round(0.0, 10) == (1, 1.0)
    assert Pace(steps=100, deadline=0.5, seconds=1.0, done=1, progress=1.0).next_round(0.4, 10) == (0, 1.0)


def test_what_a_stage_leaves_goes_to_the_others() -> None:
    assert stage_seconds([1.0, 2.0, 1.0], 100.0) == 25.0
    assert stage_seconds([2.0, 1.0], 90.0) == 60.0
    assert stage_seconds([1.0], 30.0) == 30.0


def test_the_learning_rate_rises_and_falls() -> None:
    recipe = load_plan("full").stages[1].recipe
    rates = [learning_rate(recipe, progress, 0.05) for progress in np.linspace(0.0, 1.0, 101)]
    assert rates[0] == pytest.approx(0.05)
    assert max(rates) == pytest.approx(1.0, abs=1e-6)
    assert rates.index(max(rates)) == 5
    assert rates[-1] == pytest.approx(0.1)
    assert rates[5:] == sorted(rates[5:], reverse=True)
    paper = load_plan("paper").stages[1].recipe
    assert {learning_rate(paper, progress, 0.05) for progress in (0.0, 0.5, 1.0)} == {1.0}
