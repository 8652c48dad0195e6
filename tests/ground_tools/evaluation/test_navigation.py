"""The figures of the navigation consumer, on spheres whose centre and sun are known."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flight.client import NavigationFix, navigation_fix
from flight.client.navigation import CORRELATION_LENGTH, SHIFT_SHARE, ErrorTerms, error_terms
from ground_tools.cli import main
from ground_tools.datasets.noise import NOISE_SEED
from ground_tools.datasets.store import FORMAT_VERSION, sample_digest, shard_bytes, webp_bytes, write_index
from ground_tools.evaluation.covariance import FLIGHT_POWER, Errors, compare, fit
from ground_tools.labels.classes import BACKGROUND, SURFACE, TERMINATOR
from ground_tools.rendering.geometry import View, camera_axes
from tests.flight.client import products as spheres

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
    command = ["--dataset", str(sphere_set), "--tuning-set", str(sphere_set), "--write", str(tmp_path)]
    assert main(["evaluate-navigation", *command]) == 0
    chosen, measured = json.loads((tmp_path / "gnc.json").read_text())["sets"]
    assert (chosen["images"], chosen["chosen_on"], measured["images"], measured["chosen_on"]) == (12, True, 24, False)
    whole = measured["truth"]["whole bodies"]
    assert (whole["images"], whole["refused"], whole["sun"]["known"], whole["sun"]["opposite"]) == (24, 0, 24, 0)
    assert whole["mass_error_px"][1] < 0.1
    assert whole["outline_error_px"][1] < 1e-9
    assert whole["sun"]["error_deg"][1] < 4
    assert measured["truth"]["range 1 to 1.3 D0"]["images"] == 12
    assert measured["truth"]["phase 30 to 60 deg"]["images"] == 24
    # The unlit part is missing in the centroid of what is bright.
    assert measured["brightness"]["whole bodies"]["mass_error_px"][0] > 1
    assert measured["phase"]["rms_deg"] < 0.5 * measured["phase"]["blind_rms_deg"]
    page = (tmp_path / "gnc.md").read_text()
    assert page.startswith("text\n")
    assert page.endswith("more\n")
    assert "### spheres: measured on it only" in page
    assert main(["evaluate-navigation", *command]) == 0
    assert (tmp_path / "gnc.md").read_text() == page


def test_a_bundles_maps_are_measured_beside_brightness(
    sphere_set: Path, shipped_bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["--dataset", str(sphere_set), "--bundle", str(shipped_bundle), "--passes", "1", "--images", "2"]
    assert main(["evaluate-navigation", *command]) == 0
    text = capsys.readouterr().out
    assert "| network maps | images |" in text
    assert "unet_h" in text
    assert "1 passes" in text


def test_what_is_wrong_is_told_in_one_line(
    sphere_set: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "gnc.md").write_text("no place\n")
    for arguments, told in (
        (["--dataset", str(tmp_path / "none")], "--dataset: expected an existing file or folder, got"),
        (["--dataset", str(tmp_path)], "no readable dataset.json"),
        (["--dataset", str(sphere_set), "--passes", "0"], "--passes: expected 1..100, got 0"),
        (["--dataset", str(sphere_set), "--write", str(tmp_path)], "expected the lines"),
    ):
        assert main(["evaluate-navigation", *arguments]) == 2
        assert told in capsys.readouterr().err
    assert not (tmp_path / "gnc.json").exists()


def drawn_errors(length: float, share: float, seed: int, count: int = 1500) -> Errors:
    """Errors drawn from the covariance that these constants give, of three bodies."""
    generator = np.random.default_rng(seed)
    half = generator.normal(0.0, 0.1, (count, 2, 2))
    shift = generator.normal(0.0, 1.5, (count, 2))
    quantization = np.broadcast_to(1e-4 * np.eye(2), (count, 2, 2))
    parts = (half @ half.swapaxes(1, 2), shift[:, :, None] * shift[:, None, :], quantization)
    bodies = np.array(["a", "b", "c"])[np.arange(count) % 3]
    data = Errors(
        np.zeros((count, 2)), *parts, mean_relative_entropy=generator.uniform(0.05, 0.5, count), bodies=bodies
    )
    roots = np.linalg.cholesky(data.covariances(2, length, share))
    return dataclasses.replace(data, errors=(roots @ generator.standard_normal((count, 2, 1)))[..., 0])


@pytest.mark.slow
def test_the_constants_that_drew_the_errors_are_found_and_consistent() -> None:
    data = drawn_errors(40.0, 0.3, seed=1)
    assert fit(data, 2) == pytest.approx((40.0, 0.3), rel=0.1)
    *rows, flight = compare(data)
    assert max(rows, key=lambda row: row.log_density).power == 2
    fitted = rows[2]
    assert fitted.mean == pytest.approx(2.0, abs=0.15)
    assert fitted.within_90 == pytest.approx(0.9, abs=0.03)
    assert fitted.bodies.keys() == {"a", "b", "c"}
    # Constants that state more than the errors are: too many of these lie within.
    assert flight.within_90 > fitted.within_90


def test_the_terms_of_a_fix_give_its_covariance() -> None:
    class_map, night = spheres.lit_sphere(70.0, 20.0)
    entropy = np.where(night, 0.8, 0.1)
    product = spheres.navigation(class_map, entropy)
    fix, terms = navigation_fix(product), error_terms(product)
    assert isinstance(fix, NavigationFix)
    assert isinstance(terms, ErrorTerms)
    limb = np.array([[terms.limb.xx, terms.limb.xy], [terms.limb.xy, terms.limb.yy]])
    shift, quantization = np.outer(terms.certainty_shift, terms.certainty_shift), terms.quantization * np.eye(2)
    one = (part[None] for part in (np.zeros(2), limb, shift, quantization))
    data = Errors(*one, mean_relative_entropy=np.array([terms.mean_relative_entropy]), bodies=np.array(["sphere"]))
    stated = [[fix.covariance_xx, fix.covariance_xy], [fix.covariance_xy, fix.covariance_yy]]
    assert np.allclose(data.covariances(FLIGHT_POWER, CORRELATION_LENGTH, SHIFT_SHARE)[0], stated, rtol=1e-12)
    body = class_map != spheres.BACKGROUND
    assert terms.mean_relative_entropy == pytest.approx(
        entropy.astype(np.float16)[body].mean(dtype=np.float64) / math.log(4), rel=1e-6
    )


def test_the_covariance_of_a_bundles_fixes_is_measured(
    sphere_set: Path, shipped_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "gnc.md").write_text(PLACE.replace("navigation", "covariance"))
    command = ["--dataset", str(sphere_set), "--bundle", str(shipped_bundle), "--passes", "1", "--images", "3"]
    assert main(["fit-covariance", *command, "--write", str(tmp_path)]) == 0
    record = json.loads((tmp_path / "covariance.json").read_text())
    assert (record["images"], record["split"], record["bundle"]["name"]) == (3, "validation", "unet_h")
    # One body cannot be measured by the constants of others.
    assert [row["power"] for row in record["rows"]] == [None]
    assert "flight's constants" in (tmp_path / "gnc.md").read_text()
    for arguments, told in (
        (["--images", "1"], "--images: expected 2..1000000, got 1"),
        (["--split", "none"], "no samples in split none"),
        (["--write", str(sphere_set)], "expected the lines"),
    ):
        assert main(["fit-covariance", *command, *arguments]) == 2
        assert told in capsys.readouterr().err
