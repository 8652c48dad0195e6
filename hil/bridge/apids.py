"""Application processes: the bridge, and the service's sockets."""

from __future__ import annotations

from flight.icd.catalogue import SOCKETS

DEFAULT_APID = 0x1A0
BRIDGE = "bridge"
# The bridge comes first, then the service's sockets in the catalogue's order.
SOURCES = (BRIDGE, *SOCKETS)
# 0x7FF is of idle packets.
MOST_APID = 0x7FE - (len(SOURCES) - 1)


def apid_of(source: str, base: int = DEFAULT_APID) -> int:
    """The application process identifier of a source, counted from that of the bridge."""
    return base + SOURCES.index(source)
