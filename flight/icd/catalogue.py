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
        EventDefinition(3, "safe_state_entered", "fatal", "more worker restarts in the window than allowed", 60),
        EventDefinition(4, "safe_state_left", "info", "a recover command in the safe state", 60),
        EventDefinition(10, "worker_ready", "info", "a worker has loaded the bundle and passed its self-test", 60),
        EventDefinition(11, "worker_died", "warning_high", "the worker process ended by itself or by a signal", 60),
        EventDefinition(
            12, "worker_timeout", "warning_high", "no sign of life from the worker in time; it was killed", 60
        ),
        EventDefinition(13, "worker_refused", "warning_high", "the worker could not process a frame", 10),
        EventDefinition(14, "self_test_passed", "diagnostic", "the worker gave the known answer, bit by bit", 60),
        EventDefinition(
            15, "self_test_failed", "warning_high", "the worker's answer was not the known one; it is replaced", 60
        ),
        EventDefinition(
            18, "worker_answer_malformed", "warning_high", "the worker's answer breaks the contract; it is replaced", 60
        ),
        EventDefinition(
            16, "self_test_reference_set", "info", "the first answer of this bundle on this machine was recorded", 60
        ),
        EventDefinition(
            17,
            "self_test_reference_replaced",
            "warning_high",
            "two fresh workers gave the same answer, which was not the recorded one",
            60,
        ),
        EventDefinition(20, "frame_rejected", "warning_low", "a message on the frames socket broke the contract", 10),
        EventDefinition(30, "command_rejected", "warning_low", "a message on the commands socket was refused", 10),
        EventDefinition(
            31, "parameter_changed", "info", "a set_parameter, set_parameters or set_mode command was carried out", 60
        ),
        EventDefinition(32, "counters_reset", "info", "a reset_counters command", 60),
        EventDefinition(
            35,
            "record_copy_damaged",
            "warning_high",
            "a copy of the record is missing or damaged; the other is used",
            60,
        ),
        EventDefinition(
            36, "record_lost", "warning_high", "both copies of the record are damaged; defaults are used", 60
        ),
        EventDefinition(37, "record_not_written", "warning_high", "a copy of the record could not be written", 10),
        EventDefinition(
            38, "record_not_applicable", "warning_low", "a recorded value does not fit this bundle or version", 60
        ),
        EventDefinition(40, "bundle_refused", "warning_high", "a bundle did not validate or its hash differs", 10),
        EventDefinition(41, "bundle_loaded", "info", "a load_bundle command was carried out", 60),
        EventDefinition(42, "bundle_validated", "info", "a validate_bundle command was carried out", 60),
        EventDefinition(43, "bundle_activated", "info", "another bundle serves from now on", 60),
        EventDefinition(
            44, "bundle_fell_back", "warning_high", "a newly activated bundle failed; the previous one serves", 60
        ),
        EventDefinition(45, "bundle_confirmed", "info", "a newly activated bundle has answered its first frames", 60),
        EventDefinition(
            46, "bundle_restored", "info", "at start: the activated bundle is served, not that of the command line", 60
        ),
        EventDefinition(47, "bundle_damaged", "warning_high", "a file of the bundle changed on the storage", 10),
        EventDefinition(48, "bundle_repaired", "info", "a fresh worker serves from verified files", 60),
        EventDefinition(
            50, "handshake_failed", "warning_low", "a peer had no key, a wrong key, or no business here", 10
        ),
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
    "rate_limited": "more frames per second than configured; this one was not looked at",
}

REPLY_CODES: dict[str, str] = {
    "ok": "carried out",
    "malformed": "the message is no command of this schema",
    "unknown_command": "no such command",
    "invalid_argument": "an argument is missing, of the wrong type, or out of range",
    "unknown_parameter": "no such parameter",
    "not_configured": "the service was started without the folder that the command needs",
    "not_staged": "no bundle was loaded, or it was not validated",
    "not_valid": "the bundle, or the self-test, failed; the message says why",
    "busy": "another command that takes time is under way",
    "wrong_state": "not in this state of the service",
    "storage_failed": "the record could not be written; nothing was changed",
    "internal_error": "a fault in the service while carrying it out; status is failed",
}


@dataclass(frozen=True)
class FlagDefinition:
    """One product flag. status: what the product's status becomes, "valid" meaning that it is left as it was."""

    status: str
    cause: str
    advice: str


FLAGS: dict[str, FlagDefinition] = {
    "deadline": FlagDefinition(
        "degraded",
        "fewer passes than requested: the next one would have overrun deadline_ms",
        "use the class map; take the uncertainty for a rougher estimate",
    ),
    "single_pass": FlagDefinition(
        "valid",
        "the networks carry no dropout: one pass, predictive entropy of the softmax only",
        "mutual information is zero and says nothing",
    ),
    "body_not_found": FlagDefinition(
        "degraded", "centering found nothing bright; the whole frame was used", "do not navigate on the map"
    ),
    "dark": FlagDefinition(
        "degraded", "the brightest of the frame is below dark_level", "expose longer; do not use the map"
    ),
    "empty_sky": FlagDefinition(
        "degraded", "nothing extended stands out of the background", "point the camera; do not use the map"
    ),
    "saturated": FlagDefinition(
        "degraded",
        "more than saturated_fraction of the body's pixels are at full scale",
        "expose shorter; craters and boulders are lost where it is white",
    ),
    "body_small": FlagDefinition(
        "degraded",
        "the body's larger side is below smallest_body_pixels",
        "use the map's outline, not its morphology",
    ),
    "body_cut": FlagDefinition(
        "valid", "the body reaches the frame's edge", "do not take the map's centroid for the body's"
    ),
    "several_bodies": FlagDefinition(
        "valid", "another body of second_body_fraction or more lies apart", "do not take the centroid for one body's"
    ),
    "high_entropy": FlagDefinition(
        "degraded",
        "the map's mean entropy is above entropy_factor times that of the validation images",
        "the frame is unlike training: trust no class",
    ),
    "bundle_damaged": FlagDefinition(
        "degraded",
        "a file of the bundle changed on the storage, and no fresh worker serves yet",
        "as for any degraded product; the worker's own memory was verified when it was loaded",
    ),
    "worker_failed": FlagDefinition(
        "invalid", "two workers were lost on this frame, or one was and a newer frame came", "wait for the next product"
    ),
    "frame_refused": FlagDefinition(
        "invalid", "the worker could not process this frame", "wait for the next product; look at the events"
    ),
    "safe_state": FlagDefinition(
        "invalid", "the service is in the safe state and makes no maps", "do without maps until recovery"
    ),
}


def status_of(flags: list[str]) -> str:
    """A product's status: the worst that its flags ask for."""
    order = ("valid", "degraded", "invalid")
    return max((FLAGS[flag].status for flag in flags), key=order.index, default="valid")
