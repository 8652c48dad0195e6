"""Engine against engine on images with truth masks, as `ground-tools parity` and `add-closed-form` have it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from flight.bundle import load_bundle
from ground_tools.export.closed_form_bundle import add_closed_form
from ground_tools.export.parity import EngineFigures, SetParity, measure_parity, parity_table
from tests.ground_tools.conftest import ground_tools


def test_engines_are_compared_with_whole_passes(closed_form_bundle: Path) -> None:
    bundle = load_bundle(closed_form_bundle)
    generator = np.random.default_rng(4)
    frames = generator.integers(0, 256, (3, bundle.height, bundle.width), dtype=np.uint8)
    truth = generator.integers(0, 4, frames.shape).astype(np.uint8)
    parity = measure_parity(bundle, frames, truth, "test", passes=8, reference_passes=100, threads=2)
    assert (parity.images, parity.reference.entropy_difference, parity.reference.class_differs) == (3, 0.0, 0.0)
    assert 0.0 < parity.second.entropy_difference < parity.engines["passes"].entropy_difference
    # The closed form's own error beyond the noise of as many whole passes is small.
    closed, whole = parity.engines["closed_form"], parity.engines["passes"]
    assert closed.entropy_difference < whole.entropy_difference + 0.02
    assert closed.nll == pytest.approx(whole.nll, rel=0.02)
    for name in ("reference", "again", "passes", "closed_form"):
        assert name in parity_table({"random": parity})


GOOD = EngineFigures(20, 0.5, 0.3, 0.02, 0.8, 0.03, 0.0, 0.01, 50.0)


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("miou", 0.495, "mIoU: expected 0.5000 within 0.003, got 0.4950"),
        ("entropy_difference", 0.055, "entropy: expected at most 0.02 nat beyond the reference's noise, got 0.0250"),
        ("nll", 0.304, "nll: expected 0.3000 within 1 %, got 0.3040"),
        ("ece", 0.0195, "ece: expected 0.0200 within 1 %, got 0.0195"),
        ("auroc", 0.78, "auroc: expected 0.8000 within 1 %, got 0.7800"),
    ],
)
def test_a_bound_that_is_missed_is_told(field: str, value: float, said: str) -> None:
    def parity(closed: EngineFigures) -> SetParity:
        return SetParity(3, "test", GOOD, GOOD, {"passes": GOOD, "closed_form": closed})

    assert parity(GOOD).failures() == []
    assert parity(replace(GOOD, **{field: value})).failures() == [said]


def test_a_bundle_gets_the_closed_form(closed_form_bundle: Path, tiny_bundle: Path, tmp_path: Path) -> None:
    bundle = load_bundle(closed_form_bundle)
    images = np.random.default_rng(1).random((2, bundle.height, bundle.width, bundle.channels)).astype(np.float32)
    written = add_closed_form(closed_form_bundle, images, tmp_path / "out", "2.0")
    assert written.version == "2.0"
    assert [network.closed_form is not None for network in written.networks] == [True, True]
    assert written.networks[0].content == bundle.networks[0].content
    with pytest.raises(ValueError, match="expected a network with a linear head, got none"):
        add_closed_form(tiny_bundle, images, tmp_path / "other", "2.0")


def test_parity_of_a_bundle_without_the_closed_form_is_refused(tiny_bundle: Path) -> None:
    done = ground_tools("parity", "--bundle", tiny_bundle, "--dataset", tiny_bundle)
    assert done.returncode == 2
    assert "expected closed-form heads, got none of First, Second" in done.stderr
