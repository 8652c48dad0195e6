"""Options of commands that show what goes on: where it comes from."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from flight.command_line import CommandParser
from flight.icd.limits import DEFAULT_ENDPOINTS
from flight.option_types import endpoint, existing_folder
from flight.segment import add_bit_depth

if TYPE_CHECKING:
    from flight.client.bit_depth import FrameImage
    from hil.recording.connections import WireTap


def add_sockets(command: argparse.ArgumentParser, sockets: Sequence[str]) -> None:
    """Add an option for the address of each of some sockets of the service."""
    for name in sockets:
        command.add_argument(
            f"--{name}",
            type=endpoint,
            default=DEFAULT_ENDPOINTS[name],
            metavar="ENDPOINT",
            help=f"the service's {name} socket",
        )


def add_keys(command: argparse.ArgumentParser, roles: str) -> None:
    """Add `--keys`. roles: that the keys must have."""
    command.add_argument(
        "--keys",
        type=existing_folder,
        metavar="DIR",
        help=f"keys with the roles {roles}, if the service has keys (default: none)",
    )


def add_live_options(command: CommandParser, sockets: Sequence[str], roles: str) -> None:
    """Add the options.

    Args:
        command: gets them.
        sockets: of the service that it uses, `frames` for the relay among them.
        roles: that the keys must have.
    """
    add_sockets(command, sockets)
    command.add_argument(
        "--relay-frames",
        type=endpoint,
        metavar="ENDPOINT",
        help="bind here, on loopback, for the camera, and hand on what it sends (default: no frames are received)",
    )
    command.add_argument("--source", help="source of the streamed frames, as of hil stream (default: not known)")
    command.add_argument("--subfolders", action="store_true", help="take the images of folders below, too")
    add_bit_depth(command)
    add_keys(command, f"{roles}, and camera for a relay")


def open_tap(arguments: argparse.Namespace) -> WireTap:
    """Open the sockets that a command line names. Raises as WireTap."""
    from hil.recording.connections import WireTap

    relay = (arguments.relay_frames, arguments.frames) if arguments.relay_frames else None
    return WireTap(arguments.products, arguments.telemetry, relay, None, arguments.keys)


def make_finder(arguments: argparse.Namespace) -> Callable[[int], FrameImage | None]:
    """Find a frame by its frame_id in the source that a command line names; None where it has none.

    Raises:
        ImageError, MissingReader, ValueError: see hil.sources.folder.open_source.
    """
    if arguments.source is None:
        return lambda frame_id: None
    from flight.client.images import ImageError
    from hil.sources.folder import open_source

    source = open_source(arguments.source, arguments.bit_depth, arguments.subfolders)

    def find(frame_id: int) -> FrameImage | None:
        with contextlib.suppress(ImageError):  # its file may be gone since it was sent
            return source.image(frame_id)
        return None

    return find
