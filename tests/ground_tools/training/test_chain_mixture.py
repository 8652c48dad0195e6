"""Chains of several sets at once: batches by weight, teachers, images without labels, the best of several designs."""

from __future__ import annotations

import hashlib
import json
import tarfile
from pathlib import Path
from typing import Any

import cv2
import h5py
import keras
import msgspec
import numpy as np
import pytest

from ground_tools.cli import main
from ground_tools.datasets.noise import network_inputs
from ground_tools.datasets.store import read_description
from ground_tools.metrics.iou import iou_per_class, mean_iou
from ground_tools.networks.keras_model import build_model
from ground_tools.networks.unet import UNetDropout, build_unet
from ground_tools.training.chain.archive import Wanted, keep_bits, read_archive, write_archive
from ground_tools.training.chain.plan import Plan, load_plan
from ground_tools.training.chain.unlabelled import cut_squares
from ground_tools.training.pixels import read_pixels
from ground_tools.training.recipes import load_recipe
from ground_tools.training.records import sets_used
from tests.ground_tools.training.scenes import write_scenes
from tests.ground_tools.training.small_plan import COUNTS, train_chain_elsewhere

pytest.importorskip("jax")

import jax.numpy as jnp

from ground_tools.training.chain.lineage import Lineage
from ground_tools.training.chain.mixture import divide_batch
from ground_tools.training.chain.stage import validate_sets
from ground_tools.training.chain.teachers import ask_teacher, distance, join_answers

DESIGN = """[stage.changes.design]
blocks = "{blocks}"
widths = [4, 4, 6, 6, 8]
depths = [1, 0, 0, 0, 0]
decoder_depths = [0, 0, 0, 1]
head_channels = [6]
head_kernels = [3, 1]
masked = 2
"""
STAGE = """[[stage]]
name = "{name}"
recipe = "best-rubble"
dataset = "drawn"
share = 1
mix = {{ more = 0.5, real = 0.25 }}
teachers = {{ drawn = ["teacher", "other"], real = ["teacher", "other"] }}
distillation = 0.5
changes.batch = 8
changes.epochs = 3
changes.augmentation.farther = 0.0
"""
PLAN = (
    'minutes = 5\ntrained = ["teacher", "other"]\nunlabelled = ["real"]\n'
    + STAGE.format(name="one")
    + DESIGN.format(blocks="residual")
    + STAGE.format(name="two")
    + DESIGN.format(blocks="inverted")
    + STAGE.format(name="best").replace("best-rubble", "best-rubble-more")
    + 'best_of = ["one", "two"]\n'
    + STAGE.format(name="last").replace("best-rubble", "best-rubble-as")
    + 'best_of = ["best"]\n'
)


# Of one kind of step, so that it is compiled once.
QUICK = (
    PLAN[: PLAN.index("[[stage]]")]
    + STAGE.format(name="one")
    + DESIGN.format(blocks="residual")
    + STAGE.format(name="best").replace("best-rubble", "best-rubble-more")
    + 'best_of = ["one"]\n'
)


def save_unet(folder: Path, seed: int, record: dict[str, Any]) -> Path:
    """A stage of an earlier run: a UNet whose head says the same everywhere, which class depends on the seed."""
    folder.mkdir(parents=True)
    keras.utils.set_random_seed(seed)
    unet = build_unet(5, UNetDropout(0.0, 0.0), size=32)
    kernel, bias = unet.get_layer("head_convolution_3").get_weights()
    unet.get_layer("head_convolution_3").set_weights([0 * kernel, bias + 9.0 * np.eye(5)[seed % 5]])
    unet.save_weights(folder / "unet.weights.h5")
    (folder / "training.json").write_text(json.dumps({"dataset": {"name": "d1"}, **record}))
    return folder / "unet.weights.h5"


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures") / "real"
    folder.mkdir()
    for number in range(6):
        image = np.random.default_rng(number).integers(0, 255, (32, 32), dtype=np.uint8)
        cv2.imwrite(str(folder / f"itokawa_{number}.png"), cv2.resize(image, (200, 100)))
    return folder


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    (tmp_path / "mixed.toml").write_text(PLAN)
    return load_plan(str(tmp_path / "mixed.toml"))


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    save_unet(tmp_path / "earlier" / "teacher", 1, {"recipe": {}, "weights_sha256": ""})
    save_unet(tmp_path / "earlier" / "other", 2, {"recipe": {}, "weights_sha256": ""})
    return tmp_path / "earlier"


def test_a_batch_is_divided_by_weight() -> None:
    assert divide_batch(64, {}) == [64]
    assert divide_batch(64, {"d5": 0.5}) == [43, 21]
    assert divide_batch(32, {"d1": 0.25, "d5": 0.5}) == [18, 5, 9]
    assert divide_batch(4, {"a": 0.001, "b": 0.001}) == [2, 1, 1]
    with pytest.raises(ValueError, match="batch: expected an image of each of 3 sets at least, got 2"):
        divide_batch(2, {"a": 1.0, "b": 1.0})


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("more = 0.5", "more = 0.0", "mix.* expected a number > 0"),
        ("more = 0.5", "drawn = 0.5", "dataset: expected a labelled set that is not in mix, got drawn"),
        ("real = [", "sky = [", "teachers: expected sets of the stage, drawn and more and real, got sky"),
        (', real = ["teacher", "other"]', "", "teachers: expected some for real, which has no masks, got none"),
        ('"other"] }', '"third"] }', "teachers: expected earlier stages that train network unet, .* got third"),
        ("distillation = 0.5", "", "distillation: expected more than 0 where there are teachers, else 0, got 0"),
        ('best_of = ["one"', 'best_of = ["last"', "best_of: expected an earlier stage that trains network unet"),
        (
            'best_of = ["best"]',
            'encoder = ["one"]',
            "encoder: expected an earlier stage that trains network encoder_cnn",
        ),
        ('["one", "two"]\n', '["one"]\nstart_from = ["two"]\n', "expected either encoder or start_from, got both"),
        ('"best-rubble-as"', '"best-unet-as"', 'head: expected "whole", which every design has, got "windowed"'),
    ],
)
def test_a_plan_whose_sets_and_teachers_do_not_go_together_is_named(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    assert old in PLAN
    (tmp_path / "wrong.toml").write_text(PLAN.replace(old, new))
    with pytest.raises(ValueError, match=message):
        load_plan(str(tmp_path / "wrong.toml"))


def test_the_sets_of_a_stage_are_validated_as_equals() -> None:
    right, wrong = np.diag([4, 4, 4, 4, 4]), np.ones((5, 5), dtype=int)
    figures = np.stack([right] * 9 + [wrong] * 1)
    found = validate_sets(figures, [("many", 9), ("few", 1)])
    of_wrong = 1 / 9
    assert found.columns["val_miou_many"] == 1.0
    assert found.columns["val_miou_few"] == pytest.approx(of_wrong)
    assert found.value == found.columns["val_miou"] == pytest.approx((1.0 + of_wrong) / 2)
    alone = validate_sets(figures, [("all", 10)])
    assert alone.value == pytest.approx((9 + of_wrong) / 10)
    assert "val_miou_all" not in alone.columns


def write_record(folder: Path, miou: float, design: dict[str, Any] | None) -> None:
    folder.mkdir(parents=True)
    (folder / "unet.weights.h5").write_bytes(b"weights")
    record = {"validation": {"miou": miou}, "recipe": {"design": design} if design else {}}
    (folder / "training.json").write_text(json.dumps(record))


def test_the_best_of_several_is_gone_on_with(plan: Plan, trained: Path, tmp_path: Path) -> None:
    one, two, best, last = plan.stages
    lineage = Lineage(plan, tmp_path / "work", trained)
    # What is not trained yet is not known; a design that is does not wait for its weights.
    assert lineage.foresee(one) is one
    assert lineage.foresee(best) is None
    assert lineage.foresee(last) is None
    assert lineage.find_start(best) is None
    designs = {stage.name: stage.recipe.record()["design"] for stage in (one, two)}
    write_record(tmp_path / "work" / "one", 0.4, designs["one"])
    write_record(tmp_path / "work" / "two", 0.5, designs["two"])
    start = lineage.find_start(best)
    assert start is not None
    assert start.parent.name == "two"
    taken = lineage.take_design(best, start)
    assert taken.recipe.design == two.recipe.design
    foreseen = lineage.foresee(last)
    assert foreseen is not None
    assert foreseen.recipe.design == two.recipe.design
    assert sorted(lineage.find_teachers(one)) == ["other", "teacher"]
    with pytest.raises(ValueError, match="--trained: expected a folder with stage teacher, as plan mixed needs it"):
        Lineage(plan, tmp_path / "work", None)


class Sure:
    """A network that says one class everywhere: that of its weights."""

    def stateless_call(self, trainable: int, fixed: None, images: Any, training: bool) -> tuple[Any, None]:
        assert not training
        return jnp.broadcast_to(9.0 * jnp.eye(5)[trainable], (*images.shape[:3], 5)), fixed


def test_teachers_say_how_likely_each_class_is() -> None:
    images = jnp.zeros((1, 4, 4, 1))
    answers = [ask_teacher(Sure(), (number, None), images) for number in (1, 2)]
    probability, agree = join_answers(answers)
    assert np.asarray(probability.sum(axis=-1)) == pytest.approx(np.ones((1, 4, 4)), abs=1e-5)
    assert np.asarray(probability[..., 1:3]) == pytest.approx(np.full((1, 4, 4, 2), 0.5), abs=0.01)
    assert not agree.any()
    alone, agree = join_answers(answers[:1])
    assert agree.all()
    scores = jnp.log(jnp.maximum(alone, 1e-6)) + 3.0
    assert float(distance(alone, agree, scores)) == pytest.approx(0.0, abs=1e-3)
    assert float(distance(alone, agree, -scores)) > 100.0
    # Pixels that do not count.
    assert float(distance(alone, ~agree, -scores)) == 0.0


def test_bits_and_folders_of_images_travel(drawn: Path, pictures: Path, tmp_path: Path) -> None:
    real = write_scenes(tmp_path / "d4", COUNTS, real=True)
    wanted = {"drawn": Wanted((5,), False), "d4": Wanted((5,), False), "real": Wanted((5,), False, labelled=False)}
    sets = {"drawn": drawn, "d4": real, "real": pictures}
    packed = read_archive(write_archive(sets, wanted, tmp_path / "archive", 2, bits=6))
    stored = read_pixels(drawn, "train", 5)
    travelled = packed["drawn"].pixels("train", 5)
    assert np.array_equal(travelled.masks, stored.masks)
    difference = travelled.images.astype(int) - stored.images
    assert set(np.unique(travelled.images % 4)) == {0}
    assert 0 < np.abs(difference).max() <= 3
    assert abs(difference.mean()) < 0.6
    # Validation and real images keep all of their bits.
    for name, path, split in (("drawn", drawn, "validation"), ("d4", real, "train")):
        assert np.array_equal(packed[name].pixels(split, 5).images, read_pixels(path, split, 5).images)
    held = packed["real"]
    assert (held.labelled, held.noise) == (False, None)
    assert held.images.shape == (12, 32, 32)
    assert held.provenance["name"] == "real"
    with pytest.raises(ValueError, match="expected real to be a folder of images, as the plan has"):
        write_archive({**sets, "real": drawn}, wanted, tmp_path / "other", 1)
    (pictures / "itokawa_0.png").rename(pictures / "Phobos_0.png")
    with pytest.raises(ValueError, match=r"Phobos_0\.png: body phobos: expected none of it, it is held out"):
        write_archive(sets, wanted, tmp_path / "other", 1)
    (pictures / "Phobos_0.png").rename(pictures / "itokawa_0.png")
    levels = np.arange(256, dtype=np.uint8)
    assert np.array_equal(keep_bits(levels, 8), levels)
    assert len(set(keep_bits(levels, 7).tolist())) == 128


def test_squares_lie_beside_each_other() -> None:
    image = np.zeros((100, 310), dtype=np.uint8)
    image[:, 155:] = 200
    squares = cut_squares(image, 100)
    assert len(squares) == 3
    assert [int(square.mean()) for square in (squares[0], squares[2])] == [0, 200]
    assert len(cut_squares(image.T, 64)) == 3
    assert cut_squares(image[:60], 100) == []


def test_earlier_networks_travel_in_half_precision(
    drawn: Path, trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("teacher", "other"):
        record = json.loads((trained / name / "training.json").read_text())
        record["weights_sha256"] = hashlib.sha256((trained / name / "unet.weights.h5").read_bytes()).hexdigest()
        (trained / name / "training.json").write_text(json.dumps(record))
    (tmp_path / "plan.toml").write_text(
        'minutes = 1\ntrained = ["teacher", "other"]\n[[stage]]\nname = "on"\nrecipe = "best-unet-s"\n'
        'dataset = "drawn"\nshare = 1\nstart_from = ["teacher"]\n'
    )
    pack = ["train-chain", "pack", "--plan", str(tmp_path / "plan.toml"), "--dataset", f"drawn={drawn}"]
    assert main([*pack, "--trained", str(trained), "--out", str(tmp_path / "archive"), "--parts", "1"]) == 0
    with tarfile.open(tmp_path / "archive" / "trained.tar") as archive:
        archive.extractall(tmp_path / "there", filter="data")
    before, after = (folder / "teacher" / "unet.weights.h5" for folder in (trained, tmp_path / "there"))
    assert after.stat().st_size < 0.55 * before.stat().st_size
    with h5py.File(after) as file:
        assert file["layers"]
    # Keras reads it as it reads any other.
    one, other = (build_unet(5, UNetDropout(0.0, 0.0), size=32) for _ in range(2))
    one.load_weights(before)
    other.load_weights(after)
    for exact, rounded in zip(one.get_weights(), other.get_weights(), strict=True):
        assert rounded == pytest.approx(exact, abs=1e-3 * max(1e-3, float(np.abs(exact).max())))
    record = json.loads((after.parent / "training.json").read_text())
    assert record["weights_sha256"] == hashlib.sha256(after.read_bytes()).hexdigest()
    (trained / "other" / "unet.weights.h5").write_bytes(b"damaged")
    assert main([*pack, "--trained", str(trained), "--out", str(tmp_path / "archive")]) == 2
    assert "expected the weights of its training.json, got others" in capsys.readouterr().err


def test_sets_of_teachers_and_of_mixtures_count_as_used() -> None:
    sets = [{"name": name, "sha256": name} for name in ("d1", "d5", "d4", "d9")]
    teacher = {"dataset": sets[2], "began_from": {"training": {"dataset": sets[3]}}}
    record = {"dataset": sets[0], "mixed": [sets[1]], "teachers": [{"stage": "unet_as", "training": teacher}]}
    assert [used["name"] for used in sets_used({"UNetS": record}, {})["UNetS"]] == ["d1", "d5", "d4", "d9"]


# Compiles a step, which takes most of a minute on a processor.
@pytest.mark.timeout(1200)
def test_a_chain_of_a_design_from_sets_to_a_network(
    drawn: Path, pictures: Path, trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Several sets, teachers, images without labels: packed, trained with JAX, unpacked."""
    (tmp_path / "plan.toml").write_text(QUICK)
    plan = ["--plan", str(tmp_path / "plan.toml")]
    sets = {"drawn": drawn, "more": write_scenes(tmp_path / "more", COUNTS), "real": pictures}
    named = [part for name, path in sets.items() for part in ("--dataset", f"{name}={path}")]
    assert main(["train-chain", "pack", *plan, *named, "--out", str(tmp_path / "archive"), "--parts", "1"]) == 0
    run = ["run", *plan, "--parts", tmp_path / "archive" / "part_1.parquet", "--out", tmp_path / "out"]
    done = train_chain_elsewhere(*run, "--precision", "float32", "--trained", trained, "--minutes", 10)
    assert done.returncode == 0, done.stdout + done.stderr
    assert main(["train-chain", "unpack", str(tmp_path / "out"), "--out", str(tmp_path / "home")]) == 0
    records = {path.parent.name: json.loads(path.read_text()) for path in (tmp_path / "home").glob("*/training.json")}
    assert sorted(records) == ["best", "one"]
    assert records["best"]["recipe"]["design"] == records["one"]["recipe"]["design"]
    assert records["best"]["began_from"]["weights_sha256"] == records["one"]["weights_sha256"]
    assert [one["name"] for one in records["one"]["mixed"]] == ["more", "real"]
    assert [one["stage"] for one in records["one"]["teachers"]] == ["teacher", "other"]
    # The saved network has no output for boundaries, and says elsewhere what the training measured.
    design = load_recipe("best-rubble").design
    assert design is not None
    layers = msgspec.convert(records["best"]["recipe"]["design"], type(design)).layers(5)
    unet = build_model(layers, UNetDropout(0.0, 0.0), size=32)
    unet.load_weights(tmp_path / "home" / "best" / "unet.weights.h5")
    mious = []
    for name in ("drawn", "more"):
        pixels = read_pixels(sets[name], "validation", 5)
        scores = unet.predict(network_inputs(pixels.images, read_description(sets[name])["noise"]), verbose=0)
        mious.append(mean_iou(iou_per_class(pixels.masks, scores.argmax(axis=-1), 5)))
    assert np.mean(mious) == pytest.approx(records["best"]["validation"]["miou"], abs=0.02)
