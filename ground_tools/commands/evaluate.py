"""`ground-tools evaluate`: the figures of bundles on sets, from the files that fly."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ground_tools.foundation.arguments import check_limits

_EXAMPLES = """examples:
  ground-tools evaluate --bundle models/unet_h --dataset datasets/d1 --images 30
      a first look: 30 images, an even share of every body; figures and pictures in out/evaluation/report.html
  ground-tools evaluate --bundle models/unet_h --bundle models/unet_r --dataset datasets/d1 --dataset datasets/d2a \\
      --dataset datasets/d2b --dataset datasets/d3 --dataset datasets/d4 --write docs
      every figure and picture of docs/results.md and docs/results.json; an hour or more per thousand images
  ground-tools evaluate --bundle models/unet_s --dataset datasets/d1 --split validation --images 100

Every mode of a bundle is evaluated from the same dropout passes of the int8 files, by the flight code. An evaluation
that was stopped goes on where it was when the same command is given again; another bundle or set adds to the report.
Sets with a validation split also get the sweeps of gamma and threshold on it, and the images unlike training.
"""


def add_parser(commands: Any) -> None:
    """Add the command `evaluate` to those of `ground-tools`."""
    evaluate = commands.add_parser(
        "evaluate",
        help="evaluate bundles on sets: IoU, calibration, error detection, as tables, pictures and one HTML report",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    more = {"type": Path, "required": True, "action": "append"}
    evaluate.add_argument("--bundle", metavar="DIR", help="a bundle; repeat for more", **more)
    evaluate.add_argument("--dataset", metavar="SET", help="a set, folder or packed; repeat for more", **more)
    evaluate.add_argument(
        "--split", choices=("train", "validation", "test"), default="test", help="to evaluate on (default: test)"
    )
    evaluate.add_argument(
        "--images", type=int, default=0, metavar="N", help="an even share of every body, N in all (default: 0, all)"
    )
    evaluate.add_argument("--passes", type=int, default=20, help="dropout passes (default: 20)")
    evaluate.add_argument(
        "--sweep", type=int, default=105, metavar="N", help="validation images for the sweeps (default: 105; 0: none)"
    )
    evaluate.add_argument(
        "--disturbed", type=int, default=21, metavar="N", help="images to disturb in 11 ways (default: 21; 0: none)"
    )
    evaluate.add_argument("--workers", type=int, default=0, metavar="N", help="processes (default: 0, one per core)")
    evaluate.add_argument(
        "--out", type=Path, default=Path("out/evaluation"), metavar="DIR", help="(default: out/evaluation)"
    )
    evaluate.add_argument("--write", type=Path, metavar="DOCS", help="put figures and pictures into this folder, too")


def run(arguments: argparse.Namespace) -> int:
    """Do what `ground-tools evaluate` was asked for; returns the exit code."""
    limits = {"images": (0, 1_000_000), "passes": (1, 100), "sweep": (0, 1_000_000), "disturbed": (0, 1_000_000)}
    check_limits(arguments, {**limits, "workers": (0, 256)})
    from ground_tools.evaluation.evaluation import Plan, evaluate
    from ground_tools.evaluation.report import check_docs, write_docs, write_out
    from ground_tools.evaluation.worker_pool import usable_cores

    if arguments.write is not None:
        if arguments.split != "test":
            raise ValueError(f"--write: expected figures of --split test, got --split {arguments.split}")
        check_docs(arguments.write)
    plan = Plan(
        split=arguments.split,
        images=arguments.images,
        sweep=arguments.sweep,
        disturbed=arguments.disturbed,
        passes=arguments.passes,
        workers=arguments.workers or usable_cores(),
        out=arguments.out,
    )
    results = evaluate(arguments.bundle, arguments.dataset, plan)
    written = write_out(arguments.out, results)
    if arguments.write is not None:
        written += write_docs(arguments.write, arguments.out, results)
    for path in written:
        print(path)
    return 0
