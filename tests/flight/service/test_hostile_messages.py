"""The service's sockets under messages made to end it: each is refused, and the next frame and command are answered."""

from __future__ import annotations

from pathlib import Path

import zmq

from tests.flight.icd.test_hostile_messages import VALUES, with_value
from tests.flight.service_process import running_service
from tests.tiny_bundle import body_frame


def test_no_message_ends_the_service_or_costs_more_than_itself(tiny_bundle: Path, tmp_path: Path) -> None:
    frames = [
        [with_value("frame", key, value), bytes(256)] for value in VALUES.values() for key in ("schema", "source", "x")
    ]
    frames += [[b""], [b"", b""], [b"x"] * 500, [b"\x81\xa6schema\x01", b""]]
    commands = [with_value("command", key, value) for value in VALUES.values() for key in ("name", "arguments", "id")]
    limits = f"[limits]\nframes_per_second = {10 * len(frames)}\ncommands_per_second = {10 * len(commands)}\n"
    with (
        running_service(tmp_path, tiny_bundle, limits) as service,
        service.subscriber("map.navigation") as products,
        service.camera() as camera,
        zmq.Context() as context,
        context.socket(zmq.PUSH) as false_camera,
        context.socket(zmq.DEALER) as false_commander,
    ):
        for socket, name in ((false_camera, "frames"), (false_commander, "commands")):
            socket.linger = 0
            socket.connect(service.endpoints[name])
        for parts in frames:
            false_camera.send_multipart(parts)
        for number, data in enumerate(commands):
            false_commander.send_multipart([b"", data])
            assert false_commander.poll(30_000), f"command {number} was not answered"
            assert b"malformed" in false_commander.recv_multipart()[-1]
        status = service.wait_for(lambda status: status["counters"]["frames_received"] >= len(frames), 20)
        assert sum(status["counters"]["frames_rejected"].values()) == len(frames)
        assert status["state"] == "ready"
        assert status["counters"]["worker_restarts"] == 0
        camera.send(body_frame(40, 60, 12, seed=1))
        product = products.receive(20)
        assert product is not None
        assert product.status != "invalid"
