"""`ground-tools evaluate`: the figures of bundles on sets, from the files that fly."""

from __future__ import annotations

import argparse
import itertools
from pathlib import Path
from typing import Any

from flight.command_line import examples
from flight.option_types import existing_folder, existing_path, integer, output_folder

_EXAMPLES = {
    "ground-tools evaluate --bundle models/unet_h --dataset datasets/d1 --images 30": (
        "a first look: 30 images, an even share of every body; figures and pictures in out/evaluation/report.html"
    ),
    "ground-tools evaluate --bundle models/unet_h --bundle models/unet_r --dataset datasets/d1 \\\n"
    "      --dataset datasets/d2a --dataset datasets/d2b --dataset datasets/d3 --dataset datasets/d4 --write docs": (
        "every figure and picture of docs/results.md and docs/results.json; an hour or more per thousand images"
    ),
    "ground-tools evaluate --bundle models/unet_h --dataset datasets/d1 --scheduler tcp://10.0.0.1:8786": (
        "on a Dask cluster that is already there; the same figures"
    ),
    "ground-tools evaluate --bundle models/unet_s --dataset datasets/d1 --split validation --images 100": "",
    "ground-tools evaluate --bundle models/moon --bundle out/moon_resnet18 --dataset datasets/moon --write docs": (
        "of another mission: bundles, or trainings before export; docs/missions.md and docs/missions.json"
    ),
    "ground-tools evaluate --bundle out/bodies_any --dataset datasets/d1 --coarser 1 2 4": (
        "one training at three resolutions"
    ),
}
_NOTE = """
Every mode of a bundle is evaluated from the same dropout passes of the int8 files, by the flight code. An evaluation
that was stopped goes on where it was when the same command is given again; another bundle or set adds to the report.
Sets with a validation split also get the sweeps of gamma and threshold on it, and the images unlike training."""
_COUNT = integer(0, 1_000_000)


def add_parser(commands: Any) -> None:
    """Add the command `evaluate` to those of `ground-tools`."""
    evaluate = commands.add_parser(
        "evaluate",
        help="evaluate bundles on sets: IoU, calibration, error detection, as tables, pictures and one HTML report",
        epilog=examples(_EXAMPLES, _NOTE),
    )
    evaluate.set_defaults(extra="render")
    more: Any = {"required": True, "action": "append"}
    evaluate.add_argument(
        "--bundle",
        type=existing_folder,
        metavar="DIR",
        help="bundle, or of another mission a training's folder; may be repeated",
        **more,
    )
    evaluate.add_argument(
        "--dataset",
        type=existing_path,
        metavar="SET",
        help="set, folder or packed file; may be repeated",
        **more,
    )
    evaluate.add_argument(
        "--split", choices=("train", "validation", "test"), default="test", help="split of the sets to evaluate on"
    )
    evaluate.add_argument(
        "--images", type=_COUNT, default=0, metavar="N", help="an even share of every body, N in all; 0: all"
    )
    evaluate.add_argument("--passes", type=integer(1, 100), default=20, metavar="N", help="dropout passes of an image")
    evaluate.add_argument(
        "--sweep", type=_COUNT, default=105, metavar="N", help="validation images for the sweeps; 0: none"
    )
    evaluate.add_argument(
        "--disturbed", type=_COUNT, default=21, metavar="N", help="images to disturb in 11 ways; 0: none"
    )
    evaluate.add_argument(
        "--workers", type=integer(0, 256), default=0, metavar="N", help="processes; 0: one for each core"
    )
    evaluate.add_argument(
        "--scheduler",
        metavar="ADDRESS",
        help="evaluate on the Dask cluster whose scheduler answers there, as tcp://HOST:PORT; its workers need the "
        "same software, and none of the files (default: on this computer)",
    )
    _add_missions(evaluate)
    evaluate.add_argument(
        "--out", type=output_folder, default=Path("out/evaluation"), metavar="DIR", help="folder to write"
    )
    evaluate.add_argument(
        "--write",
        type=existing_folder,
        metavar="DOCS",
        help="put figures and pictures into this folder, too (default: into --out only)",
    )


def _add_missions(evaluate: argparse.ArgumentParser) -> None:
    evaluate.add_argument(
        "--overlap",
        type=integer(1, 4095),
        metavar="PIXELS",
        help="answer for images larger than the network in tiles that share so many pixels; figures as of other "
        "missions (default: as bundle or recipe state it)",
    )
    evaluate.add_argument(
        "--coarser",
        type=integer(1, 16),
        nargs="+",
        metavar="FACTOR",
        help="lower the images' resolution by these factors before the network sees them, masks as they are; figures "
        "as of other missions (default: images as they are)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Do what `ground-tools evaluate` was asked for; returns the exit code."""
    from ground_tools.missions.evaluation import is_of_a_mission

    of_missions = arguments.coarser is not None or arguments.overlap is not None
    if of_missions or any(is_of_a_mission(folder) for folder in arguments.bundle):
        return _evaluate_missions(arguments)
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
        scheduler=arguments.scheduler,
    )
    results = evaluate(arguments.bundle, arguments.dataset, plan)
    written = write_out(arguments.out, results)
    if arguments.write is not None:
        written += write_docs(arguments.write, arguments.out, results)
    for path in written:
        print(path)
    return 0


def _evaluate_missions(arguments: argparse.Namespace) -> int:
    """Evaluate networks of other missions, each on the sets of its classes."""
    from ground_tools.datasets.store import read_description
    from ground_tools.missions.evaluation import evaluate_on, open_evaluated
    from ground_tools.missions.report import PICTURES, add_result, read_results, write_predictions, write_results

    docs = arguments.write
    if arguments.scheduler is not None:
        raise ValueError("--scheduler: expected with bundles of small bodies, got it with networks of other missions")
    if docs is not None and arguments.split != "test":
        raise ValueError(f"--write: expected figures of --split test, got --split {arguments.split}")
    results = {} if docs is None else read_results(docs)
    for folder in arguments.bundle:
        with open_evaluated(folder, arguments.passes, overlap=arguments.overlap) as evaluated:
            for dataset, coarser in itertools.product(arguments.dataset, arguments.coarser or (1,)):
                result = evaluate_on(evaluated, dataset, arguments.split, arguments.images, coarser)
                add_result(results, evaluated.mission, evaluated.name, result)
                publish = read_description(dataset).get("publish_images", True)
                pictures = arguments.out / "images" if docs is None else docs / PICTURES
                print(write_predictions(pictures, evaluated.name, result, publish))
                figures = result.figures
                print(
                    f"{evaluated.name} on {result.set_name}: accuracy {figures.accuracy:.3f}, macro F1 "
                    f"{figures.macro_f1:.3f}, mIoU {figures.miou:.3f}, ECE {figures.ece:.4f}"
                )
    if docs is not None:
        for path in write_results(docs, results):
            print(path)
    return 0
