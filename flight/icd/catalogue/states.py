"""The states of the service, as housekeeping names them."""

from __future__ import annotations

STATES = ("starting", "ready", "degraded", "safe")
