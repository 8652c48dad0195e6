"""`flight`: serve, segment, check, command, keys."""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import sys
import time
import traceback
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flight import __version__
from flight.command_line import CommandParser, examples, run_program
from flight.icd.limits import DEFAULT_ENDPOINTS
from flight.keys import ROLES
from flight.option_types import (
    Limited,
    endpoint,
    existing_folder,
    integer,
    number,
    number_above,
    output_folder,
)
from flight.service.fields import help_text
from flight.settings import PARAMETER_SCHEMAS

if TYPE_CHECKING:
    from flight.bundle import Bundle
    from flight.inference.engine import Maps
    from flight.settings import Settings

_SERVE_EXAMPLES = """examples:
  flight serve --bundle models/unet_h
  flight serve --bundle models/unet_h --config flight.toml

the configuration file is TOML; every field is optional, and these are the defaults:
"""
_SEGMENT_EXAMPLES = """examples:
  flight segment --bundle models/unet_h --out out/maps frame.png
  flight segment --bundle models/unet_h --out out/maps --passes 5 --mode UNetS images/*.png

writes for each image <stem>_maps.png (everything side by side), <stem>_class_map.png,
<stem>_enhanced_class_map.png, <stem>_predictive_entropy.png, <stem>_mutual_information.png and <stem>.npz
(class_map, enhanced_class_map, predictive_entropy, mutual_information, mean_probability, map_to_sensor).
"""
_PICTURES = ("_maps", "_class_map", "_enhanced_class_map", "_predictive_entropy", "_mutual_information")
_PROGRAM_EXAMPLES = {
    "flight check --bundle models/unet_h": "validate the networks and run their self-test",
    "flight serve --bundle models/unet_h": "the service",
    "flight command get_status": "talk to it",
    "flight segment --bundle models/unet_h --out out/maps frame.png": "without sockets",
}
_CHECK_EXAMPLES = {"flight check --bundle models/unet_h": ""}
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

    _add_segment(commands)

    check = commands.add_parser(
        "check", help="validate a bundle and run its self-test", epilog=examples(_CHECK_EXAMPLES)
    )
    check.add_argument("--bundle", type=existing_folder, required=True, metavar="DIR", help="the model bundle")

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


def _add_segment(commands: Any) -> None:
    segment = commands.add_parser("segment", help="segment image files, without sockets", epilog=_SEGMENT_EXAMPLES)
    segment.add_argument("images", nargs="+", type=Path, metavar="IMAGE", help="PNG, JPEG or TIFF, 8 or 16 bit grey")
    segment.add_argument("--bundle", type=existing_folder, required=True, metavar="DIR", help="the model bundle")
    segment.add_argument("--out", type=output_folder, required=True, metavar="DIR", help="folder to write")
    segment.add_argument("--mode", help="the bundle's fused mode or one of its networks (default: the bundle's)")
    for name, text in (
        ("passes", "dropout passes"),
        ("gamma", "mixing of the networks"),
        ("uncertainty_threshold", "entropy, relative to its largest value, from which a pixel is marked uncertain"),
    ):
        segment.add_argument(
            f"--{name.replace('_', '-')}", type=_parameter(name), metavar="N", help=f"{text} (default: the bundle's)"
        )
    segment.add_argument("--seed", type=integer(0, 2**64 - 1), default=0, metavar="N", help="of the dropout masks")
    segment.add_argument("--threads", type=integer(1, 64), default=2, metavar="N", help="threads of the networks")
    segment.add_argument("--centered", action="store_true", help="take each image whole instead of finding the body")


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


def _parameter(name: str) -> Limited[Any]:
    """The type of an option that sets a parameter: it has the limits that the configuration has."""
    schema = PARAMETER_SCHEMAS[name]
    kind: Any = integer if schema["type"] == "integer" else number
    limited: Limited[Any] = kind(schema["minimum"], schema["maximum"])
    return limited


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


def _segment(arguments: argparse.Namespace) -> None:
    from flight.bundle import load_bundle
    from flight.libraries import explain_failure

    with explain_failure("libraries of the engine"):
        from flight.client.images import ImageError, read_frame
        from flight.inference.engine import Engine

    bundle = load_bundle(arguments.bundle)
    settings = _settings(arguments, bundle)
    stems = [path.stem for path in arguments.images]
    repeated = sorted({stem for stem in stems if stems.count(stem) > 1})
    if repeated:
        raise ValueError(f"images: expected distinct names, got {repeated[0]} more than once")
    arguments.out.mkdir(parents=True, exist_ok=True)
    inputs = {path.resolve() for path in arguments.images}
    for path in arguments.images:
        for suffix in _PICTURES:
            if (arguments.out / f"{path.stem}{suffix}.png").resolve() in inputs:
                raise ValueError(f"--out: {arguments.out}: {path.stem}{suffix}.png would overwrite an input")
    engine = Engine(bundle, arguments.threads)
    unreadable = []
    for count, path in enumerate(arguments.images, start=1):
        began = time.monotonic()
        try:
            frame = read_frame(path)
        except ImageError as error:
            # The others are still of use; the exit code tells that one was not.
            unreadable.append(str(error))
            continue
        maps = engine.segment(
            frame,
            bit_depth=8 * frame.dtype.itemsize,
            centered=arguments.centered,
            seed=arguments.seed,
            settings=settings,
        )
        _write_maps(arguments.out, path.stem, frame, maps, bundle)
        entropy = maps.predictive_entropy[maps.class_map < len(bundle.classes)].mean()
        present = ", ".join(c.name for c in bundle.classes if (maps.class_map == c.index).any())
        flags = f"  [{', '.join(maps.flags)}]" if maps.flags else ""
        print(
            f"{count}/{len(arguments.images)}  {path.name}: {present}; "
            f"mean entropy {entropy:.3f} nat; {time.monotonic() - began:.2f} s{flags}"
        )
    engine.close()
    if unreadable:
        raise ValueError("; ".join(unreadable))


def _settings(arguments: argparse.Namespace, bundle: Bundle) -> Settings:
    from flight.schema import check
    from flight.settings import default_settings

    settings = default_settings(bundle)
    given = {
        name: getattr(arguments, name)
        for name in ("mode", "passes", "gamma", "uncertainty_threshold")
        if getattr(arguments, name) is not None
    }
    if "mode" in given:
        check(given["mode"], {"enum": list(bundle.modes)}, "--mode")
    return replace(settings, **given)


def _write_maps(out: Path, stem: str, frame: Any, maps: Maps, bundle: Bundle) -> None:
    import numpy as np

    from flight.client import pictures
    from flight.inference.hazard import hazard_probability

    count = len(bundle.classes)
    colors = tuple(c.color for c in bundle.classes)
    seen = maps.class_map < count
    classes = pictures.draw_class_map(maps.class_map, colors, count, seen)
    enhanced = pictures.draw_class_map(maps.enhanced_class_map, colors, count, seen)
    entropy = pictures.draw_entropy(maps.predictive_entropy, count)
    mutual = pictures.draw_entropy(maps.mutual_information, count)
    hazard = pictures.draw_hazard(hazard_probability(maps.mean_probability, bundle.classes))
    source = pictures.resample_frame(
        frame, 8 * frame.dtype.itemsize, list(maps.map_to_sensor), bundle.height, bundle.width
    )
    row = pictures.join_panels(
        [
            ("frame", source),
            ("class map", classes),
            ("with uncertain pixels", enhanced),
            (f"entropy, 0..{math.log(count):.2f} nat", entropy),
            ("hazard probability", hazard),
        ],
        pictures.make_legend([c.name for c in bundle.classes], colors),
        f"{stem}   {maps.passes_used} passes   bundle {bundle.name} {bundle.version}",
    )
    for name, picture in zip(_PICTURES, (row, classes, enhanced, entropy, mutual), strict=True):
        pictures.save_png(out / f"{stem}{name}.png", picture)
    np.savez_compressed(
        out / f"{stem}.npz",
        class_map=maps.class_map,
        enhanced_class_map=maps.enhanced_class_map,
        predictive_entropy=maps.predictive_entropy,
        mutual_information=maps.mutual_information,
        mean_probability=maps.mean_probability,
        map_to_sensor=np.asarray(maps.map_to_sensor),
    )


def _check(arguments: argparse.Namespace) -> None:
    from flight.bundle import BundleError, load_bundle
    from flight.libraries import explain_failure

    with explain_failure("libraries of the engine"):
        from flight.inference.engine import Engine
        from flight.inference.self_test import run_self_test

    bundle = load_bundle(arguments.bundle)
    print(f"{bundle.name} {bundle.version}, sha256 {bundle.sha256[:16]}...: manifest and file hashes are right")
    print("classes: " + ", ".join(f"{c.index} {c.name} ({c.role})" for c in bundle.classes))
    engine = Engine(bundle)
    results = [run_self_test(engine) for _ in range(2)]
    engine.close()
    if results[0].digest != results[1].digest:
        raise BundleError(f"bundle {bundle.name}: self-test: the same seed gave two different answers")
    agreement = results[0].agreement
    print(
        f"self-test passed: {100 * agreement:.2f} % of the pixels as recorded, at least "
        f"{100 * bundle.self_test.minimum_agreement:.0f} % wanted; modes {', '.join(bundle.modes)}"
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
    commands = {"serve": _serve, "segment": _segment, "check": _check, "command": _command, "keys": _keys}
    return run_program(build_parser(), lambda arguments: commands[arguments.command](arguments), argv)


if __name__ == "__main__":
    sys.exit(main())
