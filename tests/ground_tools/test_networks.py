"""The networks are the paper's, and training in windows is training."""

from __future__ import annotations

import numpy as np
import pytest

from ground_tools.networks.unet import UNetDropout, build_encoder_cnn, build_unet, encoder_layer_names, take_encoder
from ground_tools.training.loop import windowed


def parameters(weights: list) -> int:
    return sum(int(np.prod(weight.shape)) for weight in weights)


def test_parameter_counts_are_the_papers() -> None:
    cnn = build_encoder_cnn(bodies=7)
    unet = build_unet(5, UNetDropout(0.2, 0.4))
    assert cnn.count_params() == 1_474_951
    assert unet.count_params() == 1_225_413
    take_encoder(unet, cnn)
    assert parameters(unet.trainable_weights) == 832_613
    encoder = [unet.get_layer(name) for name in encoder_layer_names()]
    assert sum(layer.count_params() for layer in encoder) == 392_320
    assert not any(layer.trainable for layer in encoder)
    for layer in encoder:
        for one, other in zip(layer.get_weights(), cnn.get_layer(layer.name).get_weights(), strict=True):
            assert np.array_equal(one, other)


def test_shapes_and_the_places_of_dropout() -> None:
    unet = build_unet(5, UNetDropout(0.2, 0.4))
    assert unet.input.shape == (None, 128, 128, 1)
    assert unet.output.shape == (None, 128, 128, 5)
    shapes = [tuple(unet.get_layer(f"dropout_{i}").input.shape[1:]) for i in range(1, 7)]
    assert shapes == [
        (16, 16, 256), (32, 32, 128), (64, 64, 64), (128, 128, 32), (128, 128, 128), (128, 128, 256),
    ]  # fmt: skip
    assert [unet.get_layer(f"dropout_{i}").rate for i in range(1, 7)] == [0.2] * 4 + [0.4] * 2


def test_the_window_shows_what_the_whole_image_shows() -> None:
    unet = build_unet(5, UNetDropout(0.2, 0.4))
    window = windowed(unet, 40)
    images = np.random.default_rng(0).random((3, 128, 128, 1)).astype(np.float32)
    offsets = np.array([[0, 88], [17, 30], [88, 5]], dtype=np.int32)
    whole = unet.predict(images, verbose=0)
    cut = window.predict([images, offsets], verbose=0)
    for index, (row, column) in enumerate(offsets):
        # The three convolutions of the head reach three pixels over the window's edge.
        expected = whole[index, row + 3 : row + 37, column + 3 : column + 37]
        assert cut[index, 3:-3, 3:-3] == pytest.approx(expected, abs=1e-5)
