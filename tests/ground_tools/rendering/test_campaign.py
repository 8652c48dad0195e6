"""Rendering through the command line: what is in a set, that it resumes, repeats itself, and says what is wrong."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from dask.distributed import LocalCluster

from ground_tools.datasets.store import (
    PIXEL_COLUMNS,
    digest,
    load,
    read_description,
    read_index,
    sample_digest,
    shard_paths,
    webp_array,
)
from ground_tools.labels.classes import BACKGROUND, BOULDERS
from tests.ground_tools.conftest import ground_tools, render_shared

# One body, as making its model is what takes long; most of its samples in the last of three shards.
LONE = """name = "lone"
seed = 5
samples = 4
[bodies]
procedural_top = [1, 1, 4]
"""


@pytest.fixture(scope="module")
def lone_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("lone") / "lone.toml"
    path.write_text(LONE)
    return path


@pytest.fixture(scope="module")
def lone(tmp_path_factory: pytest.TempPathFactory, lone_file: Path) -> Path:
    """Six samples of one body, rendered undisturbed."""
    return render_shared(tmp_path_factory, "lone", lone_file)


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a set by its name, but the log of how it came about."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != "rendering.jsonl")
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def children(process: int) -> list[int]:
    """Living child processes of a process."""
    found = []
    for task in Path(f"/proc/{process}/task").glob("*/children"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # The thread has ended since it was listed.
            found += [int(child) for child in task.read_text().split()]
    return found


def command_line(process: int) -> bytes:
    """Command line of a process; empty when it has ended."""
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


def rendering_workers(process: int) -> list[int]:
    """The worker processes of a rendering command: all below it but the one that watches shared resources."""
    below = children(process)
    for child in list(below):
        below += children(child)
    return [p for p in below if b"spawn_main" in command_line(p)]


def start(*arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "ground_tools.cli", "render", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for_a_shard(process: subprocess.Popen[str], out: Path, count: int = 1) -> None:
    deadline = time.monotonic() + 240.0
    while len(shard_paths(out)) < count:
        assert time.monotonic() < deadline
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)


def test_what_is_in_a_set(dataset: Path) -> None:
    description = read_description(dataset)
    assert description["samples"] == 10
    assert description["sha256"] == digest(dataset)
    assert description["noise"]["mean"] == 0.1
    assert description["bodies"]["procedural_top"]["extent_km"] == pytest.approx(0.9, rel=0.01)
    train = load(dataset, "train", identifiers=True)
    assert train.images.shape == train.masks.shape == train.identifiers.shape == train.ground.shape == (6, 128, 128)
    assert sorted(set(train.bodies)) == ["procedural_bilobate", "procedural_top"]
    assert np.isnan(train.times_s).all()
    assert train.masks.max() <= 4
    for image, mask, identifiers in zip(train.images, train.masks, train.identifiers, strict=True):
        assert ((mask != BACKGROUND) == (identifiers > 0)).all()
        assert (mask != BACKGROUND).mean() > 0.1
        assert image[mask != BACKGROUND].max() > 100
        # The sky is black, but for the pixel next to the limb over which the filter spreads the body.
        sky = mask == BACKGROUND
        assert np.mean(image[sky] > 10) < 0.1
    assert (train.masks == BOULDERS).any()
    assert len(load(dataset, bodies=["procedural_top"])) == 5


def test_every_row_tells_its_geometry_and_its_digest(dataset: Path) -> None:
    index = read_index(dataset).to_pylist()
    rows = [row for path in shard_paths(dataset) for row in pq.read_table(path).to_pylist()]
    assert len(index) == len(rows) == 10
    for row, entry in zip(rows, index, strict=True):
        arrays = [webp_array(row[name], name) for name in PIXEL_COLUMNS]
        assert row["sha256"] == sample_digest(*arrays) == entry["sha256"]
        assert 0.4 <= row["range_d0"] <= 1.3
        assert np.linalg.norm(row["camera_km"]) == pytest.approx(row["range_km"])
        cosine = np.dot(row["camera_km"], row["sun_direction"]) / row["range_km"]
        assert np.degrees(np.arccos(cosine)) == pytest.approx(row["phase_angle_deg"], abs=1e-6)
        assert sum(row["class_pixels"]) == 128 * 128


def test_every_column_says_what_it_means(dataset: Path) -> None:
    for path in (shard_paths(dataset)[0], dataset / "index.parquet"):
        for field in pq.read_schema(path):
            assert len(field.metadata[b"meaning"]) > 10


def test_killed_at_any_moment_it_goes_on_and_ends_with_the_same_bytes(
    lone: Path, lone_file: Path, tmp_path: Path
) -> None:
    """Killed while it writes and renders, a part file lying about: the second run ends as an undisturbed one."""
    out = tmp_path / "killed"
    process = start("--campaign", lone_file, "--out", out)
    wait_for_a_shard(process, out)
    workers = rendering_workers(process.pid)
    process.send_signal(signal.SIGKILL)
    process.wait()
    (out / "shards" / ".half.parquet.99.part").write_bytes(b"half a shard")
    with pytest.raises(ValueError, match="its rendering is not finished"):
        load(out)
    deadline = time.monotonic() + 120.0
    while any(Path(f"/proc/{worker}").exists() for worker in workers):
        assert time.monotonic() < deadline, "workers outlive their command"
        time.sleep(0.2)
    kept = {path: path.stat().st_mtime_ns for path in shard_paths(out)}
    done = ground_tools("render", "--campaign", lone_file, "--workers", 1, "--out", out)
    assert done.returncode == 0, done.stderr
    assert contents(out) == contents(lone)
    assert all(path.stat().st_mtime_ns == time_ns for path, time_ns in kept.items())


def test_a_worker_that_dies_costs_time_and_no_sample(lone: Path, lone_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "dying"
    process = start("--campaign", lone_file, "--out", out, "--workers", 1)
    wait_for_a_shard(process, out)
    for worker in rendering_workers(process.pid):
        os.kill(worker, signal.SIGKILL)
    _, errors = process.communicate(timeout=200)
    assert process.returncode == 0, errors
    assert contents(out) == contents(lone)


def test_workers_that_die_again_and_again_end_the_campaign(lone_file: Path, tmp_path: Path) -> None:
    process = start("--campaign", lone_file, "--out", tmp_path / "out", "--workers", 1)
    deadline = time.monotonic() + 200.0
    while process.poll() is None:
        assert time.monotonic() < deadline
        for worker in rendering_workers(process.pid):
            # Once it has begun to render: Blender's library is loaded.
            try:
                if b"/bpy/" in Path(f"/proc/{worker}/maps").read_bytes():
                    os.kill(worker, signal.SIGKILL)
            except (FileNotFoundError, ProcessLookupError):
                continue
        time.sleep(0.1)
    _, errors = process.communicate()
    assert process.returncode == 2
    assert "3 workers died rendering procedural_" in errors.splitlines()[-1]
    assert shard_paths(tmp_path / "out") == []


def test_a_full_disk_is_told_and_leaves_nothing_half_written(lone_file: Path, tmp_path: Path) -> None:
    """A limit on the size of files stands for the full disk: the write fails in the same place."""
    out = tmp_path / "full"
    process = start("--campaign", lone_file, "--out", out, "--workers", 1)
    wait_for_a_shard(process, out)
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (2000, 2000))
    _, errors = process.communicate(timeout=200)
    assert process.returncode == 2
    assert "File too large" in errors.splitlines()[-1]
    assert list(out.rglob("*.part")) == []
    assert all(pq.read_metadata(path).num_rows for path in shard_paths(out))


def test_it_renders_on_a_cluster_that_is_already_there(lone: Path, lone_file: Path, tmp_path: Path) -> None:
    with LocalCluster(n_workers=1, threads_per_worker=2, dashboard_address="127.0.0.1:0") as cluster:
        there = ("--scheduler", cluster.scheduler_address)
        done = ground_tools("render", "--campaign", lone_file, "--out", tmp_path / "out", *there)
    assert done.returncode == 0, done.stderr
    assert contents(tmp_path / "out") == contents(lone)


def test_a_set_grows_and_keeps_what_it_has(lone: Path, lone_file: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(lone, tmp_path / "copy"))
    larger = tmp_path / "larger.toml"
    larger.write_text(lone_file.read_text().replace("[1, 1, 4]", "[2, 1, 5]"))
    done = ground_tools("render", "--campaign", larger, "--workers", 1, "--out", copy)
    assert done.returncode == 0, done.stderr
    before, after = (read_index(path).select(["body", "split", "index", "sha256"]) for path in (lone, copy))
    assert len(after) == 8
    samples = {(r["body"], r["split"], r["index"]): r["sha256"] for r in after.to_pylist()}
    assert all(samples[r["body"], r["split"], r["index"]] == r["sha256"] for r in before.to_pylist())
    again = ground_tools("render", "--campaign", lone_file, "--out", copy)
    assert again.returncode == 2
    assert "or larger counts" in again.stderr


def test_some_splits_are_rendered_and_the_others_later(lone: Path, lone_file: Path, tmp_path: Path) -> None:
    arguments = ("render", "--campaign", lone_file, "--workers", 1, "--out", tmp_path / "part")
    done = ground_tools(*arguments, "--splits", "validation", "test")
    assert done.returncode == 0, done.stderr
    whole = read_index(lone)
    judged = read_index(tmp_path / "part")
    assert set(judged["split"].to_pylist()) == {"validation", "test"}
    assert set(judged["sha256"].to_pylist()) < set(whole["sha256"].to_pylist())
    done = ground_tools(*arguments)
    assert done.returncode == 0, done.stderr
    assert digest(tmp_path / "part") == digest(lone)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--campaign", "d1"], "its shape model 67p.ply is not part of the project"),
        (["--campaign", "nothing"], "shipped with the project: d1, d2a, d2b, d3, d5, procedural"),
        (["--campaign", "d1", "d1.toml"], "expected different campaigns, got d1, d1"),
        (["--flyby", "ceres"], "unknown body ceres"),
        (["--flyby", "bennu", "--splits", "test"], "--splits: expected with --campaign, got it with --flyby"),
        (["--flyby", "bennu", "--fraction", "0.1"], "--fraction: expected with --campaign, got it with --flyby"),
        (["--fraction", "2"], "--fraction: expected 1e-06..1, got 2"),
        (["--splits", "test", "exam"], "--splits: expected train, validation, test, got exam"),
        (["--campaign", "d3", "--splits", "train"], "campaign d3: expected samples in split train, got none"),
        (["--workers", "0"], "--workers: expected 1..256, got 0"),
        (["--scheduler", "tcp://127.0.0.1:1"], "no Dask scheduler answers there"),
    ],
)
def test_a_wrong_call_is_one_line(tmp_path: Path, arguments: list[str], message: str) -> None:
    done = ground_tools("render", *arguments, "--out", tmp_path / "out")
    assert done.returncode == 2
    assert message in done.stderr
    assert len([line for line in done.stderr.splitlines() if "image/s" not in line and line.strip()]) == 1


def test_another_campaign_does_not_mix_into_a_set(dataset: Path, campaign_file: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.toml"
    other.write_text(campaign_file.read_text().replace("seed = 5", "seed = 6"))
    done = ground_tools("render", "--campaign", other, "--out", dataset)
    assert done.returncode == 2
    assert "holds another campaign (tiny" in done.stderr


def test_an_unfinished_set_is_not_loaded(dataset: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(dataset, tmp_path / "copy"))
    description = read_description(copy)
    del description["sha256"]
    (copy / "dataset.json").write_text(json.dumps(description))
    with pytest.raises(ValueError, match="its rendering is not finished"):
        load(copy, "train")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('name = "x"\nseed = 1\nsamples = 0\n', "samples: expected a whole number 1..4096, got 0"),
        ('name = "x"\nseed = 1\nsamples = 4\n[bodies]\nvulcan = [1, 1, 1]\n', "unknown body vulcan"),
    ],
)
def test_a_malformed_campaign_is_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "c.toml"
    path.write_text(text)
    done = ground_tools("render", "--campaign", path, "--out", tmp_path / "out")
    assert done.returncode == 2
    assert message in done.stderr
