"""`ground-tools evaluate`: parts of sets, kills, and what it refuses."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from dask.distributed import LocalCluster

from ground_tools.datasets.store import (
    write_description,
)
from ground_tools.evaluation import worker_pool
from tests.ground_tools.conftest import ground_tools
from tests.ground_tools.evaluation.sets import write_set


@pytest.mark.slow
def test_a_part_of_another_split_by_a_bundle_without_fusion(
    second: Path, sets: dict[str, Path], tmp_path: Path
) -> None:
    arguments = ["--bundle", second, "--dataset", sets["d1"], "--split", "validation", "--out", tmp_path]
    done = ground_tools("evaluate", *arguments, "--images", 3, "--sweep", 2, "--disturbed", 0, "--workers", 1)
    assert done.returncode == 0, done.stderr
    record = json.loads((tmp_path / "results.json").read_text())
    assert record["d1_validation"]["unet_r"]["images"] == 3
    assert "gamma" not in record["choices"]["d1"]["plain"]
    assert record["unlike_training"] == {}


@pytest.mark.slow
def test_a_dask_cluster_gives_the_figures_of_local_processes_and_goes_on(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = write_set(tmp_path / "few", "few", {"a": {"validation": 3, "test": 9}})
    common = ["evaluate", "--bundle", bundle, "--dataset", dataset, "--passes", 3, "--sweep", 0, "--disturbed", 0]
    done = ground_tools(*common, "--workers", 1, "--out", tmp_path / "here")
    assert done.returncode == 0, done.stderr
    with LocalCluster(
        n_workers=2, threads_per_worker=2, processes=False, protocol="tcp", host="127.0.0.1", dashboard_address=None
    ) as cluster:
        away = [*common, "--scheduler", cluster.scheduler_address, "--out", tmp_path / "away"]
        done = ground_tools(*away)
        assert done.returncode == 0, done.stderr
        parts = sorted((tmp_path / "away" / "statistics").glob("*/*.npz"))
        assert [path.read_bytes() for path in parts] == [
            (tmp_path / "here" / "statistics" / path.parent.name / path.name).read_bytes() for path in parts
        ]
        results = [(tmp_path / name / "results.json").read_bytes() for name in ("here", "away")]
        assert results[0] == results[1]
        # A part that is not there is computed again, and no other.
        lost = parts.pop()
        lost.unlink()
        kept = [path.stat().st_mtime_ns for path in parts]
        done = ground_tools(*away)
        assert done.returncode == 0, done.stderr
        assert lost.is_file()
        assert [path.stat().st_mtime_ns for path in parts] == kept
        assert (tmp_path / "away" / "results.json").read_bytes() == results[0]
        # Workers with other libraries are not taken.
        lost.unlink()
        here = threading.main_thread()
        monkeypatch.setattr(
            worker_pool, "software", lambda: {"numpy": "1" if threading.current_thread() is here else "2"}
        )
        done = ground_tools(*away)
        assert done.returncode == 2
        assert "expected numpy 1, as where the evaluation was started, got numpy 2" in done.stderr


@pytest.mark.slow
def test_a_killed_evaluation_goes_on_and_leaves_no_process(bundle: Path, tmp_path: Path) -> None:
    dataset = write_set(tmp_path / "many", "many", {"a": {"test": 16}, "b": {"test": 16}})
    arguments = ["evaluate", "--bundle", bundle, "--dataset", dataset, "--passes", 20, "--workers", 2]

    def command(out: Path) -> list[str]:
        return [sys.executable, "-m", "ground_tools.cli", *map(str, arguments), "--out", str(out)]

    process = subprocess.Popen(command(tmp_path / "killed"), stderr=subprocess.DEVNULL, start_new_session=True)
    deadline = time.monotonic() + 200.0
    while not (parts := list((tmp_path / "killed").glob("statistics/*/*.npz"))):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    group = os.getpgid(process.pid)
    process.send_signal(signal.SIGKILL)
    process.wait()
    while alive(group):
        assert time.monotonic() < deadline, "workers outlive their parent"
        time.sleep(0.1)
    stored = {path: path.stat().st_mtime_ns for path in parts}
    assert not (tmp_path / "killed" / "results.json").exists()
    for name in ("killed", "whole"):
        done = subprocess.run(command(tmp_path / name), capture_output=True, text=True, check=False, timeout=280)
        assert done.returncode == 0, done.stderr
    assert {path: path.stat().st_mtime_ns for path in parts} == stored
    results = [json.loads((tmp_path / name / "results.json").read_text()) for name in ("killed", "whole")]
    assert results[0] == results[1]


def alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"classes": ["dark", "grey"]}, "classes: expected dark, grey, bright, edge, as bundle tiny has, got dark"),
        ({"format": 1}, "expected format 2, got 1"),
    ],
)
def test_a_set_that_does_not_fit_is_refused(
    bundle: Path, sets: dict[str, Path], tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    other = write_set(tmp_path / "other", "other", {"a": {"test": 1}})
    description = json.loads((other / "dataset.json").read_text())
    write_description(other, {**description, **change})
    arguments = ("--dataset", sets["d1"], "--dataset", other, "--out", tmp_path / "out")
    done = ground_tools("evaluate", "--bundle", bundle, *arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert len([line for line in done.stderr.splitlines() if line.startswith("ground-tools")]) == 1
    assert not (tmp_path / "out").exists()


def test_a_wrong_call_is_one_line(bundle: Path, sets: dict[str, Path], tmp_path: Path) -> None:
    d1, out = ("--dataset", sets["d1"]), ("--out", tmp_path / "out")
    one, validation = ("--bundle", bundle), ("--split", "validation")
    calls = {
        "--passes: expected 1..100, got 0": (*one, *d1, "--passes", 0),
        "--bundle: mode fused: expected it in one bundle, got": (*one, *one, *d1),
        "--dataset: expected sets of different names": (*one, *d1, *d1),
        # Nor are all samples of a set without splits those of one that is asked for.
        "d4: expected samples in split validation, got train, test": (*one, "--dataset", sets["d4"], *validation),
        "d3: expected samples in split validation, got test": (*one, "--dataset", sets["d3"], *validation),
        "--write: expected figures of --split test": (*one, *d1, "--split", "train", "--write", tmp_path),
        "results.md: expected the lines <!-- figures: begin -->": (*one, *d1, "--write", tmp_path),
    }
    for message, arguments in calls.items():
        done = ground_tools("evaluate", *arguments, *out)
        assert done.returncode == 2
        assert message in done.stderr
        assert len([line for line in done.stderr.splitlines() if line.startswith("ground-tools")]) == 1
