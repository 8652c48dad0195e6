"""What a worker whose memory was upset may answer: nothing of it is published."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zmq

from flight.bundle import load_bundle
from flight.icd.frames import decode_frame, encode_frame
from flight.icd.packing import pack_map
from flight.icd.products import ProductError, decode_product, describe_plane
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
    pending = PendingFrame(decode_frame(parts), parts[1], 4, time.monotonic())
    return OpenJob(pending, loaded, parameters, 7, TOPICS, time.monotonic())


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
