"""The input monitor: what it refuses, what it lets through, and which files it takes for one."""

from __future__ import annotations

import json
import math
import shutil
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flight.bundle import BundleError, load_bundle
from flight.inference.centering import center
from flight.inference.frame_features import FRAME_FEATURES, describe_frame
from flight.inference.input_monitor import InputMonitor, read_monitor
from flight.inference.quality import find_flags
from flight.settings import default_settings
from ground_tools.monitoring.fitting import add_monitor

ROOT = Path(__file__).parents[3]
SHIPPED = [ROOT / "models" / name for name in ("unet_h", "unet_s", "unet_as", "unet_r")]
COUNT = len(FRAME_FEATURES)


def plain_monitor() -> dict[str, Any]:
    """A monitor that lets through what lies within 3 standard deviations of the mean."""
    return {
        "schema": 1,
        "figures": list(FRAME_FEATURES),
        "mean": [0.0] * COUNT,
        "deviation": [1.0] * COUNT,
        "hidden": [[0.0]] * (COUNT + 1),
        "output": [0.0, 5.0],
        "precision": np.eye(COUNT).tolist(),
        "least_log_odds": 0.0,
        "largest_distance": 3.0,
    }


def monitor_of(content: dict[str, Any], tiny_bundle: Path) -> InputMonitor:
    monitor = read_monitor(replace(load_bundle(tiny_bundle), input_monitor=json.dumps(content).encode()))
    assert monitor is not None
    return monitor


def flags(folder: Path, frame: np.ndarray, **changes: float) -> list[str]:
    bundle = load_bundle(folder)
    image = center(frame, 8, bundle.height, bundle.width, bundle.channels, True)
    return find_flags(image, True, read_monitor(bundle), replace(default_settings(bundle), **changes))


def sky(side: int, sigma: float) -> np.ndarray:
    noise = np.random.default_rng(3).normal(3.5 * sigma, sigma, (side, side))
    return np.clip(noise, 0, 255).astype(np.uint8)


def flat_rectangle() -> np.ndarray:
    frame = np.full((256, 256), 4, np.uint8)
    frame[80:170, 60:190] = 150
    return frame


def two_stars() -> np.ndarray:
    frame = np.zeros((256, 256), np.float32)
    frame[60, 60] = frame[180, 200] = 1.0
    frame = cv2.GaussianBlur(frame, (0, 0), 2.5)
    return np.rint(10 + 200 * frame / frame.max()).astype(np.uint8)


NONSENSE = {
    "noise of 4 DN": sky(256, 4),
    "noise of 20 DN": sky(1024, 20),
    "a ramp": np.tile(np.linspace(5, 200, 256).astype(np.uint8), (256, 1)),
    "a rectangle": flat_rectangle(),
    "two stars": two_stars(),
}


@pytest.mark.parametrize("folder", SHIPPED, ids=lambda folder: folder.name)
def test_the_shipped_bundles_know_a_body_from_nonsense(folder: Path) -> None:
    body = cv2.imread(str(ROOT / "hil" / "flyby" / "frames" / "028.png"), cv2.IMREAD_GRAYSCALE)
    assert "not_a_body" not in flags(folder, body)
    for name, frame in NONSENSE.items():
        assert {"not_a_body", "empty_sky", "dark"} & set(flags(folder, frame)), name


def test_the_parameter_decides() -> None:
    frame = NONSENSE["a rectangle"]
    assert "not_a_body" in flags(SHIPPED[0], frame)
    assert "not_a_body" not in flags(SHIPPED[0], frame, least_body_evidence=-1000.0)


def test_a_bundle_without_a_monitor_does_not_judge(tiny_bundle: Path) -> None:
    assert read_monitor(load_bundle(tiny_bundle)) is None
    assert "not_a_body" not in flags(tiny_bundle, NONSENSE["a rectangle"])


def test_what_lies_too_far_is_refused(tiny_bundle: Path) -> None:
    monitor = monitor_of(plain_monitor(), tiny_bundle)
    assert monitor.evidence([0.0] * COUNT) == pytest.approx(3.0)
    assert monitor.evidence([2.9, *[0.0] * (COUNT - 1)]) == pytest.approx(0.1)
    assert monitor.evidence([0.0] * (COUNT - 1) + [4.0]) == pytest.approx(-1.0)


def test_what_the_network_doubts_is_refused(tiny_bundle: Path) -> None:
    content = plain_monitor()
    content["hidden"] = [[1.0], *[[0.0]] * COUNT]
    content["output"] = [-4.0, 1.0]
    monitor = monitor_of(content, tiny_bundle)
    assert monitor.evidence([0.0] * COUNT) == pytest.approx(1.0)
    assert monitor.evidence([2.0, *[0.0] * (COUNT - 1)]) == pytest.approx(1.0 - 4.0 * math.tanh(2.0))


@cache
def read_plain_monitor() -> InputMonitor:
    monitor = read_monitor(replace(load_bundle(SHIPPED[0]), input_monitor=json.dumps(plain_monitor()).encode()))
    assert monitor is not None
    return monitor


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True), min_size=COUNT, max_size=COUNT))
def test_evidence_is_a_number_or_none_at_all(figures: list[float]) -> None:
    evidence = read_plain_monitor().evidence(figures)
    assert not math.isnan(evidence)
    if not all(map(math.isfinite, figures)):
        assert evidence == -math.inf


CHANGES: dict[str, tuple[dict[str, Any], str]] = {
    "other figures": ({"figures": ["contrast"]}, "figures"),
    "too few numbers": ({"mean": [0.0]}, "mean"),
    "rows of two lengths": ({"hidden": [[0.0], *[[0.0, 0.0]] * COUNT]}, "hidden"),
    "no deviation": ({"deviation": [0.0] * COUNT}, "deviation"),
    "text": ({"output": "0"}, "output"),
    "another schema": ({"schema": 2}, "schema"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_malformed_monitor_is_refused(change: str, tiny_bundle: Path) -> None:
    values, field = CHANGES[change]
    with pytest.raises(BundleError, match=rf"input_monitor.*{field}"):
        monitor_of({**plain_monitor(), **values}, tiny_bundle)


@pytest.mark.parametrize("raw", [b"", b"[]", b"{", b"\xff", b"[" * 5000], ids=["empty", "list", "cut", "bytes", "deep"])
def test_what_is_no_monitor_is_refused(raw: bytes, tiny_bundle: Path) -> None:
    with pytest.raises(BundleError, match="input_monitor"):
        read_monitor(replace(load_bundle(tiny_bundle), input_monitor=raw))


def test_a_changed_monitor_is_a_changed_bundle(tiny_bundle: Path, tmp_path: Path) -> None:
    folder = tmp_path / "bundle"
    shutil.copytree(tiny_bundle, folder)
    before = load_bundle(folder).sha256
    assert add_monitor(folder, json.dumps(plain_monitor()).encode()).sha256 != before
    file = folder / "input_monitor.json"
    file.write_bytes(file.read_bytes().replace(b"3.0", b"9.0"))
    with pytest.raises(BundleError, match=r"input_monitor\.json"):
        load_bundle(folder)


@pytest.mark.parametrize("shape", [(16, 16), (16, 4096), (2048, 16), (120, 160)])
@pytest.mark.parametrize("level", [0.0, 0.5, 1.0])
def test_every_frame_has_finite_figures(shape: tuple[int, int], level: float) -> None:
    for frame in (np.full(shape, level), np.random.default_rng(1).uniform(0.0, level, shape)):
        image = center(np.rint(frame * 255).astype(np.uint8), 8, 128, 128, 1, True)
        figures = describe_frame(image.grey, image.search, image.view, image.seen)
        assert len(figures) == COUNT
        assert np.isfinite(figures).all()
