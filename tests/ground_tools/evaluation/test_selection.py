"""What is evaluated: which samples, how they are disturbed, which are shown."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from flight.bundle import load_bundle
from ground_tools.evaluation.disturbances import DISTURBANCES, disturb_frame
from ground_tools.evaluation.mosaics import best_middle_worst
from ground_tools.evaluation.selection import select
from ground_tools.evaluation.statistics import rock_sizes
from tests.ground_tools.evaluation.sets import write_set


def test_a_set_without_splits_is_evaluated_as_a_whole(bundle: Path, tmp_path: Path) -> None:
    loaded = load_bundle(bundle)
    path = write_set(tmp_path / "d5", "d5", {"a": {"validation": 2}, "b": {"validation": 1}})
    selection = select(path, "test", 0, loaded)
    assert (selection.split, selection.label, len(selection)) == ("all", "d5", 3)
    assert select(path, "validation", 0, loaded).label == "d5_validation"
    with pytest.raises(ValueError, match=r"d5: expected samples in split train, got validation"):
        select(path, "train", 0, loaded)


def test_best_middle_and_worst_show_no_view_twice() -> None:
    values, views = np.linspace(1.0, 0.0, 24), np.repeat(np.arange(6), 4)
    groups = best_middle_worst(values, views)
    assert [name for name, _ in groups] == ["best", "middle", "worst"]
    assert [places.tolist() for _, places in groups] == [[0, 4], [8, 12], [16, 20]]
    assert [len(places) for _, places in best_middle_worst(values, np.arange(24))] == [4, 4, 4]
    assert best_middle_worst(values[:2], np.arange(2))[0][0] == "all"


def test_disturbances_are_what_they_say_and_repeat() -> None:
    image = np.full((64, 64), 60, dtype=np.uint8)
    image[:, 32:] = 0
    frames = {name: disturb_frame(image, name, noisy=True) for name in DISTURBANCES}
    assert all(np.array_equal(disturb_frame(image, name, noisy=True), frame) for name, frame in frames.items())
    spread = [frames[name][:, :32].std() for name in ("none", "noise 0.03", "noise 0.1", "noise 0.2")]
    assert spread[0] == pytest.approx(2.55, rel=0.1)
    assert spread[1] == pytest.approx(255 * math.hypot(0.01, 0.03), rel=0.1)
    assert spread == sorted(spread)
    assert frames["gain 4"][:, :32].mean() > 250
    assert frames["empty sky"].mean() == pytest.approx(25.5, abs=0.5)
    edge = [frames[name][:, 31].mean() for name in ("none", "blur 1 px", "blur 4 px")]
    assert edge == sorted(edge, reverse=True)
    # Real images have noise of their own, and get none here.
    assert np.array_equal(disturb_frame(image, "none", noisy=False), image)
    assert disturb_frame(image, "empty sky", noisy=False).std() > 1.0
    with pytest.raises(ValueError, match=r"disturbance: expected one of none, .*, got fog"):
        disturb_frame(image, "fog", noisy=True)


def test_rocks_are_told_apart_by_visible_size() -> None:
    identifiers = np.ones((10, 20), dtype=np.uint16)
    identifiers[0, :3] = 1000
    identifiers[2, :16] = 11_000
    identifiers[4, :2] = 12_000
    identifiers[5, :20] = 101  # a crater
    sizes = rock_sizes(identifiers)
    assert sizes[0, :3].tolist() == [3, 3, 3]
    assert (sizes[2, :16] == 16).all()
    assert sizes.sum() == 3 * 3 + 16 * 16
