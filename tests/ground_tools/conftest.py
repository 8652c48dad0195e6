"""Small rendered sets, made once for all tests of the ground line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

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
    out = tmp_path_factory.mktemp("datasets") / "tiny"
    done = ground_tools("render", "--campaign", campaign_file, "--out", out)
    assert done.returncode == 0, done.stderr
    return out


@pytest.fixture(scope="session")
def hundredth(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A hundredth of every set of the reference paper, with stand-ins for all files: a folder of sets."""
    out = tmp_path_factory.mktemp("hundredth")
    done = ground_tools("render", "--campaign", *SETS, "--procedural", "--fraction", 0.01, "--out", out, timeout=900)
    assert done.returncode == 0, done.stderr
    return out


@pytest.fixture(scope="session")
def trained(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Encoder, UNetS with a folded head and UNetAS in windows, one epoch each, through the command line."""
    out = tmp_path_factory.mktemp("trained")
    common = ("--dataset", dataset, "--epochs", 1, "--set", "batch=4")
    windows = ("--set", "head='windowed'", "--set", "window=64", "--set", "feature_windows=0.5")
    starts = {
        "encoder": ("best-encoder",),
        "unet_s": ("best-cpu-unet-s-start", "--encoder", out / "encoder" / "encoder.weights.h5"),
        "unet_as": ("best-cpu-unet-as", *windows, "--start-from", out / "unet_s" / "unet.weights.h5"),
    }
    for name, (recipe, *start) in starts.items():
        done = ground_tools("train", "--recipe", recipe, *common, *start, "--out", out / name)
        assert done.returncode == 0, done.stderr
    return {name: out / name for name in starts}
