"""Writes the files that are made from the catalogue: docs/icd.md and the C++ header rubblemap/icd.hpp.

usage: python -m flight.icd.document [--write]

Without --write it says which of the two differ from the code, and ends with exit code 1 if one does.
"""

from __future__ import annotations

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
from flight.icd.cpp_header import make_cpp_header
from flight.icd.generated_files import ROOT, write_or_compare
from flight.schema import load_schema

_MEANINGS = {
    "frame": "A camera frame; sent as [header, pixels]. Pixels: height * width * channels * itemsize bytes, row-major, "
    "little-endian. (epoch, frame_id) rises strictly for each source: a camera that starts again needs a larger "
    "epoch than before, also where its clock went back. `cameras` of housekeeping tells it what became of its frames. "
    "Unknown optional keys are ignored.",
    "map": "A product; sent as [topic, header, plane, plane, ...]. An `invalid` product has no planes. sensor x = "
    "a u + b v + c, y = d u + e v + f with map_to_sensor = [a, b, c, d, e, f], pixel centres at integers. `seed` is "
    "the first 8 bytes, little-endian, of SHA-256 over base seed, epoch, frame_id (uint64 each) and the source, so "
    "that a product can be made again.",
    "command": "A command; sent as [map] by REQ or DEALER sockets. A rejected command changes nothing.",
    "reply": "The answer to a command.",
    "event": f"An event, topic `{limits.TOPIC_EVENT}`; sent as [topic, map].",
    "housekeeping": f"Telemetry at 1 Hz and on every change of state, topic `{limits.TOPIC_HOUSEKEEPING}`; sent as "
    "[topic, map]. `cameras`: by source and epoch, how many frames were accepted, how many rejected and for which "
    f"reasons, and the newest epoch accepted of the source; of the {limits.CAMERAS} that were heard last, a rejected "
    "frame that was not decoded so far not counted.",
}
_SHAPES = {2: "(H, W)", 3: "(K, H, W)"}
_LARGEST = {"diagonal": "the map's diagonal"}
_EXAMPLE = """```python
from flight.client import FrameSender, Subscriber

with Subscriber(topics=["map.navigation"]) as products, FrameSender(source="navcam") as camera:
    camera.send(image)                       # (H, W) uint8 or uint16 numpy array
    product = products.receive(timeout_s=10)
    if product is not None and product.status != "invalid":
        print(product.planes["enhanced_class_map"].shape, product.header["map_to_sensor"])
```
"""


def make_document() -> str:
    """Make the text of docs/icd.md."""
    sections = (
        _describe_introduction,
        _describe_sockets,
        _describe_products,
        _describe_commands,
        _describe_messages,
        _describe_events,
        _describe_frames,
        _describe_flags,
    )
    return "\n".join(line for section in sections for line in section())


def make_files() -> dict[Path, str]:
    """The files that are made from the catalogue, and what each is to contain."""
    header = ROOT / "flight" / "gnc" / "include" / "rubblemap" / "icd.hpp"
    return {ROOT / "docs" / "icd.md": make_document(), header: make_cpp_header()}


def _format_table(titles: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    """A Markdown table, followed by an empty line."""
    lines = [f"| {' | '.join(titles)} |", f"|{'---|' * len(titles)}"]
    return [*lines, *(f"| {' | '.join(str(cell) for cell in row)} |" for row in rows), ""]


def _describe_introduction() -> list[str]:
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


def _describe_sockets() -> list[str]:
    rows = [
        (name, f"{socket.pattern}, bind", socket.default_endpoint, socket.client, socket.carries)
        for name, socket in SOCKETS.items()
    ]
    return [
        "## Sockets",
        "",
        *_format_table(("name", "pattern, service side", "default endpoint", "client", "carries"), rows),
        "Any may be `ipc://`. An endpoint beyond loopback is rejected unless the service has CURVE keys. With keys,",
        "every socket is a CURVE server with an allow-list of the clients named above (ZAP); see docs/security.md.",
        "",
        f"Limits: frame header {limits.HEADER_BYTES} bytes, frame message {limits.MESSAGE_BYTES} bytes, product "
        f"header {limits.PRODUCT_HEADER_BYTES} bytes, command {limits.COMMAND_BYTES} bytes, telemetry "
        f"{limits.TELEMETRY_BYTES} bytes.",
        "",
        "A header or map holds maps, arrays, UTF-8 texts, numbers, booleans and nil, no binary data and no extensions.",
        f"It is nested at most {limits.NESTING} deep, itself included, and an array in it has at most "
        f"{limits.ARRAY_ITEMS} items. Of a key that",
        "stands there twice, the last value counts. Whatever breaks this is malformed, and costs that message alone.",
        "",
        f"A sequence that goes back, or ahead by more than {limits.LARGEST_GAP}, has begun anew: that is no loss.",
        "",
        "Consumers should set ZeroMQ's heartbeats (the client libraries: every 2 s, given up after 6 s): a subscriber",
        "only listens, and would not notice a link or a machine that went silent.",
        "",
        "## Subscribing, and sending a frame",
        "",
        _EXAMPLE,
    ]


def _describe_products() -> list[str]:
    rows = [
        (
            topic,
            f"`{plane.name}`",
            plane.dtype,
            _SHAPES[plane.dimensions],
            plane.units,
            f"0..{_LARGEST.get(plane.largest, plane.largest)}",
            plane.meaning,
        )
        for topic, planes in TOPIC_PLANES.items()
        for plane in planes
    ]
    return [
        "## Products",
        "",
        f"{limits.TOPIC_FULL} is sent on request only (parameter `publish_full`). u8: one byte; f16: IEEE binary16.",
        "",
        *_format_table(("topic", "plane", "dtype", "shape", "units", "values", "meaning"), rows),
        "`classes` lists the classes 0..K-1 in order. What one means to a consumer is its role:",
        "",
        *_format_table(("role", "meaning"), CLASS_ROLES.items()),
    ]


def _describe_commands() -> list[str]:
    rows = [
        (name, "; ".join(_format_argument(argument) for argument in command.arguments), command.effect, command.result)
        for name, command in COMMANDS.items()
    ]
    lasting = [name for name, command in COMMANDS.items() if command.takes_time]
    codes = [(name, code.status, code.meaning) for name, code in REPLY_CODES.items()]
    parameters = ", ".join(f"`{name}` {_format_type(schema)}" for name, schema in _load_parameters().items())
    return [
        "## Commands",
        "",
        *_format_table(("command", "arguments", "effect", "result"), rows),
        f"The reply to {', '.join(lasting[:-1])} and {lasting[-1]} comes when they are done; meanwhile",
        "other commands are answered, and another of these four is rejected as `busy`. Parameters, the mode and the",
        "activated bundle survive a restart when a state folder is configured. An activated bundle is on probation for",
        f"its first {limits.PROBATION_FRAMES} frames: if it loses a worker, except by an upset in memory, or "
        "cannot process a",
        "frame before that, the bundle before it serves again.",
        "",
        f"Parameters: {parameters}.",
        "",
        "### Reply codes",
        "",
        *_format_table(("code", "status", "meaning"), codes),
    ]


def _describe_messages() -> list[str]:
    text = []
    for kind, meaning in _MEANINGS.items():
        schema = load_schema("flight.icd.schemas", kind)
        rows = [
            (f"`{name}`", _format_type(field), "" if name in schema["required"] else "optional")
            for name, field in schema["properties"].items()
        ]
        text += [f"## Message: {kind}", "", meaning, "", *_format_table(("field", "type and range", ""), rows)]
    return text


def _describe_events() -> list[str]:
    rows = [(e.id, e.name, e.severity, e.cause, e.throttle_per_minute) for e in EVENTS.values()]
    contents = [
        (
            event.name,
            " or ".join(f"`{text}`" for text in event.formats),
            "; ".join(_format_argument(argument, argument.name in event.optional) for argument in event.arguments),
        )
        for event in EVENTS.values()
    ]
    return [
        "## Events",
        "",
        *_format_table(("id", "name", "severity", "cause", "at most per minute"), rows),
        "`message` is made from the arguments, by the first of the event's formats whose arguments are all there.",
        "Texts are cut to 1024 bytes.",
        "",
        *_format_table(("event", "message", "arguments"), contents),
    ]


def _describe_frames() -> list[str]:
    return ["## Reasons for rejecting a frame", "", *_format_table(("name", "meaning"), REJECTION_REASONS.items())]


def _describe_flags() -> list[str]:
    rows = [(name, flag.status, flag.cause, _format_forbidden(flag), flag.advice) for name, flag in FLAGS.items()]
    return [
        "## Product flags",
        "",
        "A product's status is the worst that its flags ask for. `navigation_fix` and `landing_circles` refuse a map",
        "with a flag that forbids them, and warn of every other flag.",
        "",
        *_format_table(("name", "status", "meaning", "forbids", "what a consumer should do"), rows),
    ]


def _format_forbidden(flag: FlagDefinition) -> str:
    if flag.status == "invalid":
        return "both: there is no map"
    return ", ".join(f"`{consumer}`" for consumer in flag.forbids)


def _format_argument(argument: Argument, optional: bool = False) -> str:
    """Describe an argument: name, type, range, units, meaning."""
    limited = ""
    if argument.low is not None:
        limited = f", {argument.low:g} or more" if argument.high is None else f", {argument.low:g}..{argument.high:g}"
        limited += " characters" if argument.type == "text" else ""
    units = f" {argument.units}" if argument.units else ""
    return (
        f"`{argument.name}` {argument.type}{limited}{units}{', optional' if optional else ''}: {argument.description}"
    )


def _load_parameters() -> dict[str, Any]:
    schema = load_schema("flight.schemas", "configuration")
    fields: dict[str, Any] = schema["properties"]["parameters"]["properties"]
    return fields


def _format_type(schema: dict[str, Any]) -> str:
    """Describe a field's type and range."""
    if "const" in schema:
        return f"`{schema['const']}`"
    if "enum" in schema:
        return " or ".join(f"`{choice}`" for choice in schema["enum"])
    kinds = schema["type"]
    name = " or ".join(kinds) if isinstance(kinds, list) else str(kinds)
    if name == "array":
        count = schema.get("minItems", 0)
        size = f"{count}" if count == schema.get("maxItems") else f"{count}..{schema.get('maxItems', 'any')}"
        return f"array of {size}: {_format_type(schema['items'])}"
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
    """Write or compare the generated files; returns the exit code."""
    return write_or_compare("python -m flight.icd.document", "docs/icd.md and icd.hpp", make_files(), arguments)


if __name__ == "__main__":
    sys.exit(main())
