"""The golden vectors: one file per kind of message, each part after its length (uint32, little-endian).

python -m tests.golden.vectors writes them anew; a change of their bytes is a change of the wire contract.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from flight.icd.catalogue import TOPIC_PLANES
from flight.icd.control import encode_message, event_values
from flight.icd.frames import encode_frame
from flight.icd.products import describe_plane, encode_product
from flight.service.statistics import Counters, Latencies

GOLDEN = Path(__file__).parent


def product_header() -> dict[str, Any]:
    """A complete product header without planes."""
    classes = [("background", "background"), ("surface", "safe"), ("craters", "hazard")]
    return {
        "schema": 1,
        "type": "map",
        "topic": "map.navigation",
        "sequence": 41,
        "source": "navcam",
        "epoch": 7,
        "frame_id": 2**40 + 5,
        "capture_time_ns": 1_700_000_000_000_000_000,
        "received_time_ns": 1_700_000_000_010_000_000,
        "published_time_ns": 1_700_000_000_360_000_000,
        "status": "degraded",
        "flags": ["deadline"],
        "bundle": {"name": "unet_h", "version": "0.1.0", "sha256": "ab" * 32},
        "mode": "UNetH",
        "gamma": 3.0,
        "passes_requested": 20,
        "passes_used": 17,
        "seed": 2**63 + 11,
        "uncertainty_threshold": 0.91,
        "map_to_sensor": [4.0, 0.0, 101.5, 0.0, 4.0, 57.5],
        "classes": [{"index": i, "name": n, "role": r} for i, (n, r) in enumerate(classes)],
        "timing_ms": {"queue": 0.5, "center": 1.25, "passes": 340.0, "fuse": 2.0, "publish": 0.75},
        "planes": [],
    }


def product(topic: str, **changes: Any) -> list[bytes]:
    """A product of the topic with all its planes; `changes` go into the header."""
    entries, planes = [], []
    for number, definition in enumerate(TOPIC_PLANES[topic]):
        if definition.dtype == "u8":
            plane: Any = np.arange(24, dtype=np.uint8).reshape(4, 6) % 4
        elif definition.dimensions == 3:
            plane = (np.arange(72, dtype=np.float32) / 128.0).astype(np.float16).reshape(3, 4, 6)
        else:
            plane = ((np.arange(24, dtype=np.float32) + number) / 32.0).astype(np.float16).reshape(4, 6)
        entry, raw = describe_plane(definition.name, plane, definition.units)
        entries.append(entry)
        planes.append(raw)
    return encode_product({**product_header(), "topic": topic, "planes": entries, **changes}, planes)


def _frame() -> list[bytes]:
    pixels = (np.arange(16 * 24, dtype=np.uint16) * 37 % 4096).reshape(16, 24)
    return encode_frame(
        pixels,
        source="navcam",
        epoch=7,
        frame_id=2**40 + 5,
        capture_time_ns=1_700_000_000_000_000_000,
        centered=False,
        bit_depth=12,
        exposure_s=0.125,
        range_km=12.5,
        sun_direction_camera=[0.0, -0.6, 0.8],
    )


def _housekeeping() -> list[bytes]:
    values = {
        "time_ns": 1_700_000_000_000_000_000,
        "state": "ready",
        "uptime_s": 12.5,
        "counters": Counters(frames_received=3, frames_accepted=2).values(),
        "latency_ms": Latencies().values(),
        "worker_last_answer_age_s": 0.25,
        "worker_pid": 4242,
        "bundle": product_header()["bundle"],
        "bundle_on_probation": False,
        "staged_bundle": {"sha256": "5a" * 32, "validated": True},
        "self_test": {"time_ns": 1_699_999_999_000_000_000, "passed": True},
        "parameters": {"mode": "UNetH", "passes": 20},
        "record_copies": 2,
        "resident_memory_bytes": 150_000_000,
        "cpu_temperature_c": None,
    }
    return [b"telemetry.housekeeping", encode_message("housekeeping", values)]


VECTORS: dict[str, Callable[[], list[bytes]]] = {
    "frame": _frame,
    "map_navigation": lambda: product("map.navigation"),
    "map_hazard": lambda: product("map.hazard"),
    "map_full": lambda: product("map.full"),
    "command": lambda: [
        encode_message("command", {"id": 9, "name": "set_parameter", "arguments": {"name": "passes", "value": 10}})
    ],
    "reply": lambda: [
        encode_message(
            "reply", {"id": 9, "status": "rejected", "code": "invalid_argument", "message": "why", "result": {}}
        )
    ],
    "event": lambda: [
        b"event",
        encode_message("event", event_values("frame_rejected", "why", {"reason": "size_mismatch"}, 5, 2)),
    ],
    "housekeeping": _housekeeping,
}


def read_vector(path: Path) -> list[bytes]:
    """The parts in a golden file."""
    data, parts, position = path.read_bytes(), [], 0
    while position < len(data):
        (length,) = struct.unpack_from("<I", data, position)
        parts.append(data[position + 4 : position + 4 + length])
        position += 4 + length
    return parts


def main() -> None:
    """Write every vector."""
    for name, make in VECTORS.items():
        parts = make()
        (GOLDEN / f"{name}.bin").write_bytes(b"".join(struct.pack("<I", len(p)) + p for p in parts))


if __name__ == "__main__":
    main()
