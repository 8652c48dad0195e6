"""The figures of the navigation consumer, on spheres whose centre and sun are known."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ground_tools.classes import BACKGROUND, SURFACE, TERMINATOR
from ground_tools.datasets.noise import NOISE_SEED
from ground_tools.datasets.store import FORMAT_VERSION, sample_digest, shard_bytes, webp_bytes, write_index
from ground_tools.evaluation.navigation import main
from ground_tools.rendering.geometry import View, camera_axes
from tests.flight import test_consumers as spheres

CLASSES = {spheres.TERMINATOR: TERMINATOR, spheres.SAFE: SURFACE, spheres.BACKGROUND: BACKGROUND}
PLACE = "text\n<!-- navigation figures: begin -->\n<!-- navigation figures: end -->\nmore\n"


def sample(index: int, phase_deg: float, sun_deg: float) -> dict[str, Any]:
    generator = np.random.default_rng(index)
    camera = generator.standard_normal(3) * 10.0
    angle, phase = np.radians(sun_deg), np.radians(phase_deg)
    sun = np.array([np.sin(phase) * np.cos(angle), np.sin(phase) * np.sin(angle), -np.cos(phase)])
    sun = camera_axes(View(camera, sun)).T @ sun
    class_map, night = spheres.lit_sphere(phase_deg, sun_deg)
    mask = np.vectorize(CLASSES.__getitem__)(class_map).astype(np.uint8)
    identifiers = (mask != BACKGROUND).astype(np.uint16)
    image = np.where((mask != BACKGROUND) & ~night, 180, 0).astype(np.uint8)
    return {
        "body": "sphere",
        "split": "validation" if index % 2 else "test",
        "index": index,
        "seed": 1,
        "camera_km": camera.tolist(),
        "sun_direction": sun.tolist(),
        "range_km": float(np.linalg.norm(camera)),
        "range_d0": 0.9 + 0.3 * (index % 2),
        "phase_angle_deg": phase_deg,
        "time_s": None,
        "class_pixels": np.bincount(mask.ravel(), minlength=5).tolist(),
        "sha256": sample_digest(image, mask, identifiers, identifiers),
        "image": webp_bytes(image),
        "mask": webp_bytes(mask),
        "identifiers": webp_bytes(identifiers),
        "ground": webp_bytes(identifiers),
    }


@pytest.fixture(scope="module")
def sphere_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 spheres, phase angles from 35 to 58 degrees, the sun all around."""
    folder = tmp_path_factory.mktemp("spheres")
    rows = [sample(index, 35.0 + index, 15.0 * index) for index in range(24)]
    (folder / "shards").mkdir()
    (folder / "shards" / "sphere-test-00000.parquet").write_bytes(shard_bytes(rows))
    noise = {"seed": NOISE_SEED}
    description = {"format": FORMAT_VERSION, "name": "spheres", "sha256": write_index(folder), "noise": noise}
    (folder / "dataset.json").write_text(json.dumps(description))
    return folder


def test_truth_masks_give_the_centre_and_the_sun(sphere_set: Path, tmp_path: Path) -> None:
    (tmp_path / "gnc.md").write_text(PLACE)
    command = ["--set", str(sphere_set), "--choice", str(sphere_set), "--write", str(tmp_path)]
    assert main(command) == 0
    chosen, judged = json.loads((tmp_path / "gnc.json").read_text())["sets"]
    assert (chosen["images"], chosen["chosen_on"], judged["images"], judged["chosen_on"]) == (12, True, 24, False)
    whole = judged["truth"]["whole bodies"]
    assert (whole["images"], whole["refused"], whole["sun"]["known"], whole["sun"]["opposite"]) == (24, 0, 24, 0)
    assert whole["mass_error_px"][1] < 0.1
    assert whole["outline_error_px"][1] < 1e-9
    assert whole["sun"]["error_deg"][1] < 4
    assert judged["truth"]["range 1 to 1.3 D0"]["images"] == 12
    assert judged["truth"]["phase 30 to 60 deg"]["images"] == 24
    # The unlit part is missing in the centroid of what is bright.
    assert judged["brightness"]["whole bodies"]["mass_error_px"][0] > 1
    assert judged["phase"]["rms_deg"] < 0.5 * judged["phase"]["blind_rms_deg"]
    page = (tmp_path / "gnc.md").read_text()
    assert page.startswith("text\n")
    assert page.endswith("more\n")
    assert "### spheres: judged on it only" in page
    assert main(command) == 0
    assert (tmp_path / "gnc.md").read_text() == page


def test_a_bundles_maps_are_measured_beside_brightness(
    sphere_set: Path, shipped_bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["--set", str(sphere_set), "--bundle", str(shipped_bundle), "--passes", "1", "--images", "2"]
    assert main(command) == 0
    text = capsys.readouterr().out
    assert "| network maps | images |" in text
    assert "unet_h" in text
    assert "1 passes" in text


def test_what_is_wrong_is_told_in_one_line(
    sphere_set: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "gnc.md").write_text("no place\n")
    for arguments, told in (
        (["--set", str(tmp_path / "none")], "no readable dataset.json"),
        (["--set", str(sphere_set), "--passes", "0"], "--passes: expected 1..100, got 0"),
        (["--set", str(sphere_set), "--write", str(tmp_path)], "expected the lines"),
    ):
        assert main(arguments) == 2
        assert told in capsys.readouterr().err
    assert not (tmp_path / "gnc.json").exists()
