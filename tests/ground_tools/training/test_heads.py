"""Windowed and folded heads, and the loss, against the plain network."""

from __future__ import annotations

import numpy as np
import pytest

from ground_tools.networks.unet import UNetDropout, build_unet
from ground_tools.training.heads import FOLDED_BORDER, add_window, fold_head
from ground_tools.training.losses import segmentation_loss


def test_the_window_shows_what_the_whole_image_shows() -> None:
    unet = build_unet(5, UNetDropout(0.2, 0.4), size=64)
    window = add_window(unet, 40)
    images = np.random.default_rng(0).random((3, 64, 64, 1)).astype(np.float32)
    offsets = np.array([[0, 24], [17, 10], [24, 5]], dtype=np.int32)
    whole = unet.predict(images, verbose=0)
    cut = window.predict([images, offsets], verbose=0)
    for index, (row, column) in enumerate(offsets):
        # The three convolutions of the head reach three pixels over the window's edge.
        expected = whole[index, row + 3 : row + 37, column + 3 : column + 37]
        assert cut[index, 3:-3, 3:-3] == pytest.approx(expected, abs=1e-5)


def test_the_folded_head_shows_what_the_head_shows_without_dropout() -> None:
    unet = build_unet(5, UNetDropout(0.2, 0.4), size=64)
    generator = np.random.default_rng(1)
    for index in (1, 2, 3):  # biases start at zero, where nothing would be seen of them
        layer = unet.get_layer(f"head_convolution_{index}")
        kernel, bias = layer.get_weights()
        layer.set_weights([kernel, generator.normal(0.0, 0.1, bias.shape)])
    images = generator.random((2, 64, 64, 1)).astype(np.float32)
    inner = (slice(None), slice(FOLDED_BORDER, -FOLDED_BORDER), slice(FOLDED_BORDER, -FOLDED_BORDER))
    expected = unet.predict(images, verbose=0)[inner]
    assert fold_head(unet).predict(images, verbose=0)[inner] == pytest.approx(expected, abs=1e-5)


@pytest.mark.slow
def test_training_the_folded_head_trains_the_layers_own_weights() -> None:
    unet = build_unet(5, UNetDropout(0.2, 0.4), size=32)
    before = [unet.get_layer(f"head_convolution_{index}").get_weights() for index in (1, 2, 3)]
    model = fold_head(unet)
    model.compile(optimizer="adam", loss=segmentation_loss((0.2,) * 5, jaccard=0.5))
    generator = np.random.default_rng(2)
    images = generator.random((4, 32, 32, 1)).astype(np.float32)
    labels = (images[..., 0] > 0.5).astype(np.int32)
    losses = [model.train_on_batch(images, labels) for _ in range(6)]
    assert losses[-1] < losses[0]
    after = [unet.get_layer(f"head_convolution_{index}").get_weights() for index in (1, 2, 3)]
    for old, new in zip(before, after, strict=True):
        assert all(not np.array_equal(one, other) for one, other in zip(old, new, strict=True))


@pytest.mark.parametrize("jaccard", [0.0, 0.7])
def test_the_loss_is_what_it_says(jaccard: float) -> None:
    generator = np.random.default_rng(3)
    labels = generator.integers(0, 3, (2, 6, 5))
    labels[0][labels[0] == 2] = 0  # the first image does not show class 2
    scores = generator.normal(size=(2, 6, 5, 3)).astype(np.float32)
    weights = (0.1, 0.5, 0.4)
    probability = np.exp(scores) / np.exp(scores).sum(axis=-1, keepdims=True)
    entropy = [
        -weights[labels[place]] * np.log(probability[(*place, labels[place])]) for place in np.ndindex(labels.shape)
    ]
    indices = []
    for image in range(2):
        for k in set(labels[image].ravel().tolist()):
            truth, p = labels[image] == k, probability[image][..., k]
            indices.append((p * truth).sum() / (p + truth - p * truth).sum())
    expected = np.mean(entropy) + jaccard * (1 - np.mean(indices))
    assert float(segmentation_loss(weights, jaccard)(labels, scores)) == pytest.approx(expected, rel=1e-4)
