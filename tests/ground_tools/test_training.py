"""Metrics, augmentation, recipes; and the line from set to bundle, small but whole."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flight.bundle import load_bundle
from flight.cli import main as flight
from ground_tools.datasets.noise import add_noise, network_inputs
from ground_tools.datasets.store import digest, load
from ground_tools.labels.classes import TERMINATOR
from ground_tools.labels.stacking import stack_masks
from ground_tools.metrics.iou import confusion_matrix, intersection_over_union, iou_per_class, mean_iou
from ground_tools.training.augmentation import disturb, move, move_away, paper_noise
from ground_tools.training.batches import UNetBatches
from ground_tools.training.pixels import Pixels, read_pixels
from ground_tools.training.recipes import RECIPES, load_recipe, override
from tests.ground_tools.conftest import ground_tools
from tests.tiny_bundle import write_tiny_bundle


def test_iou_by_hand() -> None:
    truth = np.array([[0, 0, 1, 1], [2, 2, 2, 2]])
    predicted = np.array([[0, 1, 1, 1], [2, 2, 0, 0]])
    confusion = confusion_matrix(truth, predicted, 4)
    assert confusion[2].tolist() == [2, 0, 2, 0]
    iou = intersection_over_union(confusion)
    assert iou[:3] == pytest.approx([1 / 4, 2 / 3, 2 / 4])
    assert np.isnan(iou[3])


def test_the_papers_iou_is_the_mean_over_images_that_show_the_class() -> None:
    truths = np.array([[[0, 0, 1, 1]], [[0, 0, 0, 0]]])
    predictions = np.array([[[0, 0, 1, 0]], [[0, 0, 0, 1]]])
    iou = iou_per_class(truths, predictions, 3)
    assert iou[0] == pytest.approx((2 / 3 + 3 / 4) / 2)
    assert iou[1] == pytest.approx(1 / 2)  # the second image does not show class 1
    assert np.isnan(iou[2])
    assert mean_iou(iou) == pytest.approx((iou[0] + iou[1]) / 2)


def test_noise_is_the_papers() -> None:
    image = np.full((400, 400), 100, dtype=np.uint8)
    noisy = paper_noise(image, np.random.default_rng(0))
    assert noisy.mean() == pytest.approx(100 / 255 + 0.1, abs=1e-3)
    assert noisy.std() == pytest.approx(0.01, rel=0.05)
    generators = [np.random.default_rng(4) for _ in range(2)]
    assert np.array_equal(disturb(image, 0.0, generators[0]), paper_noise(image, generators[1]))
    wild = disturb(image, 1.0, np.random.default_rng(1))
    assert wild.min() >= 0.0
    assert wild.max() <= 1.0


def test_real_images_keep_their_own_noise() -> None:
    image = np.random.default_rng(0).integers(0, 256, (2, 64, 64), dtype=np.uint8)
    plain = image.astype(np.float32) / 255.0
    assert np.array_equal(network_inputs(image, None)[..., 0], plain)
    assert network_inputs(image, {"seed": 3})[..., 0].mean() == pytest.approx(plain.mean() + 0.1, abs=0.02)
    assert np.array_equal(network_inputs(image, {"seed": 3}), add_noise(image, 3))
    generator = np.random.default_rng(1)
    assert np.array_equal(disturb(image[0], 0.0, generator, noisy=False), plain[0])
    assert not np.array_equal(disturb(image[0], 0.5, generator, noisy=False), plain[0])


def test_an_image_and_its_mask_are_moved_alike() -> None:
    rows, columns = np.mgrid[:128, :128]
    body = (columns - 60) ** 2 / 35**2 + (rows - 66) ** 2 / 20**2 < 1.0
    image, mask = (200 * body).astype(np.uint8), body.astype(np.uint8)
    assert all(a is b for a, b in zip(move(image, mask, 0.0, np.random.default_rng(0)), (image, mask), strict=True))
    ratios, angles = [], []
    for seed in range(40):
        turned, labels = move(image, mask, 1.0, np.random.default_rng(seed))
        assert (turned.dtype, labels.dtype) == (np.uint8, np.uint8)
        assert set(np.unique(labels)) == {0, 1}
        # But for the pixels that the interpolation spreads the outline over.
        assert ((turned > 100) == (labels == 1)).mean() > 0.995
        ratios.append(labels.sum() / mask.sum())
        y, x = np.nonzero(labels)
        angles.append(0.5 * np.arctan2(2.0 * np.cov(x, y)[0, 1], np.var(x) - np.var(y)))
    assert 0.5 < min(ratios) < 0.75
    assert 1.3 < max(ratios) < 1.9
    assert np.ptp(angles) > 2.5


def test_a_body_is_shown_from_farther_away() -> None:
    rows, columns = np.mgrid[:128, :128]
    body = (columns - 63.5) ** 2 + (rows - 63.5) ** 2 < 50**2
    mask = body.astype(np.uint8)
    mask[40:88, 60:65] = 4
    mask[60:66, 30:34] = 3
    image = np.where(body, 200, 7).astype(np.uint8)
    sizes = []
    for seed in range(30):
        small, labels = move_away(image, mask, 5, np.random.default_rng(seed))
        seen = labels > 0
        assert ((small > 100) == seen).mean() > 0.99
        assert (small[0] == 7).all()  # the sky goes on
        sizes.append(np.sqrt(seen.sum() / body.sum()))
        # The terminator keeps its width of 5 pixels, the boulder of 24 shrinks and is dropped below 5.
        widths = (labels[62:66] == 4).sum(axis=1)
        assert 4 <= np.median(widths) <= 6
        assert (labels == 3).sum() == 0 or 5 <= (labels == 3).sum() <= 30
        if sizes[-1] < 0.4:
            assert (labels == 3).sum() == 0
    assert 0.28 < min(sizes) < 0.4
    assert 0.8 < max(sizes) <= 1.0
    # A body that reaches the edge of the image stays as it is.
    mask[0, 5] = 1
    same = move_away(image, mask, 5, np.random.default_rng(0))
    assert same[0] is image
    assert same[1] is mask


def test_batches_keep_image_and_mask_together_and_repeat() -> None:
    overrides = {"batch": 4, "head": "windowed", "window": 32, "feature_windows": 0.9}
    recipe = load_recipe("best-cpu-unet-as", overrides)
    masks = np.zeros((8, 128, 128), dtype=np.uint8)
    masks[:, 40:60, 70:80] = 3
    images = np.where(masks == 3, 250, 0).astype(np.uint8)
    batches = UNetBatches(Pixels(images, masks), recipe)
    assert len(batches) == 2
    (inputs, offsets), truth = batches[1]
    assert inputs.shape == (4, 128, 128, 1)
    assert truth.shape == (4, recipe.window, recipe.window)
    for image, (row, column), labels in zip(inputs, offsets, truth, strict=True):
        seen = image[row : row + recipe.window, column : column + recipe.window, 0]
        if (labels == 3).any():
            assert seen[labels == 3].mean() > seen[labels == 0].mean() + 0.2
    again = UNetBatches(Pixels(images, masks), recipe)[1]
    assert np.array_equal(again[0][0], inputs)
    # Most windows are laid about the boulder, as the recipe says.
    hits = [(UNetBatches(Pixels(images, masks), recipe)[i % 2][1] == 3).any(axis=(1, 2)).mean() for i in range(2)]
    assert np.mean(hits) > 0.7


def test_a_batch_has_images_of_another_set_beside() -> None:
    recipe = load_recipe(
        "best-cpu-unet-as",
        {"batch": 4, "beside": 2, "augmentation.photometric": 0.0, "augmentation.orientations": False},
    )
    own = Pixels(np.zeros((6, 16, 16), np.uint8), np.zeros((6, 16, 16), np.uint8))
    other = Pixels(np.full((3, 16, 16), 100, np.uint8), np.full((3, 16, 16), 4, np.uint8), noisy=False)
    batches = UNetBatches(own, recipe, other)
    assert len(batches) == 2
    for index, count in ((0, 4), (1, 2)):
        images, labels = batches[index]
        assert [int(mask[0, 0]) for mask in labels] == [0] * count + [4] * 2
        assert images[count:] == pytest.approx(100 / 255)
        assert (images[:count] != 0).any()  # the paper's noise


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('network = "gan"\n', "network: expected"),
        ('network = "unet"\naugmentation = 3\n', "augmentation: expected a table, got 3"),
        ('network = "encoder_cnn"\nseed = 1\nepochs = 0\n', "epochs: expected 1..100000, got 0"),
        (
            'network = "encoder_cnn"\nseed = 1\nepochs = 1\nbatch = 2\nlearning_rate = 0.1\nmood = 1\n'
            "[augmentation]\norientations = true\nphotometric = 0.0\n",
            "unknown field mood",
        ),
    ],
)
def test_a_malformed_recipe_is_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "r.toml"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"r\.toml") as caught:
        load_recipe(str(path))
    assert message in str(caught.value)


def test_a_recipe_can_be_overridden() -> None:
    overrides = dict(override(text) for text in ("dropout.head=0.3", "batch = 4", "schedule='constant'"))
    recipe = load_recipe("best-cpu-unet-as", overrides)
    assert (recipe.dropout_head, recipe.batch, recipe.schedule) == (0.3, 4, "constant")
    assert recipe.dropout_blocks == load_recipe("best-cpu-unet-as").dropout_blocks
    with pytest.raises(ValueError, match=r"batch\.size: batch is no table"):
        load_recipe("best-cpu-unet-as", {"batch.size": 3})
    for text in ("batch", "=3", "batch=", "batch=[3"):
        with pytest.raises(ValueError, match="expected FIELD=VALUE with a TOML value"):
            override(text)


def test_pixels_unpacked_to_a_file_are_those_in_memory(dataset: Path, tmp_path: Path) -> None:
    loaded = load(dataset, "train", identifiers=True)
    for pixels in (1, 5, 16):
        held, mapped = read_pixels(dataset, "train", pixels), read_pixels(dataset, "train", pixels, tmp_path)
        assert isinstance(mapped.images, np.memmap)
        for read in (held, mapped):
            assert np.array_equal(read.images, loaded.images)
            for mask, identifiers, ground, stored in zip(
                read.masks, loaded.identifiers, loaded.ground, loaded.masks, strict=True
            ):
                assert np.array_equal(mask, stack_masks(identifiers, ground, stored == TERMINATOR, pixels))
    files = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert len(files) == 3
    read_pixels(dataset, "train", 5, tmp_path)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == files
    with pytest.raises(ValueError, match="expected samples in split flyby, got none"):
        read_pixels(dataset, "flyby", 5)


def test_unpacked_pixels_are_not_those_of_other_splits(dataset: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(dataset, other)
    exchanged = {"train": "test", "test": "train"}
    for shard in other.rglob("*.parquet"):
        table = pq.read_table(shard)
        splits = [exchanged.get(split, split) for split in table["split"].to_pylist()]
        place = table.column_names.index("split")
        pq.write_table(table.set_column(place, table.schema.field("split"), pa.array(splits, pa.string())), shard)
    assert digest(other) == digest(dataset)
    read_pixels(dataset, "train", 5, tmp_path / "pixels")
    mapped = read_pixels(other, "train", 5, tmp_path / "pixels")
    assert np.array_equal(mapped.images, load(dataset, "test").images)


def test_a_training_in_mixed_precision_from_a_file(trained: dict[str, Path], dataset: Path, tmp_path: Path) -> None:
    start = ("--start-from", trained["unet_s"] / "unet.weights.h5", "--dataset", dataset)
    options = ("--precision", "mixed_bfloat16", "--unpack-to", tmp_path / "pixels", "--set", "batch=2", "--epochs", 1)
    beside = ("--set", "beside=2", "--beside", dataset)
    done = ground_tools("train", "--recipe", "best-cpu-unet-as", *start, *options, *beside, "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    record = json.loads((tmp_path / "out" / "training.json").read_text())
    assert record["precision"] == "mixed_bfloat16"
    assert record["recipe"]["batch"] == 2
    assert record["beside"] == record["dataset"]
    assert record["dataset"]["sha256"] == digest(dataset)
    curves = cv2.imread(str(tmp_path / "out" / "curves.png"))
    assert curves is not None
    assert curves.std() > 5.0
    done = ground_tools("train", "--recipe", "best-cpu-unet-as", *start, "--devices", 0, "--out", tmp_path / "d")
    assert done.returncode == 2
    assert "--devices: expected the backend jax, which Keras spreads over devices, got tensorflow" in done.stderr


def test_a_training_spreads_over_devices(dataset: Path, tmp_path: Path) -> None:
    arguments = ["train", "--recipe", "best-encoder", "--dataset", dataset, "--epochs", 1, "--set", "batch=4"]

    def train(devices: int, out: Path) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "ground_tools.commands.main", *arguments, "--devices", devices, "--out", out]
        flags = "--xla_force_host_platform_device_count=2"  # two devices of one processor
        environment = {**os.environ, "KERAS_BACKEND": "jax", "XLA_FLAGS": flags}
        return subprocess.run(
            [str(part) for part in command], env=environment, capture_output=True, text=True, check=False, timeout=280
        )

    done = train(0, tmp_path / "all")
    assert done.returncode == 0, done.stderr
    assert "spread over 2 devices" in done.stdout
    assert json.loads((tmp_path / "all" / "training.json").read_text())["devices"] == 2
    done = train(3, tmp_path / "more")
    assert done.returncode == 2
    assert "--devices: expected 1..2, the devices that there are, got 3" in done.stderr


@pytest.fixture(scope="module")
def trained(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Encoder, UNetS with a folded head and UNetAS in windows, one epoch each, through the command line."""
    out = tmp_path_factory.mktemp("trained")
    common = ("--dataset", dataset, "--epochs", 1, "--set", "batch=4")
    windows = ("--set", "head='windowed'", "--set", "window=64", "--set", "feature_windows=0.5")
    starts = {
        "encoder": ("best-encoder",),
        "unet_s": ("best-cpu-unet-s-start", "--encoder", out / "encoder" / "encoder.weights.h5"),
        "unet_as": ("best-cpu-unet-as", *windows, "--start-from", out / "unet_s" / "unet.weights.h5"),
    }
    for name, (recipe, *start) in starts.items():
        done = ground_tools("train", "--recipe", recipe, *common, *start, "--out", out / name)
        assert done.returncode == 0, done.stderr
    return {name: out / name for name in starts}


def test_a_training_leaves_its_record(trained: dict[str, Path]) -> None:
    record = json.loads((trained["unet_s"] / "training.json").read_text())
    assert record["recipe"]["role"] == "UNetS"
    assert record["dataset"]["name"] == "tiny"
    assert set(record["validation"]["iou"]) == {"background", "surface", "craters", "boulders", "terminator"}
    assert (trained["unet_s"] / "log.csv").read_text().startswith("epoch,")


def test_another_training_does_not_mix_in(trained: dict[str, Path], dataset: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "other.toml"
    text = (RECIPES / "best_encoder.toml").read_text()
    recipe.write_text(text.replace("seed = 1", "seed = 99"))
    before = (trained["encoder"] / "training.json").read_text()
    done = ground_tools("train", "--recipe", recipe, "--dataset", dataset, "--out", trained["encoder"])
    assert done.returncode == 2
    assert "holds another training; choose another --out" in done.stderr
    assert (trained["encoder"] / "training.json").read_text() == before


def test_a_training_goes_on_where_it_stopped(trained: dict[str, Path], dataset: Path) -> None:
    out = trained["encoder"]
    arguments = ("--recipe", "best-encoder", "--dataset", dataset, "--out", out, "--set", "batch=4")
    done = ground_tools("train", *arguments, "--epochs", 2)
    assert done.returncode == 0, done.stderr
    epochs = [line for line in done.stdout.splitlines() if line.startswith("epoch ")]
    assert len(epochs) == 1
    assert epochs[0].startswith("epoch 2/2")


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_training_runs_with_the_other_backends(backend: str, dataset: Path, tmp_path: Path) -> None:
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    common = ("--dataset", dataset, "--epochs", "1", "--set", "batch=4")
    encoder = ("best-encoder", *common, "--out", tmp_path / "e")
    windows = ("--set", "head='windowed'", "--set", "window=48", "--set", "feature_windows=0.5")
    weights = tmp_path / "e" / "encoder.weights.h5"
    unet = ("best-cpu-unet-s-start", *common, *windows, "--out", tmp_path, "--encoder", weights)
    for arguments in (encoder, unet):
        done = subprocess.run(
            [sys.executable, "-m", "ground_tools.commands.main", "train", "--recipe", *map(str, arguments)],
            env={**os.environ, "KERAS_BACKEND": backend},
            capture_output=True,
            text=True,
            check=False,
            timeout=280,
        )
        assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "training.json").read_text())["backend"] == backend


def test_the_flight_graph_is_the_keras_model(trained: dict[str, Path]) -> None:
    from ground_tools.export.graph import (
        MASK_INPUTS,
        build_flight_graph,
        keep_probabilities,
        mask_shapes,
        random_masks,
    )
    from ground_tools.networks.unet import UNetDropout, build_unet

    unet = build_unet(5, UNetDropout(0.2, 0.4))
    unet.load_weights(trained["unet_s"] / "unet.weights.h5")
    image = np.random.default_rng(0).random((1, 128, 128, 1)).astype(np.float32)
    ones = {n: np.ones((1, *s), np.float32) for n, s in zip(MASK_INPUTS, mask_shapes(unet), strict=True)}
    exact = unet.predict(image, verbose=0)
    flown = build_flight_graph(unet).forward(image, *ones.values())["scores"].numpy()
    assert flown == pytest.approx(exact, abs=1e-4 * np.abs(exact).max())
    halved = build_flight_graph(unet, score_factor=0.5).forward(image, *ones.values())["scores"].numpy()
    assert halved == pytest.approx(0.5 * flown, abs=1e-4 * np.abs(exact).max())
    # Equalized channels change the weights and not the function, whatever the masks.
    masks = random_masks(mask_shapes(unet), keep_probabilities(unet), np.random.default_rng(1))
    plain, equal = (build_flight_graph(unet, equalize_on=data) for data in (None, image))
    for values in (ones, masks):
        scores = [module.forward(image, *values.values())["scores"].numpy() for module in (plain, equal)]
        assert scores[1] == pytest.approx(scores[0], abs=1e-3 * np.abs(scores[0]).max())


def test_the_factor_on_scores_is_the_one_by_which_the_truth_was_drawn() -> None:
    from ground_tools.export.temperature import report, score_factor

    generator = np.random.default_rng(0)
    scores = 4.0 * generator.standard_normal((1, 5, 20, 32, 32)).astype(np.float32)
    true = np.exp(0.5 * scores[0])
    below = np.cumsum(true / true.sum(axis=0), axis=0)
    truth = (generator.random(below.shape[1:]) > below).sum(axis=0).clip(0, 4).astype(np.uint8)
    factor = score_factor(scores, truth)
    assert factor == pytest.approx(0.5, rel=0.05)
    figures = report(scores, truth, factor)
    assert figures["images"] == 20
    assert figures["after"]["ece"] < 0.02 < figures["before"]["ece"]
    assert figures["after"]["nll"] < figures["before"]["nll"]


def test_the_bundle_that_is_exported_flies(trained: dict[str, Path], dataset: Path, tmp_path: Path) -> None:
    out = tmp_path / "unet_h"
    networks = ("--network", trained["unet_s"], "--network", trained["unet_as"])
    done = ground_tools("export", *networks, "--dataset", dataset, "--out", out, "--passes", 2)
    assert done.returncode == 0, done.stderr
    bundle = load_bundle(out)
    assert bundle.modes == ("UNetH", "UNetS", "UNetAS")
    assert [mask.keep_probability for mask in bundle.networks[0].dropout_masks] == [0.8] * 4 + [0.6] * 2
    for report in bundle.manifest["parity"].values():
        # Barely trained networks have nearly equal scores, so that their order is a poor measure.
        assert report["relative_score_error"] < 0.25
    for report in bundle.manifest["metrics"]["temperature"].values():
        assert report["score_factor"] > 0.0
        assert report["after"]["nll"] <= report["before"]["nll"]
    assert bundle.manifest["metrics"]["test"]["tiny"]["images"] == 2
    assert bundle.manifest["metrics"]["validation"]["tiny"]["dataset"]["sha256"] == digest(dataset)
    tried = bundle.manifest["metrics"]["validation"]["tiny"]["by_orientations"]
    assert set(tried) == {"1", "8"}
    assert tried[str(bundle.orientations)]["miou"] == max(one["miou"] for one in tried.values())
    assert bundle.manifest["training"]["UNetAS"]["dataset"]["name"] == "tiny"
    assert "UNetAS" in (out / "card.md").read_text()
    assert flight(["check", "--bundle", str(out)]) == 0


def test_a_training_starts_from_a_bundle(trained: dict[str, Path], dataset: Path, tmp_path: Path) -> None:
    from ground_tools.networks.unet import UNetDropout, build_unet
    from ground_tools.training.bundle_weights import load_bundle_weights
    from ground_tools.training.heads import fold_head

    bundle = tmp_path / "unet_s"
    arguments = ("--dataset", dataset, "--images", 1, "--passes", 1)
    done = ground_tools("export", "--network", trained["unet_s"], *arguments, "--out", bundle)
    assert done.returncode == 0, done.stderr
    manifest = json.loads((bundle / "manifest.json").read_text())

    # The UNet that was exported computes the same scores, times the factor that the export put into the last layer.
    inputs = network_inputs(load(dataset, "train").images, None)
    was, taken = (build_unet(5, UNetDropout(0.2, 0.4)) for _ in range(2))
    was.load_weights(trained["unet_s"] / "unet.weights.h5")
    load_bundle_weights(taken, load_bundle(bundle).networks[0], inputs)
    factor = manifest["metrics"]["temperature"]["UNetS"]["score_factor"]
    expected = factor * was.predict(inputs, verbose=0)
    got = taken.predict(inputs, verbose=0)
    assert np.sqrt(np.mean((got - expected) ** 2)) < 0.05 * expected.std()
    # In training, the normalization by the batch's own statistics finds what the moving ones say.
    assert np.abs(np.asarray(fold_head(taken)(inputs, training=True)) - got).mean() < 0.5 * expected.std()

    common = ("--recipe", "best-cpu-unet-as", "--dataset", dataset, "--epochs", 1, "--set", "batch=4")
    done = ground_tools("train", *common, "--start-from", bundle, "--out", tmp_path / "own")
    assert done.returncode == 0, done.stderr
    began = json.loads((tmp_path / "own" / "training.json").read_text())["began_from"]
    assert began["weights_sha256"] == manifest["networks"][0]["sha256"]
    assert began["bundle"] == load_bundle(bundle).identity
    assert began["training"]["recipe"]["role"] == "UNetS"

    for networks, message in (
        (("UNetS", "UNetAS"), "expected one network to start from, got UNetS and UNetAS"),
        (("UNetS",), "expected an int8 UNet of `ground-tools export`, got no encoder_convolution_1"),
    ):
        other = write_tiny_bundle(tmp_path / "_".join(networks), networks)
        done = ground_tools("train", *common, "--start-from", other, "--out", tmp_path / "refused")
        assert done.returncode == 2
        assert message in done.stderr


def test_what_may_not_be_passed_on_or_was_trained_on_is_refused(
    trained: dict[str, Path], dataset: Path, tmp_path: Path
) -> None:
    description = json.loads((dataset / "dataset.json").read_text())
    shutil.copytree(dataset, tmp_path / "tiny")
    (tmp_path / "tiny" / "dataset.json").write_text(json.dumps({**description, "publish_images": False}))
    arguments = ("--network", trained["unet_s"], "--dataset", tmp_path / "tiny", "--out", tmp_path / "b", "--passes", 1)
    done = ground_tools("export", *arguments)
    assert done.returncode == 2
    assert "images of tiny may not be passed on; expected --self-test-from" in done.stderr
    done = ground_tools("export", *arguments, "--images", 1, "--self-test-from", dataset)
    assert done.returncode == 0, done.stderr
    campaign = {**description["campaign"], "split_by": "body"}
    (tmp_path / "tiny" / "dataset.json").write_text(json.dumps({**description, "campaign": campaign}))
    done = ground_tools("export", *arguments)
    assert done.returncode == 2
    assert "split by body: expected UNetS of bundle b to come from the same splits of tiny" in done.stderr


def test_a_wrong_call_is_one_line(tmp_path: Path, dataset: Path, trained: dict[str, Path]) -> None:
    done = ground_tools("export", "--network", tmp_path, "--dataset", dataset, "--out", tmp_path / "b")
    assert done.returncode == 2
    assert "expected unet.weights.h5 and training.json of a finished training" in done.stderr
    done = ground_tools("train", "--recipe", "best-cpu-unet-s", "--dataset", dataset, "--out", tmp_path / "t")
    assert done.returncode == 2
    assert "starts from either --encoder or --start-from weights" in done.stderr
    start = ("--start-from", trained["unet_s"] / "unet.weights.h5")
    arguments = ("--recipe", "best-cpu-unet-as", *start, "--dataset", dataset, "--beside", dataset)
    done = ground_tools("train", *arguments, "--out", tmp_path / "t")
    assert done.returncode == 2
    assert "--beside: recipe best_cpu_unet_as takes no images of another set a batch" in done.stderr
    done = ground_tools("train", "--recipe", "best-encoder", *start, "--dataset", dataset, "--out", tmp_path / "t")
    assert done.returncode == 2
    assert "--start-from: recipe best_encoder trains an encoder, which takes none" in done.stderr
    (tmp_path / "precious").write_text("not a bundle")
    arguments = ("--network", trained["unet_s"], "--dataset", dataset)
    done = ground_tools("export", *arguments, "--out", tmp_path)
    assert done.returncode == 2
    assert "holds something else than a bundle" in done.stderr
    assert (tmp_path / "precious").read_text() == "not a bundle"
    done = ground_tools("export", *arguments, "--network", trained["unet_s"], "--out", tmp_path / "b")
    assert done.returncode == 2
    assert "expected one network, or UNetS and UNetAS, got UNetS and UNetS" in done.stderr
