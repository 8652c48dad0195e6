"""The four public sockets of the service."""

from __future__ import annotations

from dataclasses import dataclass

from flight.icd.limits import DEFAULT_ENDPOINTS


@dataclass(frozen=True)
class SocketDefinition:
    """One socket, which the service binds.

    Attributes:
        pattern: its ZeroMQ type.
        default_endpoint: where it is bound unless the configuration says otherwise.
        client: role of the clients that may connect, if there are keys.
        carries: in words.
    """

    pattern: str
    default_endpoint: str
    client: str
    carries: str


SOCKETS: dict[str, SocketDefinition] = {
    "frames": SocketDefinition("PULL", DEFAULT_ENDPOINTS["frames"], "camera", "frames, from cameras"),
    "products": SocketDefinition("PUB", DEFAULT_ENDPOINTS["products"], "consumer", "maps, to those who subscribed"),
    "telemetry": SocketDefinition("PUB", DEFAULT_ENDPOINTS["telemetry"], "consumer", "housekeeping and events"),
    "commands": SocketDefinition("ROUTER", DEFAULT_ENDPOINTS["commands"], "commander", "commands and their replies"),
}
