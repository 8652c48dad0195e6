"""What evaluation computes of an image is what flight answers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from flight.bundle import load_bundle
from flight.inference.closed_form import load_closed_forms
from flight.inference.engine import Engine, default_settings
from flight.inference.network import load_networks
from ground_tools.evaluation.passes import (
    begin_image,
    image_scores,
    load_default_networks,
    mode_moments,
    scores_without_dropout,
)


@pytest.mark.parametrize("name", ["closed_form_bundle", "tiny_bundle"])
def test_evaluation_sees_the_maps_of_the_default_engine(name: str, request: pytest.FixtureRequest) -> None:
    bundle = load_bundle(request.getfixturevalue(name))
    frame = np.random.default_rng(1).integers(0, 255, (bundle.height, bundle.width)).astype(np.uint8)
    scores = image_scores(bundle, load_default_networks(bundle, 1), frame, 7, 6)
    assert bool(scores.samples) == bundle.in_closed_form == (name == "closed_form_bundle")
    engine = Engine(bundle, 1)
    for mode in bundle.modes:
        settings = replace(default_settings(bundle), mode=mode, passes=6, centering="off")
        maps = engine.segment(frame, bit_depth=8, centered=True, seed=7, settings=settings)
        mean, entropy, mutual = mode_moments(bundle, scores, mode, bundle.gamma)
        # Sums over the passes in another order: the last bits of float32.
        np.testing.assert_allclose(mean, maps.mean_probability, atol=2e-6)
        np.testing.assert_allclose(entropy, maps.predictive_entropy, atol=2e-5)
        np.testing.assert_allclose(mutual, maps.mutual_information, atol=2e-5)
    engine.close()


def test_without_dropout_the_closed_form_is_the_whole_network(closed_form_bundle: Path) -> None:
    bundle = load_bundle(closed_form_bundle)
    frame = np.random.default_rng(2).integers(0, 255, (bundle.height, bundle.width)).astype(np.uint8)
    answers = []
    for networks in (load_networks(bundle, 1), list(load_closed_forms(bundle, 1).values())):
        begin_image(bundle, networks, frame, 5, 2)
        answers.append(scores_without_dropout(networks).passes)
    # The whole network rounds its scores to steps of 0.1, and twice before.
    assert np.abs(answers[0] - answers[1]).mean() < 0.08
    assert not np.allclose(answers[1][0, 0], networks[0].run(0))
