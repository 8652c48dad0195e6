"""What the bridge has to say of itself: its events, its state, and why it rejects telecommands."""

from __future__ import annotations

from dataclasses import dataclass

from flight.icd.catalogue import Argument, EventDefinition

_AGE = Argument("age_s", "number", "since its last housekeeping", "s", 0)

BRIDGE_EVENTS: dict[str, EventDefinition] = {
    event.name: event
    for event in (
        EventDefinition(
            1,
            "service_gone",
            "warning_high",
            "no housekeeping of the service came for some seconds",
            arguments=(_AGE,),
            formats=("no housekeeping for {age_s:.1f} s",),
        ),
        EventDefinition(
            2,
            "service_found",
            "info",
            "housekeeping of the service came, for the first time or again",
            arguments=(Argument("state", "text", "of the service"),),
            formats=("state {state}",),
        ),
    )
}

# Why the bridge fails a telecommand, by position. Append only; the ICD's reply codes follow from 256 on.
FAILURES: dict[str, str] = {
    "": "",
    "wrong_length": "the octets are fewer or more than the packet's header or its service says",
    "wrong_header": "no telecommand packet: version, type, secondary header or sequence flags are others",
    "wrong_apid": "no application process here takes telecommands under this identifier",
    "wrong_checksum": "the CRC-16 is not that of the packet",
    "wrong_version": "the secondary header is not of PUS-C",
    "wrong_source": "this source identifier may not send telecommands",
    "unknown_service": "this application process has no such service and subtype",
    "not_allowed": "the bridge was started without leave for this command",
    "no_reply": "the service is not there, did not reply in time, or does not take the bridge's key",
    "too_many": "too many telecommands are under way",
    "unknown_structure": "this application process reports no such structure, or has none of it yet",
    "unknown_event": "this application process has no such event",
}


@dataclass(frozen=True)
class BridgeStatus:
    """The bridge's state.

    Attributes:
        uptime_s: since it started.
        service_is_there: whether housekeeping comes.
        housekeeping_age_s: since the last housekeeping; None before the first.
        housekeeping_received: messages.
        events_received: messages.
        products_received: messages.
        products_lost: by their sequence.
        messages_malformed: telemetry and products that broke the contract.
        packets_sent: telemetry packets made, whoever takes them.
        telecommands_received: whole or not.
        telecommands_accepted: of them.
        telecommands_rejected: of them.
        ground_links: connections over which telemetry goes.
        links_dropped: connections that took telemetry too slowly, and were closed.
    """

    uptime_s: float
    service_is_there: bool
    housekeeping_age_s: float | None
    housekeeping_received: int
    events_received: int
    products_received: int
    products_lost: int
    messages_malformed: int
    packets_sent: int
    telecommands_received: int
    telecommands_accepted: int
    telecommands_rejected: int
    ground_links: int
    links_dropped: int
