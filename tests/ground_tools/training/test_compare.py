"""Comparisons of recipes: short trainings that differ in one thing, and the table of what each brings."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ground_tools.foundation.descriptions import parse
from ground_tools.labels.classes import CLASS_NAMES
from ground_tools.networks.unet import UNetDropout, build_unet
from ground_tools.training.compare import COMPARISONS, Comparison, load_comparison
from tests.ground_tools.conftest import ground_tools
from tests.ground_tools.foundation.structure_strategy import as_read, structures
from tests.ground_tools.training.in_process import train_here

TWO = """
title = "Two losses"
recipe = "best-cpu-unet-as"
begin = "unet"
seeds = [1]
more_seeds = [2]

[common]
epochs = 1
batch = 4
images = 4

[changes]
"no soft Jaccard index" = { jaccard = 0.0, dropout.blocks = 0.5 }
"""


def compare(*arguments: object) -> subprocess.CompletedProcess[str]:
    return ground_tools("compare", *arguments)


@pytest.fixture
def few_processes(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Of the trainings that a comparison starts as processes the first one is; the others run here, where TensorFlow is
    imported. Returns their command lines.
    """
    run, started = subprocess.run, []

    def start(command: list[str], **keywords: Any) -> subprocess.CompletedProcess[str]:
        started.append(command)
        return run(command, **keywords) if len(started) == 1 else train_here(command, **keywords)

    monkeypatch.setattr(subprocess, "run", start)
    return started


def test_a_comparison_fills_its_table_and_trains_nothing_twice(
    scenes: Path, tmp_path: Path, few_processes: list[list[str]]
) -> None:
    (tmp_path / "two.toml").write_text(TWO)
    weights = tmp_path / "begin.weights.h5"
    build_unet(len(CLASS_NAMES), UNetDropout(0.2, 0.4)).save_weights(weights)
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "training.md").write_text("before\n<!-- comparisons: begin -->\n<!-- comparisons: end -->\nafter\n")
    arguments = (tmp_path / "two.toml", "--dataset", scenes, "--start-from", weights, "--out", tmp_path / "out")
    done = compare(*arguments, "--evaluate-also", scenes, "--write", docs)
    assert done.returncode == 0, done.stderr

    figures = json.loads((docs / "comparisons.json").read_text())["two"]
    recipe, again = figures["changes"]["the recipe"]["runs"]
    (changed,) = figures["changes"]["no soft Jaccard index"]["runs"]
    assert [recipe["seed"], again["seed"], changed["seed"]] == [1, 2, 1]
    assert figures["changes"]["the recipe"]["gain"] == 0.0
    assert figures["changes"]["no soft Jaccard index"]["gain"] == pytest.approx(changed["miou"] - recipe["miou"])
    # Judged once in the training and once after it, from the file: the same network on the same images.
    assert changed["also"] == {"drawn": pytest.approx(changed["miou"], abs=1e-3)}
    records = [json.loads(path.read_text()) for path in sorted((tmp_path / "out").glob("*/training.json"))]
    assert [record["recipe"]["jaccard"] for record in records] == [0.3, 0.3, 0.0]
    assert [record["recipe"]["dropout_blocks"] for record in records] == [0.2, 0.2, 0.5]
    assert [record["recipe"]["dropout_head"] for record in records] == [0.4, 0.4, 0.4]
    assert {record["images"]["train"] for record in records} == {4}
    assert len(few_processes) == 3
    page = (docs / "training.md").read_text()
    assert page.startswith("before\n")
    assert page.endswith("after\n")
    assert f"| no soft Jaccard index | {100 * changed['miou']:.1f} |" in page

    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*")}
    done = compare(*arguments, "--evaluate-also", scenes)
    assert done.returncode == 0, done.stderr
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*")} == times
    (tmp_path / "two.toml").write_text(TWO.replace("jaccard = 0.0", "jaccard = 0.5"))
    done = compare(*arguments)
    assert done.returncode == 2
    assert "holds another training; choose another --out (recipe, jaccard: expected 0.5, got 0.0)" in done.stderr


@pytest.mark.parametrize("name", sorted(path.stem for path in COMPARISONS.glob("*.toml")))
def test_the_comparisons_shipped_with_the_project_are_sound(name: str) -> None:
    assert len(load_comparison(name).rows) > 3


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ('begin = "unet"', 'begin = "anything"', 'begin: expected "encoder", "nothing" or "unet", got'),
        ("seeds = [1]", "seeds = []", "seeds: expected a list of one or more whole numbers 0..2147483648, got []"),
        ("seeds = [1]", "seeds = [true]", "seeds[0]: expected a whole number 0..2147483648, got true"),
        ("[common]\nepochs = 1\nbatch = 4\nimages = 4\n", "", "common: expected a table, got nothing"),
        ("more_seeds = [2]", "more_seeds = [1]", "more_seeds: expected seeds that are not in seeds, got 1"),
        ("jaccard = 0.0", "jaccard = -1", "no soft Jaccard index: recipe "),
        ("jaccard = 0.0", "jacard = 0.0", "jacard: expected one of network, seed,"),
        (
            '"no soft Jaccard index" = { jaccard = 0.0, dropout.blocks = 0.5 }',
            "x = 3",
            "changes.x: expected a table, got 3",
        ),
        (
            "[common]",
            "[comon]",
            "comon: expected one of title, recipe, begin, seeds, common, changes, more_seeds, got an unknown",
        ),
        ('title = "Two losses"', 'title = "Two losses"\nsubtitle = ""', "subtitle: expected one of title, "),
    ],
)
def test_a_malformed_comparison_is_named(tmp_path: Path, before: str, after: str, message: str) -> None:
    path = tmp_path / "two.toml"
    path.write_text(TWO.replace(before, after))
    with pytest.raises(ValueError, match=f"comparison {path}: ") as raised:
        load_comparison(str(path))
    assert message in str(raised.value)


@given(structures(Comparison, changes=st.dictionaries(st.text("ab", max_size=2), st.just({"batch": 4}), max_size=3)))
def test_what_is_written_is_read_back(comparison: Comparison) -> None:
    assert parse("comparison", as_read(comparison, "name"), Comparison, name=comparison.name) == comparison


def test_a_training_that_fails_is_told_with_its_log(scenes: Path, tmp_path: Path) -> None:
    (tmp_path / "two.toml").write_text(TWO)
    (tmp_path / "begin.weights.h5").write_bytes(b"no weights")
    begin = ("--start-from", tmp_path / "begin.weights.h5")
    done = compare(tmp_path / "two.toml", "--dataset", scenes, *begin, "--out", tmp_path / "out")
    assert done.returncode == 2
    assert "00_seed_1: exit code 2; see" in done.stderr
    done = compare("nothing", "--dataset", scenes, *begin, "--out", tmp_path / "out")
    assert done.returncode == 2
    assert "(shipped with the project: aerial-half, " in done.stderr
