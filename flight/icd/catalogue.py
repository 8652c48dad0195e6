"""The catalogue: events, reply codes, rejection reasons and product flags, each with its stated cause."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class EventDefinition:
    """One event. throttle_per_minute: how many are sent in a minute at most; the rest are counted."""

    id: int
    name: str
    severity: str
    cause: str
    throttle_per_minute: int


EVENTS: dict[str, EventDefinition] = {
    definition.name: definition
    for definition in (
        EventDefinition(1, "service_started", "info", "the sockets are bound and the worker is starting", 60),
        EventDefinition(2, "service_stopped", "info", "a shutdown command, SIGTERM or SIGINT", 60),
        EventDefinition(10, "worker_ready", "info", "a worker has loaded the bundle and passed its warm-up", 60),
        EventDefinition(11, "worker_died", "warning_high", "the worker process ended by itself or by a signal", 60),
        EventDefinition(
            12, "worker_timeout", "warning_high", "a frame or the start was not answered in time; worker killed", 60
        ),
        EventDefinition(13, "worker_refused", "warning_high", "the worker could not process a frame", 10),
        EventDefinition(20, "frame_rejected", "warning_low", "a message on the frames socket broke the contract", 10),
        EventDefinition(30, "command_rejected", "warning_low", "a message on the commands socket was refused", 10),
        EventDefinition(31, "parameter_changed", "info", "a set_parameter command was carried out", 60),
        EventDefinition(40, "bundle_refused", "warning_high", "a bundle did not validate or its hash differs", 10),
    )
}

REJECTION_REASONS: dict[str, str] = {
    "wrong_parts": "not two message parts, or a part over its limit",
    "malformed_header": "the header is no msgpack map within the limits",
    "unknown_schema": "the schema number is not one this service knows",
    "invalid_field": "a header field is missing, of the wrong type or out of range",
    "size_mismatch": "the pixel part has not height * width * channels * itemsize bytes",
    "crc_mismatch": "the CRC-32 of the pixels differs from the header's",
    "not_increasing": "(epoch, frame_id) repeats or steps back for this source",
    "too_many_sources": "more camera sources than the service keeps track of",
}

REPLY_CODES: dict[str, str] = {
    "ok": "carried out",
    "malformed": "the message is no command of this schema",
    "unknown_command": "no such command",
    "invalid_argument": "an argument is missing, of the wrong type, or out of range",
    "unknown_parameter": "no such parameter",
    "internal_error": "a fault in the service while carrying it out; status is failed",
}

FLAGS: dict[str, str] = {
    "deadline": "fewer passes than requested: the next one would have overrun deadline_ms",
    "body_not_found": "centering found nothing bright; the whole frame was used",
    "single_pass": "the networks carry no dropout: one pass, predictive entropy of the softmax only",
    "worker_failed": "two workers died or hung on this frame, or one did and a newer frame came; no planes",
    "frame_refused": "the worker could not process this frame; no planes",
}
