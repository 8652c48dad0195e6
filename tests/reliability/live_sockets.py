"""Campaign: inputs over the live sockets; judged by an oracle of its own (jsonschema, sizes, zlib)."""

from __future__ import annotations

import random
import socket
import time
import zlib
from pathlib import Path
from typing import Any

import jsonschema
import msgpack
import zmq
from tqdm import tqdm

from flight.icd.frames import encode_frame
from flight.schema import load_schema
from tests.flight.service_process import RunningService, running_service
from tests.reliability.common import resident_bytes
from tests.tiny_bundle import body_frame

_FRAME_SCHEMA = jsonschema.Draft202012Validator(load_schema("flight.icd.schemas", "frame"))
_JUNK = (b"", b"\xc1", b"\xdf\xff\xff\xff\xff", b"\xdd\xff\xff\xff\xff", b"\xc6\xff\xff\xff\xff", b"\x81\xa1x" * 200)
_FRAME = body_frame(40, 60, 14)


def run(folder: Path, bundle: Path, inputs: int) -> dict[str, Any]:
    """Try so many: six in ten on frames, three on commands, the rest on subscriptions and as raw connections."""
    generator = random.Random(5)
    ports = _free_ports(4)
    names = ("frames", "products", "telemetry", "commands")
    endpoints = {name: f"tcp://127.0.0.1:{port}" for name, port in zip(names, ports, strict=True)}
    lines = "[limits]\nframes_per_second = 100000\ncommands_per_second = 10000\n"
    with running_service(folder, bundle, lines, endpoints=endpoints) as service:
        before = service.command("get_status")
        counts = {
            "frames": _frames(service, generator, inputs * 6 // 10),
            "commands": _commands(service, generator, inputs * 3 // 10),
            "subscriptions": _subscriptions(service, generator, inputs * 9 // 100),
            "connections": _connections(ports, generator, inputs // 100),
        }
        after = service.wait_for(lambda status: status["state"] == "ready", 60)
        frames = counts["frames"]
        alive = service.process.poll() is None and after["worker_pid"] == before["worker_pid"]
        return {
            "live_inputs_tried": frames["sent"] + counts["commands"] + counts["subscriptions"] + counts["connections"],
            "live_inputs_crashed": 0 if alive else 1,
            "products_from_bad_frames": frames["wrong"],
            "valid_frames_among_them": frames["valid"],
            "live_rss_growth": round(frames["memory_late"] / frames["memory_early"] - 1.0, 4),
        }


def valid_by_oracle(parts: list[bytes]) -> bool:
    """Whether a message is a frame of the ICD, told without the service's own decoder."""
    if len(parts) != 2 or len(parts[0]) > 4096:
        return False
    try:
        header = msgpack.unpackb(parts[0], raw=False)
    except Exception:
        return False
    if not isinstance(header, dict) or not all(isinstance(key, str) for key in header):
        return False
    # Booleans and floats with an integral value are integers to JSON Schema, but not on the wire.
    for name in ("schema", "epoch", "frame_id", "capture_time_ns", "height", "width", "channels", "bit_depth", "crc32"):
        if name in header and type(header[name]) is not int:
            return False
    if not _FRAME_SCHEMA.is_valid(header) or len(header["source"].encode("utf-8", "surrogatepass")) > 32:
        return False
    bytes_each = {"u8": 1, "u16": 2}[header["dtype"]]
    size = header["height"] * header["width"] * header.get("channels", 1) * bytes_each
    if header["bit_depth"] > 8 * bytes_each or size != len(parts[1]):
        return False
    return "crc32" not in header or zlib.crc32(parts[1]) == header["crc32"]


def _mutated(generator: random.Random, number: int) -> list[bytes]:
    """A frame with something wrong in it, mostly."""
    parts = encode_frame(_FRAME, source="fuzz", epoch=1, frame_id=number, capture_time_ns=number, centered=True)
    kind = generator.randrange(7)
    if kind == 0:
        return [generator.randbytes(generator.randrange(80)) for _ in range(generator.randrange(1, 5))]
    if kind == 1:
        return [generator.choice(_JUNK), parts[1]]
    if kind in (2, 3):
        index = 0 if kind == 2 else 1
        changed = bytearray(parts[index])
        for _ in range(generator.randrange(1, 4)):
            changed[generator.randrange(len(changed))] ^= 1 << generator.randrange(8)
        parts[index] = bytes(changed)
        return parts
    if kind == 4:
        cut = generator.randrange(2)
        parts[cut] = parts[cut][: generator.randrange(len(parts[cut]))]
        return parts
    header = msgpack.unpackb(parts[0], raw=False)
    name = generator.choice(list(header))
    if kind == 5:
        del header[name]
    else:
        header[name] = generator.choice([None, -1, 0, 1, 2**64 - 1, 1.5, True, "x" * 40, [], {}, b"bytes", 70000])
    return [msgpack.packb(header), parts[1]]


def _frames(service: RunningService, generator: random.Random, count: int) -> dict[str, Any]:
    context = zmq.Context()
    sender = context.socket(zmq.PUSH)
    sender.setsockopt(zmq.SNDHWM, 100)
    sender.connect(service.endpoints["frames"])
    pid = service.process.pid
    valid: set[tuple[str, int, int]] = set()
    wrong, memory = 0, []
    with service.subscriber("map.navigation", "map.hazard", newest=False, queue=0) as products:

        def drain(timeout_s: float) -> int:
            bad = 0
            while (product := products.receive(timeout_s)) is not None:
                bad += product.frame_key not in valid
            return bad

        for number in tqdm(range(count), desc="frames", unit="input"):
            parts = _mutated(generator, number)
            if valid_by_oracle(parts):
                header = msgpack.unpackb(parts[0], raw=False)
                valid.add((header["source"], header["epoch"], header["frame_id"]))
            sender.send_multipart(parts)
            if number % 200 == 0:
                wrong += drain(0.0)
            if number % max(count // 50, 1) == 0:
                memory.append(resident_bytes(pid))
        service.wait_for(lambda status: status["counters"]["frames_received"] >= count, 60)
        wrong += drain(1.0)
    sender.close()
    context.term()
    early = memory[len(memory) // 10]
    return {"sent": count, "valid": len(valid), "wrong": wrong, "memory_early": early, "memory_late": memory[-1]}


def _commands(service: RunningService, generator: random.Random, count: int) -> int:
    """Random commands; each must be answered with a refusal. Returns how many were."""
    context = zmq.Context()
    socket_ = context.socket(zmq.DEALER)
    socket_.connect(service.endpoints["commands"])
    good = msgpack.packb({"schema": 1, "type": "command", "id": 7, "name": "set_parameter", "arguments": {"name": "x"}})
    answered = 0
    for _ in tqdm(range(count), desc="commands", unit="input"):
        kind = generator.randrange(3)
        message = generator.choice(_JUNK) if kind == 0 else generator.randbytes(generator.randrange(60))
        if kind == 2:
            changed = bytearray(good)
            changed[generator.randrange(len(changed))] ^= 1 << generator.randrange(8)
            message = bytes(changed)
        socket_.send_multipart([b"", message])
        if not socket_.poll(5000):
            break
        reply = msgpack.unpackb(socket_.recv_multipart()[-1])
        answered += reply["status"] in ("rejected", "failed")
    socket_.close()
    context.term()
    return answered


def _subscriptions(service: RunningService, generator: random.Random, count: int) -> int:
    """Whatever a subscriber may send: subscriptions and other messages, on both publishing sockets."""
    context = zmq.Context()
    sockets = []
    for name in ("products", "telemetry"):
        socket_ = context.socket(zmq.XSUB)
        socket_.connect(service.endpoints[name])
        sockets.append(socket_)
    for number in range(count):
        socket_ = sockets[number % 2]
        kind = generator.choice((b"\x01", b"\x00", b"\x02", b""))
        socket_.send(kind + generator.randbytes(generator.randrange(40)))
    time.sleep(0.5)
    for socket_ in sockets:
        socket_.close(linger=0)
    context.term()
    return count


def _connections(ports: list[int], generator: random.Random, count: int) -> int:
    """Connections that speak no ZeroMQ."""
    greeting = b"\xff" + b"\x00" * 8 + b"\x7f\x03\x00NULL" + b"\x00" * 48
    for number in tqdm(range(count), desc="connections", unit="input"):
        with socket.create_connection(("127.0.0.1", ports[number % len(ports)]), timeout=5) as raw:
            data = generator.randbytes(generator.randrange(1, 200))
            raw.sendall(greeting + data if generator.randrange(2) else data)
    return count


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [int(each.getsockname()[1]) for each in sockets]
    for each in sockets:
        each.close()
    return ports
