"""What every answer is measured by: very many whole passes in float32, kept in a file named by what they are of."""

from __future__ import annotations

import hashlib
import io
import os
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from flight.bundle import Bundle
from flight.inference.uncertainty import predictive_entropy
from ground_tools.benchmark.peers.runners import float_runner
from ground_tools.benchmark.workload import Answer, WholePasses
from ground_tools.foundation.files import write_whole
from ground_tools.foundation.progress import progress

# Of the two halves of a reference; no engine is measured with them.
_SEEDS = (900_001, 900_002)
# Changes with what this module computes.
_KIND = "float32 whole passes, balanced masks, 1"


@dataclass(frozen=True)
class Errors:
    """Means over pixels, of probability over classes too: absolute differences from the reference; entropy in nats."""

    probability: float
    entropy: float


@dataclass(frozen=True)
class Reference:
    """Of one frame. probability: (K, H, W); entropy: (H, W). noise: what it is off itself, by its halves."""

    probability: np.ndarray
    entropy: np.ndarray
    noise: Errors

    def errors(self, answer: Answer) -> Errors:
        """Of an answer to the same frame."""
        return Errors(
            float(np.abs(answer.probability - self.probability).mean()),
            float(np.abs(answer.entropy - self.entropy).mean()),
        )


def default_cache() -> Path:
    """The folder in which references are kept unless told otherwise."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rubblemap" / "benchmark"


def make_references(
    bundle: Bundle, frames: list[np.ndarray], passes: int, threads: int, cache: Path
) -> list[Reference]:
    """The reference of each frame; one that lies in the cache is not computed again.

    Args:
        bundle: whose networks it is of.
        frames: (H, W) uint8 of the networks' size.
        passes: of a reference, half of them with the masks of one seed and half with those of another.
        threads: to compute with.
        cache: folder of the files.
    """
    engine: WholePasses | None = None
    found = []
    for frame in progress(frames, unit="frame", label=f"reference of {passes} passes"):
        path = cache / f"{_hash(bundle, frame, passes)}.npz"
        halves = _read(path)
        if halves is None:
            engine = engine or WholePasses(bundle, [float_runner(network, threads) for network in bundle.networks])
            halves = np.stack([engine.answer(frame, seed, passes // 2).probability for seed in _SEEDS])
            buffer = io.BytesIO()
            np.savez(buffer, halves=halves)
            write_whole(path, buffer.getvalue())
        found.append(_of_halves(halves))
    return found


def _of_halves(halves: np.ndarray) -> Reference:
    """Both halves are off by as much; so their mean is off by half of what they differ by."""
    mean = halves.mean(axis=0)
    one, other = (predictive_entropy(half) for half in halves)
    noise = Errors(float(np.abs(halves[0] - halves[1]).mean()) / 2, float(np.abs(one - other).mean()) / 2)
    return Reference(mean, predictive_entropy(mean), noise)


def _hash(bundle: Bundle, frame: np.ndarray, passes: int) -> str:
    digest = hashlib.sha256(f"{_KIND} {_SEEDS} {passes} {bundle.sha256} {frame.shape}".encode())
    digest.update(frame.tobytes())
    return digest.hexdigest()


def _read(path: Path) -> np.ndarray | None:
    """The halves of a file; None where there is none that can be read."""
    try:
        with np.load(path) as file:
            halves: np.ndarray = file["halves"]
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        return None
    return halves
