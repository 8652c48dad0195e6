"""The engines beside float32 whole passes, as `ground-tools parity`, `export` and `add-closed-form` have it."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from flight.bundle import Bundle, load_bundle
from flight.inference.engine import Engine
from flight.settings import default_settings
from ground_tools.commands import parity as parity_command
from ground_tools.export.closed_form_bundle import add_closed_form
from ground_tools.export.figures import EngineFigures, SetParity
from ground_tools.export.parity import (
    find_all_misses,
    find_misses,
    float_bundle,
    flying_engines,
    measure_parity,
    parity_table,
    write_parity,
)
from ground_tools.export.variants import closed_form_variants
from ground_tools.foundation.json_records import read_json
from ground_tools.pages.text import text_table
from tests.tiny_bundle import promise_risks


@pytest.fixture(scope="module")
def bundle(closed_form_bundle: Path) -> Bundle:
    return load_bundle(closed_form_bundle)


def frames_and_truth(bundle: Bundle, count: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(4)
    frames = generator.integers(0, 256, (count, bundle.height, bundle.width), dtype=np.uint8)
    return frames, generator.integers(0, 4, frames.shape).astype(np.uint8)


def test_the_reference_computes_what_int8_rounds(bundle: Bundle) -> None:
    frame = frames_and_truth(bundle, 1)[0][0]
    whole = replace(default_settings(bundle), engine="passes", passes=64)
    exact, rounded = (
        Engine(each).segment(frame, bit_depth=8, centered=True, seed=5, settings=whole)
        for each in (float_bundle(bundle), bundle)
    )
    # The same masks: what is left is rounding.
    assert exact.mean_probability == pytest.approx(rounded.mean_probability, abs=0.1)
    assert np.abs(exact.mean_probability - rounded.mean_probability).mean() < 0.01
    assert exact.mean_probability.tobytes() != rounded.mean_probability.tobytes()


def test_engines_are_compared_with_float_passes(bundle: Bundle) -> None:
    engines = flying_engines(bundle, 8)
    parity = measure_parity(float_bundle(bundle), engines, *frames_and_truth(bundle, 3))
    assert (parity.images, parity.reference.entropy_difference, parity.reference.class_differs) == (3, 0.0, 0.0)
    assert list(parity.engines) == ["passes", "closed_form"]
    assert 0.0 < parity.second.entropy_difference < parity.engines["passes"].entropy_difference
    # The closed form's own error beyond the noise of as many whole passes is small.
    closed, whole = parity.engines["closed_form"], parity.engines["passes"]
    assert closed.entropy_difference < whole.entropy_difference + 0.02
    assert closed.nll == pytest.approx(parity.reference.nll, rel=0.03)
    for name in ("reference", "reference again", "passes", "closed_form"):
        assert name in text_table(parity_table({"random": parity}))


GOOD = EngineFigures(20, 0.5, 0.3, 0.02, 0.8, 0.01, 0.03, 0.0, 0.01, 50.0)


def parity_with(second: EngineFigures, **engines: EngineFigures) -> SetParity:
    return SetParity(3, GOOD, second, engines)


@pytest.mark.parametrize(
    ("field", "value", "better", "said"),
    [
        ("miou", 0.495, 0.51, "miou: expected at least 0.4970, got 0.4950"),
        (
            "entropy_difference",
            0.055,
            0.01,
            "entropy: expected at most 0.02 nat beyond the reference's noise, got 0.0250",
        ),
        ("nll", 0.304, 0.2, "nll: expected at most 0.3030, got 0.3040"),
        ("ece", 0.0235, 0.01, "ece: expected at most 0.0232, got 0.0235"),
        ("auroc", 0.78, 0.9, "auroc: expected at least 0.7920, got 0.7800"),
    ],
)
def test_a_bound_that_is_missed_is_told(field: str, value: float, better: float, said: str) -> None:
    missing = replace(GOOD, **{field: value})
    assert find_misses(parity_with(GOOD, closed_form=GOOD), "closed_form") == []
    assert find_misses(parity_with(GOOD, closed_form=replace(GOOD, **{field: better})), "closed_form") == []
    assert find_misses(parity_with(GOOD, passes=GOOD, closed_form=missing), "closed_form") == [said]
    # The reference's own noise is allowed on top of it, and the engine that flies is the one that counts.
    assert find_misses(parity_with(missing, closed_form=missing), "closed_form") == []
    assert find_all_misses({"d1": parity_with(GOOD, passes=missing, closed_form=GOOD)}) == []
    assert find_all_misses({"d1": parity_with(GOOD, passes=GOOD, closed_form=missing)}) == [f"d1: {said}"]


def test_int8_may_cost_what_it_costs_whole_passes() -> None:
    worse = replace(GOOD, nll=0.33, ece=0.03, auroc=0.7)
    assert find_misses(parity_with(GOOD, passes=worse, closed_form=worse), "closed_form") == []
    off = replace(worse, entropy_difference=0.06)
    assert len(find_misses(parity_with(GOOD, passes=off, closed_form=off), "closed_form")) == 1


def test_variants_differ_in_what_their_names_say(bundle: Bundle) -> None:
    images = np.random.default_rng(1).random((2, bundle.height, bundle.width, bundle.channels)).astype(np.float32)
    variants = closed_form_variants(bundle, images, 10)
    parity = measure_parity(float_bundle(bundle), variants, *frames_and_truth(bundle, 1), reference_passes=20)
    assert {name: figures.passes for name, figures in parity.engines.items() if figures.passes != 10} == {
        "5 passes": 5,
        "40 passes": 40,
    }
    answers = {(figures.entropy_difference, figures.nll, figures.ece) for figures in parity.engines.values()}
    assert len(answers) == len(variants)


def test_figures_are_put_into_the_page_and_other_sections_stay(bundle: Bundle, tmp_path: Path) -> None:
    page = tmp_path / "posterior.md"
    page.write_text("# Before\n<!-- parity: begin -->\nold\n<!-- parity: end -->\nafter\n")
    (tmp_path / "performance.json").write_text('{"engines": {"ours": 1}}')
    write_parity(tmp_path, "parity", bundle, {"d1": parity_with(GOOD, closed_form=GOOD)}, ["d1: nll"])
    text = page.read_text()
    assert "old" not in text
    assert "| d1 (3) | closed_form |" in text
    assert "Missed: d1: nll." in text
    record = read_json(tmp_path / "performance.json")
    assert record["engines"] == {"ours": 1}
    assert record["parity"]["d1"]["engines"]["closed_form"]["nll"] == 0.3


def test_a_bundle_gets_the_closed_form(closed_form_bundle: Path, tiny_bundle: Path, tmp_path: Path) -> None:
    bundle = load_bundle(closed_form_bundle)
    images = np.random.default_rng(1).random((2, bundle.height, bundle.width, bundle.channels)).astype(np.float32)
    source = Path(shutil.copytree(closed_form_bundle, tmp_path / "promising"))
    written = add_closed_form(promise_risks(source, {"Fused": [(0.02, 0.4)]}), images, tmp_path / "out", "2.0")
    assert "risk_thresholds" not in written.manifest
    assert written.version == "2.0"
    assert [network.closed_form is not None for network in written.networks] == [True, True]
    assert written.networks[0].content == bundle.networks[0].content
    with pytest.raises(ValueError, match="expected a network with a linear head, got none"):
        add_closed_form(tiny_bundle, images, tmp_path / "other", "2.0")


def test_variants_of_a_bundle_without_the_closed_form_are_refused(tiny_bundle: Path) -> None:
    arguments = SimpleNamespace(bundle=tiny_bundle, passes=None, variants=True, write=None)
    with pytest.raises(ValueError, match="expected closed-form heads, got none of First, Second"):
        parity_command.run(arguments)  # type: ignore[arg-type]
