"""Writes docs/icd.md from the code, so that the document cannot differ from it.

usage: python -m flight.icd.document > docs/icd.md
"""

from __future__ import annotations

import sys
from typing import Any

from flight.icd import catalogue, limits
from flight.schema import load_schema

_MEANINGS = {
    "frame": "A camera frame; sent as [header, pixels]. Pixels: height * width * channels * itemsize bytes, row-major, "
    "little-endian. (epoch, frame_id) rises strictly for each source. Unknown optional keys are ignored.",
    "map": "A product; sent as [topic, header, plane, plane, ...]. An `invalid` product has no planes. sensor x = "
    "a u + b v + c, y = d u + e v + f with map_to_sensor = [a, b, c, d, e, f], pixel centres at integers. `seed` is "
    "the first 8 bytes, little-endian, of SHA-256 over base seed, epoch, frame_id (uint64 each) and the source, so "
    "that a product can be made again.",
    "command": "A command; sent as [map] by REQ or DEALER sockets. A rejected command changes nothing.",
    "reply": "The answer to a command.",
    "event": "An event, topic `event`; sent as [topic, map].",
    "housekeeping": "Telemetry at 1 Hz and on every change of state, topic `telemetry.housekeeping`; sent as "
    "[topic, map].",
}
_PLANES = (
    "| topic | planes |\n|---|---|\n"
    "| map.navigation | `class_map` u8 (H, W): 0..K-1; `enhanced_class_map` u8: 0..K, K is uncertain; "
    "`predictive_entropy` f16, nats |\n"
    "| map.hazard | `hazard_probability` f16: summed mean probability of the classes whose role is not `safe`; "
    "`predictive_entropy` f16; `enhanced_class_map` u8; `clearance` f16: distance in map pixels to the nearest "
    "hazardous or uncertain pixel, the map's diagonal when there is none |\n"
    "| map.full (on request) | `mean_probability` f16 (K, H, W); `predictive_entropy`, `mutual_information` f16, "
    "nats; `class_map`, `enhanced_class_map` u8 |\n\n"
    "`classes` lists the classes 0..K-1 in order. What one means to a consumer is its role.\n"
)
_COMMANDS = """| command | arguments | result |
|---|---|---|
| no_op | | |
| get_status | | the housekeeping map |
| get_parameters | | mode and every parameter |
| set_parameter | name, value | name, value |
| set_parameters | values {name: value, ...} | the values; all are set, or none |
| set_mode | mode | mode |
| load_bundle | path: of a folder inside the configured bundle folder | sha256; the bundle is copied, verified, staged |
| validate_bundle | | name, version, sha256, modes, agreement; the staged bundle passed its self-test |
| activate_bundle | | name, version, sha256; the staged, validated bundle serves from the next frame on |
| self_test | | passed; the worker gave the known answer bit by bit |
| reset_counters | | |
| recover | | leave the safe state |
| shutdown | | |

The reply to load_bundle, validate_bundle, activate_bundle and self_test comes when they are done; meanwhile other
commands are answered, and another of these four is rejected as `busy`. Parameters, the mode and the activated bundle
survive a restart when a state folder is configured. An activated bundle is on probation for its first
"""
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
    text = [
        "# Interface control document, schema 1",
        "",
        "Written from the code by `python -m flight.icd.document`; a test keeps both equal. The schemas are standard",
        "JSON Schema files in `flight/icd/schemas`.",
        "",
        "Byte order little-endian; integers unsigned. Times are nanoseconds, `*_time_ns` the spacecraft clock (UTC",
        "when there is none). Arrays are row-major. A header is one msgpack map with string keys; every message is a",
        "ZeroMQ multipart message.",
        "",
        "## Sockets",
        "",
        "| name | pattern, service side | default endpoint |",
        "|---|---|---|",
    ]
    patterns = {"frames": "PULL, bind", "products": "PUB, bind", "telemetry": "PUB, bind", "commands": "ROUTER, bind"}
    text += [f"| {name} | {patterns[name]} | {endpoint} |" for name, endpoint in limits.DEFAULT_ENDPOINTS.items()]
    text += [
        "",
        "Any may be `ipc://`. An endpoint beyond loopback is refused unless the service has CURVE keys. With keys,",
        "every socket is a CURVE server with an allow-list of its role (ZAP): frames for cameras, products and",
        "telemetry for consumers, commands for commanders; see docs/security.md.",
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
        "## Products",
        "",
        _PLANES,
        "## Commands",
        "",
        _COMMANDS
        + f"{limits.PROBATION_FRAMES} frames: if it loses a worker or cannot process a frame before that, the "
        "bundle before it serves again.",
        "",
        "Parameters: " + ", ".join(f"`{name}` {_kind(schema)}" for name, schema in _parameters().items()) + ".",
        "",
    ]
    for kind, meaning in _MEANINGS.items():
        text += [f"## Message: {kind}", "", meaning, "", "| field | type and range | |", "|---|---|---|"]
        schema = load_schema("flight.icd.schemas", kind)
        required = schema["required"]
        text += [
            f"| `{name}` | {_kind(field)} | {'' if name in required else 'optional'} |"
            for name, field in schema["properties"].items()
        ]
        text.append("")
    text += ["## Events", "", "| id | name | severity | cause | at most per minute |", "|---|---|---|---|---|"]
    text += [
        f"| {e.id} | {e.name} | {e.severity} | {e.cause} | {e.throttle_per_minute} |" for e in catalogue.EVENTS.values()
    ]
    for title, table in (
        ("Reasons for rejecting a frame", catalogue.REJECTION_REASONS),
        ("Reply codes", catalogue.REPLY_CODES),
    ):
        text += ["", f"## {title}", "", "| name | meaning |", "|---|---|"]
        text += [f"| {name} | {meaning} |" for name, meaning in table.items()]
    text += ["", "## Product flags", "", "A product's status is the worst that its flags ask for.", ""]
    text += ["| name | status | meaning | what a consumer should do |", "|---|---|---|---|"]
    text += [f"| {name} | {flag.status} | {flag.cause} | {flag.advice} |" for name, flag in catalogue.FLAGS.items()]
    return "\n".join(text) + "\n"


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


if __name__ == "__main__":
    sys.stdout.write(document())
