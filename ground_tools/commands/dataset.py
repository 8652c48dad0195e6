"""`ground-tools dataset`: look at sets, check them, carry them."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from ground_tools.commands.label import add_image_arguments
from ground_tools.foundation.arguments import check_limits

_EXAMPLES = """examples:
  ground-tools dataset info datasets/d1
  ground-tools dataset show datasets/d1 --out out/d1        contact sheets and charts as PNG files
  ground-tools dataset verify datasets/d1                   every pixel against its digest
  ground-tools dataset pack datasets/d1 --out d1.parquet    one file, which loaders take in place of the folder
  ground-tools dataset pack datasets/d1 --split test --body bennu --out bennu_test.parquet
  ground-tools dataset export datasets/d1 --out pngs        plain PNG pairs and a CSV table for other tools
  ground-tools dataset report datasets/d1 datasets/d3 --write docs    the figures and pictures of docs/datasets.md
  ground-tools dataset info d4 --real-images DIR            the real images: counts, both splits, class balance
  ground-tools dataset build d4 --real-images DIR --out datasets/d4 --split-by body

A set is a folder that `ground-tools render` or `dataset build` wrote, or a packed file.
"""


def add_parser(commands: Any) -> None:
    """Add the command `dataset` to those of `ground-tools`."""
    dataset = commands.add_parser(
        "dataset",
        help="look at sets, check them, carry them; build sets of real images",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = dataset.add_subparsers(dest="action", required=True, metavar="ACTION")

    info = actions.add_parser("info", help="counts, classes, geometry, size")
    info.add_argument("set", type=Path, help="a set; or d4, with --real-images")
    add_image_arguments(info)
    info.add_argument("--json", action="store_true", help="for programs")

    build = actions.add_parser("build", help="make a set of real images and their hand labels")
    build.add_argument("set", metavar="NAME", help="d4; with --labels the name in that folder's set.toml")
    build.add_argument("--out", type=Path, required=True, metavar="DIR")
    build.add_argument("--size", type=int, choices=(128, 256), default=128, help="side of the crops (default: 128)")
    build.add_argument("--split-by", choices=("image", "body"), default="image", help="(default: image)")
    add_image_arguments(build)

    show = actions.add_parser("show", help="contact sheets per body, class balance, geometry, occurrence maps")
    show.add_argument("set", type=Path)
    show.add_argument("--out", type=Path, required=True, metavar="DIR")
    show.add_argument("--count", type=int, default=20, help="samples on a sheet (default: 20)")
    show.add_argument("--seed", type=int, default=0, help="of the choice of samples (default: 0)")
    show.add_argument("--enlarge", type=int, default=1, help="size of a pixel (default: 1)")

    verify = actions.add_parser("verify", help="check that a set is whole and holds what it says; exit 1 if not")
    verify.add_argument("set", type=Path)

    pack = actions.add_parser("pack", help="write a set, or a part of it, as one file")
    pack.add_argument("set", type=Path)
    pack.add_argument("--out", type=Path, required=True, metavar="FILE")
    pack.add_argument("--split", action="append", choices=("train", "validation", "test"), help="only this one")
    pack.add_argument("--body", action="append", help="only this one")

    export = actions.add_parser("export", help="write PNG pairs and samples.csv")
    export.add_argument("set", type=Path)
    export.add_argument("--out", type=Path, required=True, metavar="DIR")
    export.add_argument("--noise", action="store_true", help="images with the paper's noise, as networks get them")

    report = actions.add_parser("report", help="write the figures and pictures of docs/datasets.md")
    report.add_argument("sets", type=Path, nargs="+")
    report.add_argument("--write", type=Path, required=True, metavar="DOCS", help="folder of datasets.md")


def run(arguments: argparse.Namespace) -> int:
    """Do what `ground-tools dataset` was asked for; returns the exit code."""
    actions = {
        "info": _info,
        "build": _build,
        "show": _show,
        "verify": _verify,
        "pack": _pack,
        "export": _export,
        "report": _report,
    }
    return actions[arguments.action](arguments)


def _info(arguments: argparse.Namespace) -> int:
    from ground_tools.datasets.statistics import as_text, describe
    from ground_tools.foundation.json_records import to_plain

    if not arguments.set.exists() and _is_name(str(arguments.set), arguments.labels):
        return _info_real(arguments)
    statistics = describe(arguments.set)
    text = json.dumps(to_plain(statistics), indent=2) + "\n" if arguments.json else as_text(statistics)
    print(text, end="")
    return 0


def _is_name(name: str, labels: Path) -> bool:
    """Whether a set that is no file is meant by the name that its labels carry."""
    from ground_tools.labelling.collection import read_rules

    return labels.is_dir() and name == read_rules(labels).name


def _real_images(arguments: argparse.Namespace) -> Path:
    if arguments.real_images is None:
        raise ValueError(
            f"{arguments.set}: give --real-images DIR, the folder of its images with manifest.csv, which are no part "
            "of the project (docs/datasets.md, D-4)"
        )
    return Path(arguments.real_images)


def _info_real(arguments: argparse.Namespace) -> int:
    from ground_tools.labelling.real_sets import as_text, overview, read_real

    found, rules, problems = read_real(_real_images(arguments), arguments.labels)
    for problem in problems:
        print(problem, file=sys.stderr)
    figures = overview(found, rules)
    print(json.dumps(figures, indent=2) if arguments.json else as_text(figures), end="\n" * arguments.json)
    return 0


def _build(arguments: argparse.Namespace) -> int:
    from ground_tools.labelling.collection import read_rules
    from ground_tools.labelling.real_sets import build, read_real

    if not _is_name(arguments.set, arguments.labels):
        raise ValueError(
            f"{arguments.set}: expected {read_rules(arguments.labels).name}, the set of {arguments.labels}"
        )
    found, rules, problems = read_real(_real_images(arguments), arguments.labels, arguments.size)
    for problem in problems:
        print(problem, file=sys.stderr)
    description = build(found, rules, arguments.out, arguments.split_by)
    print(f"{arguments.out}: {len(found)} images, {description['samples']} pairs, split by {arguments.split_by}")
    return 0


def _show(arguments: argparse.Namespace) -> int:
    from ground_tools.datasets.pictures import write_pictures

    check_limits(arguments, {"count": (1, 1000), "enlarge": (1, 16)})
    if arguments.seed < 0:
        raise ValueError(f"--seed: expected 0 or more, got {arguments.seed}")
    for path in write_pictures(arguments.set, arguments.out, arguments.count, arguments.seed, arguments.enlarge):
        print(path)
    return 0


def _verify(arguments: argparse.Namespace) -> int:
    from ground_tools.datasets.integrity import verify
    from ground_tools.datasets.store import read_description

    problems = verify(arguments.set)
    for problem in problems:
        print(problem, file=sys.stderr)
    if problems:
        return 1
    print(f"{arguments.set}: {read_description(arguments.set)['samples']} samples, all sound")
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
