"""Python clients for consumers, cameras and operators: receive and use maps, send frames, send commands."""

from flight.client.camera import FrameSender
from flight.client.check import Checker, CheckLimits, Expectation, Finding
from flight.client.commander import Commander, CommandFailed
from flight.client.hazard import LandingCircle, LandingCircles, landing_circles
from flight.client.map_view import Refusal
from flight.client.navigation import NavigationFix, SunDirection, navigation_fix
from flight.client.subscriber import Subscriber, SubscriberStatistics
from flight.client.telemetry import TelemetryListener

__all__ = [
    "CheckLimits",
    "Checker",
    "CommandFailed",
    "Commander",
    "Expectation",
    "Finding",
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
