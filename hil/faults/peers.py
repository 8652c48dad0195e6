"""Faults of the service's other clients: cameras and commanders gone mad."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from contextlib import suppress

import zmq

from flight.client import Commander, CommandFailed
from flight.icd.control import encode_message
from flight.icd.frames import encode_frame
from hil.faults.scene import FaultFailed, Scene
from hil.scenarios.fault_tables import (
    CommanderBabbles,
    CommanderFloods,
    CommanderWithWrongKey,
    SecondCameraBabbles,
    SecondCameraFloods,
)

_SECOND_CAMERA = "hil-second-camera"
_LONGEST_RANDOM = 2000
_PAUSE_S = 0.002
_WRONG_KEY_TIMEOUT_S = 2.0


def flood_frames(fault: SecondCameraFloods, scene: Scene) -> str:
    """See SecondCameraFloods."""
    frame = scene.picture()

    def make(number: int) -> list[bytes]:
        return encode_frame(
            frame.pixels,
            source=_SECOND_CAMERA,
            epoch=1,
            frame_id=number,
            capture_time_ns=time.time_ns(),
            centered=False,
            bit_depth=frame.bit_depth,
        )

    return _send(scene, "frames", zmq.PUSH, fault.rate_hz, fault.at_s + fault.for_s, make)


def babble_frames(fault: SecondCameraBabbles, scene: Scene) -> str:
    """See SecondCameraBabbles."""
    frame, generator = scene.picture(), random.Random(scene.seed)

    def make(number: int) -> list[bytes]:
        header, pixels = encode_frame(
            frame.pixels,
            source=_SECOND_CAMERA,
            epoch=2,
            frame_id=7,  # the first is a frame, all others repeat it
            capture_time_ns=time.time_ns(),
            centered=False,
            bit_depth=frame.bit_depth,
        )
        size = generator.randrange(1, _LONGEST_RANDOM)
        kinds: list[list[bytes]] = [
            [header, pixels],
            [header, pixels[: len(pixels) // 2]],
            [header, pixels, pixels[:16]],
            [header[: len(header) // 2], pixels],
            [generator.randbytes(size), generator.randbytes(size)],
            [generator.randbytes(size)],
        ]
        return kinds[number % len(kinds)]

    return _send(scene, "frames", zmq.PUSH, fault.rate_hz, fault.at_s + fault.for_s, make)


def flood_commands(fault: CommanderFloods, scene: Scene) -> str:
    """See CommanderFloods."""

    def make(number: int) -> list[bytes]:
        return [b"", encode_message("command", {"id": number + 1, "name": "get_status", "arguments": {}})]

    return _send(scene, "commands", zmq.DEALER, fault.rate_hz, fault.at_s + fault.for_s, make)


def babble_commands(fault: CommanderBabbles, scene: Scene) -> str:
    """See CommanderBabbles."""
    generator = random.Random(scene.seed)

    def make(number: int) -> list[bytes]:
        def command(called: str, /, **arguments: object) -> list[bytes]:
            return [b"", encode_message("command", {"id": number + 1, "name": called, "arguments": arguments})]

        kinds = (
            lambda: [b"", generator.randbytes(generator.randrange(1, _LONGEST_RANDOM))],
            lambda: command("open_the_pod_bay_doors"),
            lambda: command("set_parameter", name="passes", value=-1),
            lambda: command("set_parameter", name="passes", value="many"),
            lambda: command("no_op", surplus=number),
            lambda: command("load_bundle", path="../../etc"),
            lambda: [generator.randbytes(8) for _ in range(5)],
        )
        return kinds[number % len(kinds)]()

    return _send(scene, "commands", zmq.DEALER, fault.rate_hz, fault.at_s + fault.for_s, make)


def try_wrong_key(fault: CommanderWithWrongKey, scene: Scene) -> str:
    """See CommanderWithWrongKey."""
    attempts = 0
    keys = scene.local.folder / "stranger_keys"
    while attempts == 0 or (scene.clock.now() < fault.at_s + fault.for_s and not scene.ending.is_set()):
        attempts += 1
        with Commander(scene.target.endpoints["commands"], _WRONG_KEY_TIMEOUT_S, keys) as commander:
            try:
                commander.send("no_op")
            except TimeoutError:
                continue
            except CommandFailed as error:
                raise FaultFailed(f"a command under a wrong key was answered: {error}") from error
            raise FaultFailed("a command under a wrong key was carried out")
    return f"turned away {attempts} times"


def _send(
    scene: Scene, socket: str, kind: int, rate_hz: float, until_s: float, make: Callable[[int], list[bytes]]
) -> str:
    """Send messages at a rate until a scenario time, and read what comes back; says how many the socket took."""
    sent = number = 0
    with zmq.Context() as context, scene.target.open_raw(context, kind, socket) as raw:
        began = time.monotonic()
        while scene.clock.now() < until_s and not scene.ending.is_set():
            due = int((time.monotonic() - began) * rate_hz) + 1
            while number < due and not scene.ending.is_set():
                with suppress(zmq.Again):
                    raw.send_multipart(make(number), zmq.NOBLOCK)
                    sent += 1
                number += 1
            while kind == zmq.DEALER and raw.poll(0):
                raw.recv_multipart()
            time.sleep(_PAUSE_S)
    if not sent:
        raise FaultFailed(f"none of {number} messages was taken by the {socket} socket")
    return f"{sent} messages of {number} taken by the socket"
