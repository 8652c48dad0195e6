"""The loss and its options: focal, boundaries, pixels of no known class."""

from __future__ import annotations

import numpy as np
import pytest

from ground_tools.networks.designs import Design
from ground_tools.networks.keras_model import build_model
from ground_tools.networks.unet import UNetDropout
from ground_tools.training.losses import segmentation_loss
from ground_tools.training.objective import add_boundary, boundary_loss, find_boundaries, training_loss
from ground_tools.training.recipes import load_recipe
from tests.ground_tools.networks.test_designs import SMALL

WEIGHTS = (0.1, 0.1, 0.4, 0.3, 0.1)


def scores_and_labels() -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    return generator.normal(0, 2, (2, 8, 8, 5)).astype(np.float32), generator.integers(0, 5, (2, 8, 8))


def test_the_focal_loss_is_the_formulas() -> None:
    scores, labels = scores_and_labels()
    probability = np.exp(scores) / np.exp(scores).sum(axis=-1, keepdims=True)
    true = np.take_along_axis(probability, labels[..., None], axis=-1)[..., 0]
    expected = np.mean(np.array(WEIGHTS)[labels] * (1.0 - true) ** 2 * -np.log(true))
    found = float(segmentation_loss(WEIGHTS, 0.0, focal=2.0)(labels, scores))
    assert found == pytest.approx(expected, rel=1e-4)
    assert float(segmentation_loss(WEIGHTS, 0.0)(labels, scores)) > found


def test_pixels_of_no_class_count_nowhere() -> None:
    scores, labels = scores_and_labels()
    loss = segmentation_loss(WEIGHTS, 0.5)
    labels[1] = 255
    known = float(loss(labels, scores))
    # Whatever is said of the second image, it is the same.
    scores[1] = np.random.default_rng(5).normal(0, 9, scores[1].shape)
    assert float(loss(labels, scores)) == pytest.approx(known, rel=1e-5)
    alone = segmentation_loss(WEIGHTS, 0.0)
    assert float(alone(labels, scores)) == pytest.approx(0.5 * float(alone(labels[:1], scores[:1])), rel=1e-5)
    assert np.isfinite(float(loss(np.full_like(labels, 255), scores)))


def test_boundaries_are_where_classes_meet() -> None:
    labels = np.zeros((1, 7, 7), dtype=np.uint8)
    labels[0, 2:5, 2:5] = 3
    expected = np.zeros((7, 7))
    expected[1:6, 1:6] = 1.0
    expected[3, 3] = 0.0
    assert np.array_equal(np.asarray(find_boundaries(labels))[0], expected)
    assert not np.asarray(find_boundaries(np.full((1, 7, 7), 2))).any()
    sure = np.where(expected, 9.0, -9.0)[None].astype(np.float32)
    assert float(boundary_loss(labels, sure)) < 0.01 < 5.0 < float(boundary_loss(labels, -sure))


def test_the_further_output_is_of_the_training_alone() -> None:
    unet = build_model(Design(blocks="residual", **SMALL).layers(5), UNetDropout(0.2, 0.4), size=16)
    model = add_boundary(unet)
    assert model.output.shape == (None, 16, 16, 6)
    assert len(model.trainable_variables) == len(unet.trainable_variables) + 2
    image = np.random.default_rng(0).random((1, 16, 16, 1)).astype(np.float32)
    assert np.array_equal(model.predict(image, verbose=0)[..., :5], unet.predict(image, verbose=0))
    assert "boundary" not in {layer.name for layer in unet.layers}
    scores, labels = scores_and_labels()
    outputs = np.concatenate([scores, np.zeros((2, 8, 8, 1), dtype=np.float32)], axis=-1)
    recipe = load_recipe("best-rubble", {"boundary": 2.0})
    without = load_recipe("best-rubble", {"boundary": 0.0})
    more = float(training_loss(recipe)(labels, outputs)) - float(training_loss(without)(labels, scores))
    assert more == pytest.approx(2.0 * float(boundary_loss(labels, outputs[..., 5])), rel=1e-4)
