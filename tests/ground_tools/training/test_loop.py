"""Training by recipe: records, resumption, precision, devices and backends."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from flight.bundle import load_bundle
from ground_tools.datasets.noise import network_inputs
from ground_tools.datasets.store import digest, load
from ground_tools.training.hardware import set_precision
from ground_tools.training.recipes import RECIPES
from tests.ground_tools.conftest import ground_tools
from tests.tiny_bundle import write_tiny_bundle


@pytest.fixture
def float32_after() -> Iterator[None]:
    """The precision that a training sets holds for all of this process."""
    yield
    set_precision("float32")


@pytest.mark.usefixtures("float32_after")
def test_a_training_in_mixed_precision_from_a_file(trained: dict[str, Path], scenes: Path, tmp_path: Path) -> None:
    start = ("--start-from", trained["unet_s"] / "unet.weights.h5", "--dataset", scenes)
    options = ("--precision", "mixed_bfloat16", "--unpack-to", tmp_path / "pixels", "--set", "batch=2", "--epochs", 1)
    beside = ("--set", "beside=2", "--second-set", scenes)
    done = ground_tools("train", "--recipe", "best-cpu-unet-as", *start, *options, *beside, "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    record = json.loads((tmp_path / "out" / "training.json").read_text())
    assert record["precision"] == "mixed_bfloat16"
    assert record["recipe"]["batch"] == 2
    assert record["beside"] == record["dataset"]
    assert record["dataset"]["sha256"] == digest(scenes)
    curves = cv2.imread(str(tmp_path / "out" / "curves.png"))
    assert curves is not None
    assert curves.std() > 5.0
    done = ground_tools("train", "--recipe", "best-cpu-unet-as", *start, "--devices", 0, "--out", tmp_path / "d")
    assert done.returncode == 2
    assert "--devices: expected the backend jax, which Keras spreads over devices, got tensorflow" in done.stderr


def train_with(backend: str, *arguments: object, flags: str = "") -> subprocess.CompletedProcess[str]:
    """`ground-tools train` as a process: Keras has one backend in each. flags: of XLA."""
    command = [sys.executable, "-m", "ground_tools.cli", "train", *map(str, arguments)]
    # Nothing here is computed often enough to be worth compiling it well.
    flags = f"--xla_backend_optimization_level=0 {flags}"
    environment = {**os.environ, "KERAS_BACKEND": backend, "XLA_FLAGS": flags}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=280)


def test_a_training_spreads_over_devices(dataset: Path, tmp_path: Path) -> None:
    """On a rendered set; the training of an encoder with JAX, too."""
    pytest.importorskip("jax")
    arguments = ("--recipe", "best-encoder", "--dataset", dataset, "--epochs", 1, "--set", "batch=4")

    def train(devices: int, out: Path) -> subprocess.CompletedProcess[str]:
        flags = "--xla_force_host_platform_device_count=2"  # two devices of one processor
        return train_with("jax", *arguments, "--devices", devices, "--out", out, flags=flags)

    done = train(0, tmp_path / "all")
    assert done.returncode == 0, done.stderr
    assert "spread over 2 devices" in done.stdout
    assert json.loads((tmp_path / "all" / "training.json").read_text())["devices"] == 2
    done = train(3, tmp_path / "more")
    assert done.returncode == 2
    assert "--devices: expected 1..2, the devices that there are, got 3" in done.stderr


def test_a_training_leaves_its_record(trained: dict[str, Path]) -> None:
    record = json.loads((trained["unet_s"] / "training.json").read_text())
    assert record["recipe"]["role"] == "UNetS"
    assert record["dataset"]["name"] == "drawn"
    assert set(record["validation"]["iou"]) == {"background", "surface", "craters", "boulders", "terminator"}
    assert (trained["unet_s"] / "log.csv").read_text().startswith("epoch,")


def test_another_training_does_not_mix_in(trained: dict[str, Path], scenes: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "other.toml"
    text = (RECIPES / "best_encoder.toml").read_text()
    recipe.write_text(text.replace("seed = 1", "seed = 99"))
    before = (trained["encoder"] / "training.json").read_text()
    done = ground_tools("train", "--recipe", recipe, "--dataset", scenes, "--out", trained["encoder"])
    assert done.returncode == 2
    assert "holds another training; choose another --out" in done.stderr
    assert (trained["encoder"] / "training.json").read_text() == before


def test_a_training_goes_on_where_it_stopped(trained: dict[str, Path], scenes: Path, tmp_path: Path) -> None:
    out = shutil.copytree(trained["encoder"], tmp_path / "encoder")
    arguments = ("--recipe", "best-encoder", "--dataset", scenes, "--out", out, "--set", "batch=4")
    done = ground_tools("train", *arguments, "--epochs", 2)
    assert done.returncode == 0, done.stderr
    epochs = [line for line in done.stdout.splitlines() if line.startswith("epoch ")]
    assert len(epochs) == 1
    assert epochs[0].startswith("epoch 2/2")


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_training_runs_with_the_other_backends(
    backend: str, trained: dict[str, Path], scenes: Path, tmp_path: Path
) -> None:
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    common = ("--dataset", scenes, "--epochs", "1", "--set", "batch=4")
    weights = trained["encoder"] / "encoder.weights.h5"
    if backend != "jax":  # With JAX, an encoder is trained where it is spread over devices.
        done = train_with(backend, "--recipe", "best-encoder", *common, "--out", tmp_path / "e")
        assert done.returncode == 0, done.stderr
        weights = tmp_path / "e" / "encoder.weights.h5"
    windows = ("--set", "head='windowed'", "--set", "window=32", "--set", "feature_windows=0.5")
    start = ("--recipe", "best-cpu-unet-s-start", "--encoder", weights)
    done = train_with(backend, *start, *common, *windows, "--out", tmp_path / "u")
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "u" / "training.json").read_text())["backend"] == backend


def test_a_training_starts_from_a_bundle(trained: dict[str, Path], dataset: Path, tmp_path: Path) -> None:
    from ground_tools.networks.unet import UNetDropout, build_unet
    from ground_tools.training.bundle_weights import load_bundle_weights
    from ground_tools.training.heads import fold_head

    bundle = tmp_path / "unet_s"
    arguments = (
        "--dataset",
        dataset,
        "--images",
        1,
        "--passes",
        1,
        "--parity-images",
        1,
        "--parity-passes",
        2,
        "--force",
    )
    done = ground_tools("export", "--network", trained["unet_s"], *arguments, "--out", bundle)
    assert done.returncode == 0, done.stderr
    manifest = json.loads((bundle / "manifest.json").read_text())

    # The UNet that was exported computes the same scores, times the factor that the export put into the last layer.
    inputs = network_inputs(load(dataset, "train").images, None)
    was, taken = (build_unet(5, UNetDropout(0.2, 0.4)) for _ in range(2))
    was.load_weights(trained["unet_s"] / "unet.weights.h5")
    load_bundle_weights(taken, load_bundle(bundle).networks[0], inputs)
    factor = manifest["metrics"]["temperature"]["UNetS"]["score_factor"]
    expected = factor * was.predict(inputs, verbose=0)
    got = taken.predict(inputs, verbose=0)
    assert np.sqrt(np.mean((got - expected) ** 2)) < 0.05 * expected.std()
    # In training, the normalization by the batch's own statistics finds what the moving ones say.
    assert np.abs(np.asarray(fold_head(taken)(inputs, training=True)) - got).mean() < 0.5 * expected.std()

    short = ("--epochs", 1, "--set", "batch=2", "--set", "images=2")
    common = ("--recipe", "best-cpu-unet-as", "--dataset", dataset, *short)
    done = ground_tools("train", *common, "--start-from", bundle, "--out", tmp_path / "own")
    assert done.returncode == 0, done.stderr
    began = json.loads((tmp_path / "own" / "training.json").read_text())["began_from"]
    assert began["weights_sha256"] == manifest["networks"][0]["sha256"]
    assert began["bundle"] == load_bundle(bundle).identity
    assert began["training"]["recipe"]["role"] == "UNetS"

    for networks, message in (
        (("UNetS", "UNetAS"), "expected one network to start from, got UNetS and UNetAS"),
        (("UNetS",), "expected an int8 UNet of `ground-tools export`, got no encoder_convolution_1"),
    ):
        other = write_tiny_bundle(tmp_path / "_".join(networks), networks)
        done = ground_tools("train", *common, "--start-from", other, "--out", tmp_path / "refused")
        assert done.returncode == 2
        assert message in done.stderr


def test_a_wrong_call_is_one_line(tmp_path: Path, scenes: Path, trained: dict[str, Path]) -> None:
    done = ground_tools("export", "--network", tmp_path, "--dataset", scenes, "--out", tmp_path / "b")
    assert done.returncode == 2
    assert "expected unet.weights.h5 and training.json of a finished training" in done.stderr
    done = ground_tools("train", "--recipe", "best-cpu-unet-s", "--dataset", scenes, "--out", tmp_path / "t")
    assert done.returncode == 2
    assert "starts from either --encoder or --start-from weights" in done.stderr
    start = ("--start-from", trained["unet_s"] / "unet.weights.h5")
    arguments = ("--recipe", "best-cpu-unet-as", *start, "--dataset", scenes, "--second-set", scenes)
    done = ground_tools("train", *arguments, "--out", tmp_path / "t")
    assert done.returncode == 2
    assert "--second-set: recipe best_cpu_unet_as takes no images of another set a batch" in done.stderr
    done = ground_tools("train", "--recipe", "best-encoder", *start, "--dataset", scenes, "--out", tmp_path / "t")
    assert done.returncode == 2
    assert "--start-from: recipe best_encoder trains an encoder, which takes none" in done.stderr
    (tmp_path / "precious").write_text("not a bundle")
    arguments = ("--network", trained["unet_s"], "--dataset", scenes)
    done = ground_tools("export", *arguments, "--out", tmp_path)
    assert done.returncode == 2
    assert "holds something else than a bundle" in done.stderr
    assert (tmp_path / "precious").read_text() == "not a bundle"
    done = ground_tools("export", *arguments, "--network", trained["unet_s"], "--out", tmp_path / "b")
    assert done.returncode == 2
    assert "expected one network, or UNetS and UNetAS, got UNetS and UNetS" in done.stderr
