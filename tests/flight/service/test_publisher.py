"""What a worker whose memory was upset may answer: nothing of it is published."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zmq
from hypothesis import given, settings
from hypothesis import strategies as st

from flight.bundle import load_bundle
from flight.icd.catalogue import PLANES
from flight.icd.frame_message import check_frame
from flight.icd.frames import encode_frame
from flight.icd.packing import pack_map
from flight.icd.product_message import ProductMessage
from flight.icd.products import ProductError, decode_product, describe_plane
from flight.inference.centering import center
from flight.service.answer_check import check_maps
from flight.service.intake import PendingFrame
from flight.service.parameters import Parameters
from flight.service.protocol import MapsAnswer, ProtocolError, encode, parse_answer
from flight.service.publisher import OpenJob, Publisher
from flight.service.statistics import Counters, Latencies
from flight.settings import default_parameters
from tests.tiny_bundle import body_frame

TOPICS = ("map.navigation",)


@dataclass
class Wire:
    """A publisher, what it counts, and a subscriber to it."""

    publisher: Publisher
    counters: Counters
    subscriber: Any


@pytest.fixture
def wire() -> Iterator[Wire]:
    context = zmq.Context()
    sender, receiver = context.socket(zmq.PUB), context.socket(zmq.SUB)
    sender.bind("inproc://products")
    receiver.connect("inproc://products")
    receiver.setsockopt(zmq.SUBSCRIBE, b"")
    time.sleep(0.1)
    counters = Counters()
    yield Wire(Publisher(sender, counters, Latencies()), counters, receiver)
    sender.close()
    receiver.close()
    context.term()


def job(bundle: Path) -> OpenJob:
    parts = encode_frame(body_frame(40, 60, 14), source="s", epoch=1, frame_id=2, capture_time_ns=3, centered=True)
    loaded = load_bundle(bundle)
    parameters = Parameters(**default_parameters(loaded))
    pending = PendingFrame(check_frame(parts), parts[1], 4, time.monotonic())
    return OpenJob(pending, loaded, parameters, 7, TOPICS, time.monotonic())


def with_value(message: dict[str, Any], planes: list[bytes], index: int, value: float) -> None:
    """Put a value into one pixel of a plane, with the right checksum."""
    entry = message["topics"]["map.navigation"][index]
    dtype: Any = np.uint8 if entry["dtype"] == "u8" else np.float16
    plane: Any = np.frombuffer(planes[index], dtype=dtype).reshape(entry["shape"]).copy()
    plane[3, 4] = value
    changed, planes[index] = describe_plane(entry["name"], plane, entry["units"])
    entry.update(changed)


def answer() -> tuple[dict[str, Any], list[bytes]]:
    """A good answer's map, and its planes."""
    entries, planes = [], []
    for name, dtype, units in (
        ("class_map", np.uint8, "class"),
        ("enhanced_class_map", np.uint8, "class"),
        ("predictive_entropy", np.float16, "nat"),
    ):
        entry, raw = describe_plane(name, np.zeros((32, 48), dtype=dtype), units)
        entries.append(entry)
        planes.append(raw)
    message = {
        "type": "maps",
        "job": 1,
        "topics": {"map.navigation": entries},
        "map_to_sensor": [1.0, 0.0, 0.0, 0.0, 1.0, 0.0],
        "passes_used": 4,
        "engine": "passes",
        "flags": [],
        "timing_ms": {"center": 1.0, "passes": 1.0, "fuse": 1.0},
    }
    return message, planes


def parsed(message: dict[str, Any], planes: list[bytes]) -> MapsAnswer:
    result = parse_answer([pack_map(message), *planes])
    assert isinstance(result, MapsAnswer)
    return result


def test_a_good_answer_is_published(wire: Wire, tiny_bundle: Path) -> None:
    maps = parsed(*answer())
    assert parse_answer(encode(maps)) == maps
    wire.publisher.publish_maps(job(tiny_bundle), maps, [])
    product = decode_product(wire.subscriber.recv_multipart())
    assert product.status == "valid"
    assert product.header["frame_id"] == 2
    assert wire.counters.frames_processed == wire.counters.products_published["map.navigation"] == 1


@pytest.mark.parametrize(
    "upset",
    [
        lambda message, planes: message["topics"]["map.navigation"][0].update(shape=[32, 47]),
        lambda message, planes: message["topics"]["map.navigation"][0].update(name="class_nap"),
        lambda message, planes: message["topics"]["map.navigation"][0].pop("crc32"),
        lambda message, planes: message["topics"].update({"map.hazard": []}),
        lambda message, planes: message["topics"].update({"map.nothing": []}),
        lambda message, planes: message["topics"].clear(),
        lambda message, planes: message.pop("flags"),
        lambda message, planes: message.update(flags=["unheard_of"]),
        lambda message, planes: message.update(flags=["safe_state"]),
        lambda message, planes: message.update(passes_used=-1),
        lambda message, planes: message.update(passes_used=2.0),
        lambda message, planes: message.update(map_to_sensor=[1.0]),
        lambda message, planes: message.update(map_to_sensor=[float("nan")] * 6),
        lambda message, planes: message["timing_ms"].update(passes="long"),
        lambda message, planes: message.update(more=1),
        lambda message, planes: message.update(type=["maps"]),
        lambda message, planes: planes.__setitem__(0, bytes([1]) + planes[0][1:]),
        lambda message, planes: planes.pop(),
        lambda message, planes: planes.append(b"one more"),
    ],
)
def test_an_answer_that_breaks_the_contract_is_not_published(
    wire: Wire, tiny_bundle: Path, upset: Callable[[dict[str, Any], list[bytes]], None]
) -> None:
    message, planes = answer()
    upset(message, planes)
    with pytest.raises((ProtocolError, ProductError)):
        wire.publisher.publish_maps(job(tiny_bundle), parsed(message, planes), [])
    assert not wire.subscriber.poll(100)
    assert wire.counters == Counters()


@pytest.mark.parametrize(
    ("upset", "message"),
    [
        (lambda m, p: with_value(m, p, 0, 5), r"plane class_map: expected values 0\.\.4, got 0\.\.5"),
        (lambda m, p: with_value(m, p, 1, 5), r"plane enhanced_class_map: expected values 0\.\.4, got 0\.\.5"),
        (lambda m, p: with_value(m, p, 2, 1.5), r"plane predictive_entropy: expected values 0\.\.1\.386"),
        (lambda m, p: with_value(m, p, 2, -0.25), r"plane predictive_entropy: .* got -0\.25\.\.0"),
        (lambda m, p: with_value(m, p, 2, np.inf), r"plane predictive_entropy: .* got 0\.\.inf"),
        (lambda m, p: m.update(map_to_sensor=[1.0, 0.0, 40.0, 0.0, 1.0, 0.0]), r"middle within 60 x 40 pixels"),
        (lambda m, p: m.update(map_to_sensor=[1.0, 0.0, 0.0, 0.0, 1.0, -17.0]), r"middle within 60 x 40 pixels"),
        (lambda m, p: m.update(map_to_sensor=[1.0, 0.1, 0.0, 0.0, 1.0, 0.0]), "expected a scale and a shift"),
        (lambda m, p: m.update(map_to_sensor=[-1.0, 0.0, 47.0, 0.0, 1.0, 0.0]), "expected a scale and a shift"),
    ],
)
def test_senseless_values_are_not_published(
    wire: Wire, tiny_bundle: Path, upset: Callable[[dict[str, Any], list[bytes]], None], message: str
) -> None:
    maps, planes = answer()
    upset(maps, planes)
    with pytest.raises(ProductError, match=message):
        wire.publisher.publish_maps(job(tiny_bundle), parsed(maps, planes), [])
    assert not wire.subscriber.poll(100)
    assert wire.counters == Counters()


@pytest.mark.parametrize("name", PLANES)
def test_every_plane_of_the_catalogue_has_a_largest_value(name: str) -> None:
    plane = PLANES[name]
    largest = plane.largest_value(4, 32, 48)
    shape = (32, 48) if plane.dimensions == 2 else (4, 32, 48)
    values = np.zeros(shape, np.uint8 if plane.dtype == "u8" else np.float16)
    header = {"classes": [{}] * 4, "map_to_sensor": [1.0, 0.0, 0.0, 0.0, 1.0, 0.0]}

    def check_with(value: float) -> None:
        values.flat[7] = value
        entry, raw = describe_plane(name, values, plane.units)
        check_maps(ProductMessage({**header, "planes": [entry]}, (raw,)), {"height": 32, "width": 48})

    check_with(largest)
    with pytest.raises(ProductError, match=f"plane {name}: expected values 0\\.\\."):
        check_with(largest + 1)


@settings(max_examples=300)
@given(bits=st.integers(0, 2**16 - 1), others=st.floats(0.0, 1.0, width=16), place=st.integers(0, 63))
def test_values_of_any_bits_are_judged_as_numbers(bits: int, others: float, place: int) -> None:
    """hazard_probability is 0..1 as its plane says; what is no number is the consumers'."""
    values = np.full((8, 8), others, dtype=np.float16)
    values.view(np.uint16).flat[place] = bits
    value = float(values.flat[place])
    entry, raw = describe_plane("hazard_probability", values, "")
    header = {"classes": [{}] * 4, "map_to_sensor": [1.0, 0.0, 0.0, 0.0, 1.0, 0.0], "planes": [entry]}
    message = ProductMessage(header, (raw,))
    if value < 0.0 or value > 1.0 + 2.0**-10:
        with pytest.raises(ProductError, match="plane hazard_probability: expected values 0"):
            check_maps(message, {"height": 8, "width": 8})
    else:
        check_maps(message, {"height": 8, "width": 8})


@pytest.mark.parametrize(("index", "value"), [(0, 3), (1, 4), (2, 1.3867), (2, -0.0), (2, np.nan)])
def test_values_at_their_limits_are_published(wire: Wire, tiny_bundle: Path, index: int, value: float) -> None:
    maps, planes = answer()
    with_value(maps, planes, index, value)
    wire.publisher.publish_maps(job(tiny_bundle), parsed(maps, planes), [])
    assert decode_product(wire.subscriber.recv_multipart()).status == "valid"


@settings(max_examples=200)
@given(
    size=st.tuples(st.integers(16, 300), st.integers(16, 300)),
    where=st.tuples(st.floats(-0.2, 1.2), st.floats(-0.2, 1.2)),
    radius=st.floats(1.0, 120.0),
    locate=st.booleans(),
)
def test_every_affine_that_centering_makes_is_let_through(
    size: tuple[int, int], where: tuple[float, float], radius: float, locate: bool
) -> None:
    rows, columns = size
    v, u = np.mgrid[:rows, :columns]
    inside = (u - where[0] * columns) ** 2 + (v - where[1] * rows) ** 2 <= radius**2
    frame = np.where(inside, 180, 5).astype(np.uint8)
    affine = center(frame, 8, 32, 48, 1, locate).map_to_sensor
    entry, raw = describe_plane("class_map", np.zeros((32, 48), dtype=np.uint8), "")
    header = {"classes": [{}] * 4, "map_to_sensor": list(affine), "planes": [entry]}
    check_maps(ProductMessage(header, (raw,)), {"height": rows, "width": columns})


def test_that_there_is_no_map_is_said_on_every_topic_that_was_wanted(wire: Wire, tiny_bundle: Path) -> None:
    topics = ("map.navigation", "map.hazard", "map.full")
    wire.publisher.publish_invalid(replace(job(tiny_bundle), topics=topics), "worker_failed")
    products = [decode_product(wire.subscriber.recv_multipart()) for _ in topics]
    assert tuple(product.topic for product in products) == topics
    assert all(product.status == "invalid" and product.header["flags"] == ["worker_failed"] for product in products)
    assert not wire.subscriber.poll(100)
