"""The networks' sizes and the places of their dropout."""

from __future__ import annotations

import numpy as np

from ground_tools.networks.unet import UNetDropout, build_encoder_cnn, build_unet, encoder_layer_names, take_encoder


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
