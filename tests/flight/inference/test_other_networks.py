"""Networks of other recipes: what the manifest states of output and pixels is used, and refused where it is not so."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flight.bundle import BundleError, load_bundle
from flight.inference.engine import Engine, Maps
from flight.inference.model_file import read_graph
from flight.inference.output_kind import make_scores
from flight.inference.self_test import run_self_test
from flight.settings import default_settings
from tests.other_networks import (
    HEIGHT,
    WIDTH,
    convert,
    logits,
    logits_network,
    scene,
    softmax,
    softmax_network,
    write_other_bundle,
)


def segment(folder: Path) -> Maps:
    """The maps of the scene, after the self-test."""
    bundle = load_bundle(folder)
    engine = Engine(bundle, 1)
    run_self_test(engine)
    maps = engine.segment(scene(), bit_depth=8, centered=True, seed=1, settings=default_settings(bundle))
    engine.close()
    return maps


def own(classes: int = 4, sharpness: float = 60.0) -> np.ndarray:
    """(K, H, W): the network's own probabilities of the scene."""
    return softmax(logits(scene()[..., None] / np.float32(255), classes, sharpness)).transpose(2, 0, 1)


def tf() -> Any:
    import tensorflow

    return tensorflow


def sigmoid_of(scores: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda image: tf().sigmoid(scores(image))


def binary(image: Any) -> Any:
    """Log of the odds of the second of two classes."""
    both = logits(image, 2)
    return both[..., 1:] - both[..., :1]


def gentle(image: Any) -> Any:
    """Logits that a sigmoid does not bring to 0 or 1."""
    return logits(image, sharpness=5.0)


def after_the_first(image: Any) -> Any:
    """The same of the classes after the first, less the first's, which is 0."""
    return gentle(image)[..., 1:]


OUTPUTS = {
    "probabilities": (lambda image: tf().nn.softmax(logits(image)), 4, {"output": "probabilities"}),
    "probabilities of log": (lambda image: tf().nn.log_softmax(logits(image)), 4, {}),
    "sigmoid, one channel": (sigmoid_of(binary), 2, {"output": "sigmoid"}),
    "sigmoid, no last axis": (lambda image: tf().sigmoid(binary(image))[..., 0], 2, {"output": "sigmoid"}),
    "sigmoid, a channel per class": (sigmoid_of(gentle), 4, {"output": "sigmoid"}),
    "sigmoid, the first is none": (sigmoid_of(after_the_first), 4, {"output": "sigmoid"}),
    "logits, one channel": (binary, 2, {}),
    "logits of a list of pixels": (lambda image: tf().reshape(logits(image), (1, HEIGHT * WIDTH, 4)), 4, {}),
    "one of several outputs": (
        lambda image: {"a": logits(image), "b": image * 2.0},
        4,
        {"scores_output": "PartitionedCall:0"},
    ),
}


@pytest.mark.parametrize("kind", OUTPUTS)
def test_the_maps_have_the_networks_own_probabilities(tmp_path: Path, kind: str) -> None:
    forward, classes, statement = OUTPUTS[kind]
    folder = write_other_bundle(tmp_path / "bundle", convert(forward), classes=classes, **statement)
    expected = own(classes, 5.0 if "class" in kind or "none" in kind else 60.0)
    np.testing.assert_allclose(segment(folder).mean_probability, expected, atol=2e-3)


INPUTS = {
    "one batch of any size": (logits, {"shape": (None, HEIGHT, WIDTH, 1)}, {}),
    "images of any size": (logits, {"shape": (None, None, None, 1)}, {}),
    "four at a time": (logits, {"shape": (4, HEIGHT, WIDTH, 1)}, {}),
    "0 to 255": (lambda image: logits(image / 255.0), {}, {"pixels": {"scale": 255}}),
    "-1 to 1": (lambda image: logits(image * 0.5 + 0.5), {}, {"pixels": {"mean": [0.5], "std": [0.5]}}),
    "plain bytes": (
        lambda image: logits(tf().cast(image, "float32") / 255.0),
        {"dtype": "uint8"},
        {"pixels": {"scale": 255}},
    ),
    "blue first, less a mean, in colour": (
        lambda image: logits((image[..., :1] + 104.0) / 255.0),
        {"shape": (1, HEIGHT, WIDTH, 3)},
        {"pixels": {"scale": 255, "mean": [104, 117, 124], "order": "bgr"}},
    ),
}


@pytest.mark.parametrize("kind", INPUTS)
def test_pixels_become_inputs_as_the_manifest_says(tmp_path: Path, kind: str) -> None:
    forward, conversion, statement = INPUTS[kind]
    channels = conversion.get("shape", (1,))[-1]
    folder = write_other_bundle(tmp_path / "bundle", convert(forward, **conversion), channels=channels, **statement)
    np.testing.assert_allclose(segment(folder).mean_probability, own(), atol=2e-3)


def test_the_order_of_colours_is_the_networks() -> None:
    from flight.inference.pixels import PixelInput
    from flight.pixel_scaling import PixelScaling

    red = np.zeros((2, 2, 3), np.float32)
    red[..., 0] = 1.0
    scaled = PixelInput(PixelScaling(scale=255, mean=(104, 117, 124), std=(2,), order="bgr"), 3).scale(red)
    np.testing.assert_allclose(scaled[0, 0], [-52.0, -58.5, 65.5])


@pytest.mark.parametrize("integers", ["int8", "uint8"])
@pytest.mark.parametrize("output", ["probabilities", "sigmoid", "logits"])
def test_integer_networks_give_the_same_maps_within_their_steps(tmp_path: Path, integers: str, output: str) -> None:
    ends: dict[str, Any] = {
        "probabilities": lambda x: tf().nn.softmax(logits(x)),
        "sigmoid": sigmoid_of(after_the_first),
    }
    content = convert(ends.get(output, logits), integers=integers)
    folder = write_other_bundle(tmp_path / "bundle", content, output=output, quantization=integers)
    maps = segment(folder)
    expected = own(sharpness=5.0 if output == "sigmoid" else 60.0)
    assert np.mean(maps.class_map == own().argmax(0)) > 0.99
    assert np.abs(maps.mean_probability - expected).max() < 0.15


def test_integers_of_other_pixels_are_used_and_other_statements_refused(tmp_path: Path) -> None:
    content = convert(lambda image: logits(image / 255.0), integers="uint8", largest=255.0)
    right = write_other_bundle(tmp_path / "right", content, quantization="uint8", pixels={"scale": 255})
    assert np.mean(segment(right).class_map == own().argmax(0)) > 0.99
    for name, pixels in (("plain", {}), ("centred", {"scale": 255, "mean": [128]}), ("far", {"scale": 6e4})):
        wrong = write_other_bundle(tmp_path / name, content, quantization="uint8", pixels=pixels)
        with pytest.raises(BundleError, match=r"networks\[0\]\.pixels: expected black and white at about 0 and 255"):
            Engine(load_bundle(wrong), 1)


def by_hand(image: Any) -> Any:
    """Probabilities of which the file does not say that they are."""
    closeness = 1.0 / (0.01 + tf().square(image - [0.0, 0.33, 0.67, 1.0]))
    return closeness / tf().reduce_sum(closeness, axis=-1, keepdims=True)


MISSTATED = {
    "softmax as logits": (softmax_network, 4, "logits", "expected probabilities, got logits: the network ends in soft"),
    "probabilities by hand as logits": (
        lambda: convert(by_hand),
        4,
        "logits",
        "expected probabilities, got logits: its valu",
    ),
    "sigmoid as logits": (
        lambda: convert(sigmoid_of(binary)),
        2,
        "logits",
        "expected sigmoid, got logits: the network",
    ),
    "sigmoids as logits": (lambda: convert(sigmoid_of(logits)), 4, "logits", "expected sigmoid, got logits"),
    "logits as probabilities": (logits_network, 4, "probabilities", "expected logits, got probabilities: its values"),
    "logits as sigmoid": (logits_network, 4, "sigmoid", "expected logits, got sigmoid: its values lie between"),
    "softmax as sigmoid": (softmax_network, 4, "sigmoid", "expected probabilities, got sigmoid"),
    "sigmoids as probabilities": (
        lambda: convert(sigmoid_of(logits)),
        4,
        "probabilities",
        "expected sigmoid, got probabilities: its values sum to",
    ),
    "softmax of int8 as logits": (
        lambda: convert(lambda x: tf().nn.softmax(logits(x)), integers="int8"),
        4,
        "logits",
        "expected probabilities, got logits",
    ),
}


@pytest.mark.parametrize("case", MISSTATED)
def test_an_output_that_is_not_what_the_manifest_says_is_refused(tmp_path: Path, case: str) -> None:
    content, classes, output, message = MISSTATED[case]
    integer = {"quantization": "int8"} if "int8" in case else {}
    folder = write_other_bundle(tmp_path / "bundle", content(), classes=classes, output=output, **integer)
    with pytest.raises(BundleError, match=r"network net: manifest\.networks\[0\]\.output: " + message):
        Engine(load_bundle(folder), 1)


UNFIT = {
    "a map of classes": (lambda x: tf().argmax(logits(x), axis=-1), {}, r"got int64 \(a map of classes has no scores"),
    "half the size": (lambda x: logits(x)[:, ::2, ::2], {}, r"expected shape \(1, 32, 48, 4\), got \(1, 16, 24, 4\)"),
    "one class less": (lambda x: logits(x, 3), {}, r"expected shape \(1, 32, 48, 4\), got \(1, 32, 48, 3\)"),
    "channels first": (
        lambda x: tf().transpose(logits(tf().transpose(x, (0, 2, 3, 1))[..., :1]), (0, 3, 1, 2)),
        {"shape": (1, 3, HEIGHT, WIDTH)},
        r"expected shape \(1, 32, 48, 3\), got \(1, 3, 32, 48\) \(channels come first: convert it to NHWC\)",
    ),
    "a batch that is built in": (
        lambda x: tf().reshape(tf().cumsum(tf().reshape(logits(x), (4 * HEIGHT, WIDTH * 4))), (4, HEIGHT, WIDTH, 4)),
        {"shape": (4, HEIGHT, WIDTH, 1)},
        "not a TFLite model that can run here",
    ),
}


@pytest.mark.parametrize("case", UNFIT)
def test_a_network_that_does_not_fit_is_refused_with_the_reason(tmp_path: Path, case: str) -> None:
    forward, conversion, message = UNFIT[case]
    channels = 3 if case == "channels first" else 1
    folder = write_other_bundle(tmp_path / "bundle", convert(forward, **conversion), channels=channels)
    with pytest.raises(BundleError, match=message):
        Engine(load_bundle(folder), 1)


def test_means_of_another_number_of_channels_are_refused(tmp_path: Path) -> None:
    folder = write_other_bundle(tmp_path / "bundle", logits_network(), pixels={"mean": [1, 2, 3]})
    with pytest.raises(BundleError, match=r"networks\[0\]\.pixels\.mean: expected 1 item for 1 channels, got 3"):
        load_bundle(folder)


def test_a_pixel_whose_values_are_no_probabilities_is_not_known() -> None:
    values = np.full((4, 1, 3), 0.25, np.float32)
    values[0, 0, 1], values[:, 0, 2] = 0.9, (2.0, -1.0, 0.0, 0.0)
    scores = make_scores(values.copy(), "probabilities", 4, integer=False)
    assert np.isfinite(scores).all(axis=0).tolist() == [[True, False, False]]
    scores = make_scores(values[:1].copy(), "sigmoid", 2, integer=False)
    assert np.isfinite(scores).all(axis=0).tolist() == [[True, True, False]]


def test_integers_that_are_0_are_half_a_step() -> None:
    values = np.array([1.0, 0.0], np.float32)[:, None, None]
    by_kind = {
        kind: make_scores(values.copy(), kind, 2, integer=True)[:, 0, 0] for kind in ("probabilities", "sigmoid")
    }
    np.testing.assert_allclose(by_kind["probabilities"], [0.0, np.log(1 / 512)])
    np.testing.assert_allclose(by_kind["sigmoid"], [np.log(512), -np.log(512)], rtol=1e-5)


def test_a_damaged_file_is_no_graph() -> None:
    content = softmax_network()
    assert read_graph(content).operators[-1].name == "softmax"
    generator = np.random.default_rng(1)
    for _ in range(300):
        damaged = bytearray(content)
        for position in generator.integers(0, len(content), 8):
            damaged[position] ^= 1 << int(generator.integers(8))
        with contextlib.suppress(ValueError):
            read_graph(bytes(damaged[: generator.integers(8, len(content))]))
    with pytest.raises(ValueError, match="expected a whole"):
        read_graph(content[:100])
