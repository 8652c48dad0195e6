"""A plan of three short trainings on a drawn set of 32 px images; and a process to run plans in."""

from __future__ import annotations

import os
import subprocess
import sys

# Samples of the set, by split.
COUNTS = {"train": 8, "validation": 6, "test": 4}
STAGE = """[[stage]]
name = "{name}"
recipe = "{recipe}"
dataset = "{dataset}"
share = {share}
"""
SMALL = (
    'changes = { window = 32, batch = 4, epochs = 2, "augmentation.photometric" = 0.0, minimum_boulder_pixels = 5 }\n'
)
PLAN = (
    "minutes = 15\n"
    + STAGE.format(name="encoder", recipe="best-encoder", dataset="drawn", share=1)
    + "changes = { batch = 4, epochs = 2 }\n"
    + STAGE.format(name="unet_s", recipe="best-unet-s", dataset="drawn", share=2)
    + 'encoder = ["encoder"]\n'
    + SMALL
    + STAGE.format(name="unet_as", recipe="best-unet-s", dataset="drawn", share=2)
    + 'start_from = ["unet_s"]\n'
    + SMALL.replace("changes = {", "changes = { role = 'UNetAS', seed = 2, learning_rate = 1e-4,")
)

# What a machine with JAX and a GPU need not have.
NOT_THERE = (
    "tensorflow",
    "ai_edge_litert",
    "tflite_runtime",
    "zmq",
    "bpy",
    "dask",
    "distributed",
    "trimesh",
    "embreex",
)


def train_chain_elsewhere(*arguments: object) -> subprocess.CompletedProcess[str]:
    """`ground-tools train-chain` as a process to which those packages are missing."""
    program = f"""
import runpy, sys
sys.modules.update(dict.fromkeys({NOT_THERE}))
sys.argv = ["program", "train-chain", *{list(map(str, arguments))}]
runpy.run_module("ground_tools.cli", run_name="__main__")
"""
    # Nothing here is computed often enough to be worth compiling it well.
    quick = {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": "--xla_backend_optimization_level=0"}
    environment = {name: value for name, value in os.environ.items() if name != "KERAS_BACKEND"} | quick
    line = [sys.executable, "-c", program]
    return subprocess.run(line, capture_output=True, text=True, check=False, timeout=1150, env=environment)
