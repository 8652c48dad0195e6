"""What a worker whose memory was upset may answer: nothing of it is published."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zmq

from flight.bundle import load_bundle
from flight.icd.frames import decode_frame, encode_frame
from flight.icd.products import decode_product, describe_plane
from flight.service.intake import PendingFrame
from flight.service.parameters import Parameters
from flight.service.publisher import Publisher, Work
from flight.service.statistics import Counters, Latencies
from flight.settings import default_parameters
from tests.tiny_bundle import body_frame

TOPICS = ("map.navigation",)


@pytest.fixture
def wire() -> Iterator[tuple[Publisher, Any]]:
    context = zmq.Context()
    sender, receiver = context.socket(zmq.PUB), context.socket(zmq.SUB)
    sender.bind("inproc://products")
    receiver.connect("inproc://products")
    receiver.setsockopt(zmq.SUBSCRIBE, b"")
    time.sleep(0.1)
    yield Publisher(sender), receiver
    sender.close()
    receiver.close()
    context.term()


def work(bundle: Path) -> Work:
    parts = encode_frame(body_frame(40, 60, 14), source="s", epoch=1, frame_id=2, capture_time_ns=3, centered=True)
    loaded = load_bundle(bundle)
    parameters = Parameters(**default_parameters(loaded))
    pending = PendingFrame(decode_frame(parts), parts[1], 4, time.monotonic())
    return Work(1, pending, loaded, parameters, 7, TOPICS, time.monotonic())


def answer() -> tuple[dict[str, Any], list[bytes]]:
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
        "topics": {"map.navigation": entries},
        "map_to_sensor": [1.0, 0.0, 0.0, 0.0, 1.0, 0.0],
        "passes_used": 4,
        "flags": [],
        "timing_ms": {"center": 1.0, "passes": 1.0, "fuse": 1.0},
    }
    return message, planes


def test_a_good_answer_is_published(wire: tuple[Publisher, Any], tiny_bundle: Path) -> None:
    publisher, receiver = wire
    message, planes = answer()
    publisher.maps(work(tiny_bundle), message, planes, [], Counters(), Latencies())
    product = decode_product(receiver.recv_multipart())
    assert product.status == "valid"
    assert product.header["frame_id"] == 2


@pytest.mark.parametrize(
    "upset",
    [
        lambda message, planes: message["topics"]["map.navigation"][0].update(shape=[32, 47]),
        lambda message, planes: message["topics"]["map.navigation"][0].update(name="class_nap"),
        lambda message, planes: message["topics"].update({"map.hazard": []}),
        lambda message, planes: message["topics"].clear(),
        lambda message, planes: message.pop("flags"),
        lambda message, planes: message.update(flags=["unheard_of"]),
        lambda message, planes: message.update(passes_used=-1),
        lambda message, planes: message.update(map_to_sensor=[1.0]),
        lambda message, planes: message["timing_ms"].update(passes="long"),
        lambda message, planes: planes.__setitem__(0, bytes([1]) + planes[0][1:]),
        lambda message, planes: planes.pop(),
    ],
)
def test_an_answer_that_breaks_the_contract_is_not_published(
    wire: tuple[Publisher, Any], tiny_bundle: Path, upset: Callable[[dict[str, Any], list[bytes]], None]
) -> None:
    publisher, receiver = wire
    message, planes = answer()
    upset(message, planes)
    counters = Counters()
    with pytest.raises((ValueError, KeyError, TypeError)):
        publisher.maps(work(tiny_bundle), message, planes, [], counters, Latencies())
    assert not receiver.poll(100)
    assert counters.frames_processed == 0
    assert sum(counters.products_published.values()) == 0
