"""Sizes that no message may pass, and the default endpoints."""

from __future__ import annotations

SCHEMA_VERSION = 1
HEADER_BYTES = 4 * 1024
MESSAGE_BYTES = 40 * 1024 * 1024
PRODUCT_HEADER_BYTES = 64 * 1024
COMMAND_BYTES = 64 * 1024
TELEMETRY_BYTES = 64 * 1024
# Of every header and map: how deep maps and arrays may be nested, itself included, and items of an array. A parser of
# msgpack takes memory for an array when it reads how long it is said to be, before any of it came.
NESTING = 32
ARRAY_ITEMS = 1024

# libzmq's limit on a message counts bytes on the wire, where CURVE adds this many to every part.
CURVE_BYTES = 33

# Missing numbers in a sequence that may be products lost in a row: 2.7 hours at 100 products a second. More is no loss.
LARGEST_GAP = 1_000_000

# Starts of cameras whose frames housekeeping counts: those that were heard last.
CAMERAS = 64

# A newly activated bundle is trusted once it has answered this many frames.
PROBATION_FRAMES = 10

DEFAULT_ENDPOINTS = {
    "frames": "tcp://127.0.0.1:5601",
    "products": "tcp://127.0.0.1:5602",
    "telemetry": "tcp://127.0.0.1:5603",
    "commands": "tcp://127.0.0.1:5604",
}

TOPIC_NAVIGATION = "map.navigation"
TOPIC_HAZARD = "map.hazard"
TOPIC_FULL = "map.full"
PRODUCT_TOPICS = (TOPIC_NAVIGATION, TOPIC_HAZARD, TOPIC_FULL)
TOPIC_HOUSEKEEPING = "telemetry.housekeeping"
TOPIC_EVENT = "event"
