"""`ground-tools benchmark`: engines side by side, the service, and what a frame costs."""

from __future__ import annotations

import argparse
from importlib.resources import files
from pathlib import Path
from typing import Any

from flight.command_line import examples
from flight.option_types import existing_folder, integer, output_folder

# As in ground_tools.benchmark.engines, which needs an extra.
ENGINE_NAMES = (
    *("closed_form", "passes", "keras_loop", "keras_batch", "tflite_naive", "tflite_runtime_int8"),
    *("litert_float32", "litert_int8", "onnxruntime_float32", "onnxruntime_int8"),
    *("openvino_float32", "openvino_bfloat16", "openvino_int8", "torch_float32", "torch_bfloat16", "torch_compiled"),
)
_EXAMPLES = {
    "ground-tools benchmark --bundle models/unet_h --quick": "a first look, in minutes",
    "ground-tools benchmark --bundle models/unet_h --engine openvino_int8 --engine torch_float32": "beside ours",
    "ground-tools benchmark --bundle models/unet_h --write docs": "as `make benchmark`",
}
_NOTE = """Other libraries: pip install 'rubblemap[train,peers]'; those that are not installed are said to be.
PyTorch brings CUDA with it where its build for the CPU was not installed before."""


def add_parser(commands: Any) -> None:
    """Add the command `benchmark` to those of `ground-tools`."""
    benchmark = commands.add_parser(
        "benchmark",
        help="measure engines side by side at equal error, the service, and what a frame costs",
        epilog=examples(_EXAMPLES, _NOTE),
    )
    benchmark.set_defaults(extra="train")
    benchmark.add_argument("--bundle", type=existing_folder, required=True, metavar="DIR", help="the model bundle")
    benchmark.add_argument(
        "--engine",
        action="append",
        choices=ENGINE_NAMES,
        metavar="NAME",
        help=f"an engine beside ours, repeat for more: {', '.join(ENGINE_NAMES)} (default: all)",
    )
    benchmark.add_argument(
        "--frames", type=existing_folder, metavar="DIR", help="images of a body (default: the shipped flyby)"
    )
    benchmark.add_argument(
        "--rounds", type=integer(1, 1000), metavar="N", help="frames through each engine, in turn (default: 5; quick 1)"
    )
    benchmark.add_argument("--passes", type=integer(1, 100), default=20, metavar="N", help="dropout passes of ours")
    benchmark.add_argument("--threads", type=integer(1, 64), default=2, metavar="N", help="threads of every engine")
    benchmark.add_argument(
        "--quick",
        action="store_true",
        help="one frame, one round, a reference of 40 passes: minutes, not half an hour; errors are rough",
    )
    benchmark.add_argument(
        "--cache",
        type=output_folder,
        metavar="DIR",
        help="folder in which references are kept (default: rubblemap/benchmark in the cache folder of the user)",
    )
    benchmark.add_argument(
        "--write",
        type=existing_folder,
        metavar="DOCS",
        help="write DOCS/performance.json, its part of DOCS/performance.md, and pictures (default: print tables only)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Do what `ground-tools benchmark` was asked for; returns the exit code."""
    from dataclasses import replace

    from ground_tools.benchmark.performance import FULL, QUICK, measure_performance
    from ground_tools.benchmark.reference import default_cache
    from ground_tools.benchmark.report import check_page, engine_table, problems, service_table, write_page
    from ground_tools.pages.text import text_table

    if arguments.write is not None:
        check_page(arguments.write)
    plan = QUICK if arguments.quick else FULL
    if arguments.rounds is not None:
        plan = replace(plan, rounds=arguments.rounds, extent=replace(plan.extent, rounds=arguments.rounds))
    performance = measure_performance(
        arguments.bundle,
        arguments.frames or Path(str(files("hil"))) / "flyby" / "frames",
        arguments.engine or list(ENGINE_NAMES),
        plan,
        arguments.passes,
        arguments.threads,
        arguments.cache or default_cache(),
    )
    print(performance.machine.sentence())
    print(text_table(engine_table(performance)), *problems(performance), "", sep="\n")
    print(text_table(service_table(performance)))
    if arguments.write is not None:
        write_page(performance, arguments.write)
    return 0
