"""Segmentation guided by super-resolution: the terms of its loss, its data, and that nothing of it flies."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest

from ground_tools.datasets.resolution import coarsen
from ground_tools.export.conversion import convert_float
from ground_tools.export.segmenter_graph import read_segmenter
from ground_tools.labels.class_table import IGNORED
from ground_tools.networks.segmenter_design import Segmenter
from ground_tools.networks.segmenters import build_segmenter
from ground_tools.networks.super_resolution import add_super_resolution
from ground_tools.training.compare import compare, load_comparison
from ground_tools.training.comparison_figures import (
    ComparisonFigures,
    Run,
    SetOrigin,
    change_figures,
    comparison_section,
)
from ground_tools.training.guidance import GuidedTraining, affinity_loss
from ground_tools.training.outcome import save_weights
from ground_tools.training.pixels import Pixels
from ground_tools.training.recipe_tables import Guidance, Loss
from ground_tools.training.recipes import Recipe, load_recipe
from ground_tools.training.segmenter import SegmenterBatches, start_segmenter
from tests.ground_tools.conftest import ground_tools
from tests.ground_tools.missions.conftest import frames, mars, spacecraft  # noqa: F401
from tests.ground_tools.training.in_process import train_here

GUIDED = """
network = "segmenter"
seed = 1
epochs = 2
batch = 4
learning_rate = 1e-2
segmenter = { role = "Test", encoder = "plain", filters = 4, depth = 3, reduction = 2, head_channels = 8 }
guidance = { step = 4 }
augmentation = { orientations = false, photometric = 0.0 }
"""
PLAIN = {"guidance.super_resolution": 0.0, "guidance.affinity": 0.0}


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "guided.toml"
    path.write_text(GUIDED)
    return path


def train(recipe: Path, dataset: Path, out: Path, *options: object) -> dict[str, Any]:
    done = ground_tools("train", "--recipe", recipe, "--dataset", dataset, "--out", out, *options)
    assert done.returncode == 0, done.stderr
    record: dict[str, Any] = json.loads((out / "training.json").read_text())
    return record


def operations(content: bytes) -> list[tuple[Any, ...]]:
    """Each operation of a .tflite file with the shapes of what goes in and comes out."""
    from flight.inference.interpreter import make_interpreter

    interpreter = make_interpreter(content, 1)
    shapes = {detail["index"]: tuple(detail["shape"]) for detail in interpreter.get_tensor_details()}
    return [
        (op["op_name"], [shapes.get(int(i)) for i in op["inputs"]], [shapes.get(int(i)) for i in op["outputs"]])
        for op in interpreter._get_ops_details()
        if op["op_name"] != "DELEGATE"
    ]


def reference_affinity(features: np.ndarray, step: int) -> np.ndarray:
    """Cosines between the means of squares, place by place."""
    height, width, channels = features.shape
    squares = features.reshape(height // step, step, width // step, step, channels).mean(axis=(1, 3))
    rows = squares.reshape(-1, channels)
    return np.array([[a @ b / np.linalg.norm(a) / np.linalg.norm(b) for b in rows] for a in rows])


def test_affinity_is_the_mean_difference_of_cosines() -> None:
    generator = np.random.default_rng(1)
    one, other = (generator.random((2, 8, 12, of)).astype(np.float32) + 0.1 for of in (5, 3))
    labels = np.zeros((2, 8, 12), dtype=np.uint8)
    expected = [
        np.abs(reference_affinity(a, 4) - reference_affinity(b, 4)).mean() for a, b in zip(one, other, strict=True)
    ]
    assert float(affinity_loss(one, other, labels, 4)) == pytest.approx(np.mean(expected), rel=1e-4)
    assert float(affinity_loss(one, 3.0 * one, labels, 4)) == pytest.approx(0.0, abs=1e-5)
    # An image without a label has no part in it.
    labels[1] = IGNORED
    assert float(affinity_loss(one, other, labels, 4)) == pytest.approx(expected[0], rel=1e-4)
    labels[0] = IGNORED
    assert float(affinity_loss(one, other, labels, 4)) == 0.0


def loss_of(model: GuidedTraining, labels: np.ndarray, images: np.ndarray, given: list[np.ndarray]) -> float:
    return float(model.compute_loss(images, (labels, images), given, training=False))


def test_the_loss_is_the_sum_of_its_terms_and_each_can_be_left_out() -> None:
    design = Segmenter(encoder="plain", filters=4, depth=3, reduction=2, head_channels=8)
    guided = add_super_resolution(build_segmenter(design, 3, (16, 32, 1)), design)
    generator = np.random.default_rng(2)
    images = generator.random((2, 16, 32, 1)).astype(np.float32)
    labels = generator.integers(0, 3, (2, 16, 32)).astype(np.uint8)
    given = [np.asarray(each) for each in guided(images)]
    assert [each.shape for each in given] == [(2, 16, 32, 3), (2, 16, 32, 1), (2, 16, 32, 4), (2, 16, 32, 4)]

    def model(super_resolution: float, affinity: float) -> GuidedTraining:
        return GuidedTraining(guided, Loss(), np.ones(3), Guidance(super_resolution, affinity, step=4))

    alone = loss_of(model(0.0, 0.0), labels, images, given)
    squares = float(np.square(given[1] - images).mean())
    assert loss_of(model(2.0, 0.0), labels, images, given) == pytest.approx(alone + 2.0 * squares, rel=1e-5)
    apart = float(affinity_loss(given[2], given[3], labels, 4))
    assert loss_of(model(0.0, 3.0), labels, images, given) == pytest.approx(alone + 3.0 * apart, rel=1e-5)
    assert loss_of(model(2.0, 3.0), labels, images, given) == pytest.approx(
        alone + 2.0 * squares + 3.0 * apart, rel=1e-5
    )
    # Images without masks give the mean squared error alone.
    nothing = np.full_like(labels, IGNORED)
    assert loss_of(model(2.0, 3.0), nothing, images, given) == pytest.approx(2.0 * squares, rel=1e-5)


@pytest.mark.parametrize(
    ("encoder", "decoder", "reduction"),
    [("plain", "unet", 1), ("plain", "unet", 4), ("resnet18", "unet", 2), ("mobilenet_v2", "deeplab", 2)],
)
@pytest.mark.slow
def test_the_map_has_the_images_size_whatever_it_is_made_smaller_by(encoder: Any, decoder: Any, reduction: Any) -> None:
    design = Segmenter(encoder=encoder, decoder=decoder, depth=3, filters=4, reduction=reduction, alpha=0.35)
    size = (design.shrinks, 2 * design.shrinks, 1)
    made = build_segmenter(design, 3, size)
    assert made.network.output.shape == (None, *size[:2], 3)
    assert made.encoder.outputs[0].shape[1] <= size[0] // reduction
    guided = add_super_resolution(made, design)
    assert guided.outputs[1].shape == (None, *size)
    # The branch is beside the network, not in it.
    assert not [layer.name for layer in made.network.layers if layer.name.startswith("super_")]
    with pytest.raises(ValueError, match=f"expected sides that {design.shrinks} divides"):
        build_segmenter(design, 3, (size[0] // 2, size[1], 1))


def test_batches_bring_the_images_at_full_resolution(recipe: Path) -> None:
    generator = np.random.default_rng(3)
    images = generator.integers(0, 256, (4, 16, 32)).astype(np.uint8)
    pixels = Pixels(images, np.zeros_like(images), noisy=False)
    chosen = load_recipe(str(recipe), {"augmentation.resolutions": [4], "guidance.unlabelled": 2})
    inputs, (labels, targets) = SegmenterBatches(pixels, chosen, unlabelled=pixels)[0]
    assert inputs.shape == targets.shape == (6, 16, 32, 1)
    assert (labels[:4] == 0).all()
    assert (labels[4:] == IGNORED).all()
    for seen, whole in zip(inputs, targets, strict=True):
        assert np.abs(coarsen(whole, 4) - seen).max() < 1e-6
        assert seen.std() < 0.5 * whole.std()
    inputs, labels = SegmenterBatches(pixels, load_recipe(str(recipe), PLAIN))[0]
    assert labels.shape == (4, 16, 32)


def test_the_weights_at_the_beginning_are_those_of_the_plain_network() -> None:
    design = Segmenter(encoder="plain", filters=4, depth=3, reduction=2)
    networks = []
    for guided in (True, False):
        keras.utils.set_random_seed(7)
        made = build_segmenter(design, 3, (16, 32, 1))
        if guided:
            add_super_resolution(made, design)
        networks.append(made.network.get_weights())
    for one, other in zip(*networks, strict=True):
        assert np.array_equal(one, other)


@pytest.mark.slow
def test_nothing_of_the_second_branch_flies(recipe: Path, spacecraft: Path, frames: Path, tmp_path: Path) -> None:  # noqa: F811
    crops = ("--set", "crop={height=32, width=32}", "--epochs", 1)
    options = ("--second-set", frames, "--set", "guidance.unlabelled=2", *crops)
    record = train(recipe, spacecraft, tmp_path / "guided", *options)
    assert record["beside"]["name"] == "frames"
    assert record["recipe"]["guidance"]["unlabelled"] == 2
    with h5py.File(tmp_path / "guided" / "segmenter.weights.h5") as file:
        names: list[str] = []
        file.visit(names.append)
    assert names
    assert not [name for name in names if "super" in name]
    plain = load_recipe(str(recipe), PLAIN)
    (tmp_path / "plain").mkdir()
    made = start_segmenter(plain, 4, (32, 32, 3), None, None)
    # What is zero, as fresh offsets are, the converter leaves out.
    generator = np.random.default_rng(4)
    weights = [values + generator.uniform(0.01, 0.1, values.shape) for values in made.network.get_weights()]
    made.network.set_weights(weights)
    save_weights(made.network, tmp_path / "plain" / "segmenter.weights.h5")
    flown = [
        operations(convert_float(read_segmenter(of, tmp_path / folder).build()))
        for of, folder in ((record, "guided"), (record | {"recipe": plain.record()}, "plain"))
    ]
    assert flown[0] == flown[1]
    assert len(flown[0]) > 10


@pytest.mark.slow
def test_a_second_set_must_fit(recipe: Path, spacecraft: Path, frames: Path, mars: Path, tmp_path: Path) -> None:  # noqa: F811
    start = ("train", "--recipe", recipe, "--dataset", spacecraft, "--out", tmp_path / "out")
    done = ground_tools(*start, "--second-set", frames)
    assert done.returncode == 2
    assert "recipe guided takes no images of another set a batch" in done.stderr
    done = ground_tools(*start, "--set", "guidance.unlabelled=2")
    assert done.returncode == 2
    assert "recipe guided takes 2 images of another set a batch" in done.stderr
    done = ground_tools(*start, "--set", "guidance.unlabelled=2", "--second-set", frames)
    assert done.returncode == 2
    assert "--second-set: expected images of 32 x 64 px" in done.stderr
    done = ground_tools(*start, "--set", "guidance.unlabelled=2", "--second-set", mars)
    assert done.returncode == 2
    assert "--second-set: expected images of 3 channels" in done.stderr


@pytest.mark.slow
def test_networks_with_and_without_guidance_are_compared(
    recipe: Path,
    spacecraft: Path,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(subprocess, "run", train_here)
    lines = [
        'title = "Two"',
        f'recipe = "{recipe}"',
        'begin = "nothing"',
        "seeds = [1]",
        # Trainings that learn nothing end by themselves.
        "common = { epochs = 9, learning_rate = 1e-9, optimizer.stop_after = 1 }",
        "[changes]",
        '"no second branch" = { guidance.super_resolution = 0.0, guidance.affinity = 0.0 }',
    ]
    (tmp_path / "two.toml").write_text("\n".join(lines))
    comparison = load_comparison(str(tmp_path / "two.toml"))
    figures = compare(comparison, spacecraft, None, tmp_path / "out", [spacecraft], None)
    for change in figures.changes.values():
        # The same network on the same images, once in the training and once from its file.
        (run,) = change.runs
        assert run.also == {figures.also[0]: pytest.approx(run.miou, abs=1e-6)}
    # Nothing is trained twice.
    monkeypatch.setattr(subprocess, "run", None)
    assert compare(comparison, spacecraft, None, tmp_path / "out", [spacecraft], None) == figures


def test_a_comparison_shows_every_class_and_the_spread_of_gains() -> None:
    base = [Run(seed, 1, 2.0, miou, {"body": miou, "antenna": None}) for seed, miou in ((1, 0.5), (2, 0.6), (3, 0.7))]
    other = [
        Run(seed, 1, 2.0, miou, {"body": miou, "antenna": 0.1}) for seed, miou in ((1, 0.52), (2, 0.57), (3, 0.75))
    ]
    figures = ComparisonFigures(
        title="Two",
        recipe="aerial-half",
        dataset=SetOrigin("drawn", "0", None, "0"),
        also=[],
        epochs=1,
        images=0,
        seeds=[1, 2, 3],
        more_seeds=[],
        changes={"the recipe": change_figures(base, base), "guided": change_figures(other, base)},
    )
    page = comparison_section({"two": figures})
    assert "| | mIoU | gain | body | antenna | minutes |" in page
    # Of each seed for itself: +2, -3 and +5 points.
    assert "| guided | 57.0 (52.0 to 75.0) | +2.0 (-3.0 to +5.0) | 57.0 | 10.0 | 2 |" in page


def test_guidance_without_anything_to_enlarge_is_refused(recipe: Path) -> None:
    with pytest.raises(ValueError, match=r"guidance: expected segmenter\.reduction or augmentation\.resolutions"):
        load_recipe(str(recipe), {"segmenter.reduction": 1})
    assert load_recipe(str(recipe), {"segmenter.reduction": 1, "augmentation.resolutions": [1, 2]}).guided
    assert not load_recipe(str(recipe), {"segmenter.reduction": 1, **PLAIN}).guided
    with pytest.raises(ValueError, match=r"augmentation\.resolutions"):
        load_recipe("best-cpu-unet-s", {"augmentation.resolutions": [2]})


def test_records_say_what_is_new_and_nothing_else(recipe: Path) -> None:
    chosen: Recipe = load_recipe(str(recipe))
    assert chosen.record()["segmenter"]["reduction"] == 2
    assert "decoder_depth" not in chosen.record()["segmenter"]
    before = load_recipe("moon-unet").record()
    assert not {"resolutions", "crop", "guidance", "film"} & set(before)
    assert not {"reduction", "encoder_dropout", "decoder_depth"} & set(before["segmenter"])
