"""The events: id, severity, cause, limit per minute, typed arguments, and the formats of their messages."""

from __future__ import annotations

from dataclasses import dataclass
from string import Formatter
from typing import Literal

from flight.icd.catalogue.arguments import Argument

Severity = Literal["diagnostic", "info", "warning_low", "warning_high", "fatal"]


@dataclass(frozen=True)
class EventDefinition:
    """One event.

    Attributes:
        id: number on the wire.
        name: on the wire.
        severity: on the wire.
        cause: what has happened.
        throttle_per_minute: how many are sent in a minute at most; the rest are counted.
        arguments: in their order on the wire.
        formats: of the message, for str.format; the first one whose arguments are all given makes it. Lists are
            written as "a; b", maps as "a = 1, b = 2".
    """

    id: int
    name: str
    severity: Severity
    cause: str
    throttle_per_minute: int = 60
    arguments: tuple[Argument, ...] = ()
    formats: tuple[str, ...] = ()

    def choose_format(self, given: set[str]) -> str | None:
        """Choose the format for arguments of the given names; None if they suffice for none."""
        return next((text for text in self.formats if find_fields(text) <= given), None)

    @property
    def optional(self) -> frozenset[str]:
        """Names of the arguments that some formats use and others do not; all others are required."""
        fields = [find_fields(text) for text in self.formats]
        counts = {argument.name: sum(argument.name in names for names in fields) for argument in self.arguments}
        return frozenset(name for name, count in counts.items() if 0 < count < len(fields))


def find_fields(text: str) -> set[str]:
    """Find the names of the arguments in a format."""
    return {field for _, field, _, _ in Formatter().parse(text) if field is not None}


_PID = Argument("pid", "integer", "process id of the worker", low=0)
_PROBLEM = Argument("problem", "text", "what was wrong")
_NAME = Argument("name", "text", "name of the bundle that serves from now on")
_VERSION = Argument("version", "text", "its version")
_SHA256 = Argument("sha256", "text", "SHA-256 of the bundle's manifest, hexadecimal")
_ANSWER = (Argument("digest", "text", "SHA-256 of the self-test's answer, hexadecimal"), _SHA256)
_STAGED = (Argument("name", "text", "of the bundle"), Argument("version", "text", "of the bundle"), _SHA256)

EVENTS: dict[str, EventDefinition] = {
    definition.name: definition
    for definition in (
        EventDefinition(
            1,
            "service_started",
            "info",
            "the sockets are bound and the worker is starting",
            arguments=(Argument("pid", "integer", "process id of the service", low=0), _NAME, _VERSION),
            formats=("bundle {name} {version}",),
        ),
        EventDefinition(
            2,
            "service_stopped",
            "info",
            "a shutdown command, SIGTERM, SIGINT or SIGQUIT, or a fault of the service's own code",
            arguments=(
                Argument("uptime_s", "number", "since the service was made", "s", 0),
                Argument("fault", "text", "the error that ended it"),
            ),
            formats=("after {uptime_s:.1f} s by a fault of its own: {fault}", "after {uptime_s:.1f} s"),
        ),
        EventDefinition(
            3,
            "safe_state_entered",
            "fatal",
            "more worker restarts in the window than allowed, or more workers in a row than that were never ready",
            arguments=(
                Argument(
                    "unready_workers",
                    "integer",
                    "lost workers in a row that never became ready, where that alone led to the safe state",
                    low=1,
                ),
                Argument("restart_limit", "integer", "worker restarts that are allowed in the window", low=0),
                Argument("restart_window_s", "number", "length of the window", "s", 0),
                Argument("problem", "text", "why the last worker was lost"),
            ),
            formats=(
                "{unready_workers} workers in a row not ready, limit {restart_limit}, the last one: {problem}",
                "{unready_workers} workers in a row not ready, limit {restart_limit}",
                "more than {restart_limit} worker restarts in {restart_window_s:g} s, the last one: {problem}",
                "more than {restart_limit} worker restarts in {restart_window_s:g} s",
            ),
        ),
        EventDefinition(4, "safe_state_left", "info", "a recover command in the safe state", formats=("by command",)),
        EventDefinition(
            10,
            "worker_ready",
            "info",
            "a worker that was started has loaded the bundle and passed its self-test; not of one that takes over from "
            "another between two frames (see bundle_activated, bundle_repaired)",
            arguments=(_PID,),
            formats=("pid {pid}",),
        ),
        EventDefinition(
            11,
            "worker_died",
            "warning_high",
            "the worker process ended by itself or by a signal, or could not be started",
            arguments=(
                _PID,
                Argument("ending", "text", "exit status or signal"),
                Argument("error", "text", "why it could not be started"),
            ),
            formats=("pid {pid}: {ending}", "could not be started: {error}"),
        ),
        EventDefinition(
            12,
            "worker_timeout",
            "warning_high",
            "no heartbeat from the worker in time, or it took too long to start or to answer; it was killed",
            arguments=(
                _PID,
                Argument("state", "text", "of the worker: starting, idle or busy"),
                Argument("elapsed_s", "number", "how long it has been starting, or at its job", "s", 0),
                Argument("quiet_s", "number", "how long nothing came", "s", 0),
                Argument("limit_s", "number", "how long the one that the message names first may last", "s", 0),
                Argument("limit_field", "text", "field of [worker] that the limit comes from"),
            ),
            formats=(
                "pid {pid}: {state} for {elapsed_s:.1f} s, last heartbeat {quiet_s:.1f} s ago, limit {limit_s:.1f} s "
                "({limit_field})",
                "pid {pid}: {state}, no heartbeat for {quiet_s:.1f} s, limit {limit_s:.1f} s ({limit_field})",
            ),
        ),
        EventDefinition(
            13,
            "worker_refused",
            "warning_high",
            "the worker could not process a frame; once more when that ends a bundle's probation",
            10,
            (_PROBLEM,),
            ("{problem}",),
        ),
        EventDefinition(
            14,
            "self_test_passed",
            "diagnostic",
            "the serving worker's answer has the reference digest: it is the same, bit by bit",
            arguments=(Argument("agreement_percent", "number", "pixels as the bundle records them", "%", 0, 100),),
            formats=("{agreement_percent:.2f} % of the pixels as recorded",),
        ),
        EventDefinition(
            15,
            "self_test_failed",
            "warning_high",
            "the digest of the worker's answer differs from the reference, or there was no answer; it is replaced",
            arguments=(_PROBLEM,),
            formats=("{problem}",),
        ),
        EventDefinition(
            16,
            "self_test_reference_set",
            "info",
            "the first answer of this bundle on this machine, with these libraries and threads: its digest is the "
            "reference from now on",
            arguments=_ANSWER,
            formats=("{digest:.16}... of bundle {sha256:.16}...",),
        ),
        EventDefinition(
            17,
            "self_test_reference_replaced",
            "warning_high",
            "two fresh workers gave the same answer, whose digest differs from the reference and replaces it",
            arguments=_ANSWER,
            formats=("{digest:.16}... of bundle {sha256:.16}...",),
        ),
        EventDefinition(
            18,
            "worker_answer_malformed",
            "warning_high",
            "the worker's answer breaks the contract; it is replaced",
            arguments=(_PROBLEM,),
            formats=("{problem}",),
        ),
        EventDefinition(
            19,
            "worker_upset",
            "warning_high",
            "memory of the worker changed unexpectedly, found after a frame and before its answer was handed over; "
            "the worker is replaced, and the next one gets the frame",
            arguments=(_PROBLEM,),
            formats=("{problem}",),
        ),
        EventDefinition(
            20,
            "frame_rejected",
            "warning_low",
            "a message on the frames socket was rejected",
            10,
            (Argument("reason", "text", "one of the reasons for rejecting a frame"), _PROBLEM),
            ("{problem}",),
        ),
        EventDefinition(
            21,
            "memory_unguarded",
            "warning_low",
            "the system does not let the worker look at its own memory: upsets in it are found by self-tests only",
            10,
            (_PID,),
            ("pid {pid}",),
        ),
        EventDefinition(
            30,
            "command_rejected",
            "warning_low",
            "a command was rejected or failed",
            10,
            (Argument("code", "text", "of the reply"), _PROBLEM),
            ("{problem}",),
        ),
        EventDefinition(
            31,
            "parameter_changed",
            "info",
            "a set_parameter, set_parameters or set_mode command was carried out",
            arguments=(
                Argument("names", "texts", "of the parameters that were set"),
                Argument("values", "map", "their new values by name"),
            ),
            formats=("{values}",),
        ),
        EventDefinition(
            32,
            "counters_reset",
            "info",
            "a reset_counters command",
            formats=("all counters and latencies begin anew",),
        ),
        EventDefinition(
            35,
            "record_copy_damaged",
            "warning_high",
            "a copy of the record is missing, damaged or another service's; at start the other one is used; both are "
            "written again",
            arguments=(_PROBLEM,),
            formats=("{problem}",),
        ),
        EventDefinition(
            36,
            "record_lost",
            "warning_high",
            "at start: no copy of the record can be used, and one is damaged or another service's; defaults are used",
            arguments=(Argument("problems", "texts", "what was wrong with each copy"),),
            formats=("{problems}",),
        ),
        EventDefinition(
            37,
            "record_not_written",
            "warning_high",
            "a copy of the record, or of the factory bundle, could not be written",
            10,
            (
                Argument("path", "text", "what could not be written"),
                Argument("error", "text", "what the system says"),
                Argument("bundle", "text", "folder of the factory bundle, of which there is no copy"),
            ),
            ("{path}: {error}", "no copy of {bundle}: {error}"),
        ),
        EventDefinition(
            38,
            "record_not_applicable",
            "warning_low",
            "a recorded parameter does not fit the bundle that serves, or this version knows none of that name; or no "
            "risk as small as the one in force is promised, and the least that is counts",
            arguments=(_PROBLEM,),
            formats=("{problem}",),
        ),
        EventDefinition(
            39,
            "record_moved",
            "warning_high",
            "at start: the state folder, record and all, was in another place when it was written; it is used",
            arguments=(Argument("place", "text", "id of the machine and path of the folder at that time"),),
            formats=("the record was written in {place}",),
        ),
        EventDefinition(
            40,
            "bundle_refused",
            "warning_high",
            "a worker could not load the bundle that serves; or a recorded one, at start or to fall back to, did not "
            "validate",
            10,
            (_PROBLEM,),
            ("{problem}",),
        ),
        EventDefinition(
            41,
            "bundle_loaded",
            "info",
            "a load_bundle command was carried out",
            arguments=(Argument("folder", "text", "name of the folder that it was copied from"), _SHA256),
            formats=("{folder}, {sha256:.16}...",),
        ),
        EventDefinition(
            42,
            "bundle_validated",
            "info",
            "a validate_bundle command was carried out",
            arguments=_STAGED,
            formats=("{name} {version}, {sha256:.16}...",),
        ),
        EventDefinition(
            43,
            "bundle_activated",
            "info",
            "an activate_bundle command was carried out: another bundle serves from now on",
            arguments=(
                _NAME,
                _VERSION,
                _SHA256,
                Argument("previous_name", "text", "name of the bundle that served before"),
                Argument("previous_version", "text", "version of the bundle that served before"),
            ),
            formats=("{name} {version} after {previous_name} {previous_version}",),
        ),
        EventDefinition(
            44,
            "bundle_fell_back",
            "warning_high",
            "a newly activated bundle failed; the one before it serves, or the factory bundle",
            arguments=(
                Argument("failed_name", "text", "name of the bundle that failed"),
                Argument("failed_version", "text", "version of the bundle that failed"),
                _PROBLEM,
                _NAME,
                _VERSION,
            ),
            formats=("{failed_name} {failed_version} failed ({problem}); {name} {version} serves",),
        ),
        EventDefinition(
            45,
            "bundle_confirmed",
            "info",
            "a newly activated bundle has answered its first frames",
            arguments=(_NAME, _VERSION),
            formats=("{name} {version}",),
        ),
        EventDefinition(
            46,
            "bundle_restored",
            "info",
            "at start: the activated bundle, or the one before it, is served, not the factory bundle",
            arguments=(_NAME, _VERSION, _SHA256),
            formats=("{name} {version}, {sha256:.16}...",),
        ),
        EventDefinition(
            47,
            "bundle_damaged",
            "warning_high",
            "a file of the service's copy of the bundle changed on the storage, or its repair failed; or the "
            "factory bundle did not validate at start, or was changed since",
            10,
            (
                _PROBLEM,
                Argument("given_problem", "text", "what was wrong with the factory bundle"),
                Argument("write_error", "text", "why its files could not be written again"),
                Argument("repair_error", "text", "why no worker could take over from verified files"),
            ),
            (
                "{problem}",
                "{given_problem}; its copy is used",
                "and could not be written anew: {write_error}",
                "not repaired: {repair_error}",
            ),
        ),
        EventDefinition(
            48,
            "bundle_repaired",
            "info",
            "a fresh worker serves from verified files",
            arguments=(_NAME, _VERSION, Argument("folder", "text", "of the verified files")),
            formats=("{name} {version} from {folder}",),
        ),
        EventDefinition(
            50,
            "handshake_failed",
            "warning_low",
            "a peer had no key, a wrong key, or one that is not allowed on this socket",
            10,
            (
                Argument("socket", "text", "frames, products, telemetry or commands"),
                Argument("key", "text", "public key that was rejected, Z85"),
                Argument("address", "text", "of the peer"),
                Argument("role", "text", "that the key is not allowed in"),
                _PROBLEM,
            ),
            (
                "{socket}: key {key} from {address} is not allowed as {role}",
                "{socket}: key {key} is not allowed as {role}",
                "{socket}: {problem}",
                "{problem}",
            ),
        ),
    )
}
