"""`ground-tools fit-risk`: from validation images to thresholds in a bundle, and what it refuses."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from flight.bundle import BundleError, load_bundle
from flight.inference.engine import Engine
from flight.inference.hazard import find_dark
from flight.settings import default_settings
from ground_tools.evaluation.claims import CLAIMS, count_claims, split_claims
from ground_tools.evaluation.risk_choice import RISKS
from ground_tools.evaluation.selection import select
from ground_tools.metrics.risk import THRESHOLDS, fewest_units
from tests.ground_tools.conftest import ground_tools
from tests.ground_tools.evaluation.sets import REAL, stated, write_set

_PICTURE = {"noise": None, "publish_images": True}


@pytest.fixture(scope="module")
def many(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A set of 120 validation images, whose truth is what UNetS makes of them, but for a few pixels."""
    engine, generator = Engine(load_bundle(bundle)), np.random.default_rng(0)

    def label(image: np.ndarray, index: int) -> np.ndarray:
        settings = replace(default_settings(engine.bundle), mode="UNetS", passes=40)
        maps = engine.segment(image, bit_depth=8, centered=True, seed=1000 + index, settings=settings)
        return np.where(generator.random(image.shape) < 0.02, 3, maps.class_map).astype(np.uint8)

    each = {"train": 1, "validation": 60, "test": 4}
    folder = tmp_path_factory.mktemp("many") / "many"
    return write_set(folder, "many", {"a": each, "b": each}, label=label, **_PICTURE)


@pytest.fixture(scope="module")
def copies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A set of real images, whose 60 validation samples are copies of three images."""
    images = [{"body": "a", "group": f"{n}", "split": "validation", "samples": [20 * n, 20 * n + 19]} for n in range(3)]
    folder = tmp_path_factory.mktemp("copies") / "d9"
    return write_set(folder, "d9", {"a": {"train": 1, "validation": 60}}, **{**REAL, "images": images})


@pytest.fixture
def own(bundle: Path, tmp_path: Path) -> Path:
    """A copy of the bundle, to write into."""
    return Path(shutil.copytree(bundle, tmp_path / "tiny"))


def fit(bundle: Path, out: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    return ground_tools("fit-risk", "--bundle", bundle, "--workers", 1, "--out", out, *arguments)


def test_thresholds_are_those_that_plain_counts_of_the_engines_maps_promise(
    own: Path, many: Path, tmp_path: Path
) -> None:
    done = fit(own, tmp_path, "--dataset", many)
    assert done.returncode == 0, done.stderr
    bundle = load_bundle(own)
    assert done.stdout.splitlines()[-1] == f"{own}: {bundle.sha256[:16]}"
    entry = bundle.manifest["risk_thresholds"]
    assert (entry["delta"], entry["passes"]) == (0.05, bundle.passes)
    (told,) = entry["sets"]
    assert (told["name"], told["images"], told["views"]) == ("many", 120, 120)
    (largest,) = [line for line in bundle.risk_thresholds["UNetS"] if line.risk == RISKS[-1]]
    assert largest.threshold in THRESHOLDS
    assert largest.coverage > 0.1
    chosen, engine = select(many, "validation", 0, bundle), Engine(bundle)
    risks, coverages = [], []
    for frame, truth, seed in zip(chosen.frames(), chosen.samples.masks, chosen.positions, strict=True):
        settings = replace(default_settings(bundle), mode="UNetS")
        maps = engine.segment(frame, bit_depth=8, centered=True, seed=int(seed), settings=settings)
        sky, dark = maps.class_map == 0, find_dark(frame / np.float32(255.0))
        counted = np.where(sky, truth != 0, ~dark)
        left = counted & (maps.predictive_entropy <= np.float32(largest.threshold))
        risks.append((left & (maps.class_map != truth)).sum() / max(left.sum(), 1))
        coverages.append(left.sum() / max(counted.sum(), 1))
    assert largest.coverage == pytest.approx(np.mean(coverages), abs=1e-4)
    assert 0.0 < np.mean(risks) < 0.1
    line = next(row for row in done.stdout.splitlines() if row.split()[:2] == ["UNetS", "10.0"])
    assert line.split()[2:] == [
        f"{largest.threshold:g}",
        f"{100 * np.mean(risks):.2f}",
        f"{100 * np.mean(coverages):.1f}",
    ]
    # Of 120 images, no risk below 5 % can be promised, whatever they show.
    assert [line.risk for line in bundle.risk_thresholds["UNetS"]] == [r for r in RISKS if fewest_units(r, 0.05) <= 120]
    assert done.stdout.count("too few images") == 3 * sum(fewest_units(risk, 0.05) > 120 for risk in RISKS)


def test_promised_and_measured_risk_stand_side_by_side(own: Path, many: Path, tmp_path: Path) -> None:
    assert fit(own, tmp_path, "--dataset", many).returncode == 0
    out = tmp_path / "evaluation"
    arguments = ["--bundle", own, "--dataset", many, "--passes", 4, "--sweep", 0, "--disturbed", 0, "--out", out]
    done = ground_tools("evaluate", *arguments, "--workers", 1)
    assert done.returncode == 0, done.stderr
    told = json.loads((out / "results.json").read_text())["risk"]["many"]
    bundle = load_bundle(own)
    assert set(told) == {"unet_s"}
    figures, lines = told["unet_s"], bundle.risk_thresholds["UNetS"]
    assert [(at["promised"], at["threshold_nats"]) for at in figures["table"]] == [(x.risk, x.threshold) for x in lines]
    # 2 % are not promised: the least that is.
    assert (figures["promised"], figures["threshold_nats"]) == (lines[0].risk, lines[0].threshold)
    assert (figures["images"], figures["views"]) == (8, 8)
    chosen, engine = select(many, "test", 0, bundle), Engine(bundle)
    risks, coverages, wrong, left = [], [], 0, np.zeros(2)
    for frame, truth, seed in zip(chosen.frames(), chosen.samples.masks, chosen.positions, strict=True):
        settings = replace(default_settings(bundle), mode="UNetS")
        maps = engine.segment(frame, bit_depth=8, centered=True, seed=int(seed), settings=settings)
        unmarked, sky = maps.enhanced_class_map < 4, (maps.class_map == 0) & (truth == 0)
        counted = np.where(maps.class_map == 0, truth != 0, ~find_dark(frame / np.float32(255.0)))
        errors = (unmarked & (maps.class_map != truth)).sum()
        risks.append(errors / (unmarked & ~sky).sum())
        coverages.append((unmarked & ~sky).sum() / counted.sum())
        wrong, left = wrong + errors, left + np.array([(unmarked & ~sky).sum(), unmarked.sum()])
    assert figures["measured"] == pytest.approx(np.mean(risks), abs=1e-6)
    assert figures["coverage"] == pytest.approx(np.mean(coverages), abs=1e-6)
    assert figures["measured_over_pixels"] == pytest.approx(wrong / left[0], abs=1e-6)
    assert figures["measured_all_pixels"] == pytest.approx(wrong / left[1], abs=1e-6)
    low, high = figures["measured_interval"]
    assert low <= figures["measured"] <= high
    report = (out / "report.html").read_text()
    assert "Risk: promised and measured" in report
    assert (out / "images" / "many_tiny_risk.png").exists()


def test_choosing_again_computes_nothing_and_changes_nothing(own: Path, many: Path, tmp_path: Path) -> None:
    assert fit(own, tmp_path, "--dataset", many).returncode == 0
    before = (own / "manifest.json").read_bytes()
    times = {path: path.stat().st_mtime_ns for path in tmp_path.glob("statistics/*/*.npz")}
    assert len(times) == 30
    assert fit(own, tmp_path, "--dataset", many).returncode == 0
    assert (own / "manifest.json").read_bytes() == before
    assert {path: path.stat().st_mtime_ns for path in tmp_path.glob("statistics/*/*.npz")} == times


def test_copies_of_three_images_are_three_units_and_promise_nothing(
    own: Path, many: Path, copies: Path, tmp_path: Path
) -> None:
    before = (own / "manifest.json").read_bytes()
    done = fit(own, tmp_path, "--dataset", many, "--dataset", copies)
    assert done.returncode == 2
    needed = fewest_units(0.1, 0.05)
    assert f"expected {needed} views or more" in done.stderr
    assert "got 3 of 60 images; --leave-out d9 chooses without it" in done.stderr
    assert (own / "manifest.json").read_bytes() == before
    done = fit(own, tmp_path, "--dataset", many, "--dataset", copies, "--leave-out", "d9")
    assert done.returncode == 0, done.stderr
    assert "d9 (3 views) is left out: measured, not promised" in done.stdout
    entry = load_bundle(own).manifest["risk_thresholds"]
    assert [told["name"] for told in entry["sets"]] == ["many"]
    assert [(told["name"], told["views"]) for told in entry["left_out"]] == [("d9", 3)]


def test_a_set_on_which_nothing_can_be_promised_is_named(own: Path, many: Path, tmp_path: Path) -> None:
    each = {"train": 1, "validation": 40, "test": 1}
    bad = write_set(
        tmp_path / "bad", "bad", {"a": each, "b": each}, label=lambda image, _: np.uint8(3) * (image < 50), **_PICTURE
    )
    done = fit(own, tmp_path, "--dataset", many, "--dataset", bad)
    assert done.returncode == 2
    assert "expected a risk that can be promised on bad, got too many errors on its 80 views" in done.stderr
    assert "--leave-out bad chooses without it" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--leave-out", "d7"], "--leave-out: expected some of many, got d7"),
        (["--leave-out", "many"], "--leave-out: expected a set that is not left out, got all of them"),
        (["--images", "20"], "expected 48 views or more"),
        (["--delta", "0.5"], "0.0001..0.1"),
    ],
)
def test_refusals(own: Path, many: Path, tmp_path: Path, arguments: list[str], message: str) -> None:
    done = fit(own, tmp_path, "--dataset", many, *arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert "risk_thresholds" not in load_bundle(own).manifest


def test_the_sets_of_the_thresholds_are_among_those_that_a_bundle_comes_from(
    own: Path, many: Path, copies: Path, tmp_path: Path
) -> None:
    """Thresholds chosen on validation images may not be judged on a set in which these are test images."""
    arguments = ["--dataset", many, "--dataset", copies, "--leave-out", "d9"]
    assert fit(own, tmp_path, *arguments).returncode == 0
    for name in ("many", "d9"):
        other = {**REAL, "campaign": {"split_by": "body"}, "images": []}
        dataset = write_set(tmp_path / name, name, {"a": {"test": 1}}, **other)
        arguments = ["--bundle", own, "--dataset", dataset, "--passes", 1, "--workers", 1, "--out", tmp_path / "e"]
        done = ground_tools("evaluate", *arguments)
        message = "expected the choices of bundle tiny to come from the same splits of many"
        # Nothing was chosen on what was left out.
        assert (done.returncode, message in done.stderr) == ((2, True) if name == "many" else (0, False)), done.stderr


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([(0.02, 0.2), (0.01, 0.3)], "modes[0].thresholds[1]: expected a larger risk than 0.02 and no smaller thresh"),
        ([(0.01, 0.2), (0.02, 0.1)], "modes[0].thresholds[1]: expected a larger risk than 0.01 and no smaller thresh"),
        ([(0.0, 0.2)], "modes[0].thresholds[0].risk: expected 1e-06..1, got 0.0"),
        ([(0.1, -1)], "modes[0].thresholds[0].threshold: expected 0..10, got -1"),
    ],
)
def test_a_table_that_contradicts_itself_is_no_bundle(
    own: Path, lines: list[tuple[float, float]], message: str
) -> None:
    table = [{"risk": risk, "threshold": threshold, "coverage": 0.5} for risk, threshold in lines]
    entry = {"delta": 0.05, "passes": 4, "sets": [{}], "modes": [{"mode": "Fused", "thresholds": table}]}
    with pytest.raises(BundleError) as error:
        load_bundle(stated(own, risk_thresholds=entry))
    assert f"manifest.risk_thresholds.{message}" in str(error.value)
    with pytest.raises(BundleError, match=r"risk_thresholds.modes\[0\].mode: expected Fused \| UNetS \| UNetAS, got X"):
        load_bundle(stated(own, risk_thresholds={**entry, "modes": [{"mode": "X", "thresholds": []}]}))


def test_every_pixel_is_one_claim_but_dark_ground(bundle: Path) -> None:
    loaded, generator = load_bundle(bundle), np.random.default_rng(2)
    truth, class_map = (generator.integers(0, 4, (32, 48)).astype(np.uint8) for _ in range(2))
    frame = np.where(np.arange(48) < 20, 3, generator.integers(120, 250, (32, 48))).astype(np.uint8)
    entropy = generator.uniform(0, 1.4, truth.shape).astype(np.float32)
    found = count_claims(loaded, class_map, entropy, frame, truth)
    sky, dark, right = class_map == 0, find_dark(frame / np.float32(255.0)), class_map == truth
    assert 0 < dark.sum() < dark.size
    expected = {
        "right": ~sky & ~dark & right,
        "wrong": ~sky & ~dark & ~right,
        "missed": sky & ~dark & ~right,
        "missed_dark": sky & dark & ~right,
        "sky": sky & right,
    }
    assert dict(zip(CLAIMS, found["claims"].sum(axis=1), strict=True)) == {k: v.sum() for k, v in expected.items()}
    assert found["dark_ground"].tolist() == [(~sky & dark & right).sum(), (~sky & dark & ~right).sum()]
    errors, counted = split_claims(found["claims"])
    ground = ~sky & dark
    assert errors.sum() == (~right & ~ground).sum()
    assert counted.sum() == (~(sky & right) & ~ground).sum()
