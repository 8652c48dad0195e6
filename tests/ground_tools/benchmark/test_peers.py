"""The networks in other libraries compute what the .tflite file computes; those that are not installed are skipped."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from flight.bundle import NetworkFile, load_bundle
from flight.inference.closed_form import load_closed_forms
from flight.inference.network import load_networks
from ground_tools.benchmark.child import EngineProcess
from ground_tools.benchmark.engines import ENGINES, EngineKind
from ground_tools.benchmark.floor import frame_products
from ground_tools.benchmark.peers.layers import read_layers
from ground_tools.benchmark.peers.runners import float_runner, stored_runner
from ground_tools.benchmark.sizes import resize_bundle
from ground_tools.benchmark.workload import WholePasses, read_frames
from ground_tools.export.graph_work import measure_work
from ground_tools.export.tflite_graph import GraphWriter, Quantization, SourceGraph
from tests.tiny_networks import HEIGHT, WIDTH

WITH_TENSORFLOW = ("keras_loop", "tflite_naive")
LIGHT = [kind for kind in ENGINES if kind.runner is not None and "tensorflow" not in kind.packages]


def kind_of(name: str) -> EngineKind:
    return next(kind for kind in ENGINES if kind.name == name)


def first_passes(bundle_path: Path, images: Path, kind: EngineKind) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Of the engine and in float32, with the same masks."""
    missing = [package for package in kind.packages if importlib.util.find_spec(package) is None]
    if missing:
        pytest.skip(f"{missing[0]} is not installed")
    bundle = load_bundle(bundle_path)
    (frame,) = read_frames(bundle, images, 1)
    exact = WholePasses(bundle, [float_runner(network, 1) for network in bundle.networks])
    expected = exact.first_pass(frame, 5, 4)
    if kind.name == "tflite_runtime_int8":
        # Two runtimes do not get on in one process.
        with EngineProcess(kind.name, bundle_path, 1) as process:
            found = process.first_pass(frame, 5, 4)
    else:
        engine = kind.make(bundle, 1)
        assert isinstance(engine, WholePasses)
        found = engine.first_pass(frame, 5, 4)
    assert found is not None
    return found, expected


@pytest.mark.parametrize("kind", LIGHT, ids=lambda kind: kind.name)
def test_a_pass_in_another_library_is_that_of_float32(closed_form_bundle: Path, images: Path, kind: EngineKind) -> None:
    if kind.name == "torch_compiled":
        pytest.skip("its compiler takes a minute: see below")
    found, exact = first_passes(closed_form_bundle, images, kind)
    for one, other in zip(found, exact, strict=True):
        assert 0.0 <= np.abs(one - other).mean() <= kind.bound
        assert np.abs(other - other.mean()).max() > 0.1  # there is something to compare


def test_torch_compile_takes_the_whole_network(closed_form_bundle: Path) -> None:
    """Traced as by the compiler, which itself takes a minute."""
    torch = pytest.importorskip("torch")
    from ground_tools.benchmark.peers.torch_module import TorchNetwork

    graph = read_layers(load_bundle(closed_form_bundle).networks[0])
    module = TorchNetwork(graph).eval()
    inputs = [torch.rand(1, *np.roll(graph.shapes[tensor][1:], 1)) for tensor in graph.inputs]
    traced = torch.compile(module, backend="eager", fullgraph=True)
    torch.testing.assert_close(traced(*inputs), module(*inputs))


@pytest.mark.parametrize("name", WITH_TENSORFLOW)
def test_a_pass_of_the_keras_model_is_that_of_float32(closed_form_bundle: Path, images: Path, name: str) -> None:
    found, exact = first_passes(closed_form_bundle, images, kind_of(name))
    for one, other in zip(found, exact, strict=True):
        assert np.abs(one - other).mean() <= 1e-5


def test_whole_passes_of_the_stored_file_are_those_of_flight(closed_form_bundle: Path, images: Path) -> None:
    """The masks are the same, so are the scores, to the bit."""
    bundle = load_bundle(closed_form_bundle)
    (frame,) = read_frames(bundle, images, 1)
    engine = WholePasses(bundle, [stored_runner(network, 1) for network in bundle.networks])
    image = np.repeat(frame[:, :, None], bundle.channels, axis=2).astype(np.float32) / np.float32(255.0)
    for network, found in zip(load_networks(bundle, 1), engine.first_pass(frame, 9, 4), strict=True):
        network.begin(image, 9, 4)
        scores = network.run(0)
        exponentials = np.exp(scores - scores.max(axis=0))
        np.testing.assert_allclose(found.transpose(2, 0, 1), exponentials / exponentials.sum(axis=0), atol=1e-6)


def test_what_cannot_be_compared_is_named(tiny_bundle: Path) -> None:
    bundle = load_bundle(tiny_bundle)
    network = bundle.networks[0]
    with pytest.raises(ValueError, match=r"networks\[\]\.output: expected logits, got sigmoid"):
        WholePasses(replace(bundle, networks=(replace(network, output="sigmoid"),)), [])
    writer = GraphWriter()
    x = writer.add_new_input((1, 8, 8, 1), Quantization(0.1, 0), "image")
    writer.add_output(writer.add_slice(x, (1, 1), (4, 4)), "scores")
    with pytest.raises(ValueError, match="operator SLICE: expected one of concatenation, convolution"):
        read_layers(NetworkFile("cut", writer.finish(), "image", "scores", (), "int8"))


def test_products_are_counted_by_hand(closed_form_bundle: Path) -> None:
    bundle = load_bundle(closed_form_bundle)
    widths = (3, 6, 24, 40, 4)
    by_hand = sum(9 * before * after * HEIGHT * WIDTH for before, after in pairwise(widths))
    assert measure_work(SourceGraph(bundle.networks[0].content)).macs == by_hand
    work = frame_products(bundle, 10)
    assert work["passes"] == 10 * 2 * by_hand
    assert 0 < work["closed_form"] < work["passes"]


def test_networks_of_another_size_compute_the_same_inside(closed_form_bundle: Path) -> None:
    """An image in the middle of a larger one gives the same scores, but for what is near its border."""
    bundle = load_bundle(closed_form_bundle)
    generator = np.random.default_rng(3)
    large = generator.random((2 * HEIGHT, 2 * WIDTH, 3)).astype(np.float32)
    resized = resize_bundle(bundle, 2.0, large[None])
    assert (resized.height, resized.width) == (2 * HEIGHT, 2 * WIDTH)
    rows, columns = slice(HEIGHT // 2, HEIGHT // 2 + HEIGHT), slice(WIDTH // 2, WIDTH // 2 + WIDTH)
    small_network, large_network = load_networks(bundle, 1)[0], load_networks(resized, 1)[0]
    small_network.begin(np.ascontiguousarray(large[rows, columns]), 0, 1)
    large_network.begin(large, 0, 1)
    small, whole = small_network.run_without_dropout(), large_network.run_without_dropout()
    np.testing.assert_array_equal(small[:, 8:-8, 8:-8], whole[:, rows, columns][:, 8:-8, 8:-8])
    assert load_closed_forms(resized, 1).keys() == load_closed_forms(bundle, 1).keys()
    with pytest.raises(ValueError, match=r"expected a factor that makes whole numbers, got 0\.3"):
        resize_bundle(bundle, 0.3, large[None])
