"""Networks of our own: what they cost, where their dropout is, and that the same list of layers makes all of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ground_tools.foundation.structures import FieldError
from ground_tools.networks.designs import Design
from ground_tools.networks.keras_model import build_model
from ground_tools.networks.layers import Layer, count_work, trace_shapes
from ground_tools.networks.unet import UNetDropout, build_unet
from ground_tools.training.chain.plan import load_plan
from ground_tools.training.recipes import RECIPES, load_recipe

SMALL: dict[str, Any] = {
    "widths": (4, 6, 8, 10, 12),
    "depths": (1, 1, 1, 2, 1),
    "head_channels": (7,),
    "head_kernels": (3, 1),
    "masked": 3,
}


def compared() -> dict[str, Design]:
    """The designs that the plan compares."""
    return {stage.name: stage.recipe.design for stage in load_plan("rubble").stages if stage.recipe.design is not None}


def test_the_designs_keep_to_the_budget() -> None:
    designs = compared()
    assert {design.blocks for design in designs.values()} == {"plain", "residual", "inverted"}
    recipes = [load_recipe(path.stem) for path in RECIPES.glob("*.toml")]
    every = [*designs.values(), *(recipe.design for recipe in recipes if recipe.design is not None)]
    assert len(every) > len(designs) >= 4
    for design in every:
        work = count_work(design.layers(5))
        assert work.parameters <= 1_300_000
        assert work.macs <= 1.2e9
        # As comparisons of designs want it, none much smaller than allowed.
        assert work.macs > 1.1e9


def test_the_work_of_the_papers_network_is_known() -> None:
    paper = Design("plain", (16, 32, 64, 128, 256), (1, 1, 1, 1, 1), (128, 256), (3, 3, 3))
    layers = paper.layers(5)
    assert count_work(layers).macs == pytest.approx(5.84e9, rel=1e-2)
    ours, theirs = build_model(layers, UNetDropout(0.2, 0.4), 32), build_unet(5, UNetDropout(0.2, 0.4), 32)
    assert ours.count_params() == theirs.count_params() == 1_225_413
    # From the same weights it computes the same; the paper's head is of transposed convolutions, which are flipped.
    names = {layer.name for layer in theirs.layers if layer.name.startswith("head")}
    weights = [
        [w[::-1, ::-1].transpose(0, 1, 3, 2) if layer.name in names and w.ndim == 4 else w for w in layer.get_weights()]
        for layer in theirs.layers
    ]
    ours.set_weights([w for of_layer in weights for w in of_layer])
    image = np.random.default_rng(0).random((2, 32, 32, 1)).astype(np.float32)
    expected = theirs.predict(image, verbose=0)
    assert ours.predict(image, verbose=0) == pytest.approx(expected, abs=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("blocks", ["plain", "residual", "inverted"])
def test_layers_and_keras_model_agree(blocks: str) -> None:
    layers = Design(blocks=blocks, **SMALL).layers(5)
    model = build_model(layers, UNetDropout(0.2, 0.4), size=32)
    for name, (side, channels) in trace_shapes(layers, 32).items():
        layer = next((layer for layer in layers if layer.name == name), None)
        if layer is not None:
            assert model.get_layer(layer.last_keras_layer).output.shape == (None, side, side, channels)
    # What is folded away: scale and two statistics of each normalized channel.
    folded = sum(3 * trace_shapes(layers)[layer.name][1] for layer in layers if layer.normalized)
    assert model.count_params() == count_work(layers).parameters + folded
    masks = [layer.name for layer in layers if layer.kind == "mask"]
    assert masks == [f"dropout_{number}" for number in range(1, 5)]
    assert [model.get_layer(name).rate for name in masks] == [0.2] * 3 + [0.4]
    # Dropout alone is between the head's convolutions.
    head = [layer for layer in layers if layer.name.startswith(("head", "dropout_4"))]
    assert [(layer.kind, layer.activation, layer.normalized) for layer in head] == [
        ("convolution", "", False),
        ("mask", "", False),
        ("convolution", "", False),
    ]
    assert layers[-3:] == tuple(head)


def test_what_the_encoder_gives_is_changed_by_no_mask() -> None:
    layers = compared()["early"].layers(5)
    changed: set[str] = set()
    for layer in layers:
        if layer.kind == "mask" or changed & set(layer.inputs):
            changed.add(layer.name)

    def work(chosen: set[str]) -> int:
        shapes = trace_shapes(layers)
        one = [layer for layer in layers if layer.name in chosen]
        total = 0
        for layer in one:
            side, read = shapes[layer.inputs[0]]
            alone = [Layer("x", layer.kind, ("image",), layer.channels, layer.kernel, layer.stride)]
            total += count_work(alone, side, read).macs
        return total

    head = {layer.name for layer in layers if layer.name.startswith("head")}
    # A pass of the closed form: the decoder, without the head.
    passes = work({layer.name for layer in layers if layer.has_weights} & changed - head)
    assert passes < 0.2 * count_work(layers).macs
    assert not changed & {layer.name for layer in layers if layer.name.startswith(("encoder", "skip"))}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"head_kernels": (3,)}, "head_kernels: expected 2 sides, one more than head_channels"),
        ({"head_kernels": (3, 2)}, "head_kernels: expected odd sides, got 2"),
    ],
)
def test_a_design_that_makes_no_network_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(FieldError, match=message):
        Design(blocks="residual", **{**SMALL, **changes})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("widths = [4, 4, 4, 4]", "design.widths: expected a list of 5 whole numbers"),
        ('blocks = "dense"', 'design.blocks: expected "inverted", "plain" or "residual", got "dense"'),
        ("masked = 5", "design.masked: expected a whole number 0..4, got 5"),
    ],
)
def test_a_recipe_names_what_is_wrong_in_its_design(tmp_path: Path, text: str, message: str) -> None:
    recipe = (RECIPES / "best_rubble.toml").read_text()
    field = text.split(" = ")[0]
    lines = [text if line.startswith(f"{field} =") else line for line in recipe.splitlines()]
    (tmp_path / "own.toml").write_text("\n".join(lines))
    with pytest.raises(ValueError, match=message):
        load_recipe(str(tmp_path / "own.toml"))


def test_a_design_has_its_head_in_the_whole_image() -> None:
    with pytest.raises(ValueError, match='expected only where head = "whole"'):
        load_recipe("best-rubble", {"head": "folded"})
    with pytest.raises(ValueError, match="freeze_encoder: expected false"):
        load_recipe("best-rubble", {"freeze_encoder": True})
