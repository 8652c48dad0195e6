"""What the campaigns share: the offline answer to a frame, and watching processes from outside."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from flight.bundle import load_bundle
from flight.inference.engine import Engine, Maps
from flight.inference.planes import topic_planes
from flight.recomputation import planes_digest, product_digest
from flight.service.statistics import resident_memory_bytes
from flight.settings import default_settings

__all__ = ["OfflineAnswers", "open_descriptors", "percentile", "planes_digest", "product_digest", "resident_bytes"]


class OfflineAnswers:
    """Recomputes products: the same frame, bundle, seed and parameters give the same bits."""

    def __init__(self, bundle: Path, **settings: Any) -> None:
        self._engine = Engine(load_bundle(bundle))
        self._settings = replace(default_settings(self._engine.bundle), **settings)
        self._latest: tuple[int, Maps] | None = None

    def digest(self, frame: np.ndarray, seed: int, topic: str) -> str:
        """SHA-256 over the planes that a product of this centred frame must have. One seed goes with one frame."""
        # The topics of a frame are asked for one after another.
        if self._latest is None or self._latest[0] != seed:
            depth = 8 * frame.dtype.itemsize
            maps = self._engine.segment(frame, bit_depth=depth, centered=True, seed=seed, settings=self._settings)
            self._latest = (seed, maps)
        maps = self._latest[1]
        planes = topic_planes(maps, self._engine.bundle.classes, topic, self._settings)
        return planes_digest({name: plane for name, plane, _ in planes}, list(maps.map_to_sensor))


def resident_bytes(*pids: int) -> int:
    """Resident memory of processes together, all of which must be there."""
    each = [resident_memory_bytes(pid) for pid in pids]
    assert all(each)
    return sum(each)


def open_descriptors(*pids: int) -> int:
    """Open file descriptors of processes together."""
    return sum(len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in pids)


def percentile(values: list[float], fraction: float) -> float:
    """Of unordered values, by the nearest rank."""
    ordered = sorted(values)
    return ordered[round(fraction * (len(ordered) - 1))]
