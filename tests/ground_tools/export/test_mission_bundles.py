"""Networks of other missions become bundles that fly: colour or grey, their own classes and sizes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flight.bundle import Bundle, load_bundle
from flight.inference.engine import Engine
from flight.inference.self_test import run_self_test
from flight.settings import default_settings
from ground_tools.datasets.store import load, read_description
from tests.ground_tools.conftest import ground_tools
from tests.ground_tools.fresh_segmenter import write_fresh_training
from tests.ground_tools.missions.conftest import mars, moon, trained_on_moon  # noqa: F401
from tests.ground_tools.training.small_segmenter import SMALL


def export(trained: Path, dataset: Path, out: Path) -> Bundle:
    few = ("--passes", 2, "--parity-images", 1, "--parity-passes", 4, "--images", 3, "--force")
    done = ground_tools("export", "--network", trained, "--dataset", dataset, *few, "--out", out)
    assert done.returncode == 0, done.stderr
    assert "bundle: Test test mIoU" in done.stdout
    return load_bundle(out)


def segment(bundle: Bundle, frame: np.ndarray) -> Any:
    engine = Engine(bundle)
    run_self_test(engine)
    maps = engine.segment(frame, bit_depth=8, centered=True, seed=1, settings=default_settings(bundle))
    engine.close()
    return maps


@pytest.mark.slow
def test_a_colour_network_flies_with_its_own_classes(moon: Path, trained_on_moon: Path, tmp_path: Path) -> None:  # noqa: F811
    bundle = export(trained_on_moon, moon, tmp_path / "bundle")
    assert [c.name for c in bundle.classes] == ["ground", "small_rocks", "large_rocks", "sky"]
    assert [c.role for c in bundle.classes] == ["safe", "hazard", "hazard", "background"]
    assert (bundle.height, bundle.width, bundle.channels) == (32, 32, 3)
    # The head is linear, so that all before it runs once for a frame.
    assert bundle.in_closed_form
    assert bundle.manifest["networks"][0]["dropout_masks"][0]["keep_probability"] == pytest.approx(0.8)
    loaded = load(moon, "test")
    maps = segment(bundle, loaded.images[0])
    assert maps.class_map.shape == (32, 32)
    assert (maps.class_map == loaded.masks[0]).mean() > 0.8
    # A blue frame is not a red one: the order of colours is that of the training.
    turned = segment(bundle, np.ascontiguousarray(loaded.images[0][..., ::-1]))
    assert np.abs(turned.mean_probability - maps.mean_probability).max() > 0.0
    card = (tmp_path / "bundle" / "card.md").read_text()
    assert "small_rocks" in card
    assert "boulders" not in card


@pytest.mark.slow
def test_pixels_without_a_label_count_in_no_figure(mars: Path, tmp_path: Path) -> None:  # noqa: F811
    (tmp_path / "small.toml").write_text(SMALL)
    start = ("train", "--recipe", tmp_path / "small.toml", "--dataset", mars, "--epochs", 10)
    done = ground_tools(*start, "--out", tmp_path / "net")
    assert done.returncode == 0, done.stderr
    bundle = export(tmp_path / "net", mars, tmp_path / "bundle")
    assert bundle.channels == 1
    loaded = load(mars, "test")
    maps = segment(bundle, loaded.images[0])
    known = loaded.masks[0] != 255
    assert 0.0 < known.mean() < 0.9
    assert (maps.class_map == loaded.masks[0])[known].mean() > 0.8
    figures = bundle.manifest["metrics"]
    (test,) = figures["test"].values()
    # Every unlabelled pixel would be wrong: with them the mIoU could not be so high.
    assert test["Test"]["miou"] > 0.7


@pytest.mark.slow
def test_a_bundle_that_misses_parity_is_written_only_when_forced(
    moon: Path,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # No answer is as near as this.
    monkeypatch.setattr("ground_tools.export.parity.MOST_ENTROPY", -1.0)
    (tmp_path / "small.toml").write_text(SMALL)
    network = write_fresh_training(tmp_path / "small.toml", moon, tmp_path / "net", (32, 32, 3))
    few = ("--passes", 1, "--images", 1, "--parity-images", 1, "--parity-passes", 2)
    arguments = ("export", "--network", network, "--dataset", moon, *few, "--out", tmp_path / "out")
    done = ground_tools(*arguments)
    assert done.returncode == 2
    assert "parity with float32: " in done.stderr
    miss = f"{read_description(moon)['name']}: entropy: expected at most -1.0 nat"
    assert miss in done.stderr
    assert "(--force writes the bundle all the same)" in done.stderr
    assert not (tmp_path / "out").exists()
    assert ground_tools(*arguments, "--force").returncode == 0
    misses = load_bundle(tmp_path / "out").manifest["engine_parity"]["misses"]
    assert any(one.startswith(miss) for one in misses)
    written = f"**Misses of what is asked of a bundle**, which was written all the same: {'; '.join(misses)}."
    assert written in (tmp_path / "out" / "card.md").read_text()
