"""`ground-tools train-chain`: a whole chain of trainings in minutes, on a machine with one GPU and no network."""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path
from typing import Any

from flight.command_line import examples
from flight.option_types import Limited, existing_file, existing_folder, existing_path, integer, number, output_folder

_PACK_EXAMPLES = {
    "ground-tools train-chain pack --dataset d1=datasets/d1 --dataset d4=datasets/d4 --out out/archive": (
        "on the machine that has the sets"
    ),
}
_RUN_EXAMPLES = {
    "ground-tools train-chain run --parts out/archive/part_1.parquet out/archive/part_2.parquet --out out/chain": (
        "on the machine with the GPU, where nothing is installed: python -m ground_tools.cli train-chain run ..."
    ),
    "ground-tools train-chain run --parts out/archive/part_1.parquet out/archive/part_2.parquet --out out/more \\\n"
    "      --stages unet_as_2 --trained out/train": "one stage again, from what an earlier run trained",
    "ground-tools train-chain run --parts out/archive/part_1.parquet out/archive/part_2.parquet --out out/tried \\\n"
    "      --minutes 10 --fraction 0.01 --batch 8": "a rehearsal on a processor: a hundredth of the images",
}
_UNPACK_EXAMPLES = {
    "ground-tools train-chain unpack out/chain --out out/train": (
        "where the sets are; then ground-tools export --network out/train/unet_s_far ..."
    ),
}
_NOTE = "Plans are TOML files: docs/gpu_training.md."
_RUN_NOTE = """
Needs Keras, JAX, h5py, pyarrow, msgspec and OpenCV, no TensorFlow. Results in --out are brought up to date after every
better validation, so that a run that is killed loses seconds. Exit code 1 when a stage was not trained."""


def add_parser(commands: Any) -> None:
    """Add the command `train-chain` to those of `ground-tools`."""
    chain = commands.add_parser(
        "train-chain",
        help="train a whole chain of networks in minutes, on a machine with one GPU and no network",
        epilog=examples(_PACK_EXAMPLES | _RUN_EXAMPLES | _UNPACK_EXAMPLES, _NOTE),
    )
    chain.set_defaults(extra="train")
    actions = chain.add_subparsers(dest="action", required=True, metavar="ACTION")
    _add_pack(actions)
    _add_run(actions)
    unpack = actions.add_parser(
        "unpack", help="unpack what a run left, and check it", epilog=examples(_UNPACK_EXAMPLES)
    )
    unpack.add_argument("results", type=existing_folder, metavar="DIR", help="folder with results_1.tar and so on")
    unpack.add_argument(
        "--out", type=output_folder, required=True, metavar="DIR", help="folder to write, one inside for each stage"
    )


def _add_pack(actions: Any) -> None:
    pack = actions.add_parser(
        "pack", help="pack the sets of a training plan into a few files", epilog=examples(_PACK_EXAMPLES)
    )
    _add_plan(pack)
    pack.add_argument(
        "--dataset",
        type=Limited("", "NAME=SET, the set a folder or packed file that is there", _name_and_set),
        action="append",
        required=True,
        metavar="NAME=SET",
        help="where a set of the plan is; once for each",
    )
    pack.add_argument(
        "--out", type=output_folder, required=True, metavar="DIR", help="folder for part_1.parquet and so on"
    )
    pack.add_argument("--parts", type=integer(1, 100), default=2, metavar="N", help="number of files to pack into")
    pack.add_argument(
        "--bits",
        type=integer(5, 8),
        default=8,
        metavar="N",
        help="bits that grey levels of rendered training images keep, which get noise of 2.5 levels in training",
    )
    pack.add_argument(
        "--trained",
        type=existing_folder,
        metavar="DIR",
        help="stages of an earlier run: those that the plan needs are packed into trained.tar (default: none)",
    )


def _add_run(actions: Any) -> None:
    run = actions.add_parser(
        "run", help="run a training plan on packed sets", epilog=examples(_RUN_EXAMPLES, _RUN_NOTE)
    )
    _add_plan(run)
    run.add_argument(
        "--parts", type=existing_file, nargs="+", required=True, metavar="FILE", help="all archive parts of a packing"
    )
    run.add_argument(
        "--out", type=output_folder, required=True, metavar="DIR", help="folder for results_*.tar and logs"
    )
    run.add_argument(
        "--minutes", type=number(0.1, 1440), metavar="M", help="time from start to end (default: the plan's)"
    )
    run.add_argument("--stages", nargs="+", metavar="STAGE", help="stages of the plan to train (default: all)")
    run.add_argument(
        "--trained",
        type=existing_folder,
        metavar="DIR",
        help="unpacked results of an earlier run, to start from where this one has no weights (default: none)",
    )
    run.add_argument(
        "--precision",
        choices=("float32", "mixed_bfloat16"),
        default="mixed_bfloat16",
        help="precision of the arithmetic; weights stay float32",
    )
    run.add_argument(
        "--fraction", type=number(1e-6, 1.0), default=1.0, metavar="F", help="train on this part of the images only"
    )
    run.add_argument(
        "--batch", type=integer(1, 4096), metavar="N", help="most images of a step (default: the recipes')"
    )


def _add_plan(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--plan",
        default="full",
        metavar="NAME",
        help="full, paper, rubble, check (ground_tools/training/chain/plans), or a TOML file",
    )


def _name_and_set(text: str) -> tuple[str, Path]:
    name, _, path = text.partition("=")
    if not name or not path:
        raise ValueError
    return name, existing_path(path)


def run(arguments: argparse.Namespace) -> int:
    """Do what `ground-tools train-chain` was asked for; returns the exit code."""
    actions = {"pack": _pack, "run": _run, "unpack": _unpack}
    return actions[arguments.action](arguments)


def _pack(arguments: argparse.Namespace) -> int:
    from ground_tools.training.chain.archive import write_archive
    from ground_tools.training.chain.plan import load_plan

    sets = dict(arguments.dataset)
    if len(sets) < len(arguments.dataset):
        raise ValueError(f"--dataset: expected each name once, got {', '.join(name for name, _ in arguments.dataset)}")
    plan = load_plan(arguments.plan)
    written = write_archive(sets, plan.wanted(), arguments.out, arguments.parts, arguments.bits)
    if arguments.trained is not None:
        from ground_tools.training.chain.results import pack_trained

        written.append(pack_trained(arguments.trained, plan.trained, arguments.out))
    for path in written:
        print(f"{path}: {path.stat().st_size / 2**20:.1f} MiB")
    return 0


def _run(arguments: argparse.Namespace) -> int:
    began = time.monotonic()
    from ground_tools.training.chain.archive import read_archive
    from ground_tools.training.chain.plan import load_plan

    plan = load_plan(arguments.plan)
    if arguments.stages:
        plan = plan.only(arguments.stages)
    if arguments.batch is not None:
        plan = plan.limit_batch(arguments.batch)
    packed = read_archive(arguments.parts)
    if arguments.fraction < 1.0:
        packed = {name: held.fraction(arguments.fraction) for name, held in packed.items()}
    # Of the backends that Keras has, the only one whose steps can be compiled together with the augmentation.
    os.environ["KERAS_BACKEND"] = "jax"
    from ground_tools.training.chain.run import run_chain
    from ground_tools.training.hardware import set_precision

    set_precision(arguments.precision)
    deadline = began + 60.0 * (plan.minutes if arguments.minutes is None else arguments.minutes)
    with tempfile.TemporaryDirectory(prefix="rubblemap_chain_") as work:
        reports = run_chain(plan, packed, arguments.out, Path(work) / "stages", arguments.trained, deadline)
    return 0 if all(report.outcome == "trained" for report in reports) else 1


def _unpack(arguments: argparse.Namespace) -> int:
    from ground_tools.training.chain.results import unpack_results

    for folder in unpack_results(arguments.results, arguments.out):
        print(folder)
    return 0
