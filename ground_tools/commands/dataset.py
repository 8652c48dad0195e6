"""`ground-tools dataset`: look at sets, check them, carry them."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from flight.command_line import examples
from flight.option_types import existing_folder, existing_path, integer, output_file, output_folder
from ground_tools.commands.image_options import add_image_options, image_folder, label_folder

_INFO_EXAMPLES = {
    "ground-tools dataset info datasets/d1": "",
    "ground-tools dataset info d4 --real-images DIR": "the real images: counts, splits, class balance",
}
_BUILD_EXAMPLES = {
    "ground-tools dataset build d4 --real-images DIR --out datasets/d4_by_body --split-by body": "",
    "ground-tools dataset build d4 --real-images DIR --out datasets/d4_paper_split --split-by copy": (
        "as the paper split: it leaks; it is the one that compares with the paper's 69.03 %"
    ),
    "ground-tools dataset build d4 --edition 1 --real-images DIR --out datasets/d4_first_edition": "as it was before",
}
_SHOW_EXAMPLES = {"ground-tools dataset show datasets/d1 --out out/d1": "contact sheets and charts as PNG files"}
_VERIFY_EXAMPLES = {"ground-tools dataset verify datasets/d1": "every pixel against its digest"}
_PACK_EXAMPLES = {
    "ground-tools dataset pack datasets/d1 --out d1.parquet": "one file, which loaders take in place of the folder",
    "ground-tools dataset pack datasets/d1 --split test --body bennu --out bennu_test.parquet": "a part of it",
}
_EXPORT_EXAMPLES = {
    "ground-tools dataset export datasets/d1 --out pngs": "plain PNG pairs and a CSV table for other tools"
}
_REPORT_EXAMPLES = {
    "ground-tools dataset report datasets/d1 datasets/d3 --write docs": "the figures and pictures of docs/datasets.md"
}
_EXPLORE_EXAMPLES = {
    "ground-tools dataset explore datasets/moon --out moon.html": "one page to look at before anything is trained"
}
_EXAMPLES = (
    _INFO_EXAMPLES
    | _SHOW_EXAMPLES
    | _EXPLORE_EXAMPLES
    | _VERIFY_EXAMPLES
    | _PACK_EXAMPLES
    | _EXPORT_EXAMPLES
    | _REPORT_EXAMPLES
    | _BUILD_EXAMPLES
)
_NOTE = "A set is a folder that `ground-tools render` or `dataset build` wrote, or a packed file."


def add_parser(commands: Any) -> None:
    """Add the command `dataset` to those of `ground-tools`."""
    dataset = commands.add_parser(
        "dataset",
        help="look at sets, check them, carry them; build sets of real images",
        epilog=examples(_EXAMPLES, _NOTE),
    )
    dataset.set_defaults(extra="render")
    actions = dataset.add_subparsers(dest="action", required=True, metavar="ACTION")
    _add_info_and_build(actions)

    _add_show_and_explore(actions)

    verify = actions.add_parser(
        "verify",
        help="check that a set is whole and holds what it says; exit 1 if not",
        epilog=examples(_VERIFY_EXAMPLES),
    )
    _add_set(verify)

    pack = actions.add_parser("pack", help="write a set, or a part of it, as one file", epilog=examples(_PACK_EXAMPLES))
    _add_set(pack)
    pack.add_argument("--out", type=output_file, required=True, metavar="FILE", help="file to write")
    pack.add_argument(
        "--split",
        action="append",
        choices=("train", "validation", "test"),
        help="split to pack; may be repeated (default: all)",
    )
    pack.add_argument("--body", action="append", help="body to pack; may be repeated (default: all)")

    export = actions.add_parser("export", help="write PNG pairs and samples.csv", epilog=examples(_EXPORT_EXAMPLES))
    _add_set(export)
    export.add_argument("--out", type=output_folder, required=True, metavar="DIR", help="folder to write")
    export.add_argument("--noise", action="store_true", help="images with the paper's noise, as networks get them")

    report = actions.add_parser(
        "report", help="write the figures and pictures of docs/datasets.md", epilog=examples(_REPORT_EXAMPLES)
    )
    report.add_argument("sets", type=existing_path, nargs="+", metavar="SET", help="the sets, folders or packed files")
    report.add_argument(
        "--write", type=existing_folder, required=True, metavar="DOCS", help="the folder of datasets.md"
    )


def _add_show_and_explore(actions: Any) -> None:
    show = actions.add_parser(
        "show",
        help="draw contact sheets per body, class balance, geometry, occurrence maps",
        epilog=examples(_SHOW_EXAMPLES),
    )
    _add_set(show)
    show.add_argument("--out", type=output_folder, required=True, metavar="DIR", help="folder to write")
    show.add_argument("--count", type=integer(1, 1000), default=20, metavar="N", help="samples on a sheet")
    show.add_argument("--seed", type=integer(0), default=0, metavar="N", help="seed of the choice of samples")
    show.add_argument("--one-sheet", action="store_true", help="one sheet of all bodies in place of one for each")
    show.add_argument("--enlarge", type=integer(1, 16), default=1, metavar="N", help="size of a pixel")

    look = actions.add_parser(
        "explore",
        help="write one HTML page: samples with masks and channels, class balance, where classes lie, sizes",
        epilog=examples(_EXPLORE_EXAMPLES),
    )
    _add_set(look)
    look.add_argument("--out", type=output_file, required=True, metavar="HTML", help="file to write")
    look.add_argument("--count", type=integer(1, 1000), default=12, metavar="N", help="samples to show")
    look.add_argument("--seed", type=integer(0), default=0, metavar="N", help="seed of the choice of samples")


def _add_set(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("set", type=existing_path, metavar="SET", help="a set, folder or packed file")


def _add_info_and_build(actions: Any) -> None:
    info = actions.add_parser("info", help="print counts, classes, geometry, size", epilog=examples(_INFO_EXAMPLES))
    info.add_argument("set", type=Path, metavar="SET", help="a set; or d4, with --real-images")
    add_image_options(info)
    info.add_argument("--json", action="store_true", help="print JSON, for programs")

    build = actions.add_parser(
        "build", help="make a set of real images and their hand labels", epilog=examples(_BUILD_EXAMPLES)
    )
    build.add_argument("set", metavar="NAME", help="d4; with --labels the name in that folder's set.toml")
    build.add_argument("--out", type=output_folder, required=True, metavar="DIR", help="folder to write")
    build.add_argument("--size", type=int, choices=(128, 256), default=128, help="side of the crops, pixels")
    build.add_argument(
        "--split-by",
        choices=("image", "body", "copy"),
        default="image",
        help="what goes to one split as a whole: an image with what shows the same, or all of a body; copy: each "
        "turned or mirrored copy goes by itself, as in the paper: it leaks, and compares with the paper's figures",
    )
    add_image_options(build)


def run(arguments: argparse.Namespace) -> int:
    """Do what `ground-tools dataset` was asked for; returns the exit code."""
    actions = {
        "info": _info,
        "build": _build,
        "show": _show,
        "explore": _explore,
        "verify": _verify,
        "pack": _pack,
        "export": _export,
        "report": _report,
    }
    return actions[arguments.action](arguments)


def _info(arguments: argparse.Namespace) -> int:
    from ground_tools.datasets.statistics import as_text, describe
    from ground_tools.foundation.json_records import to_plain

    if not arguments.set.exists() and _is_name(str(arguments.set), label_folder(arguments)):
        return _info_real(arguments)
    statistics = describe(arguments.set)
    text = json.dumps(to_plain(statistics), indent=2) + "\n" if arguments.json else as_text(statistics)
    print(text, end="")
    return 0


def _is_name(name: str, labels: Path) -> bool:
    """Whether a set that is no file is meant by the name that its labels carry."""
    from ground_tools.labelling.collection import read_rules

    return labels.is_dir() and name == read_rules(labels).name


def _info_real(arguments: argparse.Namespace) -> int:
    from ground_tools.labelling.real_sets import as_text, overview, read_real

    found, rules, problems = read_real(image_folder(arguments), label_folder(arguments))
    for problem in problems:
        print(problem, file=sys.stderr)
    figures = overview(found, rules)
    print(json.dumps(figures, indent=2) if arguments.json else as_text(figures), end="\n" * arguments.json)
    return 0


def _build(arguments: argparse.Namespace) -> int:
    from ground_tools.labelling.collection import read_rules
    from ground_tools.labelling.real_sets import build, read_real

    labels = label_folder(arguments)
    if not _is_name(arguments.set, labels):
        raise ValueError(f"NAME: expected {read_rules(labels).name}, the set of {labels}, got {arguments.set!r}")
    found, rules, problems = read_real(image_folder(arguments), labels, arguments.size)
    for problem in problems:
        print(problem, file=sys.stderr)
    description = build(found, rules, arguments.out, arguments.split_by)
    used = len({(image["file"], *image["crop"]) for image in description["images"]})
    print(f"{arguments.out}: {used} images, {description['samples']} pairs, split by {arguments.split_by}")
    return 0


def _show(arguments: argparse.Namespace) -> int:
    from ground_tools.datasets.pictures import write_pictures

    choice = (arguments.count, arguments.seed, arguments.enlarge, arguments.one_sheet)
    for path in write_pictures(arguments.set, arguments.out, *choice):
        print(path)
    return 0


def _explore(arguments: argparse.Namespace) -> int:
    from ground_tools.datasets.explore import explore

    explore(arguments.set, arguments.out, arguments.count, arguments.seed)
    print(arguments.out)
    return 0


def _verify(arguments: argparse.Namespace) -> int:
    from ground_tools.datasets.identity import labels_sha256
    from ground_tools.datasets.integrity import verify
    from ground_tools.datasets.store import digest, read_description

    problems = verify(arguments.set)
    for problem in problems:
        print(problem, file=sys.stderr)
    if problems:
        return 1
    print(f"{arguments.set}: {read_description(arguments.set)['samples']} samples, all sound")
    print(f"sha256 {digest(arguments.set)}\nlabels_sha256 {labels_sha256(arguments.set)} (geometry and labels)")
    return 0


def _pack(arguments: argparse.Namespace) -> int:
    from ground_tools.datasets.packing import pack

    samples = pack(arguments.set, arguments.out, arguments.split, arguments.body)
    print(f"{arguments.out}: {samples} samples, {arguments.out.stat().st_size / 1e6:.1f} MB")
    return 0


def _export(arguments: argparse.Namespace) -> int:
    from ground_tools.datasets.packing import export

    samples = export(arguments.set, arguments.out, arguments.noise)
    print(f"{arguments.out}: {samples} PNG pairs and samples.csv")
    return 0


def _report(arguments: argparse.Namespace) -> int:
    from ground_tools.datasets.report import write_report

    for path in write_report(arguments.sets, arguments.write):
        print(path)
    return 0
