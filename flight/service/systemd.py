"""Tells systemd that the service is up and alive: the sd_notify protocol, one datagram per message."""

from __future__ import annotations

import contextlib
import os
import socket


class Notifier:
    """Sends to the socket that NOTIFY_SOCKET names; sends nothing without one.

    Attributes:
        interval_s: how often to call report_alive(), half of WATCHDOG_USEC, seconds; None if no watchdog is set.
        ready: whether the service has reported that it is up.
    """

    def __init__(self) -> None:
        address = os.environ.get("NOTIFY_SOCKET", "")
        # A name in the abstract namespace is written with an @ for its first, zero byte.
        self._address = "\0" + address[1:] if address.startswith("@") else address
        microseconds = os.environ.get("WATCHDOG_USEC", "")
        watched = os.environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        self.interval_s = 0.5e-6 * int(microseconds) if microseconds.isdecimal() and watched else None
        self.ready = False

    def extend_start(self, seconds: float) -> None:
        """Ask systemd for so many seconds more from now on, before the service counts as not having started."""
        self._send(f"EXTEND_TIMEOUT_USEC={int(1e6 * seconds)}")

    def report_ready(self, status: str) -> None:
        """Report that the service is up; later calls only change the status line."""
        self._send(f"STATUS={status}" if self.ready else f"READY=1\nSTATUS={status}")
        self.ready = True

    def report_alive(self) -> None:
        """Send the watchdog's heartbeat."""
        self._send("WATCHDOG=1")

    def report_stopping(self) -> None:
        """Report that the service is about to end."""
        self._send("STOPPING=1")

    def _send(self, text: str) -> None:
        if not self._address:
            return
        # The process that started the service may be gone, which must not end the service.
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.setblocking(False)
            sender.sendto(text.encode("utf-8"), self._address)
