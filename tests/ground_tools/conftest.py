"""Small rendered sets, made once for all tests of the ground line."""

from __future__ import annotations

import contextlib
import io
import subprocess
import sys
from pathlib import Path

import pytest

from ground_tools.cli import main
from tests.ground_tools.training.scenes import write_scenes
from tests.shared_folders import share_folder

CAMPAIGN = """name = "tiny"
seed = 5
samples = 4
[bodies]
procedural_top = [3, 1, 1]
procedural_bilobate = [3, 1, 1]
"""


def ground_tools(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run `ground-tools` in this process, which has imported Keras and TensorFlow once, where each new one would again.

    Returns what a process would have left: exit code, output, errors.
    """
    line, output, errors = list(map(str, arguments)), io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
        code = main(line)
    return subprocess.CompletedProcess(line, code, output.getvalue(), errors.getvalue())


def ground_tools_process(*arguments: object, timeout: float = 280.0) -> subprocess.CompletedProcess[str]:
    """Run `ground-tools` as a process of its own."""
    command = [sys.executable, "-m", "ground_tools.cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=timeout)


def render_shared(factory: pytest.TempPathFactory, name: str, campaign: Path) -> Path:
    """A campaign rendered through the command line, once for all processes of the run."""

    def render(out: Path) -> None:
        done = ground_tools_process("render", "--campaign", campaign, "--workers", 1, "--out", out)
        assert done.returncode == 0, done.stderr

    return share_folder(factory, name, render)


@pytest.fixture(scope="session")
def campaign_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("campaign") / "tiny.toml"
    path.write_text(CAMPAIGN)
    return path


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory, campaign_file: Path) -> Path:
    """Ten samples of two procedural bodies."""
    return render_shared(tmp_path_factory, "tiny", campaign_file)


@pytest.fixture(scope="session")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A drawn set of 64 px images, for trainings of which any set will do."""
    counts = {"train": 6, "validation": 2, "test": 2}
    made = share_folder(tmp_path_factory, "scenes", lambda folder: write_scenes(folder / "drawn", counts, size=64))
    return made / "drawn"


@pytest.fixture(scope="session")
def trained(scenes: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Encoder, UNetS with a folded head and UNetAS in windows, one epoch each, by command line; UNets fit any size."""
    names = ("encoder", "unet_s", "unet_as")

    def train(out: Path) -> None:
        common = ("--dataset", scenes, "--epochs", 1, "--set", "batch=4")
        windows = ("--set", "head='windowed'", "--set", "window=32", "--set", "feature_windows=0.5")
        starts = (
            ("best-encoder",),
            ("best-cpu-unet-s-start", "--encoder", out / "encoder" / "encoder.weights.h5"),
            ("best-cpu-unet-as", *windows, "--start-from", out / "unet_s" / "unet.weights.h5"),
        )
        for name, (recipe, *start) in zip(names, starts, strict=True):
            done = ground_tools("train", "--recipe", recipe, *common, *start, "--out", out / name)
            assert done.returncode == 0, done.stderr

    folder = share_folder(tmp_path_factory, "trained", train)
    return {name: folder / name for name in names}
