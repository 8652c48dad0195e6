"""Chains of trainings: whatever becomes of a stage, results that come home, and a whole chain, very short."""

from __future__ import annotations

import hashlib
import json
import tarfile
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import h5py
import keras
import numpy as np
import pytest

from ground_tools.cli import main
from ground_tools.datasets.noise import network_inputs
from ground_tools.datasets.store import read_description
from ground_tools.export.bundle_writer import read_trained
from ground_tools.metrics.iou import iou_per_class, mean_iou
from ground_tools.networks.unet import UNetDropout, build_unet
from ground_tools.training.chain import results
from ground_tools.training.chain.archive import read_archive
from ground_tools.training.chain.plan import Plan, load_plan
from ground_tools.training.pixels import read_pixels
from ground_tools.training.records import provenance
from tests.ground_tools.training.small_plan import PLAN, SMALL, STAGE, train_chain_elsewhere

pytest.importorskip("jax")

from ground_tools.training.chain import run
from ground_tools.training.chain import stage as one_stage
from ground_tools.training.chain.program import State


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    (tmp_path / "small.toml").write_text(PLAN)
    return load_plan(str(tmp_path / "small.toml"))


class FakeProgram:
    """Steps that take time and learn nothing; validations get better, then worse; the loss is once no number."""

    def __init__(self, recipe: Any, data: Any, distillation: float) -> None:
        if recipe.network == "unet" and recipe.jaccard == 9.0:
            raise MemoryError("out of memory on the accelerator")
        self._encoder = recipe.network == "encoder_cnn"
        self._validated = self._steps = 0

    def begin(self, model: Any) -> State:
        self._validated = 0
        return State([0], [], [0])

    def order(self, seed: int, epoch: int, images: int) -> None:
        return None

    def train(self, state: State, loss: Any, order: None, step: int, rate: float, data: Any) -> tuple[State, Any]:
        CLOCK.now += 0.002
        self._steps += 1
        return State([state.trainable[0] + 1], [], [rate]), loss + (np.nan if self._steps == 40 else 0.5)

    def validate(self, state: State, data: Any) -> np.ndarray:
        self._validated += 1
        if self._encoder:
            return np.array([[1.0 / self._validated, 1.0]])
        right = max(1, 10 - abs(self._validated - 5))
        confusion = np.diag([right] * 5) + np.eye(5, k=1, dtype=int) + np.eye(5, k=-4, dtype=int)
        return np.stack([confusion] * 3)


class Clock:
    """A clock on which nothing but the steps of trainings takes time."""

    now = 1000.0

    def monotonic(self) -> float:
        return self.now


CLOCK = Clock()


@pytest.fixture
def faked(monkeypatch: pytest.MonkeyPatch) -> None:
    """A chain whose trainings cost nothing, on the clock of these tests."""
    for module in (run, one_stage):
        monkeypatch.setattr(module, "time", CLOCK)
    model = keras.Sequential([keras.layers.Input((1,)), keras.layers.Dense(1)])
    network = SimpleNamespace(network=model, model=model, put=lambda state: None)
    monkeypatch.setattr(run, "_RESERVE", 1.0)
    monkeypatch.setattr(run, "_LEAST", 0.2)
    monkeypatch.setattr(run, "Program", FakeProgram)
    monkeypatch.setattr(run, "start_network", lambda *arguments: network)


def endless(plan_text: str) -> str:
    return plan_text.replace("epochs = 2", "epochs = 90000")


@pytest.mark.usefixtures("faked")
def test_every_stage_stops_in_time_with_its_best_weights(archive: list[Path], tmp_path: Path) -> None:
    (tmp_path / "endless.toml").write_text(endless(PLAN))
    plan = load_plan(str(tmp_path / "endless.toml"))
    packed, began = read_archive(archive), CLOCK.now
    reports = run.run_chain(plan, packed, tmp_path / "out", tmp_path / "work", None, began + 9.0)
    assert 7.0 < CLOCK.now - began < 9.0
    assert [report.outcome for report in reports] == ["trained"] * 3
    shares = np.array([report.seconds for report in reports])
    assert shares == pytest.approx(np.array([1.6, 3.2, 3.2]), abs=0.9)
    for report in reports[1:]:
        # The fifth validation is the best.
        assert (report.epoch, report.best["val_miou"]) == (5, pytest.approx(10 / 12))
        record = json.loads((tmp_path / "work" / report.stage / "training.json").read_text())
        assert record["validation"]["epoch"] == 5
        assert 5 < record["recipe"]["epochs"] < 90_000
    text = (tmp_path / "out" / "chain.log").read_text()
    assert "the loss is no number; back to the best weights, half the learning rate" in text
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "chain.log",
        "results_1.tar",
        "summary.json",
    ]


@pytest.mark.usefixtures("faked")
def test_a_stage_that_fails_costs_the_others_nothing(archive: list[Path], tmp_path: Path) -> None:
    failing = PLAN.replace("share = 2\n", "share = 2\n", 1).replace(
        "changes = { window", "changes = { jaccard = 9.0, window", 1
    )
    # One goes on from what failed, one from what did not, one from an encoder that nothing trained.
    more = STAGE.format(name="unet_r", recipe="best-unet-r", dataset="real", share=2)
    more += 'encoder = ["encoder"]\n' + SMALL.replace("pixels = 5", "pixels = 1")
    (tmp_path / "failing.toml").write_text(failing + more)
    plan = load_plan(str(tmp_path / "failing.toml"))
    deadline = CLOCK.now + 6.0
    reports = run.run_chain(plan, read_archive(archive), tmp_path / "out", tmp_path / "work", None, deadline)
    assert [report.outcome for report in reports] == ["trained", "failed", "skipped", "trained"]
    assert "MemoryError: out of memory on the accelerator" in reports[1].why
    assert "nothing to start from: unet_s" in reports[2].why
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert [stage["outcome"] for stage in summary["stages"]] == ["trained", "failed", "skipped", "trained"]
    with tarfile.open(tmp_path / "out" / "results_1.tar") as tar:
        assert {name.split("/")[0] for name in tar.getnames()} == {"encoder", "unet_r"}
    # What failed may start from an earlier run's.
    deadline = CLOCK.now + 4.0
    only = plan.only(["unet_as"])
    (tmp_path / "earlier").mkdir()
    (tmp_path / "work" / "unet_r").rename(tmp_path / "earlier" / "unet_s")
    reports = run.run_chain(
        only, read_archive(archive), tmp_path / "more", tmp_path / "work", tmp_path / "earlier", deadline
    )
    assert [report.outcome for report in reports] == ["trained"]


DESIGNED = (
    """minutes = 5
"""
    + STAGE.format(name="first", recipe="best-rubble", dataset="drawn", share=1)
    + "changes = { batch = 4 }\n"
    + STAGE.format(name="second", recipe="best-rubble", dataset="drawn", share=1)
    + "changes = { batch = 4, design.widths = [8, 8, 8, 8, 8] }\n"
    + STAGE.format(name="best", recipe="best-rubble-more", dataset="drawn", share=1)
    + 'best_of = ["first", "second"]\nmix = { real = 1.0 }\nchanges = { batch = 4, minimum_boulder_pixels = 1 }\n'
)


@pytest.mark.usefixtures("faked")
def test_the_best_design_goes_on(archive: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "designed.toml").write_text(DESIGNED.replace("batch = 4", "minimum_boulder_pixels = 1, batch = 4", 2))
    plan = load_plan(str(tmp_path / "designed.toml"))
    compiled = []

    class Recorded(FakeProgram):
        def __init__(self, recipe: Any, data: Any, distillation: float) -> None:
            super().__init__(recipe, data, distillation)
            compiled.append(recipe)
            # The second design is the better one.
            self._ahead = 0 if recipe.design == plan.stages[0].recipe.design else 1

        def validate(self, state: State, data: Any) -> np.ndarray:
            confusion = np.eye(5, dtype=int) + (1 - self._ahead) * np.eye(5, k=1, dtype=int)
            return np.stack([confusion] * len(data.images))

    monkeypatch.setattr(run, "Program", Recorded)
    deadline = CLOCK.now + 9.0
    reports = run.run_chain(plan, read_archive(archive), tmp_path / "out", tmp_path / "work", None, deadline)
    assert [report.outcome for report in reports] == ["trained"] * 3
    record = json.loads((tmp_path / "work" / "best" / "training.json").read_text())
    assert record["recipe"]["design"]["widths"] == [8, 8, 8, 8, 8]
    assert record["mixed"][0]["name"] == "real"
    assert {"val_miou_drawn", "val_miou_real"} < set(reports[2].best)
    assert "best: goes on from second" in (tmp_path / "out" / "chain.log").read_text()
    assert [recipe.design for recipe in compiled] == [
        plan.stages[0].recipe.design,
        plan.stages[1].recipe.design,
        plan.stages[1].recipe.design,
    ]


def write_stage(folder: Path, size: int, seed: int = 0) -> Path:
    folder.mkdir(parents=True)
    with h5py.File(folder / "unet.weights.h5", "w") as file:
        file["kernel"] = np.frombuffer(np.random.default_rng(seed).bytes(size), dtype=np.uint8)
    data = (folder / "unet.weights.h5").read_bytes()
    (folder / "part.weights.h5").write_bytes(b"half")
    (folder / "log.csv").write_text("epoch,loss,seconds,val_miou\n0,1.5,2.0,0.4\n1,1.2,2.0,0.5\n")
    record = {"weights_sha256": hashlib.sha256(data).hexdigest(), "recipe": {"role": "UNetS"}}
    (folder / "training.json").write_text(json.dumps(record))
    return folder


def test_results_fit_the_way_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results, "LARGEST_FILE", 200_000)
    monkeypatch.setattr(results, "MOST_FILES", 2)
    folders = [write_stage(tmp_path / "work" / f"s{i}", 85_000, i) for i in range(5)]
    (tmp_path / "work" / "begun").mkdir()
    out = tmp_path / "out"
    assert results.pack_results([*folders, tmp_path / "work" / "begun"], out) == ["s4"]
    archives = sorted(out.iterdir())
    assert [path.name for path in archives] == ["results_1.tar", "results_2.tar"]
    assert all(path.stat().st_size <= 200_000 for path in archives)
    found = main(["train-chain", "unpack", str(out), "--out", str(tmp_path / "home")])
    assert found == 0
    assert sorted(path.name for path in (tmp_path / "home").iterdir()) == [f"s{i}" for i in range(4)]
    for folder in folders[:4]:
        home = tmp_path / "home" / folder.name
        assert (home / "unet.weights.h5").read_bytes() == (folder / "unet.weights.h5").read_bytes()
        assert not (home / "part.weights.h5").exists()
        assert read_trained(home).role == "UNetS"


def test_damaged_results_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stage = write_stage(tmp_path / "work" / "s", 9_000)
    results.pack_results([stage], tmp_path / "out")
    arguments = ["train-chain", "unpack", str(tmp_path / "out"), "--out"]
    assert main([*arguments, str(tmp_path / "work")]) == 2
    assert "expected nothing there, got a folder; choose another --out" in capsys.readouterr().err
    data = bytearray((tmp_path / "out" / "results_1.tar").read_bytes())
    place = data.index((stage / "unet.weights.h5").read_bytes()[100:200])
    data[place] ^= 1
    (tmp_path / "out" / "results_1.tar").write_bytes(data)
    assert main([*arguments, str(tmp_path / "home")]) == 2
    assert "expected the weights of its training.json, got others" in capsys.readouterr().err
    assert main(["train-chain", "unpack", str(tmp_path), "--out", str(tmp_path / "home2")]) == 2
    assert "expected results_1.tar and so on, got none" in capsys.readouterr().err


@pytest.mark.timeout(1200)
def test_a_chain_from_sets_to_networks(drawn: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Packed, trained with JAX, unpacked; then what the weights do with another backend."""
    (tmp_path / "small.toml").write_text(PLAN)
    plan = ["--plan", str(tmp_path / "small.toml")]
    pack = ["train-chain", "pack", *plan, "--dataset", f"drawn={drawn}", "--out", str(tmp_path / "archive")]
    assert main([*pack, "--dataset", f"drawn={drawn}"]) == 2
    assert main(pack) == 0
    files = sorted((tmp_path / "archive").iterdir())
    assert len(files) == 2
    assert main(["train-chain", "run", *plan, "--parts", str(files[0]), "--out", str(tmp_path / "out")]) == 2
    errors = capsys.readouterr().err.splitlines()
    assert errors[0] == "ground-tools train-chain pack: --dataset: expected each name once, got drawn, drawn"
    assert errors[-1] == "ground-tools train-chain run: --parts: expected parts 1 to 2, got 1"
    # Processors emulate bfloat16, a hundred times slower.
    done = train_chain_elsewhere("run", *plan, "--parts", *files, "--out", tmp_path / "out", "--precision", "float32")
    assert done.returncode == 0, done.stdout + done.stderr
    assert sum(" epoch " in line for line in done.stdout.splitlines()) == 6
    assert main(["train-chain", "unpack", str(tmp_path / "out"), "--out", str(tmp_path / "home")]) == 0
    s, adapted = (read_trained(tmp_path / "home" / name) for name in ("unet_s", "unet_as"))
    assert (s.role, adapted.role) == ("UNetS", "UNetAS")
    assert s.record["precision"] == "float32"
    assert s.record["backend"] == "jax"
    assert s.record["dataset"] == provenance(drawn)
    assert s.record["recipe"]["epochs"] == 2
    assert adapted.record["began_from"]["training"] == s.record
    assert s.record["began_from"]["training"]["recipe"]["network"] == "encoder_cnn"
    assert (tmp_path / "home" / "unet_s" / "curves.png").stat().st_size > 5_000
    pixels = read_pixels(drawn, "validation", 5)
    for trained in (s, adapted):
        unet = build_unet(5, UNetDropout(0.2, 0.4), size=32)
        unet.load_weights(trained.weights)
        scores = unet.predict(network_inputs(pixels.images, read_description(drawn)["noise"]), verbose=0)
        miou = mean_iou(iou_per_class(pixels.masks, scores.argmax(axis=-1), 5))
        assert miou == pytest.approx(trained.record["validation"]["miou"], abs=0.02)


@pytest.mark.usefixtures("faked")
def test_without_an_encoder_a_network_trains_its_own(archive: list[Path], tmp_path: Path, plan: Plan) -> None:
    packed, deadline = read_archive(archive), CLOCK.now + 5.0
    reports = run.run_chain(plan.only(["unet_s", "unet_as"]), packed, tmp_path, tmp_path / "work", None, deadline)
    assert [report.outcome for report in reports] == ["trained", "trained"]
    assert "began_from" not in json.loads((tmp_path / "work" / "unet_s" / "training.json").read_text())
    (tmp_path / "frozen.toml").write_text(PLAN.replace("best-unet-s", "paper-unet-s"))
    frozen = load_plan(str(tmp_path / "frozen.toml")).only(["unet_s"])
    reports = run.run_chain(frozen, packed, tmp_path / "out", tmp_path / "work", None, deadline)
    assert [report.outcome for report in reports] == ["skipped"]


def test_a_plan_that_does_not_fit_the_sets_is_refused(archive: list[Path], tmp_path: Path, plan: Plan) -> None:
    packed = read_archive(archive)
    folders = (tmp_path / "out", tmp_path / "work", None, time.monotonic() + 5.0)
    full = load_plan("full").only(["unet_as"])
    with pytest.raises(ValueError, match="--parts: expected the sets of plan full, got no d4"):
        run.run_chain(full, packed, *folders)
    with pytest.raises(ValueError, match="window: expected 32, the whole image, got 128"):
        run.run_chain(full, {"d4": packed["real"]}, *folders)
    with pytest.raises(ValueError, match="batch: expected at most 2, the images, got 4"):
        run.run_chain(plan, {"drawn": packed["drawn"].fraction(0.1)}, *folders)
