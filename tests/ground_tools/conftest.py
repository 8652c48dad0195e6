"""Small rendered sets, made once for all tests of the ground line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.shared_folders import share_folder

CAMPAIGN = """name = "tiny"
seed = 5
samples = 4
[bodies]
procedural_top = [3, 1, 1]
procedural_bilobate = [3, 1, 1]
"""
SETS = ("d1", "d2a", "d2b", "d3")


def ground_tools(*arguments: object, timeout: float = 280.0) -> subprocess.CompletedProcess[str]:
    """Run `ground-tools` as a process."""
    command = [sys.executable, "-m", "ground_tools.cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=timeout)


@pytest.fixture(scope="session")
def campaign_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("campaign") / "tiny.toml"
    path.write_text(CAMPAIGN)
    return path


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory, campaign_file: Path) -> Path:
    """Ten samples of two procedural bodies, rendered through the command line."""

    def render(out: Path) -> None:
        done = ground_tools("render", "--campaign", campaign_file, "--out", out)
        assert done.returncode == 0, done.stderr

    return share_folder(tmp_path_factory, "tiny", render)


@pytest.fixture(scope="session")
def hundredth(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A hundredth of every set of the reference paper, with stand-ins for all files: a folder of sets."""

    def render(out: Path) -> None:
        campaigns = ("--campaign", *SETS, "--procedural", "--fraction", 0.01)
        done = ground_tools("render", *campaigns, "--out", out, timeout=900)
        assert done.returncode == 0, done.stderr

    return share_folder(tmp_path_factory, "hundredth", render)


@pytest.fixture(scope="session")
def trained(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Encoder, UNetS with a folded head and UNetAS in windows, one epoch each, through the command line."""
    names = ("encoder", "unet_s", "unet_as")

    def train(out: Path) -> None:
        common = ("--dataset", dataset, "--epochs", 1, "--set", "batch=4")
        windows = ("--set", "head='windowed'", "--set", "window=64", "--set", "feature_windows=0.5")
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
