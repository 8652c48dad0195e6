"""The engine: the same in, the same out; modes, deadlines, other missions' networks."""

from __future__ import annotations

import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flight.bundle import BundleError, load_bundle
from flight.icd.catalogue import TOPIC_PLANES
from flight.inference import network as network_module
from flight.inference.engine import Engine, Maps
from flight.inference.hazard import find_dark
from flight.inference.interpreter import make_interpreter
from flight.inference.network import Network, NetworkFaultError
from flight.inference.orientations import apply_orientation, undo_orientation
from flight.inference.planes import topic_planes
from flight.inference.self_test import run_self_test
from flight.settings import default_settings
from hil.sources.folder import open_source
from tests.tiny_bundle import body_frame

FRAME = body_frame(60, 80, 25)


@pytest.fixture(scope="module")
def engine(tiny_bundle: Path) -> Engine:
    return Engine(load_bundle(tiny_bundle))


def segment(by: Engine, seed: int = 1, frame: np.ndarray = FRAME, **changes: object) -> Maps:
    settings = replace(default_settings(by.bundle), **changes)
    return by.segment(frame, bit_depth=8, centered=True, seed=seed, settings=settings)


def same(one: Maps, other: Maps) -> bool:
    return all(
        getattr(one, name).tobytes() == getattr(other, name).tobytes()
        for name in ("mean_probability", "predictive_entropy", "mutual_information", "enhanced_class_map")
    )


def test_the_same_seed_gives_the_same_bits(engine: Engine, tiny_bundle: Path) -> None:
    first = segment(engine)
    assert same(first, segment(engine))
    assert same(first, segment(Engine(load_bundle(tiny_bundle), threads=1)))
    assert not same(first, segment(engine, seed=2))


def test_shapes_and_types(engine: Engine) -> None:
    maps = segment(engine)
    assert maps.mean_probability.shape == (4, 32, 48)
    assert maps.class_map.shape == maps.enhanced_class_map.shape == (32, 48)
    assert maps.class_map.dtype == np.uint8
    assert maps.class_map[:, 4:-4].max() < 4  # what the frame covers
    assert maps.enhanced_class_map.max() <= 4
    assert maps.passes_used == 4


def test_a_frame_that_one_network_refuses_does_not_spoil_the_next(
    tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other network's pass still runs when the refusal is known, and its end is waited for."""
    engine = Engine(load_bundle(tiny_bundle))
    expected = segment(engine)
    run, ended = Network.run, []

    def refuse_or_be_slow(network: Network, number: int) -> np.ndarray:
        if network.name == "First":
            raise RuntimeError("refused")
        time.sleep(0.3)
        scores = run(network, number)
        ended.append(number)
        return scores

    monkeypatch.setattr(Network, "run", refuse_or_be_slow)
    with pytest.raises(RuntimeError, match="refused"):
        segment(engine, seed=2, frame=255 - FRAME)
    assert ended == [0]
    monkeypatch.setattr(Network, "run", run)
    assert same(segment(engine), expected)


def test_dropout_passes_differ(engine: Engine) -> None:
    assert segment(engine).mutual_information.max() > 1e-3


def test_modes_are_what_they_say(engine: Engine) -> None:
    fused, first, second = (segment(engine, mode=mode) for mode in engine.bundle.modes)
    assert not same(first, second)
    assert not same(fused, first)
    with pytest.raises(ValueError, match=r"mode: expected Fused \| First \| Second, got Other"):
        segment(engine, mode="Other")


def test_gamma_changes_only_what_is_mixed(engine: Engine) -> None:
    assert not same(segment(engine, gamma=1.0), segment(engine, gamma=10.0))
    assert same(segment(engine, mode="First", gamma=1.0), segment(engine, mode="First", gamma=10.0))


def test_a_network_without_dropout_runs_once(plain_bundle: Path) -> None:
    maps = segment(Engine(load_bundle(plain_bundle)), passes=9)
    assert maps.passes_used == 1
    assert maps.flags == ("single_pass",)
    assert maps.mutual_information.max() == pytest.approx(0.0, abs=1e-5)


@given(st.integers(1, 6), st.integers(1, 6), st.integers(1, 3), st.integers(0, 7))
def test_turning_an_image_is_undone_on_its_planes(height: int, width: int, depth: int, orientation: int) -> None:
    image = np.arange(height * width * depth, dtype=np.float32).reshape(height, width, depth)
    copy = apply_orientation(image, orientation)
    assert copy.shape[:2] == ((height, width) if orientation < 4 else (width, height))
    np.testing.assert_array_equal(undo_orientation(copy.transpose(2, 0, 1), orientation), image.transpose(2, 0, 1))


def test_the_orientations_are_the_eight_of_a_square() -> None:
    image = np.arange(9, dtype=np.float32).reshape(3, 3, 1)
    copies = [apply_orientation(image, orientation)[..., 0] for orientation in range(8)]
    known = [np.rot90(mirrored, quarters) for mirrored in (image[..., 0], image[::-1, :, 0]) for quarters in range(4)]
    assert {copy.tobytes() for copy in copies} == {copy.tobytes() for copy in known}
    np.testing.assert_array_equal(copies[0], image[..., 0])


def test_passes_go_through_the_orientations_and_their_scores_are_turned_back(plain_bundle: Path) -> None:
    bundle = load_bundle(plain_bundle)
    network = Network(bundle.networks[0], 0, (32, 48, 3), 4, 1, orientations=4)
    image = np.random.default_rng(1).random((32, 48, 3), dtype=np.float32)
    expected = []
    for orientation in range(4):
        network.begin(apply_orientation(image, orientation), 1, 1)
        expected.append(undo_orientation(network.run(0), orientation))
    network.begin(image, 1, 6)
    scores = [network.run(number) for number in range(6)]
    np.testing.assert_array_equal(network.run_without_dropout(), scores[0])
    for number, of_pass in enumerate(scores):
        np.testing.assert_array_equal(of_pass, expected[number % 4])
    assert all(np.abs(one - other).max() > 1e-3 for one, other in pairwise(expected))


def test_a_bundle_states_its_orientations(tiny_bundle: Path) -> None:
    bundle = load_bundle(tiny_bundle)
    assert bundle.orientations == 1
    plain, with_four = (Engine(replace(bundle, orientations=count)) for count in (1, 4))
    assert same(segment(plain, passes=1), segment(with_four, passes=1))
    assert not same(segment(plain, passes=2), segment(with_four, passes=2))


def test_a_deadline_stops_the_passes_but_not_below_the_minimum(engine: Engine) -> None:
    settings = replace(default_settings(engine.bundle), passes=50, deadline_ms=1, minimum_passes=7)
    late = time.monotonic() - 1.0
    maps = engine.segment(FRAME, bit_depth=8, centered=True, seed=1, settings=settings, started=late)
    assert maps.passes_used == 7
    assert maps.flags == ("deadline",)
    in_time = replace(settings, deadline_ms=60_000)
    maps = engine.segment(FRAME, bit_depth=8, centered=True, seed=1, settings=in_time, started=time.monotonic())
    assert maps.passes_used == 50
    assert maps.flags == ()


def test_a_slow_pass_does_not_spoil_the_deadline_for_ever(engine: Engine) -> None:
    settings = replace(default_settings(engine.bundle), passes=6, deadline_ms=5000)
    engine._pass_seconds = 60.0  # a hiccup of the machine
    used = [
        engine.segment(
            FRAME, bit_depth=8, centered=True, seed=1, settings=settings, started=time.monotonic()
        ).passes_used
        for _ in range(2)
    ]
    assert used[-1] == 6


def test_what_the_camera_did_not_see_is_said_in_every_plane(engine: Engine) -> None:
    maps = segment(engine, frame=np.full((100, 20), 90, dtype=np.uint8))
    outside = maps.class_map == 4
    assert outside[:, :10].all()
    assert outside[:, -10:].all()
    assert not outside[:, 24].any()
    assert (maps.enhanced_class_map[outside] == 4).all()
    assert maps.mean_probability[:, outside] == pytest.approx(0.25)
    assert maps.predictive_entropy[outside] == pytest.approx(np.log(4))
    assert (maps.mutual_information[outside] == 0).all()
    settings = default_settings(engine.bundle)
    planes = {n: p for n, p, _ in topic_planes(maps, engine.bundle.classes, "map.hazard", settings)}
    assert (planes["clearance"][outside] == 0).all()
    assert planes["hazard_probability"][outside] == pytest.approx(0.75)
    # What was not seen does not make what was seen look any surer.
    narrow = segment(engine, frame=np.full((100, 20), 90, dtype=np.uint8), uncertainty_threshold=1.0)
    assert ((narrow.enhanced_class_map == 4) == outside).all()
    seen = maps.predictive_entropy[~outside]
    scaled = (maps.predictive_entropy - seen.min()) / (seen.max() - seen.min())
    threshold = np.float32(engine.bundle.uncertainty_threshold)
    assert np.array_equal(maps.enhanced_class_map == 4, outside | (scaled > threshold))
    assert (maps.enhanced_class_map == 4).sum() > outside.sum()


def test_planes_that_are_sent_hold_finite_numbers_only(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a network says: NaN, infinities of both signs, numbers beyond float32."""
    random = np.random.default_rng(1)
    kinds = np.array([np.nan, np.inf, -np.inf, 3e38, -3e38], dtype=np.float32)
    plain = network_module.dequantize

    def spoilt(values: np.ndarray, detail: dict[str, Any]) -> np.ndarray:
        scores = plain(values, detail)
        spots = random.random(scores.shape) < 0.05
        scores[spots] = random.choice(kinds, int(spots.sum()))
        return scores

    monkeypatch.setattr(network_module, "dequantize", spoilt)
    maps = segment(engine)
    assert (maps.enhanced_class_map == 4).any()
    for topic in TOPIC_PLANES:
        for name, plane, _ in topic_planes(maps, engine.bundle.classes, topic, default_settings(engine.bundle)):
            assert np.isfinite(plane).all(), f"{topic} {name}"


class SpoiltInterpreter:
    """A network's interpreter, of whose scores those of some pixels are replaced."""

    def __init__(self, interpreter: Any, pixels: list[tuple[int, int]], value: float) -> None:
        self._interpreter, self._pixels, self._value = interpreter, pixels, value

    def __getattr__(self, name: str) -> Any:
        return getattr(self._interpreter, name)

    def get_tensor(self, index: int) -> np.ndarray:
        scores: np.ndarray = self._interpreter.get_tensor(index)
        for row, column in self._pixels:
            scores[0, row, column, 1] = self._value
        return scores


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("number", [0, 1], ids=["First", "Second"])
def test_a_pixel_without_finite_scores_is_uncertain_and_no_other_changes(
    tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch, value: float, number: int
) -> None:
    spoilt = Engine(load_bundle(tiny_bundle))
    before = segment(spoilt)
    network = spoilt._networks[number]
    monkeypatch.setattr(network, "_interpreter", SpoiltInterpreter(network._interpreter, [(16, 24)], value))
    after = segment(spoilt)
    elsewhere = np.ones((32, 48), dtype=bool)
    elsewhere[16, 24] = False
    assert after.enhanced_class_map[16, 24] == 4
    for name in ("mean_probability", "predictive_entropy", "mutual_information", "class_map"):
        assert np.array_equal(getattr(before, name)[..., elsewhere], getattr(after, name)[..., elsewhere]), name
    assert np.array_equal(before.enhanced_class_map[elsewhere], after.enhanced_class_map[elsewhere])


def test_scores_of_int8_that_are_not_finite_are_a_fault_of_the_network(shipped_bundle: Path) -> None:
    engine = Engine(load_bundle(shipped_bundle))
    network = engine._networks[0]
    network._scores = {**network._scores, "quantization": (float("nan"), 0)}
    with pytest.raises(NetworkFaultError, match=f"network {network.name}: expected finite scores, got NaN or infinity"):
        segment(engine, frame=body_frame(128, 128, 40), passes=1, engine="passes")


@pytest.mark.parametrize("output", ["_scores", "_covariance"])
def test_values_of_the_closed_form_that_are_not_finite_are_a_fault_of_the_network(
    closed_form_bundle: Path, output: str
) -> None:
    engine = Engine(load_bundle(closed_form_bundle))
    part = engine._closed_forms["First"]
    setattr(part, output, {**getattr(part, output), "dtype": np.int8, "quantization": (float("nan"), 0)})
    with pytest.raises(NetworkFaultError, match="network First: expected finite scores, got NaN or infinity"):
        segment(engine, passes=1)


@pytest.mark.parametrize("scale", [0.0, -1.0, float("nan"), float("inf"), 3e38])
def test_a_network_whose_scale_is_no_scale_is_refused(
    shipped_bundle: Path, monkeypatch: pytest.MonkeyPatch, scale: float
) -> None:
    bundle = load_bundle(shipped_bundle)

    def with_scale(content: bytes, threads: int, *shapes: Any) -> Any:
        interpreter = make_interpreter(content, threads, *shapes)
        details = [{**detail, "quantization": (scale, 0)} for detail in interpreter.get_output_details()]
        monkeypatch.setattr(interpreter, "get_output_details", lambda: details)
        return interpreter

    monkeypatch.setattr(network_module, "make_interpreter", with_scale)
    with pytest.raises(BundleError, match=r"quantization: expected a scale in \(0, 1e\+30\]"):
        Engine(bundle).load_whole_passes()


def test_every_topic_has_its_planes(engine: Engine) -> None:
    maps, settings = segment(engine), default_settings(engine.bundle)
    names = {
        topic: [name for name, _, _ in topic_planes(maps, engine.bundle.classes, topic, settings)]
        for topic in ("map.navigation", "map.hazard", "map.full")
    }
    assert names["map.navigation"] == ["class_map", "enhanced_class_map", "predictive_entropy"]
    assert names["map.hazard"] == ["hazard_probability", "predictive_entropy", "enhanced_class_map", "clearance"]
    assert names["map.full"][0] == "mean_probability"
    with pytest.raises(ValueError, match=r"no product map\.other"):
        topic_planes(maps, engine.bundle.classes, "map.other", settings)


def test_the_self_test_passes_and_notices_a_wrong_answer(engine: Engine) -> None:
    assert run_self_test(engine).agreement == 1.0
    bundle = engine.bundle
    image = bundle.self_test.image
    engine.bundle = replace(bundle, self_test=replace(bundle.self_test, minimum_agreement=1.0, class_map=image))
    try:
        with pytest.raises(BundleError, match=r"self-test: expected at least 1\.000 of the pixels as recorded"):
            run_self_test(engine)
    finally:
        engine.bundle = bundle


@pytest.mark.slow
def test_the_shipped_bundle_sees_the_shipped_flyby(shipped_bundle: Path) -> None:
    """Surface on the body, background off it, against the rendered truth."""
    import cv2

    engine = Engine(load_bundle(shipped_bundle))
    source = open_source("flyby")
    index = 28
    frame = source.frame(index)
    truth = cv2.imread(str(source.files[index].parents[1] / "masks" / source.files[index].name), cv2.IMREAD_UNCHANGED)
    maps = segment(engine, frame=frame, passes=3)
    lit = (truth > 0) & (frame > 60)
    assert (maps.class_map[lit] != 0).mean() > 0.95
    assert (maps.class_map[truth == 0] == 0).mean() > 0.9
    assert maps.map_to_sensor == (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


def test_ground_in_the_dark_is_not_safe_to_land_on(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of networks that call everything safe ground."""
    safe, uncertain = 1, len(engine.bundle.classes)

    def call_all_safe(_network: Network, _number: int) -> np.ndarray:
        scores = np.zeros((uncertain, engine.bundle.height, engine.bundle.width), dtype=np.float32)
        scores[safe] = 5.0
        return scores

    monkeypatch.setattr(Network, "run", call_all_safe)
    frame = np.full((engine.bundle.height, engine.bundle.width), 250, dtype=np.uint8)
    frame[:, :20] = 20
    maps = segment(engine, frame=frame)
    assert (maps.class_map == safe).all()
    assert (maps.enhanced_class_map[:, :17] == uncertain).all()
    assert (maps.enhanced_class_map[:, 23:] == safe).all()


def test_the_dark_is_what_is_far_below_the_brightest() -> None:
    view = np.full((64, 64), 0.8, dtype=np.float32)
    view[:, :20] = 0.1
    dark = find_dark(view)
    assert dark[:, :16].all()
    assert not dark[:, 24:].any()
    assert not find_dark(np.linspace(0.4, 0.6, 64 * 64, dtype=np.float32).reshape(64, 64)).any()
