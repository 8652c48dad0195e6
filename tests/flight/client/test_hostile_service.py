"""The clients against something that poses as a service: whatever it sends, they go on, and take little memory."""

from __future__ import annotations

import socket as socketlib
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgpack
import pytest
import zmq

import flight.client.subscriber
from flight.client import Commander, CommandFailed, Subscriber, TelemetryListener
from flight.icd.control import decode_message, encode_message
from flight.icd.limits import TELEMETRY_BYTES
from tests.flight.icd.test_hostile_messages import VALUES, with_value
from tests.golden.vectors import GOLDEN, product, read_vector


@pytest.fixture
def context() -> Iterator[zmq.Context]:
    context = zmq.Context()
    yield context
    context.destroy(linger=0)


def bound(context: zmq.Context, kind: int, folder: Path) -> tuple[zmq.Socket, str]:
    socket, endpoint = context.socket(kind), f"ipc://{folder}/socket"
    socket.bind(endpoint)
    return socket, endpoint


def hostile_products() -> list[list[bytes]]:
    right = product("map.navigation")
    messages = [
        [right[0], with_value("map", key, value), *right[2:]]
        for value in VALUES.values()
        for key in ("schema", "flags", "x")
    ]
    return [*messages, right[:1], [b"map.navigation"] * 60, [right[0], b""], [right[0], b"\xc1" * 70_000]]


@pytest.mark.parametrize("newest", [True, False])
def test_the_subscriber_goes_on_after_each_hostile_product(context: zmq.Context, tmp_path: Path, newest: bool) -> None:
    publisher, endpoint = bound(context, zmq.PUB, tmp_path)
    messages = hostile_products()
    with Subscriber(endpoint, newest=newest, queue=1000) as subscriber:
        time.sleep(0.3)
        for number, parts in enumerate(messages):
            publisher.send_multipart(parts)
            publisher.send_multipart(product("map.navigation", sequence=number))
            received = subscriber.receive(30)
            assert received is not None
            assert received.header["sequence"] == number
        assert subscriber.statistics.malformed == len(messages)
        assert subscriber.statistics.last_error.isprintable()


def test_the_listener_goes_on_after_each_hostile_message_and_keeps_its_time(
    context: zmq.Context, tmp_path: Path
) -> None:
    publisher, endpoint = bound(context, zmq.PUB, tmp_path)
    right = read_vector(GOLDEN / "event.bin")
    messages = [[right[0], with_value("event", "arguments", value)] for value in VALUES.values()]
    messages += [[right[0]], [*right, b""], [b"event of another kind", right[1]], [b"event\xff", right[1]]]
    with TelemetryListener(endpoint, ["event"]) as listener:
        time.sleep(0.3)
        for parts in messages:
            publisher.send_multipart(parts)
            publisher.send_multipart(right)
            assert listener.receive(30) is not None
        assert listener.malformed == len(messages)
        done = threading.Event()

        def flood() -> None:
            while not done.is_set():
                publisher.send_multipart(messages[0])
                time.sleep(0.001)

        thread = threading.Thread(target=flood)
        thread.start()
        began = time.monotonic()
        assert listener.receive(0.5) is None
        assert time.monotonic() - began < 5.0
        done.set()
        thread.join()


@contextmanager
def false_service(socket: zmq.Socket, answers: Sequence[Callable[[int], list[bytes]]]) -> Iterator[None]:
    """Answer each command first with what is given, then rightly."""
    waiting, ending = list(answers), threading.Event()

    def run() -> None:
        while not ending.is_set():
            if not socket.poll(50):
                continue
            *envelope, data = socket.recv_multipart()
            identifier = decode_message("command", data)["id"]
            while waiting:
                socket.send_multipart([*envelope[:1], *waiting.pop()(identifier)])
            right = {"id": identifier, "status": "completed", "code": "ok", "message": "", "result": {"n": 1}}
            socket.send_multipart([*envelope, encode_message("reply", right)])

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        ending.set()
        thread.join()


def test_the_commander_gets_its_reply_after_each_hostile_one(context: zmq.Context, tmp_path: Path) -> None:
    socket, endpoint = bound(context, zmq.ROUTER, tmp_path)
    replies = [with_value("reply", key, value) for value in VALUES.values() for key in ("schema", "result", "id")]
    answers = [lambda _, data=data: [b"", data] for data in replies]
    answers += [lambda _: [b""], lambda _: [b"", b"\x80"], lambda _: [b"x"] * 100]
    with false_service(socket, answers), Commander(endpoint, 10.0) as commander:
        assert commander.send("no_op") == {"n": 1}
        assert commander.malformed == len(answers)


def test_a_commander_without_a_right_reply_says_how_many_were_malformed(context: zmq.Context, tmp_path: Path) -> None:
    socket, endpoint = bound(context, zmq.ROUTER, tmp_path)

    def answer() -> None:
        *envelope, _ = socket.recv_multipart()
        socket.send_multipart([*envelope, b"\xc1"])

    thread = threading.Thread(target=answer)
    thread.start()
    with Commander(endpoint, 0.5) as commander, pytest.raises(TimeoutError, match=r"within 0\.5 s, but 1 malformed"):
        commander.send("no_op")
    thread.join()


def test_what_a_terminal_would_obey_is_escaped_in_a_failed_command(context: zmq.Context, tmp_path: Path) -> None:
    socket, endpoint = bound(context, zmq.ROUTER, tmp_path)

    def reject(identifier: int) -> list[bytes]:
        values = {"id": identifier, "status": "rejected", "code": "\x1b[2J", "message": "a\nb\x07", "result": {}}
        return [b"", encode_message("reply", values)]

    with (
        false_service(socket, [reject]),
        Commander(endpoint, 5.0) as commander,
        pytest.raises(CommandFailed) as caught,
    ):
        commander.send("no_op")
    assert str(caught.value) == r"no_op: \x1b[2J: a\nb\x07"
    assert caught.value.code == "\x1b[2J"


def test_when_the_thread_of_newest_mode_ends_the_caller_is_told(
    context: zmq.Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a fault of its own, which no message can be; waiting without end for what cannot come would hide it."""
    publisher, endpoint = bound(context, zmq.PUB, tmp_path)

    def fail(_: Any) -> None:
        raise zmq.ZMQError(zmq.ENOTSOCK)

    with Subscriber(endpoint) as subscriber:
        time.sleep(0.3)
        publisher.send_multipart(product("map.navigation", sequence=1))
        assert subscriber.receive(30) is not None
        monkeypatch.setattr(flight.client.subscriber, "decode_product", fail)
        publisher.send_multipart(product("map.navigation", sequence=2))
        with pytest.raises(RuntimeError, match="its thread has ended") as caught:
            subscriber.receive(10)
        assert isinstance(caught.value.__cause__, zmq.ZMQError)


# In a process of its own: the largest memory that it ever held is asked for at the end.
_MEASURED = """
    import resource, sys, time
    from flight.client import Commander, FrameSender, Subscriber, TelemetryListener
    kind, endpoint = sys.argv[1:]
    largest = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    clients = {
        "newest": lambda: Subscriber(endpoint),
        "every": lambda: Subscriber(endpoint, newest=False),
        "small": lambda: Subscriber(endpoint, largest_part=1 << 20),
        "listener": lambda: TelemetryListener(endpoint),
        "commander": lambda: Commander(endpoint, 4.0),
        "sender": lambda: FrameSender(endpoint),
    }
    client = clients[kind]()
    before = largest()
    print("ready", flush=True)
    if kind == "commander":
        try:
            client.send("no_op")
        except TimeoutError:
            pass
    elif kind == "sender":
        time.sleep(4)
    else:
        client.receive(4)
    print(largest() - before)
    client.close()
"""
_SENDING = {
    "newest": (zmq.PUB, [b"map.navigation"], 300 << 20),
    "every": (zmq.PUB, [b"map.navigation"], 300 << 20),
    "small": (zmq.PUB, [b"map.navigation"], 30 << 20),
    "listener": (zmq.PUB, [b"event"], 300 << 20),
    "commander": (zmq.ROUTER, [b""], 300 << 20),
}


class RawPeer:
    """Poses as the service's frames socket without ZeroMQ's library, which would send nothing on a PULL socket."""

    def __init__(self) -> None:
        self._listener = socketlib.create_server(("127.0.0.1", 0))
        self.endpoint = f"tcp://127.0.0.1:{self._listener.getsockname()[1]}"

    def accept(self) -> socketlib.socket:
        """Take a connection through the handshake of ZMTP 3.0 without keys, as a PULL socket."""
        connection, _ = self._listener.accept()
        connection.settimeout(10)
        connection.sendall(b"\xff" + bytes(8) + b"\x7f\x03\x00" + b"NULL".ljust(20, b"\0") + bytes(32))
        ready = b"\x05READY\x0bSocket-Type" + (4).to_bytes(4, "big") + b"PULL"
        connection.sendall(bytes([0x04, len(ready)]) + ready)
        while b"READY" not in connection.recv(4096):
            pass
        return connection

    @staticmethod
    def send(connection: socketlib.socket, size: int) -> bool:
        """Send a message of zeros; False once the other side has closed the connection."""
        try:
            connection.sendall(b"\x02" + size.to_bytes(8, "big"))
            for _ in range(size >> 16):
                connection.sendall(bytes(1 << 16))
        except OSError:
            return False
        return True


def send_from_a_raw_peer(peer: RawPeer) -> None:
    with peer.accept() as connection:
        for size in (300 << 20, 1 << 16):
            for _ in range(300 << 20 >> 16):
                if not RawPeer.send(connection, size):
                    return


@pytest.mark.parametrize("kind", ["newest", "every", "small", "listener", "commander", "sender"])
def test_a_part_over_the_limit_takes_no_memory_of_a_client(kind: str, context: zmq.Context, tmp_path: Path) -> None:
    peer = RawPeer()
    pattern, head, size = _SENDING.get(kind, (zmq.PUB, [], 0))
    socket, endpoint = bound(context, pattern, tmp_path)
    socket.setsockopt(zmq.SNDTIMEO, 3000)
    socket.setsockopt(zmq.RCVTIMEO, 10000)
    if kind == "sender":
        endpoint = peer.endpoint
    words = [sys.executable, "-c", textwrap.dedent(_MEASURED), kind, endpoint]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as client:
        assert client.stdout is not None
        assert client.stdout.readline() == "ready\n"
        if kind == "sender":
            send_from_a_raw_peer(peer)
        else:
            time.sleep(0.5)
            envelope = [socket.recv_multipart()[0]] if kind == "commander" else []
            for _ in range(2):
                socket.send_multipart([*envelope, *head, bytes(size)], copy=False)
                time.sleep(0.5)
        grown = float(client.stdout.read())
    assert client.returncode == 0
    assert grown < 24.0


def test_a_message_at_the_limit_is_still_taken(context: zmq.Context, tmp_path: Path) -> None:
    publisher, endpoint = bound(context, zmq.PUB, tmp_path)
    event = msgpack.unpackb(read_vector(GOLDEN / "event.bin")[1])
    event["filler"] = ""
    event["filler"] = "x" * (TELEMETRY_BYTES - len(msgpack.packb(event)) - 2)
    assert len(msgpack.packb(event)) == TELEMETRY_BYTES
    with TelemetryListener(endpoint, ["event"]) as listener:
        time.sleep(0.3)
        publisher.send_multipart([b"event", msgpack.packb(event)])
        assert listener.receive(30) is not None
        assert listener.malformed == 0
