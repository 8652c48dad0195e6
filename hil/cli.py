"""`hil`: run, compare, fly, segment, stream, watch, demo, metrics, bridge, record, play, export-ros, console,
view, board, deploy.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flight.command_line import CommandParser, examples, run_program
from flight.icd.limits import DEFAULT_ENDPOINTS, PRODUCT_TOPICS, TOPIC_HAZARD, TOPIC_NAVIGATION
from flight.option_types import endpoint, existing_folder, existing_path, integer, number_above, output_folder
from flight.segment import SEGMENT_FILES, add_bit_depth, add_segment_options
from hil.board.commands import add_board, run_board
from hil.bridge.commands import add_bridge, run_bridge
from hil.console.commands import add_console, run_console
from hil.deploy.commands import add_deploy, run_deploy
from hil.fly.commands import add_fly, run_fly
from hil.recording.commands import add_export_ros, add_play, add_record, run_export_ros, run_play, run_record
from hil.runs.commands import add_compare, add_run, run_compare, run_run
from hil.view.commands import add_view, run_view

if TYPE_CHECKING:
    from flight.client import SubscriberStatistics
    from hil.watch import WatchLog

_PROGRAM_EXAMPLES = {
    "hil demo": "service, camera and consumer together",
    "hil run nominal_flyby": "a scenario, with a verdict",
    "hil compare A B": "two results side by side",
    "hil fly flyby": "a spacecraft flies by the maps of its frames",
    "hil stream --source DIR --rate 2": "send frames to a running service as a camera",
    "hil watch": "receive maps as a consumer",
    "hil segment --bundle models/unet_h --out out/maps DIR": "without sockets",
    "hil metrics": "its telemetry for Prometheus",
    "hil bridge": "CCSDS packets for ground systems, and telecommands from them",
    "hil record flyby.mcap": "what the service publishes, as a file; `hil play` sends it again",
    "hil export-ros flyby.mcap flyby_ros.mcap": "a recording for ROS 2",
    "hil console": "a web page for operators",
    "hil view": "frames and maps in Rerun's viewer",
    "hil board up": "a virtual aarch64 board",
    "hil deploy pi@raspberrypi.local": "the service onto a board",
}
_STREAM_EXAMPLES = """examples:
  hil stream                                  the shipped flyby, 2 frames/s
  hil stream --source DIR --rate 1 --loop     any folder of images, without end
  hil stream --source DIR --bit-depth 12      12 bits in files of 16
  hil stream --source cube.fits               each image of a file
"""
_SEGMENT_EXAMPLES = f"""examples:
  hil segment --bundle models/unet_h --out out/maps frame.fits
  hil segment --bundle models/unet_h --out out/maps --subfolders DIR

{SEGMENT_FILES}
Of a folder with subfolders their names are kept; pages of a file get a number: stack_1, stack_2.
"""
_WATCH_EXAMPLES = """examples:
  hil watch
  hil watch --topics map.navigation --count 10
  hil watch --save out/maps --source flyby    with pictures; --source: the same as of hil stream
"""
_DEMO_EXAMPLES = {
    "hil demo": "the shipped flyby through the shipped networks",
    "hil demo --source DIR --out out/own": "a folder of images of your own",
}
_METRICS_EXAMPLES = """examples:
  hil metrics
  hil metrics --port 9200 --endpoint ipc:///run/rubblemap/telemetry
  curl http://127.0.0.1:9101/metrics

Listens on 127.0.0.1 only. May be started before the service and outlives its restarts: rubblemap_up is 0 while no
housekeeping comes. For Prometheus:
  scrape_configs:
    - job_name: rubblemap
      static_configs:
        - targets: ["127.0.0.1:9101"]
"""


def build_parser() -> CommandParser:
    """The command line of `hil`."""
    parser = CommandParser(
        prog="hil", description="Hardware-in-the-loop tools for Rubblemap.", epilog=examples(_PROGRAM_EXAMPLES)
    )
    parser.set_defaults(extra="hil")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_stream(commands)
    _add_watch(commands)
    _add_demo(commands)
    _add_segment(commands)
    _add_metrics(commands)
    add_bridge(commands)
    add_run(commands)
    add_compare(commands)
    add_fly(commands)
    add_record(commands)
    add_play(commands)
    add_export_ros(commands)
    add_console(commands)
    add_view(commands)
    add_board(commands)
    add_deploy(commands)
    return parser


def _add_connection(command: CommandParser, socket: str, client: str) -> None:
    """Add the options of a client that connects to a socket of the service."""
    command.add_argument(
        "--endpoint", type=endpoint, default=DEFAULT_ENDPOINTS[socket], help=f"the service's {socket} socket"
    )
    command.add_argument(
        "--keys",
        type=existing_folder,
        metavar="DIR",
        help=f"the {client}'s keys, if the service has keys (default: none)",
    )


def _add_source(
    command: CommandParser,
    text: str = '"flyby" (shipped), a folder of images, or a file of several',
    default: str | None = None,
) -> None:
    """Add the options of a command that reads frames."""
    command.add_argument("--source", default=default, help=text)
    _add_subfolders(command)
    add_bit_depth(command)


def _add_subfolders(command: CommandParser) -> None:
    command.add_argument("--subfolders", action="store_true", help="take the images of folders below, too")


def _add_stream(commands: Any) -> None:
    stream = commands.add_parser("stream", help="send frames as a camera", epilog=_STREAM_EXAMPLES)
    _add_source(stream, default="flyby")
    stream.add_argument("--rate", type=number_above(0.0), default=2.0, metavar="HZ", help="frames per second")
    stream.add_argument("--loop", action="store_true", help="start again after the last frame")
    stream.add_argument(
        "--count", type=integer(1), metavar="N", help="stop after this many frames (default: those of the source)"
    )
    stream.add_argument("--name", default="hil-camera", help="the camera's source name")
    _add_connection(stream, "frames", "camera")
    stream.add_argument(
        "--telemetry",
        type=_endpoint_or_none,
        metavar="ENDPOINT",
        help="the service's telemetry socket, where it tells which frames it rejected; none: not asked for (default: "
        "the one beside the frames socket, with --keys none)",
    )


def _endpoint_or_none(text: str) -> str:
    """An endpoint, or "" for `none`."""
    return "" if text == "none" else endpoint(text)


def _add_watch(commands: Any) -> None:
    watch = commands.add_parser("watch", help="receive maps as a consumer", epilog=_WATCH_EXAMPLES)
    watch.add_argument(
        "--topics",
        nargs="+",
        default=[TOPIC_NAVIGATION, TOPIC_HAZARD],
        choices=PRODUCT_TOPICS,
        metavar="TOPIC",
        help="topic of the products to show",
    )
    watch.add_argument("--every", action="store_true", help="show every product, not only the newest")
    watch.add_argument("--count", type=integer(1), metavar="N", help="stop after this many products (default: never)")
    watch.add_argument(
        "--until-idle",
        type=number_above(0.0),
        metavar="SECONDS",
        help="stop when none came for this long (default: never)",
    )
    watch.add_argument(
        "--save", type=output_folder, metavar="DIR", help="write pictures and demo.gif there (default: no pictures)"
    )
    _add_source(watch, "source of the streamed frames, to show them in the pictures (default: not shown)")
    _add_connection(watch, "products", "consumer")


def _add_demo(commands: Any) -> None:
    demo = commands.add_parser("demo", help="service, camera and consumer together", epilog=examples(_DEMO_EXAMPLES))
    demo.add_argument(
        "--bundle", type=existing_folder, metavar="DIR", help="the model bundle to serve (default: the shipped one)"
    )
    _add_source(demo, default="flyby")
    demo.add_argument("--rate", type=number_above(0.0), default=2.0, metavar="HZ", help="frames per second")
    demo.add_argument(
        "--out", type=output_folder, default=Path("out/demo"), metavar="DIR", help="folder for pictures and logs"
    )


def _add_segment(commands: Any) -> None:
    segment = commands.add_parser(
        "segment", help="segment images of any kind, without sockets", epilog=_SEGMENT_EXAMPLES
    )
    segment.add_argument(
        "images",
        nargs="+",
        type=existing_path,
        metavar="IMAGE",
        help="images or folders of them: PNG, JPEG, TIFF, FITS, PDS and more; docs/images.md",
    )
    _add_subfolders(segment)
    add_segment_options(segment)


def _add_metrics(commands: Any) -> None:
    metrics = commands.add_parser("metrics", help="housekeeping as Prometheus metrics", epilog=_METRICS_EXAMPLES)
    metrics.add_argument(
        "--port", type=integer(0, 65535), default=9101, metavar="N", help="HTTP port on 127.0.0.1; 0: any"
    )
    _add_connection(metrics, "telemetry", "consumer")


def _stream(arguments: argparse.Namespace) -> int:
    from flight.client import FrameSender
    from flight.segment import warn
    from hil.camera_report import FIRST_REPORT_S, RejectionTeller, await_report, describe_report, find_telemetry
    from hil.sources.folder import open_source
    from hil.stream import stream

    source = open_source(arguments.source, arguments.bit_depth, arguments.subfolders, warn)
    left_out: set[str] = set()
    telemetry = arguments.telemetry
    if telemetry is None and arguments.keys is None:  # a camera's key opens the frames socket alone
        telemetry = find_telemetry(arguments.endpoint)
    teller = RejectionTeller()
    with FrameSender(arguments.endpoint, arguments.name, keys=arguments.keys, telemetry=telemetry or None) as sender:

        def after_frame() -> None:
            if telemetry:
                teller.look(sender.report())

        if telemetry:
            sender.report(FIRST_REPORT_S)  # of an earlier start, with a newer epoch
        sent = stream(source, sender, arguments.rate, arguments.loop, arguments.count, left_out, after_frame)
        report = await_report(sender, sent) if telemetry else None
        teller.look(report)
    if report is None:
        reason = f"no word from {telemetry}" if telemetry else "not asked, see --telemetry"
        print(f"sent {sent} frames of {source.name}; which the service accepted is not known: {reason}", flush=True)
        return 1 if left_out else 0
    print(f"sent {sent} frames of {source.name}: {describe_report(report, sent)}", flush=True)
    return 1 if left_out or report.accepted < sent else 0


def _watch(arguments: argparse.Namespace) -> int:
    from flight.client import Subscriber
    from hil.sources.folder import open_source
    from hil.watch import WatchLog, watch, write_gif

    source = None
    if arguments.source:
        source = open_source(arguments.source, arguments.bit_depth, arguments.subfolders)
    if arguments.save is not None:
        arguments.save.mkdir(parents=True, exist_ok=True)

    def write_line(text: str) -> None:
        print(text, flush=True)

    if arguments.save is not None and not {TOPIC_NAVIGATION, TOPIC_HAZARD} <= set(arguments.topics):
        raise ValueError(f"--save: needs the topics {TOPIC_NAVIGATION} and {TOPIC_HAZARD}")
    log = WatchLog()
    with Subscriber(
        arguments.endpoint, arguments.topics, newest=not arguments.every, keys=arguments.keys
    ) as subscriber:
        with contextlib.suppress(KeyboardInterrupt):  # the usual way to end; the summary is still printed
            watch(
                subscriber,
                save=arguments.save,
                source=source,
                count=arguments.count,
                until_idle_s=arguments.until_idle,
                log=log,
                write_line=write_line,
            )
        statistics = subscriber.statistics
    write_line(_format_summary(log, statistics))
    if log.pictures:
        write_gif(log.pictures, arguments.save / "demo.gif")
    return 0


def _format_summary(log: WatchLog, statistics: SubscriberStatistics) -> str:
    """One line about all products received."""
    statuses = ", ".join(f"{count} {status}" for status, count in sorted(log.statuses.items())) or "none"
    text = f"products: {statuses}; lost {statistics.lost}, malformed {statistics.malformed}"
    if log.latencies_ms:
        ordered = sorted(log.latencies_ms)
        text += f"; latency median {ordered[len(ordered) // 2]:.0f} ms, largest {ordered[-1]:.0f} ms"
        used = sorted(used for used, _ in log.passes)
        text += f"; passes used, median {used[len(used) // 2]} of {log.passes[0][1]}"
    return text


def _demo(arguments: argparse.Namespace) -> int:
    from hil.demo import SHIPPED_BUNDLE, run_demo
    from hil.sources.folder import open_source

    # A wrong folder is said before anything starts.
    open_source(arguments.source, subfolders=arguments.subfolders)
    options = ["--source", arguments.source]
    options += ["--subfolders"] if arguments.subfolders else []
    options += ["--bit-depth", str(arguments.bit_depth)] if arguments.bit_depth is not None else []
    return run_demo(arguments.bundle or SHIPPED_BUNDLE, options, arguments.rate, arguments.out)


def _segment(arguments: argparse.Namespace) -> int:
    from hil.segment import segment

    return segment(arguments)


def _metrics(arguments: argparse.Namespace) -> int:
    from flight.client import TelemetryListener
    from hil.metrics import TelemetryCollector, serve_metrics

    collector = TelemetryCollector()
    with (
        contextlib.suppress(KeyboardInterrupt),  # the only way to end
        TelemetryListener(arguments.endpoint, keys=arguments.keys) as telemetry,
        serve_metrics(collector, arguments.port) as port,
    ):
        print(f"metrics: http://127.0.0.1:{port}/metrics", flush=True)
        while True:
            received = telemetry.receive(1.0)
            if received is not None:
                collector.update(*received)
    return 0


def main(argv: list[str] | None = None) -> int:
    """Run the command line; returns the exit code, see flight.command_line."""
    commands = {
        "stream": _stream,
        "watch": _watch,
        "demo": _demo,
        "segment": _segment,
        "metrics": _metrics,
        "bridge": run_bridge,
        "run": run_run,
        "compare": run_compare,
        "fly": run_fly,
        "record": run_record,
        "play": run_play,
        "export-ros": run_export_ros,
        "console": run_console,
        "view": run_view,
        "board": run_board,
        "deploy": run_deploy,
    }
    return run_program(build_parser(), lambda arguments: commands[arguments.command](arguments), argv)


if __name__ == "__main__":
    sys.exit(main())
