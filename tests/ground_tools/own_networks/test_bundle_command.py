"""`ground-tools bundle`: a network of any recipe becomes a bundle that passes `flight check`, or is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from flight.bundle import load_bundle
from flight.cli import main as flight
from ground_tools.cli import main as ground_tools
from ground_tools.own_networks.classes import read_classes
from ground_tools.own_networks.scenes import draw_scene
from tests.flight.service_process import running_service
from tests.ground_tools.own_networks.recipes import RECIPES, bundle_arguments, make_network
from tests.other_networks import (
    HEIGHT,
    WIDTH,
    convert,
    logits,
    logits_network,
    scene,
    softmax,
    softmax_network,
    tf,
    write_other_bundle,
)

CLASSES = "sky background #000000\nground safe\ncrater hazard\nrock hazard\n"


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    for number in range(3):
        cv2.imwrite(str(folder / f"{number}.png"), np.roll(scene(), 3 * number, axis=1))
    return folder


def bundle(tmp_path: Path, content: bytes, *options: object, classes: str = CLASSES) -> int:
    (tmp_path / "net.tflite").write_bytes(content)
    (tmp_path / "classes.txt").write_text(classes)
    arguments = ["bundle", tmp_path / "net.tflite", "--classes", tmp_path / "classes.txt", "--out", tmp_path / "out"]
    return ground_tools([str(part) for part in (*arguments, *options)])


def manifest(tmp_path: Path) -> dict[str, Any]:
    return json.loads((tmp_path / "out" / "manifest.json").read_text())


NETWORKS = {
    "softmax": (softmax_network, "probabilities", {}, "float32"),
    "logits": (logits_network, "logits", {}, "float32"),
    "sigmoids": (lambda: convert(lambda x: tf().sigmoid(logits(x, sharpness=5.0))), "sigmoid", {}, "float32"),
    "int8": (lambda: convert(lambda x: tf().nn.softmax(logits(x)), integers="int8"), "probabilities", {}, "int8"),
    "uint8 of 0 to 255": (
        lambda: convert(lambda x: tf().nn.softmax(logits(x / 255.0)), integers="uint8", largest=255.0),
        "probabilities",
        {"scale": 255.0},
        "uint8",
    ),
    "scaled inside": (lambda: convert(lambda x: logits(x * (1 / 255.0))), "logits", {"scale": 255.0}, "float32"),
    "plain bytes": (
        lambda: convert(lambda x: logits(tf().cast(x, "float32") / 255.0), dtype="uint8"),
        "logits",
        {"scale": 255.0},
        "float32",
    ),
}


@pytest.mark.parametrize("kind", NETWORKS)
def test_the_manifest_states_what_the_network_is(tmp_path: Path, images: Path, kind: str) -> None:
    content, output, pixels, quantization = NETWORKS[kind]
    assert bundle(tmp_path, content(), "--images", images) == 0
    (entry,) = manifest(tmp_path)["networks"]
    assert (entry["output"], entry["pixels"], entry["quantization"]) == (output, pixels, quantization)
    assert flight(["check", "--bundle", str(tmp_path / "out")]) == 0
    picture = cv2.imread(str(tmp_path / "out.png"))
    assert picture is not None
    assert picture.std() > 20.0
    card = (tmp_path / "out" / "card.md").read_text()
    assert f": {output}, 4 channels" in card
    assert ("which was assumed" in card) == (kind in ("softmax", "logits", "sigmoids"))


def test_the_bundle_gives_the_networks_own_probabilities(tmp_path: Path, images: Path) -> None:
    assert bundle(tmp_path, softmax_network(), "--images", images) == 0
    arguments = ["segment", "--bundle", str(tmp_path / "out"), "--centered", "--out", str(tmp_path / "maps")]
    assert flight([*arguments, str(images / "0.png")]) == 0
    own = softmax(logits(scene()[..., None] / np.float32(255))).transpose(2, 0, 1)
    np.testing.assert_allclose(np.load(tmp_path / "maps" / "0.npz")["mean_probability"], own, atol=2e-3)


def test_a_map_larger_than_the_network_is_answered_in_tiles(
    tmp_path: Path, images: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    size = ["--map", "96", "120", "--margin", "2", "--align", "4"]
    assert bundle(tmp_path, softmax_network(), "--images", images, *size) == 0
    assert "maps of 96 x 120 px, in 12 tiles" in capsys.readouterr().out
    tiles = {"height": HEIGHT, "width": WIDTH, "overlap": 8, "margin": 2, "align": 4}
    assert manifest(tmp_path)["input"] == {"height": 96, "width": 120, "channels": 1, "tiles": tiles}
    assert flight(["check", "--bundle", str(tmp_path / "out")]) == 0
    large = cv2.resize(scene(), (120, 96), interpolation=cv2.INTER_LINEAR)
    cv2.imwrite(str(tmp_path / "large.png"), large)
    arguments = ["segment", "--bundle", str(tmp_path / "out"), "--centered", "--out", str(tmp_path / "maps")]
    assert flight([*arguments, str(tmp_path / "large.png")]) == 0
    # The network looks at each pixel alone: the tiles give what the whole would.
    own = softmax(logits(large[..., None] / np.float32(255))).transpose(2, 0, 1)
    np.testing.assert_allclose(np.load(tmp_path / "maps" / "large.npz")["mean_probability"], own, atol=2e-3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--overlap", "8"], "--overlap: expected --map HEIGHT WIDTH with it, got none"),
        (["--map", "20", "48"], "--map: tiles.height: expected at most the map's 20 pixels, got 32"),
        (["--map", "64", "48", "--overlap", "40"], "--map: tiles.height: expected 41 or more, as overlap and align"),
    ],
)
def test_tiles_that_cannot_be_are_refused(
    tmp_path: Path, images: Path, capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    assert bundle(tmp_path, softmax_network(), "--images", images, *options) == 2
    assert message in capsys.readouterr().err


def test_the_bundle_is_served(tmp_path: Path, images: Path) -> None:
    assert bundle(tmp_path, softmax_network(), "--images", images) == 0
    with (
        running_service(tmp_path, tmp_path / "out") as service,
        service.subscriber("map.navigation") as products,
        service.camera(source="own") as camera,
    ):
        camera.send(scene(), centered=True)
        product = products.receive(20)
    assert product is not None
    own = logits(scene()[..., None] / np.float32(255)).argmax(-1)
    assert np.mean(product.planes["class_map"] == own) > 0.99


def test_a_bundle_is_replaced_by_the_next_and_nothing_else_is(tmp_path: Path, images: Path) -> None:
    assert bundle(tmp_path, softmax_network(), "--images", images) == 0
    assert bundle(tmp_path, logits_network(), "--images", images, "--name", "second") == 0
    assert load_bundle(tmp_path / "out").name == "second"
    assert bundle(tmp_path, logits_network(), "--images", images, "--out", images) == 2
    assert len(list(images.iterdir())) == 3


def wrong(**change: Any) -> dict[str, Any]:
    return {"content": softmax_network, "options": [], "classes": CLASSES} | change


REFUSED = {
    "stated otherwise": (wrong(options=["--output", "logits"]), "expected probabilities, got logits"),
    "a class too many": (
        wrong(classes=CLASSES + "more safe\n"),
        "--classes: expected 4 for 4 channels of probabilities",
    ),
    "no network": (wrong(content=lambda: b"not a network at all"), "net.tflite: expected a network"),
    "damaged": (wrong(content=lambda: softmax_network()[:400]), "net.tflite: "),
    "any size": (
        wrong(content=lambda: convert(logits, shape=(None, None, None, 1))),
        "--size: expected HEIGHT WIDTH, as the network takes images of any size",
    ),
    "another size": (wrong(options=["--size", 64, 64]), f"--size: expected {HEIGHT} {WIDTH}, as the network has it"),
    "several outputs": (
        wrong(content=lambda: convert(lambda x: {"a": logits(x), "b": 2.0 * logits(x)})),
        ", as there are several, got none",
    ),
    "no map": (
        wrong(content=lambda: convert(lambda x: tf().reduce_mean(logits(x), (1, 2)))),
        "output: expected one of",
    ),
    "channels first": (
        wrong(content=lambda: convert(lambda x: x * 2.0, shape=(1, 3, HEIGHT, WIDTH))),
        "channels come first: convert it to NHWC",
    ),
    "pixels of another range": (
        wrong(content=lambda: convert(lambda x: logits(x - 0.5, sharpness=0.001))),
        "maps: expected classes that depend on the image",
    ),
    "means of two channels": (wrong(options=["--mean", 1, 2]), "--mean: expected 1 item for 1 channels, got 2"),
    "a role that is none": (wrong(classes='[{"name": "a", "role": "nice"}]'), "role: expected background | safe"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_fit_is_refused_in_one_line(
    tmp_path: Path, images: Path, case: str, capsys: pytest.CaptureFixture[str]
) -> None:
    given, message = REFUSED[case]
    options = ["--images", images, *given["options"]]
    assert bundle(tmp_path, given["content"](), *options, classes=given["classes"]) == 2
    error = capsys.readouterr().err
    assert message in error.splitlines()[-1]
    assert not (tmp_path / "out").exists()


def test_a_size_is_given_to_a_network_of_any(tmp_path: Path, images: Path) -> None:
    content = convert(logits, shape=(None, None, None, 1))
    assert bundle(tmp_path, content, "--images", images, "--size", 40, 64) == 0
    assert manifest(tmp_path)["input"] == {"height": 40, "width": 64, "channels": 1}
    assert flight(["check", "--bundle", str(tmp_path / "out")]) == 0


CLASS_FILES = {
    "names": ("sky\nground\ncrater\n", ["background", "safe", "hazard"]),
    "with an index": ("0: sky\n1: smooth plain\n2: boulder field\n", ["background", "safe", "hazard"]),
    "commas and colours": ("sky,background,#0a0b0c\nthing,safe,1,2,3\n", ["background", "safe"]),
    "CVAT": ("# label:color_rgb:parts:actions\nbackground:0,0,0::\nrock:10,20,30::\n", ["background", "hazard"]),
    "JSON names": ('["sky", "unheard of"]', ["background", "hazard"]),
    "JSON by index": ('{"0": "sky", "1": "ground"}', ["background", "safe"]),
    "a manifest": (
        '{"classes": [{"name": "a", "role": "safe"}, {"name": "b", "color": [1, 2, 3]}]}',
        ["safe", "hazard"],
    ),
}


@pytest.mark.parametrize("kind", CLASS_FILES)
def test_classes_are_read_as_people_have_them(tmp_path: Path, kind: str) -> None:
    text, roles = CLASS_FILES[kind]
    (tmp_path / "classes").write_text(text)
    assert [one.role for one in read_classes(tmp_path / "classes")] == roles


def test_classes_out_of_order_are_refused(tmp_path: Path) -> None:
    (tmp_path / "classes").write_text("1 sky\n0 ground\n")
    with pytest.raises(ValueError, match=r"classes: line 1: expected class 0, got 1"):
        read_classes(tmp_path / "classes")


def test_a_hand_written_bundle_and_the_commands_agree(tmp_path: Path, images: Path) -> None:
    by_hand = load_bundle(write_other_bundle(tmp_path / "hand", softmax_network(), output="probabilities"))
    assert bundle(tmp_path, softmax_network(), "--images", images) == 0
    (mine,), (other,) = by_hand.networks, load_bundle(tmp_path / "out").networks
    assert (mine.image_input, mine.scores_output) == (other.image_input, other.scores_output)
    assert (mine.output, mine.pixels) == (other.output, other.pixels)


@pytest.mark.parametrize("name", RECIPES)
def test_networks_of_public_recipes_fly(tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Keras, TFLite and a SavedModel, small and trained for moments: it converts and trains three networks."""
    model = make_network(name, tmp_path, side=32, width=4, seconds=0.0, steps=60)
    arguments = bundle_arguments(name, model, 32)
    assert ground_tools(arguments) == 0, capsys.readouterr().err
    out = arguments[-1]
    assert flight(["check", "--bundle", out]) == 0
    loaded = load_bundle(Path(out))
    assert loaded.networks[0].output == RECIPES[name][4]
    image, truth = draw_scene(np.random.default_rng(77), 32, 32)
    cv2.imwrite(str(tmp_path / "frame.png"), image)
    segment = ["segment", "--bundle", out, "--centered", "--out", str(tmp_path / "maps"), str(tmp_path / "frame.png")]
    assert flight(segment) == 0
    class_map = np.load(tmp_path / "maps" / "frame.npz")["class_map"]
    assert np.mean((class_map > 0) == (truth > 0)) > 0.8
