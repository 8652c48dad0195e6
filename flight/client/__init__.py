"""The Python side for consumers, cameras and operators: subscribe, send frames, command."""

from flight.client.camera import FrameSender
from flight.client.commander import Commander, CommandFailed
from flight.client.subscriber import Subscriber, SubscriberStatistics
from flight.client.telemetry import TelemetryListener

__all__ = [
    "CommandFailed",
    "Commander",
    "FrameSender",
    "Subscriber",
    "SubscriberStatistics",
    "TelemetryListener",
]
