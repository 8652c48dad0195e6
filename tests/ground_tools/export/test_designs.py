"""A network of our own from a training to a bundle that flies, with its head in closed form."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flight.bundle import load_bundle
from flight.cli import main as flight
from ground_tools.export.tflite_graph import SourceGraph
from ground_tools.networks.designs import Design
from ground_tools.networks.keras_model import build_model
from ground_tools.networks.layers import count_work
from ground_tools.networks.unet import UNetDropout
from tests.ground_tools.conftest import ground_tools

SMALL: dict[str, Any] = {
    "widths": [4, 6, 8, 8, 8],
    "depths": [1, 0, 1, 0, 1],
    "head_channels": [24],
    "head_kernels": [3, 1],
    "masked": 3,
}


@pytest.mark.parametrize("blocks", ["plain", "residual", "inverted"])
def test_the_flight_graph_is_the_keras_model(blocks: str) -> None:
    from ground_tools.export.design_graph import build_design_graph

    generator = np.random.default_rng(0)
    design = Design(**{name: tuple(v) if isinstance(v, list) else v for name, v in SMALL.items()}, blocks=blocks)
    layers = design.layers(5)
    model = build_model(layers, UNetDropout(0.2, 0.4), size=32)
    for layer in model.layers:
        if layer.name.endswith("normalization"):
            # As after a training: channels of very different ranges.
            shape = layer.get_weights()[0].shape
            layer.set_weights(
                [generator.uniform(low, high, shape) for low, high in [(0.1, 4), (-1, 1), (-1, 1), (0.1, 4)]]
            )
    image = generator.random((1, 32, 32, 1)).astype(np.float32)
    masks = [model.get_layer(layer.name).input.shape[1:] for layer in layers if layer.kind == "mask"]
    ones = [np.ones((1, *shape), np.float32) for shape in masks]
    drawn = [(generator.random((1, *shape)) < 0.7).astype(np.float32) / 0.7 for shape in masks]
    exact = model.predict(image, verbose=0)
    plain, equal = (build_design_graph(model, layers, data) for data in (None, image))
    assert plain.forward(image, *ones)["scores"].numpy() == pytest.approx(exact, abs=1e-4 * np.abs(exact).max())
    halved = build_design_graph(model, layers, score_factor=0.5).forward(image, *ones)["scores"].numpy()
    assert halved == pytest.approx(0.5 * exact, abs=1e-4 * np.abs(exact).max())
    # Equalized channels change the weights and not the function, whatever the masks.
    for values in (ones, drawn):
        scores = [module.forward(image, *values)["scores"].numpy() for module in (plain, equal)]
        assert scores[1] == pytest.approx(scores[0], abs=1e-3 * np.abs(scores[0]).max())


def test_equalized_channels_have_one_range() -> None:
    from ground_tools.export.design_graph import _ranges, equalize_layers, fold_normalization

    design = Design(**{name: tuple(v) if isinstance(v, list) else v for name, v in SMALL.items()}, blocks="residual")
    layers = design.layers(5)
    model = build_model(layers, UNetDropout(0.2, 0.4), size=32)
    image = np.random.default_rng(1).random((2, 32, 32, 1)).astype(np.float32)
    ranges = _ranges(model, layers, image)
    weights = fold_normalization(model, layers)
    equal = equalize_layers(weights, layers, ranges)
    # Where a convolution alone writes a channel, its kernel grows by the inverse of the range.
    name = "decoder_2_1"
    expected = weights[name][1] / np.maximum(ranges[name], 1e-3)
    assert equal[name][1] == pytest.approx(expected, rel=1e-4, abs=1e-6)


def test_a_design_is_trained_exported_and_flies(scenes: Path, dataset: Path, tmp_path: Path) -> None:
    changes = [f"design.{name}={json.dumps(value)}" for name, value in SMALL.items()]
    options = [
        part for change in [*changes, "batch=2", "design.decoder_depths=[0,0,0,1]"] for part in ("--set", change)
    ]
    train = ("train", "--recipe", "best-cpu-rubble", "--dataset", scenes, "--epochs", 1, *options)
    done = ground_tools(*train, "--out", tmp_path / "own")
    assert done.returncode == 0, done.stderr
    record = json.loads((tmp_path / "own" / "training.json").read_text())
    assert record["recipe"]["design"]["widths"] == SMALL["widths"]
    assert "began_from" not in record
    weights = tmp_path / "own" / "unet.weights.h5"
    done = ground_tools(*train, "--encoder", weights, "--out", tmp_path / "other")
    assert (done.returncode, "has a design; expected its own weights or none" in done.stderr) == (2, True)
    done = ground_tools(*train, "--start-from", weights, "--out", tmp_path / "more")
    assert done.returncode == 0, done.stderr
    export = ("export", "--network", tmp_path / "more", "--dataset", dataset, "--out", tmp_path / "bundle")
    done = ground_tools(*export, "--passes", 2, "--parity-images", 1, "--parity-passes", 3, "--force")
    assert done.returncode == 0, done.stderr
    bundle = load_bundle(tmp_path / "bundle")
    (network,) = bundle.networks
    assert [mask.keep_probability for mask in network.dropout_masks] == [0.8] * 3 + [0.6]
    assert network.closed_form is not None
    # The passes of the closed form have the masks of the decoder alone.
    assert [mask.input for mask in network.closed_form.dropout_masks] == ["mask_1", "mask_2", "mask_3"]
    figures = bundle.manifest["parity"]["UNetS"]
    assert figures["relative_score_error"] < 0.25
    assert set(bundle.manifest["engine_parity"]["sets"]["tiny"]["engines"]) == {"passes", "closed_form"}
    assert flight(["check", "--bundle", str(tmp_path / "bundle")]) == 0
    # The work that is counted from the layers is that of the file.
    from ground_tools.export.graph_work import measure_work

    design = Design(**{n: tuple(v) if isinstance(v, list) else v for n, v in record["recipe"]["design"].items()})
    assert measure_work(SourceGraph(network.content)).macs == count_work(design.layers(5)).macs
