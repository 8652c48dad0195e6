"""Runs on a board and on this computer: maps of frames as the engine makes them, for a comparison of processors.

Arguments: bundle, folder of frames, number of frames, engine, file to write (.npz).
"""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from flight.bundle import load_bundle
from flight.inference.engine import Engine
from flight.inference.self_test import describe_environment
from flight.settings import default_settings

PASSES = 4
SEED = 7


def main() -> None:
    """Segment the frames, each with the same seed."""
    bundle_path, frames, count, engine_name, out = sys.argv[1:]
    bundle = load_bundle(Path(bundle_path))
    settings = replace(default_settings(bundle), passes=PASSES, engine=engine_name)
    engine = Engine(bundle, 1)
    classes, entropies, seconds = [], [], []
    for path in sorted(Path(frames).glob("*.png"))[: int(count)]:
        pixels = np.asarray(cv2.imread(str(path), cv2.IMREAD_UNCHANGED), np.uint8)
        began = time.monotonic()
        maps = engine.segment(pixels, bit_depth=8, centered=False, seed=SEED, settings=settings)
        seconds.append(time.monotonic() - began)
        classes.append(maps.class_map)
        entropies.append(maps.predictive_entropy)
    engine.close()
    np.savez_compressed(
        out,
        class_map=np.stack(classes),
        entropy=np.stack(entropies),
        seconds=seconds,
        environment=describe_environment(1),
    )


main()
