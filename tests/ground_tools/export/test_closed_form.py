"""The mathematics of the closed-form head, and the files that carry it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flight.bundle import load_bundle
from flight.inference.closed_form import load_closed_forms
from flight.inference.interpreter import make_interpreter, name_tensors
from flight.inference.network import load_networks, quantize
from ground_tools.export.closed_form import SCORE_STEP, split_network
from ground_tools.export.linear_head import LinearHead, covariance_kernels, fold, pairs
from ground_tools.export.recalibration import best_range, float_twin
from ground_tools.export.tflite_graph import SourceGraph
from tests.closed_form_bundle import KEEP, small_network


def draw_head(seed: int, channels: tuple[int, ...], sides: tuple[int, ...], keep: tuple[float, ...]) -> LinearHead:
    generator = np.random.default_rng(seed)
    kernels = [
        generator.normal(0.0, 1.0 / np.sqrt(side * side * read), (write, side, side, read))
        for read, write, side in zip(channels[:-1], channels[1:], sides, strict=True)
    ]
    return LinearHead(tuple(kernels), tuple(generator.normal(0.0, 0.3, len(kernel)) for kernel in kernels), keep)


def convolve(x: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """(N, H, W, in) -> (N, H, W, out), with zeros beyond the border."""
    r = kernel.shape[1] // 2
    padded = np.pad(x, ((0, 0), (r, r), (r, r), (0, 0)))
    rows, columns = x.shape[1:3]
    return sum(
        padded[:, i : i + rows, j : j + columns] @ kernel[:, i, j].T for i in range(2 * r + 1) for j in range(2 * r + 1)
    )


def run_head(head: LinearHead, x: np.ndarray, masks: list[np.ndarray] | None = None) -> np.ndarray:
    for index, (kernel, bias) in enumerate(zip(head.kernels, head.biases, strict=True)):
        x = convolve(x, kernel) + bias
        if masks is not None and index < len(masks):
            x = x * masks[index]
    return x


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), sides=st.lists(st.sampled_from([1, 3, 5]), min_size=2, max_size=3))
def test_the_fold_is_the_head_without_dropout_at_borders_too(seed: int, sides: list[int]) -> None:
    channels = (3, 5, 4, 2)[: len(sides) + 1]
    head = draw_head(seed, channels, tuple(sides), (0.6,) * (len(sides) - 1))
    rows, columns = 9, 11
    x = np.random.default_rng(seed).normal(size=(1, rows, columns, channels[0]))
    exact = run_head(head, x)[0]
    for row, column in ((0, 0), (0, 5), (1, 1), (4, 5), (8, 10), (7, 2), (4, 0), (2, 9)):
        weights, bias = fold(head, rows, columns, row, column)
        folded = np.tensordot(weights, x[0], axes=([1, 2, 3], [0, 1, 2])) + bias
        assert folded == pytest.approx(exact[row, column], abs=1e-9)


@pytest.mark.parametrize(
    ("keep", "sides"), [((0.6, 0.7), (3, 3, 3)), ((0.5, 0.8, 0.6), (3, 1, 3, 1)), ((0.4,), (1, 3))]
)
def test_the_moments_are_those_of_sampled_masks(keep: tuple[float, ...], sides: tuple[int, ...]) -> None:
    channels = (*(4, 12, 16, 10)[: len(sides)], 3)
    head = draw_head(3, channels, sides, keep)
    generator = np.random.default_rng(0)
    side, samples = 11, 8_000
    x = generator.normal(0.5, 1.0, (1, side, side, channels[0]))
    means, z = [], x
    for kernel, bias in zip(head.kernels[:-1], head.biases[:-1], strict=True):
        z = convolve(z, kernel) + bias
        means.append(z)
    expected = sum(convolve(mean**2, kernel) for mean, kernel in zip(means, covariance_kernels(head), strict=True))[
        0, side // 2, side // 2
    ]
    drawn = []
    for _ in range(samples // 1000):
        masks = [
            ((generator.random((1000, side, side, width)) < q) / q).astype(np.float32)
            for width, q in zip(channels[1:-1], keep, strict=True)
        ]
        drawn.append(run_head(head, x.astype(np.float32), masks)[:, side // 2, side // 2])
    scores = np.concatenate(drawn)
    sampled = np.cov(scores.T)
    mean = run_head(head, x)[0, side // 2, side // 2]
    assert scores.mean(axis=0) == pytest.approx(mean, abs=5 * np.sqrt(sampled.max() / samples))
    for value, (k, other) in zip(expected, pairs(3), strict=True):
        assert value == pytest.approx(sampled[k, other], abs=0.06 * np.sqrt(sampled[k, k] * sampled[other, other]))


def test_the_parts_are_the_network(closed_form_bundle: Path) -> None:
    """Of a small network: the mean over the head's masks, at borders too, within steps; the covariance, by sampling."""
    bundle = load_bundle(closed_form_bundle)
    image = np.random.default_rng(5).random((bundle.height, bundle.width, bundle.channels)).astype(np.float32)
    whole, parts = load_networks(bundle, 1)[0], load_closed_forms(bundle, 1)["First"]
    parts.begin(image, 1, 1)
    scores = parts.run(0)
    # The whole network with the mask of the pass, and none in the head.
    whole.begin(image, 1, 1)
    for index, detail in enumerate(whole._masks):
        mask = whole._interpreter.tensor(detail["index"])().reshape(-1)
        if index == 0:
            parts.masks.fill(0, 0, mask)
        else:
            scale, zero_point = detail["quantization"]
            mask[:] = round(1.0 / scale) + zero_point
    del mask
    exact = whole._invoke(0)
    # The whole network rounds twice between its layers, to 0.05 each, and its scores to 0.1.
    error = np.abs(scores - exact)
    for place in (error, error[:, :2], error[:, -2:], error[:, :, :2], error[:, :, -2:]):
        assert place.mean() < 0.06
    assert error.max() < 0.35
    levels = np.unique(np.round(np.diff(np.unique(scores[0])), 4))
    assert levels[0] == pytest.approx(SCORE_STEP, abs=1e-3)


def test_the_covariance_file_is_what_the_whole_networks_passes_show(closed_form_bundle: Path) -> None:
    bundle = load_bundle(closed_form_bundle)
    image = np.full((bundle.height, bundle.width, bundle.channels), 0.6, dtype=np.float32)
    parts = split_network(bundle.networks[0])
    covariance = load_closed_forms(bundle, 1)["First"]
    covariance.begin(image, 1, 1)
    computed = covariance.find_covariance()
    assert computed.shape == (10, bundle.height // 2, bundle.width // 2)
    # The features do not change from pixel to pixel inside: nor does the covariance.
    inside = computed[:, 4:-4, 4:-4]
    assert np.abs(inside - inside.mean(axis=(1, 2), keepdims=True)).max() < 0.05 * inside.max()
    network = load_networks(bundle, 1)[0]
    interpreter = make_interpreter(bundle.networks[0].content, 1)
    inputs = name_tensors(interpreter.get_input_details())
    interpreter.set_tensor(inputs["image"]["index"], quantize(image, network._image)[None])
    (output,) = interpreter.get_output_details()
    borders = (np.s_[0, 8:-8], np.s_[8:-8, 0], np.s_[-2, 8:-8], np.s_[8:-8, -2])
    generator, samples, at_borders = np.random.default_rng(0), [], [[] for _ in borders]
    for _ in range(60):
        for name, keep in zip(("mask_1", "mask_2", "mask_3"), KEEP, strict=True):
            detail = inputs[name]
            scale, zero_point = detail["quantization"]
            kept = np.ones(detail["shape"]) if name == "mask_1" else (generator.random(detail["shape"]) < keep) / keep
            interpreter.set_tensor(detail["index"], np.rint(kept / scale + zero_point).clip(-128, 127).astype(np.int8))
        interpreter.invoke()
        scale, zero_point = output["quantization"]
        values = (interpreter.get_tensor(output["index"])[0].astype(float) - zero_point) * scale
        samples.append(values[8:-8, 8:-8].reshape(-1, 4))
        for found, place in zip(at_borders, borders, strict=True):
            found.append(values[place])
    sampled = np.cov(np.concatenate([each - np.mean(samples, axis=0) for each in samples]).T) * 60 / 59
    for value, (k, other) in zip(inside.mean(axis=(1, 2)), pairs(4), strict=True):
        assert value == pytest.approx(sampled[k, other], abs=0.08 * np.sqrt(sampled[k, k] * sampled[other, other]))
    # At the outermost rows and columns that are computed, the summed kernels count pixels beyond the border, but the
    # squares there, of convolutions that saw nothing beyond it, are smaller than their neighbours': they nearly cancel.
    outermost = (computed[:, 0, 4:-4], computed[:, 4:-4, 0], computed[:, -1, 4:-4], computed[:, 4:-4, -1])
    variances = [index for index, (k, other) in enumerate(pairs(4)) if k == other]
    for place, drawn in zip(outermost, at_borders, strict=True):
        expected = np.var(drawn, axis=0, ddof=1).mean(axis=0)
        assert np.sqrt(place.mean(axis=1)[variances]) == pytest.approx(np.sqrt(expected), rel=0.25)
    assert len(parts.head.kernels) == 3


def test_a_network_without_a_linear_head_is_told_apart(plain_bundle: Path, tiny_bundle: Path) -> None:
    for folder in (plain_bundle, tiny_bundle):
        with pytest.raises(ValueError, match="expected int8 convolutions with dropout masks between them at its end"):
            split_network(load_bundle(folder).networks[0])
    assert split_network(small_network(0)).head.keep == KEEP[1:]


# Ranges


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), outlier=st.floats(5.0, 100.0))
def test_a_range_gives_up_what_is_rare(seed: int, outlier: float) -> None:
    values = np.random.default_rng(seed).normal(size=20_000)
    values[0] = outlier
    found, widest = best_range(values), (outlier - values.min()) / 255

    def error(scale: float, zero_point: int) -> float:
        steps = np.clip(np.rint(values / scale) + zero_point, -128, 127)
        return float(np.mean(((steps - zero_point) * scale - values) ** 2))

    assert found.scale <= widest * 1.001
    assert error(found.scale, found.zero_point) <= error(widest, round(-128 - values.min() / widest)) * 1.001
    assert -128 <= found.zero_point <= 127


def test_values_of_one_sign_have_zero_at_the_end_of_their_range() -> None:
    assert best_range(np.linspace(0.0, 4.0, 999)).zero_point == -128
    assert best_range(np.linspace(0.0, 4.0, 999)).scale == pytest.approx(4.0 / 255, rel=0.11)


def test_the_float_twin_is_the_network_without_rounding() -> None:
    network = small_network(3)
    source = SourceGraph(network.content)
    scores = source.find("scores")
    twin, whole = (make_interpreter(each, 1) for each in (float_twin(network.content, [scores]), network.content))
    generator = np.random.default_rng(2)
    inputs, quantized = name_tensors(twin.get_input_details()), name_tensors(whole.get_input_details())
    for name, detail in inputs.items():
        shape = detail["shape"]
        values = generator.random(shape) if name == "image" else (generator.random(shape) < 0.7).astype(float)
        twin.set_tensor(detail["index"], values.astype(np.float32))
        whole.set_tensor(quantized[name]["index"], quantize(values.astype(np.float32), quantized[name]))
    twin.invoke()
    whole.invoke()
    exact = twin.get_tensor(twin.get_output_details()[0]["index"])
    (output,) = whole.get_output_details()
    scale, zero_point = output["quantization"]
    rounded = (whole.get_tensor(output["index"]).astype(np.float32) - zero_point) * scale
    assert np.abs(rounded - exact).mean() < 0.08
    assert exact.std() > 0.3
