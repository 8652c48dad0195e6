"""`hil view`."""

from __future__ import annotations

import argparse
import contextlib
import math
import time
from typing import TYPE_CHECKING, Any

from flight.command_line import examples
from flight.option_types import existing_file, number_above, output_file
from hil.live_options import add_live_options, make_finder, open_tap

if TYPE_CHECKING:
    from hil.view.scene import Scene

_EXAMPLES = {
    "hil view": "what the running service publishes, in Rerun's viewer",
    "hil view --source flyby": "with the frames, where `hil stream` sends the same source",
    "hil view --relay-frames tcp://127.0.0.1:5611": "with the frames of any camera that sends there",
    "hil view --recording flyby.mcap --save flyby.rrd": "a recording as Rerun's file",
}


def add_view(commands: Any) -> None:
    """Add `view` to the commands of `hil`."""
    view = commands.add_parser("view", help="frames and maps in Rerun's viewer", epilog=examples(_EXAMPLES))
    view.set_defaults(extra="record,view")
    view.add_argument(
        "--recording", type=existing_file, metavar="FILE", help="show a recording by hil record (default: the service)"
    )
    view.add_argument(
        "--save", type=output_file, metavar="FILE", help="write an .rrd file (default: the viewer is opened)"
    )
    view.add_argument(
        "--duration", type=number_above(0.0), metavar="S", help="stop after so many seconds (default: at Ctrl-C)"
    )
    add_live_options(view, ("products", "telemetry", "frames"), "consumer")


def run_view(arguments: argparse.Namespace) -> int:
    """Run `hil view`; returns the exit code."""
    import rerun as rr

    from hil.view.scene import APPLICATION, Scene, make_blueprint

    scene = Scene(make_finder(arguments))
    rr.init(APPLICATION)
    if arguments.save is None:
        rr.spawn(default_blueprint=make_blueprint())
    else:
        rr.save(arguments.save, default_blueprint=make_blueprint())
    try:
        with contextlib.suppress(KeyboardInterrupt):  # the usual way to end
            if arguments.recording is not None:
                _show_recording(arguments, scene)
            else:
                _show_service(arguments, scene)
    finally:
        rr.disconnect()  # what is under way is written first
    left_out = f", {scene.malformed} malformed messages left out" if scene.malformed else ""
    print(f"shown: {scene.products} products{left_out}")
    return 0


def _show_recording(arguments: argparse.Namespace, scene: Scene) -> None:
    from hil.recording.reader import RecordingReader

    reader = RecordingReader(arguments.recording)
    for message in reader.messages({"frame", "product", "telemetry"}):
        scene.add(message.kind, message.parts, message.time_ns)
    if reader.ending:
        print(f"the recording is not whole: {reader.ending}")


def _show_service(arguments: argparse.Namespace, scene: Scene) -> None:
    end = time.monotonic() + (arguments.duration or math.inf)
    with open_tap(arguments) as tap:
        print("receiving", flush=True)
        tap.run_until(scene, lambda: time.monotonic() >= end)
