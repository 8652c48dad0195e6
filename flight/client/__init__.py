"""Python clients for consumers, cameras and operators: receive and use maps, send frames, send commands."""

from flight.client.async_subscriber import AsyncSubscriber
from flight.client.camera import CameraReport, FrameSender
from flight.client.check import Checker, CheckLimits, Expectation, Finding
from flight.client.commander import Commander, CommandFailed
from flight.client.connection import ConnectionClosed, ForkError
from flight.client.hazard import LandingCircle, LandingCircles, landing_circles
from flight.client.map_view import Refusal
from flight.client.navigation import NavigationFix, SunDirection, navigation_fix
from flight.client.subscriber import Subscriber, SubscriberStatistics
from flight.client.telemetry import TelemetryListener
from flight.endpoints import EndpointError

__all__ = [
    "AsyncSubscriber",
    "CameraReport",
    "CheckLimits",
    "Checker",
    "CommandFailed",
    "Commander",
    "ConnectionClosed",
    "EndpointError",
    "Expectation",
    "Finding",
    "ForkError",
    "FrameSender",
    "LandingCircle",
    "LandingCircles",
    "NavigationFix",
    "Refusal",
    "Subscriber",
    "SubscriberStatistics",
    "SunDirection",
    "TelemetryListener",
    "landing_circles",
    "navigation_fix",
]
