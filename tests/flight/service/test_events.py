"""The sink for events: what a wrong argument does, what waits, what is held back."""

from __future__ import annotations

import pytest
import zmq

from flight.icd.catalogue import EVENTS
from flight.icd.control import decode_message
from flight.schema import SchemaError
from flight.service.events import EventSink
from flight.service.statistics import Counters


def test_an_event_with_a_wrong_argument_is_an_error_of_the_caller() -> None:
    with pytest.raises(SchemaError, match=r"worker_ready\.pid: expected integer, got '41'"):
        EventSink(Counters()).send("worker_ready", pid="41")


def test_events_wait_until_there_is_a_socket_and_are_limited() -> None:
    counters = Counters()
    sink = EventSink(counters)
    sink.send("counters_reset")
    limit = EVENTS["frame_rejected"].throttle_per_minute
    with zmq.Context() as context, context.socket(zmq.PUB) as telemetry, context.socket(zmq.SUB) as subscriber:
        telemetry.bind("inproc://telemetry")
        subscriber.subscribe(b"")
        subscriber.connect("inproc://telemetry")
        assert subscriber.poll(50) == 0
        sink.open(telemetry)
        sink.send_waiting()
        for number in range(limit + 3):
            sink.send("frame_rejected", reason="crc_mismatch", problem=f"frame {number}")
        received = []
        while subscriber.poll(200):
            topic, data = subscriber.recv_multipart()
            assert topic == b"event"
            received.append(decode_message("event", data))
    assert received[0]["name"] == "counters_reset"
    assert [event["message"] for event in received[1:]] == [f"frame {number}" for number in range(limit)]
    assert counters.events_suppressed == 3
