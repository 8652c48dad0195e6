"""`flight`: serve, segment, check, doctor, tune, command, keys."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import traceback
from pathlib import Path
from typing import Any

from flight import __version__
from flight.command_line import CommandParser, examples, run_program
from flight.icd.limits import DEFAULT_ENDPOINTS
from flight.keys import ROLES
from flight.option_types import endpoint, existing_folder, integer, number_above, output_file, output_folder
from flight.segment import SEGMENT_FILES, add_segment_options
from flight.service.fields import SECTIONS, help_text

_SERVE_EXAMPLES = """examples:
  flight serve --bundle models/unet_h
  flight serve --bundle models/unet_h --config flight.toml

the configuration file is TOML; every field is optional, and these are the defaults:
"""
_SEGMENT_EXAMPLES = f"""examples:
  flight segment --bundle models/unet_h --out out/maps frame.png
  flight segment --bundle models/unet_h --out out/maps --passes 5 --mode UNetS images/*.png

{SEGMENT_FILES}
"""
_PROGRAM_EXAMPLES = {
    "flight check --bundle models/unet_h": "validate the networks and run their self-test",
    "flight serve --bundle models/unet_h": "the service",
    "flight command get_status": "talk to it",
    "flight doctor": "what is wrong with this board",
    "flight tune --bundle models/unet_h --rate 2": "which parameters give 2 frames/s here",
    "flight segment --bundle models/unet_h --out out/maps frame.png": "without sockets",
}
_CHECK_EXAMPLES = {
    "flight check --bundle models/unet_h": "",
    "flight check --bundle DIR --accelerator edgetpu": "on the board: do library, device and files fit",
}
_DOCTOR_EXAMPLES = {
    "flight doctor": "of an installed service",
    "flight doctor --report report.txt": "a report to send to whoever helps",
}
_TUNE_EXAMPLES = {
    "flight tune --bundle models/unet_h": "how long frames take here, and how many threads are best",
    "flight tune --bundle models/unet_h --rate 2": "as many passes as 2 frames/s allow",
    "flight tune --bundle models/unet_h --deadline 800 --mode UNetS": "maps 800 ms after a frame, by one network",
    "flight tune --bundle models/unet_h --rounds 10 --json tune.json": "closer figures, for programs, too",
}
_TUNE_NOTE = """Frames go through the engine itself, without sockets. A service that runs is left alone, and takes its
part of the processor. Exit code 1: what is wanted is out of reach of this board."""
_COMMAND_EXAMPLES = {
    "flight command get_status": "",
    "flight command set_parameter name=passes value=10": "",
    'flight command set_parameters \'values={"passes": 10, "deadline_ms": 1500}\'': "",
    "flight command set_mode mode=UNetS": "",
    "flight command load_bundle path=unet_h_2": "",
    "flight command validate_bundle": "",
    "flight command activate_bundle": "",
}
_SERVICE_KEYS_EXAMPLES = {"flight keys service /etc/rubblemap/keys": ""}
_CLIENT_KEYS_EXAMPLES = {
    "flight keys client /etc/rubblemap/keys navcam --role camera --out navcam_keys": "",
    "flight keys client /etc/rubblemap/keys operator --role commander --role consumer --out operator_keys": "",
}
_KEYS_NOTE = "A client's key is withdrawn by removing its file from the allow-list and restarting the service."


def build_parser() -> CommandParser:
    """The command line of `flight`."""
    parser = CommandParser(
        prog="flight", description="Rubblemap's onboard inference service.", epilog=examples(_PROGRAM_EXAMPLES)
    )
    parser.add_argument("--version", action="version", version=f"rubblemap {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    serve = commands.add_parser("serve", help="run the service", epilog=_SERVE_EXAMPLES + help_text())
    serve.add_argument("--bundle", type=Path, required=True, metavar="DIR", help="the model bundle to serve")
    serve.add_argument("--config", type=Path, metavar="TOML", help="configuration file (default: none)")

    segment = commands.add_parser("segment", help="segment image files, without sockets", epilog=_SEGMENT_EXAMPLES)
    segment.add_argument(
        "images", nargs="+", type=Path, metavar="IMAGE", help="PNG, JPEG or TIFF; `hil segment` reads more kinds"
    )
    add_segment_options(segment)

    check = commands.add_parser(
        "check", help="validate a bundle and run its self-test", epilog=examples(_CHECK_EXAMPLES)
    )
    check.add_argument("--bundle", type=existing_folder, required=True, metavar="DIR", help="the model bundle")
    check.add_argument(
        "--accelerator",
        choices=SECTIONS["worker"]["properties"]["accelerator"]["enum"],
        default="none",
        help="what to run it on, as of worker.accelerator in the service's configuration",
    )
    check.add_argument(
        "--short",
        action="store_true",
        help="once, and of a bundle in closed form that engine alone: what a worker tests at its start",
    )

    _add_doctor(commands)
    _add_tune(commands)
    command = commands.add_parser(
        "command", help="send a command to a running service", epilog=examples(_COMMAND_EXAMPLES)
    )
    command.add_argument("name", help="no_op, get_status, set_parameter, ...; see docs/icd.md")
    command.add_argument(
        "arguments",
        nargs="*",
        type=_name_and_value,
        metavar="NAME=VALUE",
        help="the command's arguments; a value is read as JSON, or else as text",
    )
    command.add_argument(
        "--endpoint", type=endpoint, default=DEFAULT_ENDPOINTS["commands"], help="the service's commands socket"
    )
    command.add_argument(
        "--timeout", type=number_above(0.0), default=120.0, metavar="S", help="wait so many seconds for the reply"
    )
    command.add_argument(
        "--keys", type=existing_folder, metavar="DIR", help="the client's keys, if the service has keys (default: none)"
    )
    _add_keys(commands)
    return parser


def _add_doctor(commands: Any) -> None:
    doctor = commands.add_parser(
        "doctor", help="say in plain words what is wrong with this board", epilog=examples(_DOCTOR_EXAMPLES)
    )
    folder = Path("/opt/rubblemap/bundle")
    doctor.add_argument("--bundle", type=Path, default=folder, metavar="DIR", help="the model bundle that is served")
    configuration = Path("/etc/rubblemap/flight.toml")
    doctor.add_argument(
        "--config", type=Path, default=configuration, metavar="TOML", help="the service's configuration"
    )
    doctor.add_argument(
        "--keys",
        type=existing_folder,
        metavar="DIR",
        help="a commander's keys, if there are keys (default: none)",
    )
    doctor.add_argument(
        "--report", type=output_file, metavar="FILE", help="write it to a file, too (default: not written)"
    )


def _add_tune(commands: Any) -> None:
    tune = commands.add_parser(
        "tune",
        help="measure engines and threads on this board, and propose parameters",
        epilog=examples(_TUNE_EXAMPLES, _TUNE_NOTE),
    )
    tune.add_argument("--bundle", type=existing_folder, required=True, metavar="DIR", help="the model bundle")
    tune.add_argument("--rate", type=number_above(0.0), metavar="HZ", help="frames per second wanted (default: none)")
    tune.add_argument(
        "--deadline",
        type=number_above(0.0),
        metavar="MS",
        help="time wanted from a frame's arrival to its maps (default: none)",
    )
    tune.add_argument("--mode", help="network or fusion that processes the frames (default: the bundle's first)")
    tune.add_argument(
        "--threads",
        type=integer(1, 64),
        action="append",
        metavar="N",
        help="number of threads to try, repeat for more (default: 1, 2, 4, ... and as many as there are cores)",
    )
    tune.add_argument("--rounds", type=integer(1, 1000), default=5, metavar="N", help="frames of each kind, in turn")
    tune.add_argument(
        "--json",
        type=_output_file_or_dash,
        metavar="FILE",
        help="write the figures for programs, too; - for the standard output instead of tables (default: not written)",
    )


def _output_file_or_dash(text: str) -> Path:
    return Path(text) if text == "-" else output_file(text)


def _add_keys(commands: Any) -> None:
    keys = commands.add_parser(
        "keys",
        help="make CURVE keys for a service and its clients",
        epilog=examples(_SERVICE_KEYS_EXAMPLES | _CLIENT_KEYS_EXAMPLES, _KEYS_NOTE),
    )
    kinds = keys.add_subparsers(dest="kind", required=True, metavar="KIND")
    for_service = kinds.add_parser(
        "service", help="the service's pair and its empty allow-lists", epilog=examples(_SERVICE_KEYS_EXAMPLES)
    )
    for_service.add_argument("folder", type=output_folder, metavar="DIR", help="the service's folder, security.keys")
    for_client = kinds.add_parser(
        "client",
        help="a client's pair, allowed in the given roles",
        epilog=examples(_CLIENT_KEYS_EXAMPLES, _KEYS_NOTE),
    )
    for_client.add_argument("folder", type=existing_folder, metavar="DIR", help="the service's folder")
    for_client.add_argument("name", help="the client's name in the allow-lists")
    for_client.add_argument(
        "--role", action="append", required=True, choices=list(ROLES), help="what the client may do; may be repeated"
    )
    for_client.add_argument(
        "--out", type=output_folder, required=True, metavar="DIR", help="folder for the client, to be handed over"
    )


def _name_and_value(text: str) -> tuple[str, Any]:
    """An argument of a command; its value is read as JSON, or else as text."""
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise argparse.ArgumentTypeError(f"expected NAME=VALUE, got {text!r}")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def _serve(arguments: argparse.Namespace) -> int:
    from flight.service.configuration import load_configuration
    from flight.service.server import Service

    # What is wrong with a start is one line of main()'s; what goes wrong from then on is a fault of the program.
    service = Service(load_configuration(arguments.config), arguments.bundle)
    try:
        service.run()
    except Exception:
        with contextlib.suppress(OSError):  # Nobody may read the log any more.
            traceback.print_exc()
        return os.EX_SOFTWARE
    return 0


def _segment(arguments: argparse.Namespace) -> int:
    from flight.libraries import explain_failure

    with explain_failure("libraries of the engine"):
        from flight.client.images import ImageItem, ImageSequence, read_samples
        from flight.segment import segment_images, stems_of, warn

    items = [ImageItem(path) for path in arguments.images]
    sequence = ImageSequence(items, read_samples, arguments.bit_depth, warn)
    return segment_images(arguments, sequence, stems_of(items))


def _check(arguments: argparse.Namespace) -> None:
    from flight.bundle import BundleError, load_bundle
    from flight.libraries import explain_failure

    with explain_failure("libraries of the engine"):
        from flight.inference.engine import Engine
        from flight.inference.self_test import run_self_test

    bundle = load_bundle(arguments.bundle)
    print(f"{bundle.name} {bundle.version}, sha256 {bundle.sha256[:16]}...: manifest and file hashes are right")
    print("classes: " + ", ".join(f"{c.index} {c.name} ({c.role})" for c in bundle.classes))
    engine = Engine(bundle, accelerator=None if arguments.accelerator == "none" else arguments.accelerator)
    results = [run_self_test(engine, whole_passes=not arguments.short) for _ in range(1 if arguments.short else 2)]
    engine.close()
    if results[0] != results[-1]:
        raise BundleError(f"bundle {bundle.name}: self-test: the same seed gave two different answers")
    agreement = results[0].agreement
    print(
        f"self-test passed: {100 * agreement:.2f} % of the pixels as recorded, at least "
        f"{100 * bundle.self_test.minimum_agreement:.0f} % wanted; modes {', '.join(bundle.modes)}"
    )


def _doctor(arguments: argparse.Namespace) -> int:
    from flight.doctor import Board, describe, examine
    from flight.files import write_whole

    findings = examine(Board(Path("/"), arguments.bundle, arguments.config, arguments.keys))
    text = describe(findings)
    print(text)
    if arguments.report is not None:
        write_whole(arguments.report, f"{text}\n".encode())
    return 1 if any(finding.problem for finding in findings) else 0


def _tune(arguments: argparse.Namespace) -> int:
    from flight.bundle import load_bundle
    from flight.libraries import explain_failure

    with explain_failure("libraries of the engine"):
        from flight.tune import run_tune

    return run_tune(
        load_bundle(arguments.bundle),
        arguments.mode,
        arguments.threads,
        arguments.rounds,
        arguments.rate,
        arguments.deadline,
        arguments.json,
        lambda text: print(text, file=sys.stderr, flush=True),
    )


def _command(arguments: argparse.Namespace) -> None:
    from flight.client import Commander

    with Commander(arguments.endpoint, arguments.timeout, arguments.keys) as commander:
        print(json.dumps(commander.send(arguments.name, **dict(arguments.arguments)), indent=2))


def _keys(arguments: argparse.Namespace) -> None:
    from flight.keys import make_client_keys, make_service_keys

    if arguments.kind == "service":
        make_service_keys(arguments.folder)
        print(f"{arguments.folder}: service.key, service.key_secret and empty allow-lists")
    else:
        make_client_keys(arguments.folder, arguments.name, arguments.role, arguments.out)
        print(
            f"{arguments.out}: keys of {arguments.name}, allowed as {', '.join(arguments.role)}; hand the folder over"
        )


def main(argv: list[str] | None = None) -> int:
    """Run the command line; returns the exit code, see flight.command_line."""
    commands = {
        "serve": _serve,
        "segment": _segment,
        "check": _check,
        "doctor": _doctor,
        "tune": _tune,
        "command": _command,
        "keys": _keys,
    }
    return run_program(build_parser(), lambda arguments: commands[arguments.command](arguments), argv)


if __name__ == "__main__":
    sys.exit(main())
