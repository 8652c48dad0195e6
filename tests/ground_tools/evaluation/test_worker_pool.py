"""Statistics that are kept: damaged parts, other software or settings."""

from __future__ import annotations

from concurrent.futures import Future
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ground_tools.evaluation import worker_pool as work
from ground_tools.evaluation.statistics import ENTROPY, EntropyStatistics, Image


class OnePart:
    """In the place of worker processes: every part of a job has the same statistics."""

    def __init__(self) -> None:
        self.computed = 0

    def submit(self, job: Any, images: list[Image]) -> Future[EntropyStatistics]:
        self.computed += 1
        future: Future[EntropyStatistics] = Future()
        future.set_result(EntropyStatistics(*np.random.default_rng(1).random((2, 4, 30))))
        return future


def test_a_damaged_part_is_named_and_never_taken(tmp_path: Path) -> None:
    pool: Any = OnePart()
    empty = np.zeros((2, 2), dtype=np.uint8)
    images = [Image(empty, empty, empty.astype(np.uint16), seed) for seed in range(4)]
    expected = work.compute_statistics(pool, ENTROPY, images, {}, tmp_path, "x")
    (file,) = tmp_path.glob("*/*.npz")
    content = file.read_bytes()
    for place in np.linspace(0, len(content) - 1, 40).astype(int):
        for damaged in (content[:place], content[:place] + bytes([content[place] ^ 0xFF]) + content[place + 1 :]):
            file.write_bytes(damaged)
            with pytest.raises(ValueError, match=rf"{file}: damaged; delete it"):
                work.compute_statistics(pool, ENTROPY, images, {}, tmp_path, "x")
    file.write_bytes(content)
    got = work.compute_statistics(pool, ENTROPY, images, {}, tmp_path, "x")
    assert np.array_equal(got.entropy, expected.entropy)
    assert np.array_equal(got.mutual, expected.mutual)
    assert pool.computed == 1


def test_statistics_of_other_software_or_settings_are_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool: Any = OnePart()
    images = [Image(*(np.zeros((2, 2), dtype=np.uint8),) * 3, 0)]

    def computed() -> int:
        work.compute_statistics(pool, ENTROPY, images, {"passes": 3}, tmp_path, "x")
        return int(pool.computed)

    assert [computed(), computed()] == [1, 1]
    assert set(work.software()) == {"ai_edge_litert", "numpy", "opencv"}
    monkeypatch.setattr(work, "software", lambda: {"ai_edge_litert": "0"})
    assert [computed(), computed()] == [2, 2]
    for place, name in enumerate(("score_bins", "bins", "calibration_bins", "boundary_tolerance", "version")):
        monkeypatch.setitem(work.SETTINGS, name, -1)
        assert computed() == 3 + place
