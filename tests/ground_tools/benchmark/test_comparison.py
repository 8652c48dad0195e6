"""Errors against the reference, passes for equal error, processes of engines."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from flight.bundle import load_bundle
from ground_tools.benchmark import child, comparison
from ground_tools.benchmark.child import EngineError, EngineProcess
from ground_tools.benchmark.comparison import Task, compare_engines, passes_for_error
from ground_tools.benchmark.engines import ENGINES
from ground_tools.benchmark.reference import make_references
from ground_tools.benchmark.workload import FlightEngine, read_frames
from ground_tools.foundation.machine import describe_machine


@pytest.fixture(scope="module")
def task(closed_form_bundle: Path, images: Path, tmp_path_factory: pytest.TempPathFactory) -> Task:
    bundle = load_bundle(closed_form_bundle)
    frames = read_frames(bundle, images, 2)
    references = make_references(bundle, frames, 100, 1, tmp_path_factory.mktemp("references"))
    return Task(bundle, frames, references, passes=8, threads=1, rounds=3)


def test_passes_for_an_error_lie_between_the_measured_ones() -> None:
    curve = {5: 0.08, 20: 0.04, 80: 0.02}  # as 1 / sqrt(P)
    assert passes_for_error(0.04, curve, 100) == 20
    assert passes_for_error(0.08 * np.sqrt(5 / 10), curve, 100) == 10
    assert passes_for_error(0.0283, curve, 100) == 40
    assert passes_for_error(0.01, curve, 100) == 100  # never
    assert passes_for_error(0.5, curve, 100) == 5  # nothing is known of fewer
    assert passes_for_error(0.02, curve, 30) == 30
    assert passes_for_error(0.03, {5: 0.08, 10: 0.04, 20: 0.05, 40: 0.02}, 40) in range(20, 41)


def test_references_are_kept_and_made_anew_for_what_changed(
    task: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames = task.frames[:1]
    (first,) = make_references(task.bundle, frames, 10, 1, tmp_path)
    (file,) = tmp_path.iterdir()
    with monkeypatch.context() as patched:
        patched.setattr("ground_tools.benchmark.reference.WholePasses", None)  # nothing is computed
        (again,) = make_references(task.bundle, frames, 10, 1, tmp_path)
    np.testing.assert_array_equal(again.probability, first.probability)
    assert first.noise.entropy > 0.0
    file.write_bytes(file.read_bytes()[:100])
    (mended,) = make_references(task.bundle, frames, 10, 1, tmp_path)
    np.testing.assert_array_equal(mended.probability, first.probability)
    make_references(task.bundle, frames, 12, 1, tmp_path)
    make_references(task.bundle, [255 - frames[0]], 10, 1, tmp_path)
    assert len(list(tmp_path.iterdir())) == 3


def test_more_passes_have_a_lower_error(task: Task) -> None:
    engine = FlightEngine(task.bundle, "auto", 1)
    curve = comparison.error_curve(engine, task, [1, 40])
    engine.close()
    assert curve[40].entropy < 0.7 * curve[1].entropy
    assert curve[40].probability < 0.7 * curve[1].probability


def test_engines_are_compared_and_what_does_not_work_is_a_row_that_says_why(
    task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    kinds = {kind.name: kind for kind in ENGINES}
    absent = replace(kinds["torch_float32"], packages=("no_such_library",))
    no_bfloat16 = kinds["openvino_bfloat16"]
    # Its int8 passes are off by more than this.
    strict = replace(kinds["litert_int8"], bound=1e-6)
    machine = replace(describe_machine(), features=[])
    chosen = [kinds["closed_form"], kinds["passes"], kinds["litert_float32"], strict, absent, no_bfloat16]
    rows = compare_engines(task, chosen, {2: 1.0, 8: 1e-9}, machine)
    assert list(rows) == [kind.name for kind in chosen]
    ours = rows["closed_form"]
    assert (ours.ratio_to_ours, ours.passes, ours.equal_error, ours.problem) == (1.0, 8, True, None)
    exact = rows["litert_float32"]
    assert exact.pass_difference == 0.0
    assert exact.median_ms is not None
    assert exact.least_ms <= exact.median_ms <= exact.largest_ms
    assert exact.least_ratio <= exact.ratio_to_ours <= exact.largest_ratio
    assert 0.0 < exact.entropy_error_nat < 0.15
    assert exact.equal_error or exact.passes == 8
    assert rows["torch_float32"].problem == "not installed: pip install rubblemap[peers]"
    assert rows["openvino_bfloat16"].problem == "not run: this processor has no products of bfloat16"
    assert "off by" in rows["litert_int8"].problem
    assert rows["litert_int8"].median_ms is None


def test_an_engine_that_dies_costs_its_row_alone(closed_form_bundle: Path, task: Task) -> None:
    with EngineProcess("litert_float32", closed_form_bundle, 1) as process:
        with pytest.raises(EngineError, match=r"medianBlur' \(body_search.py:"):
            process.answer(np.zeros((0, 0), np.uint8), 1, 2)
        process._process.kill()
        with pytest.raises(EngineError, match="its process"):
            process.answer(task.frames[0], 1, 2)
    with pytest.raises(EngineError, match="StopIteration"):
        EngineProcess("no_such_engine", closed_form_bundle, 1)


def test_an_engine_that_hangs_is_given_up(
    closed_form_bundle: Path, task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    with EngineProcess("passes", closed_form_bundle, 1) as process:
        monkeypatch.setattr(child, "_TIMEOUT_S", 0.0)
        with pytest.raises(EngineError, match="no answer within 0 s"):
            process.answer(task.frames[0], 1, 100)
