"""`hil record`, `hil play` and `hil export-ros`."""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import sys
import time
from typing import TYPE_CHECKING, Any

from flight.command_line import examples
from flight.files import write_whole
from flight.option_types import endpoint, existing_file, integer, number, number_above, output_file
from flight.schema import format_text
from hil.live_options import add_keys, add_sockets

if TYPE_CHECKING:
    from hil.recording.player import Replay
    from hil.recording.recorder import Recorder

_RECORD_EXAMPLES = """examples:
  hil record flyby.mcap                       products and telemetry, until Ctrl-C
  hil record flyby.mcap --relay-frames tcp://127.0.0.1:5611
      with the frames: the camera sends there, as `hil stream --endpoint tcp://127.0.0.1:5611` does, and the recorder
      hands them on to the service
  hil record flyby.mcap --relay-frames tcp://127.0.0.1:5611 --relay-commands tcp://127.0.0.1:5614
      with commands and their replies: `flight command --endpoint tcp://127.0.0.1:5614 no_op`
"""
_PLAY_EXAMPLES = {
    "hil play flyby.mcap": "as it was recorded",
    "hil play flyby.mcap --speed 4": "in a quarter of the time",
    "hil play flyby.mcap --step --report out/replay.json": "frame after frame, and which products are bit-identical",
    "hil play flyby.mcap --contents": "what is in it",
}
_EXPORT_ROS_EXAMPLES = {
    "hil export-ros flyby.mcap flyby_ros.mcap": "",
    "hil export-ros flyby.mcap flyby_ros.mcap --minimum-radius 8 --circles 1": "one landing circle, from 8 px on",
}


def add_record(commands: Any) -> None:
    """Add `record` to the commands of `hil`."""
    record = commands.add_parser("record", help="record the service's traffic as MCAP", epilog=_RECORD_EXAMPLES)
    record.set_defaults(extra="record")
    record.add_argument("file", type=output_file, metavar="FILE", help="recording to write; it must not be there yet")
    add_sockets(record, ("products", "telemetry"))
    for name, client in (("frames", "the camera"), ("commands", "the commander")):
        record.add_argument(
            f"--relay-{name}",
            type=endpoint,
            metavar="ENDPOINT",
            help=f"bind here, on loopback, for {client}, record what it sends and hand it on (default: no {name} are "
            "recorded)",
        )
        add_sockets(record, [name])
    record.add_argument(
        "--duration", type=number_above(0.0), metavar="S", help="stop after so many seconds (default: at Ctrl-C)"
    )
    record.add_argument(
        "--no-pictures", action="store_true", help="leave out what Foxglove and Rerun show; `hil play` does without"
    )
    add_keys(record, "consumer, and camera or commander for relays")


def add_play(commands: Any) -> None:
    """Add `play` to the commands of `hil`."""
    play = commands.add_parser(
        "play", help="send a recording's frames to a service again", epilog=examples(_PLAY_EXAMPLES)
    )
    play.set_defaults(extra="record")
    play.add_argument("file", type=existing_file, metavar="FILE", help="recording, by hil record")
    pace = play.add_mutually_exclusive_group()
    pace.add_argument("--speed", type=number_above(0.0), default=1.0, metavar="X", help="times as fast as recorded")
    pace.add_argument("--step", action="store_true", help="send each frame when the one before is answered")
    play.add_argument(
        "--new-epoch",
        action="store_true",
        help="as cameras that have started again, for a service that had newer frames; seeds are others then",
    )
    play.add_argument(
        "--report",
        type=output_file,
        metavar="FILE",
        help="write as JSON how products compare; exit code 1 unless all are bit-identical, some at least (default: "
        "none is written)",
    )
    play.add_argument("--contents", action="store_true", help="say what is in the recording, and send nothing")
    add_sockets(play, ("frames", "products", "telemetry"))
    add_keys(play, "camera and consumer")


def add_export_ros(commands: Any) -> None:
    """Add `export-ros` to the commands of `hil`."""
    export = commands.add_parser(
        "export-ros", help="write a recording as an MCAP file of ROS 2", epilog=examples(_EXPORT_ROS_EXAMPLES)
    )
    export.set_defaults(extra="ros")
    export.add_argument("file", type=existing_file, metavar="RECORDING", help="recording, by hil record")
    export.add_argument("out", type=output_file, metavar="FILE", help="MCAP file to write; replaced if it is there")
    export.add_argument(
        "--minimum-radius",
        type=number(0.0, 4096.0),
        default=4.0,
        metavar="PX",
        help="smallest landing circle to look for, radius in sensor pixels",
    )
    export.add_argument(
        "--circles", type=integer(1, 16), default=3, metavar="N", help="landing circles of a frame at most"
    )


def run_record(arguments: argparse.Namespace) -> int:
    """Run `hil record`; returns the exit code."""
    from hil.recording.connections import WireTap
    from hil.recording.recorder import Recorder

    relays = {
        name: (bound, getattr(arguments, name)) if (bound := getattr(arguments, f"relay_{name}")) else None
        for name in ("frames", "commands")
    }
    end = time.monotonic() + (arguments.duration or math.inf)
    with WireTap(arguments.products, arguments.telemetry, relays["frames"], relays["commands"], arguments.keys) as tap:
        recorder = Recorder(arguments.file, not arguments.no_pictures)
        print(f"recording: {arguments.file}", flush=True)
        failing = False

        def ended() -> bool:
            nonlocal failing
            if recorder.failure is not None and not failing:
                failing = True
                goes_on = "; what is relayed goes on to the service" if any(relays.values()) else ""
                print(f"not recorded any more: {recorder.failure}{goes_on}", file=sys.stderr, flush=True)
            return time.monotonic() >= end or (failing and not any(relays.values()))

        try:
            with contextlib.suppress(KeyboardInterrupt):  # the usual way to end
                tap.run_until(recorder, ended)
        finally:
            recorder.close()
    return _tell_recorded(arguments, recorder)


def _tell_recorded(arguments: argparse.Namespace, recorder: Recorder) -> int:
    counts = ", ".join(f"{kind} {count}" for kind, count in sorted(recorder.counts.items())) or "nothing"
    left_out = ", ".join(f"{kind} {count}" for kind, count in sorted(recorder.left_out.items()))
    print(f"recorded: {counts}{f'; left out: {left_out}' if left_out else ''}", flush=True)
    if recorder.failure is not None:
        raise OSError(f"{arguments.file}: {recorder.failure}")
    return 1 if left_out else 0


def run_play(arguments: argparse.Namespace) -> int:
    """Run `hil play`; returns the exit code."""
    from hil.recording.comparison import read_contents
    from hil.recording.player import Endpoints, play

    if arguments.contents:
        for line in read_contents(arguments.file).describe():
            print(line)
        return 0
    if arguments.report is not None:
        arguments.report.parent.mkdir(parents=True, exist_ok=True)
    replay = play(
        arguments.file,
        Endpoints(arguments.frames, arguments.products, arguments.telemetry, arguments.keys),
        speed=arguments.speed,
        step=arguments.step,
        new_epoch=arguments.new_epoch,
    )
    _tell_replay(replay)
    comparison = replay.comparison
    if arguments.report is None:
        return 0
    report = {
        "recording": str(arguments.file),
        "ending": replay.ending,
        "frames_sent": replay.sent,
        "frames_left_out": replay.left_out,
        "frames_rejected": replay.rejected,
        "products": comparison.report(),
    }
    write_whole(arguments.report, (json.dumps(report, indent=1) + "\n").encode("utf-8"))
    return 0 if comparison.identical == comparison.recorded > 0 else 1


def _tell_replay(replay: Replay) -> None:
    text = f"sent {replay.sent} frames"
    if replay.left_out:
        text += f", left out {replay.left_out} that are none of the ICD"
    if replay.rejected:
        text += (
            f"; rejected: {', '.join(f'{format_text(why)} {count}' for why, count in sorted(replay.rejected.items()))}"
        )
        if "not_increasing" in replay.rejected:
            text += " (the service had newer ones: start it anew, or --new-epoch)"
    print(text)
    if replay.ending:
        print(f"the recording is not whole: {replay.ending}")
    for line in replay.comparison.describe():
        print(line, flush=True)


def run_export_ros(arguments: argparse.Namespace) -> int:
    """Run `hil export-ros`; returns the exit code."""
    from hil.recording.ros_export import export_ros
    from hil.recording.ros_messages import CircleOptions

    export = export_ros(arguments.file, arguments.out, CircleOptions(arguments.minimum_radius, arguments.circles))
    for line in export.describe():
        print(line)
    print(f"exported: {arguments.out}", flush=True)
    return 1 if export.left_out or export.ending else 0
