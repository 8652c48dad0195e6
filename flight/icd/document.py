"""Writes what is derived from the catalogue: docs/icd.md and the C++ header rubblemap/icd.hpp.

usage: python -m flight.icd.document [--write]

Without --write it says which of the two differ from the code, and ends with exit code 1 if one does.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from flight.icd import limits
from flight.icd.catalogue import (
    CLASS_ROLES,
    COMMANDS,
    EVENTS,
    FLAGS,
    REJECTION_REASONS,
    REPLY_CODES,
    SOCKETS,
    TOPIC_PLANES,
    Argument,
    FlagDefinition,
)
from flight.icd.cpp_header import cpp_header
from flight.schema import load_schema

_ROOT = Path(__file__).parents[2]

_MEANINGS = {
    "frame": "A camera frame; sent as [header, pixels]. Pixels: height * width * channels * itemsize bytes, row-major, "
    "little-endian. (epoch, frame_id) rises strictly for each source. Unknown optional keys are ignored.",
    "map": "A product; sent as [topic, header, plane, plane, ...]. An `invalid` product has no planes. sensor x = "
    "a u + b v + c, y = d u + e v + f with map_to_sensor = [a, b, c, d, e, f], pixel centres at integers. `seed` is "
    "the first 8 bytes, little-endian, of SHA-256 over base seed, epoch, frame_id (uint64 each) and the source, so "
    "that a product can be made again.",
    "command": "A command; sent as [map] by REQ or DEALER sockets. A rejected command changes nothing.",
    "reply": "The answer to a command.",
    "event": f"An event, topic `{limits.TOPIC_EVENT}`; sent as [topic, map].",
    "housekeeping": f"Telemetry at 1 Hz and on every change of state, topic `{limits.TOPIC_HOUSEKEEPING}`; sent as "
    "[topic, map].",
}
_SHAPES = {2: "(H, W)", 3: "(K, H, W)"}
_EXAMPLE = """```python
from flight.client import FrameSender, Subscriber

with Subscriber(topics=["map.navigation"]) as products, FrameSender(source="navcam") as camera:
    camera.send(image)                       # (H, W) uint8 or uint16 numpy array
    product = products.receive(timeout_s=10)
    if product is not None and product.status != "invalid":
        print(product.planes["enhanced_class_map"].shape, product.header["map_to_sensor"])
```
"""


def document() -> str:
    """The text of docs/icd.md."""
    sections = (_introduction, _sockets, _products, _commands, _messages, _events, _frames, _flags)
    return "\n".join(line for section in sections for line in section())


def derived_files() -> dict[Path, str]:
    """The files that are written from the catalogue, and what is to stand in them."""
    header = _ROOT / "flight" / "gnc" / "include" / "rubblemap" / "icd.hpp"
    return {_ROOT / "docs" / "icd.md": document(), header: cpp_header()}


def _table(titles: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    """A Markdown table, and an empty line behind it."""
    lines = [f"| {' | '.join(titles)} |", f"|{'---|' * len(titles)}"]
    return [*lines, *(f"| {' | '.join(str(cell) for cell in row)} |" for row in rows), ""]


def _introduction() -> list[str]:
    return [
        "# Interface control document, schema 1",
        "",
        "Written from the code by `python -m flight.icd.document --write`, as is the C++ header `rubblemap/icd.hpp`; a",
        "test keeps both equal to it. The schemas are standard JSON Schema files in `flight/icd/schemas`.",
        "",
        "Byte order little-endian; integers unsigned. Times are nanoseconds, `*_time_ns` the spacecraft clock (UTC",
        "when there is none). Arrays are row-major. A header is one msgpack map with string keys; every message is a",
        "ZeroMQ multipart message.",
        "",
    ]


def _sockets() -> list[str]:
    rows = [
        (name, f"{socket.pattern}, bind", socket.default_endpoint, socket.client, socket.carries)
        for name, socket in SOCKETS.items()
    ]
    return [
        "## Sockets",
        "",
        *_table(("name", "pattern, service side", "default endpoint", "client", "carries"), rows),
        "Any may be `ipc://`. An endpoint beyond loopback is refused unless the service has CURVE keys. With keys,",
        "every socket is a CURVE server with an allow-list of the clients named above (ZAP); see docs/security.md.",
        "",
        f"Limits: frame header {limits.HEADER_BYTES} bytes, frame message {limits.MESSAGE_BYTES} bytes, product "
        f"header {limits.PRODUCT_HEADER_BYTES} bytes, command {limits.COMMAND_BYTES} bytes, telemetry "
        f"{limits.TELEMETRY_BYTES} bytes.",
        "",
        "Consumers should set ZeroMQ's heartbeats (the client libraries: every 2 s, given up after 6 s): a subscriber",
        "only listens, and would not notice a link or a machine that went silent.",
        "",
        "## Subscribing, and sending a frame",
        "",
        _EXAMPLE,
    ]


def _products() -> list[str]:
    rows = [
        (topic, f"`{plane.name}`", plane.dtype, _SHAPES[plane.dimensions], plane.units, plane.meaning)
        for topic, planes in TOPIC_PLANES.items()
        for plane in planes
    ]
    return [
        "## Products",
        "",
        f"{limits.TOPIC_FULL} is sent on request only (parameter `publish_full`). u8: one byte; f16: IEEE binary16.",
        "",
        *_table(("topic", "plane", "dtype", "shape", "units", "meaning"), rows),
        "`classes` lists the classes 0..K-1 in order. What one means to a consumer is its role:",
        "",
        *_table(("role", "meaning"), CLASS_ROLES.items()),
    ]


def _commands() -> list[str]:
    rows = [
        (name, "; ".join(_argument(argument) for argument in command.arguments), command.effect, command.result)
        for name, command in COMMANDS.items()
    ]
    lasting = [name for name, command in COMMANDS.items() if command.takes_time]
    codes = [(name, code.status, code.meaning) for name, code in REPLY_CODES.items()]
    parameters = ", ".join(f"`{name}` {_kind(schema)}" for name, schema in _parameters().items())
    return [
        "## Commands",
        "",
        *_table(("command", "arguments", "effect", "result"), rows),
        f"The reply to {', '.join(lasting[:-1])} and {lasting[-1]} comes when they are done; meanwhile",
        "other commands are answered, and another of these four is rejected as `busy`. Parameters, the mode and the",
        "activated bundle survive a restart when a state folder is configured. An activated bundle is on probation for",
        f"its first {limits.PROBATION_FRAMES} frames: if it loses a worker or cannot process a frame before that, the "
        "bundle before it serves",
        "again.",
        "",
        f"Parameters: {parameters}.",
        "",
        "### Reply codes",
        "",
        *_table(("code", "status", "meaning"), codes),
    ]


def _messages() -> list[str]:
    text = []
    for kind, meaning in _MEANINGS.items():
        schema = load_schema("flight.icd.schemas", kind)
        rows = [
            (f"`{name}`", _kind(field), "" if name in schema["required"] else "optional")
            for name, field in schema["properties"].items()
        ]
        text += [f"## Message: {kind}", "", meaning, "", *_table(("field", "type and range", ""), rows)]
    return text


def _events() -> list[str]:
    rows = [(e.id, e.name, e.severity, e.cause, e.throttle_per_minute) for e in EVENTS.values()]
    contents = [
        (
            event.name,
            " or ".join(f"`{text}`" for text in event.formats),
            "; ".join(_argument(argument, argument.name in event.optional) for argument in event.arguments),
        )
        for event in EVENTS.values()
    ]
    return [
        "## Events",
        "",
        *_table(("id", "name", "severity", "cause", "at most per minute"), rows),
        "`message` is made from the arguments, by the first of the event's formats whose arguments are all there.",
        "Texts are cut to 1024 bytes.",
        "",
        *_table(("event", "message", "arguments"), contents),
    ]


def _frames() -> list[str]:
    return ["## Reasons for rejecting a frame", "", *_table(("name", "meaning"), REJECTION_REASONS.items())]


def _flags() -> list[str]:
    rows = [(name, flag.status, flag.cause, _forbidden(flag), flag.advice) for name, flag in FLAGS.items()]
    return [
        "## Product flags",
        "",
        "A product's status is the worst that its flags ask for. `navigation_fix` and `landing_circles` refuse a map",
        "with a flag that forbids them, and warn of every other flag.",
        "",
        *_table(("name", "status", "meaning", "forbids", "what a consumer should do"), rows),
    ]


def _forbidden(flag: FlagDefinition) -> str:
    if flag.status == "invalid":
        return "both: there is no map"
    return ", ".join(f"`{consumer}`" for consumer in flag.forbids)


def _argument(argument: Argument, optional: bool = False) -> str:
    """An argument in words: name, type, range, units, meaning."""
    limited = ""
    if argument.low is not None:
        limited = f", {argument.low:g} or more" if argument.high is None else f", {argument.low:g}..{argument.high:g}"
        limited += " characters" if argument.type == "text" else ""
    units = f" {argument.units}" if argument.units else ""
    return (
        f"`{argument.name}` {argument.type}{limited}{units}{', optional' if optional else ''}: {argument.description}"
    )


def _parameters() -> dict[str, Any]:
    schema = load_schema("flight.schemas", "configuration")
    fields: dict[str, Any] = schema["properties"]["parameters"]["properties"]
    return fields


def _kind(schema: dict[str, Any]) -> str:
    """A field's type and range in words."""
    if "const" in schema:
        return f"`{schema['const']}`"
    if "enum" in schema:
        return " or ".join(f"`{choice}`" for choice in schema["enum"])
    kinds = schema["type"]
    name = " or ".join(kinds) if isinstance(kinds, list) else str(kinds)
    if name == "array":
        count = schema.get("minItems", 0)
        size = f"{count}" if count == schema.get("maxItems") else f"{count}..{schema.get('maxItems', 'any')}"
        return f"array of {size}: {_kind(schema['items'])}"
    if name == "object":
        fields = schema.get("properties")
        return "map {" + ", ".join(fields) + "}" if fields else "map"
    if "pattern" in schema:
        return f"{name} matching `{schema['pattern']}`"
    if "maxBytes" in schema:
        return f"{name}, at most {schema['maxBytes']} bytes"
    if "minimum" in schema:
        return f"{name}, {schema['minimum']}..{schema['maximum']}"
    return name


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the derived files, or say which of them differ from the code; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m flight.icd.document", description="docs/icd.md and icd.hpp")
    parser.add_argument("--write", action="store_true", help="write both; otherwise they are only compared")
    write = parser.parse_args(arguments).write
    differing = 0
    for path, text in derived_files().items():
        if write:
            path.write_text(text, encoding="utf-8")
        elif not path.exists() or path.read_text(encoding="utf-8") != text:
            print(f"{path}: expected what the code says; run python -m flight.icd.document --write", file=sys.stderr)
            differing = 1
    return differing


if __name__ == "__main__":
    sys.exit(main())
