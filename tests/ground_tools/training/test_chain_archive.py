"""Sets as parts that travel: nothing is lost, and what is wrong is named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from ground_tools.datasets.body_sets import derive_body_set
from ground_tools.datasets.store import read_description
from ground_tools.training.chain.archive import Wanted, read_archive, write_archive
from ground_tools.training.pixels import read_pixels
from ground_tools.training.records import provenance
from tests.ground_tools.training.scenes import write_scenes
from tests.ground_tools.training.small_plan import COUNTS


def test_packing_loses_nothing(drawn: Path, archive: list[Path]) -> None:
    packed = read_archive(archive[::-1])
    assert sorted(packed) == ["drawn", "real"]
    for name, rules in (("drawn", (1, 5)), ("real", (1,))):
        path, held = drawn.parent / name, packed[name]
        for split in ("train", "validation"):
            for rule in rules:
                expected, got = read_pixels(path, split, rule), held.pixels(split, rule)
                assert len(got) == COUNTS[split]
                assert np.array_equal(got.images, expected.images)
                assert np.array_equal(got.masks, expected.masks)
                assert got.noisy == expected.noisy == (name == "drawn")
        assert held.provenance == provenance(path)
        assert held.noise == read_description(path)["noise"]
    # The two rules differ in these sets, or the test would not see which one was packed.
    both = [packed["drawn"].pixels("train", rule).masks for rule in (1, 5)]
    assert not np.array_equal(*both)
    c1, expected_c1 = packed["drawn"].body_set(), derive_body_set(drawn)
    assert c1.names == expected_c1.names
    for field in ("images", "labels", "train", "validation"):
        assert np.array_equal(getattr(c1, field), getattr(expected_c1, field))


def test_parts_are_even_and_say_what_is_wrong(archive: list[Path], tmp_path: Path, drawn: Path) -> None:
    sizes = [path.stat().st_size for path in archive]
    assert max(sizes) < 1.5 * min(sizes)
    packed = read_archive(archive)
    with pytest.raises(ValueError, match="expected split train or validation and boulders from 1 pixels on, got test"):
        packed["real"].pixels("test", 1)
    # Test images travel for the encoder alone.
    assert (packed["drawn"].splits == "test").sum() == 4
    assert (packed["real"].splits == "test").sum() == 0
    with pytest.raises(ValueError, match="expected parts 1 to 2, got 2"):
        read_archive(archive[1:])
    with pytest.raises(ValueError, match="expected parts 1 to 2, got 1, 1"):
        read_archive([archive[0], archive[0]])
    others = write_archive({"drawn": drawn}, {"drawn": Wanted((5,), False)}, tmp_path, 2)
    with pytest.raises(ValueError, match="expected a part of the same packing"):
        read_archive([archive[0], others[1]])
    table = pq.read_table(archive[0])
    images = table["images"].to_pylist()
    images[0][0] = images[0][1]
    damaged = table.set_column(4, table.schema.field("images"), [images])
    pq.write_table(damaged, tmp_path / "damaged.parquet")
    with pytest.raises(ValueError, match="expected pixels of hash"):
        read_archive([tmp_path / "damaged.parquet", archive[1]])
    with pytest.raises(ValueError, match="expected a file of `train-chain pack`"):
        read_archive([drawn / "index.parquet"])
    with pytest.raises(ValueError, match="--dataset: expected drawn, real, as the plan has, got drawn"):
        write_archive({"drawn": drawn}, {"drawn": Wanted((5,), False), "real": Wanted((5,), False)}, tmp_path, 2)


def test_bodies_kept_for_judging_do_not_travel(tmp_path: Path) -> None:
    path = write_scenes(tmp_path / "kept", COUNTS, bodies=("alpha", "phobos"))
    with pytest.raises(ValueError, match="body phobos: expected none of it, it is held out for evaluation"):
        write_archive({"kept": path}, {"kept": Wanted((5,), False)}, tmp_path / "archive", 1)


def test_a_fraction_of_a_set_has_all_of_its_splits_and_bodies(archive: list[Path]) -> None:
    part = read_archive(archive)["drawn"].fraction(0.5)
    assert {split: int((part.splits == split).sum()) for split in COUNTS} == {"train": 4, "validation": 3, "test": 2}
    assert set(part.bodies) == {"alpha", "beta"}
