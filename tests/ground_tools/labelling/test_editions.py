"""The editions of D-4, and the splits of the paper: what the second keeps of the first, without any image."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from ground_tools.cli import main
from ground_tools.datasets.integrity import verify
from ground_tools.datasets.store import load, read_description
from ground_tools.labelling.annotations import Annotation, read_annotation
from ground_tools.labelling.collection import D4_EDITIONS, Rules, read_rules
from ground_tools.labelling.rasterisation import across_at_network_size, crop_with, crops_of, is_too_small
from ground_tools.labelling.splits import split_by_copy, split_by_image
from ground_tools.training.records import provenance, set_name
from tests.ground_tools.labelling.drawn import write_images, write_labels

FIRST, SECOND = D4_EDITIONS[1][0], D4_EDITIONS[2][0]
KEPT_FOR_JUDGING = ("phobos", "mathilde")


def sources() -> dict[str, dict[str, str]]:
    """What images.csv says of each image: where it may be had, and its hash."""
    with (SECOND / "images.csv").open(newline="") as file:
        return {row["file"]: row for row in csv.DictReader(file)}


def labels_of(folder: Path) -> list[Annotation]:
    return [read_annotation(path)[0] for path in sorted(folder.glob("*.json"))]


def image_splits(folder: Path) -> dict[str, set[str]]:
    """The split by image of an edition, from labels alone: image -> its splits."""
    rules, body_of = read_rules(folder), {file: row["body"] for file, row in sources().items()}
    found = [
        labels.file
        for labels in sorted(labels_of(folder), key=lambda labels: (body_of[labels.file], labels.file))
        for _ in crops_of(labels, rules.margin)
    ]
    by_image = rules.split_by_image
    tested, never_tested = ({rules.group_of(f) for f in files} for files in (by_image.tested, by_image.never_tested))
    bodies, groups = [body_of[file] for file in found], [rules.group_of(file) for file in found]
    splits = split_by_image(bodies, groups, by_image.shares, rules.seed, tested, never_tested)
    result: dict[str, set[str]] = {}
    for file, split in zip(found, splits, strict=True):
        result.setdefault(file, set()).add(split)
    return result


def test_the_second_edition_tests_what_the_first_tested_and_nothing_that_it_trained_on() -> None:
    first, second = image_splits(FIRST), image_splits(SECOND)
    assert set(first) < set(second)
    tested = {file for file, splits in first.items() if splits == {"test"}}
    assert len(tested) == 5
    assert set(read_rules(SECOND).split_by_image.tested) == tested
    assert all(second[file] == {"test"} for file in tested)
    assert all("test" not in second[file] for file in set(first) - tested)
    assert all(len(splits) == 1 for splits in second.values())
    assert {"train", "validation", "test"} == set.union(*second.values())


def test_the_second_edition_is_as_large_as_it_says_and_has_close_ups_with_small_boulders() -> None:
    rules, labels = read_rules(SECOND), labels_of(SECOND)
    samples = [(own, crop) for own in labels for crop in crops_of(own, rules.margin)]
    close_ups = [(own, crop) for own, crop in samples if own.close_ups]
    assert len(samples) >= 90
    assert len(close_ups) >= 30
    assert all(own.labelled for own in labels)
    small = [
        size
        for own, crop in close_ups
        for shape in own.shapes
        if shape.label == "boulder" and crop_with(shape, own.close_ups) == crop
        for size in [across_at_network_size(shape, crop)]
        if not is_too_small(shape, crop, rules.minimum_across_in(own))
    ]
    assert min(small) < 6.0
    assert min(small) >= 3.9


def test_the_project_names_where_images_may_be_had_and_holds_none() -> None:
    found = sources()
    assert {own.file: own.sha256 for own in labels_of(SECOND)} == {f: row["sha256"] for f, row in found.items()}
    assert list(found) == list(read_rules(SECOND).wanted or ())
    assert all(row["obtained_from"] for row in found.values())
    named = " ".join(f"{row['file']} {row['body']} {row['obtained_from']}" for row in found.values()).lower()
    assert not [body for body in KEPT_FOR_JUDGING if body in named]
    for folders in D4_EDITIONS.values():
        for folder in folders:
            assert {path.suffix for path in folder.iterdir()} <= {".json", ".toml", ".csv"}


def test_bodies_for_testing_are_those_of_the_first_edition() -> None:
    first, second = (read_rules(folder).split_by_body for folder in (FIRST, SECOND))
    assert second.test == first.test
    assert set(first.train) < set(second.train)
    assert {row["body"] for row in sources().values()} == {*second.train, *second.test}


def test_the_papers_split_is_140_40_20_of_200_copies() -> None:
    by_copy = read_rules(SECOND).split_by_copy
    splits = split_by_copy(111, 4, by_copy.shares, by_copy.images, 4)
    assert splits == split_by_copy(111, 4, by_copy.shares, by_copy.images, 4)
    flat = [split for copies in splits for split in copies]
    assert [flat.count(name) for name in ("train", "validation", "test", None)] == [140, 40, 20, 244]
    # An image is drawn with all its copies, and most are in several splits: it leaks.
    assert all(None not in copies or set(copies) == {None} for copies in splits)
    assert sum(len(set(copies)) > 1 for copies in splits) > 25
    every = [split for copies in split_by_copy(11, 4, (0.7, 0.2, 0.1), 0, 1) for split in copies]
    assert [every.count(name) for name in ("train", "validation", "test")] == [31, 9, 4]


def test_a_set_split_by_copy_is_an_ordinary_set_with_a_name_of_its_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images, labels, out = tmp_path / "images", tmp_path / "labels", tmp_path / "out"
    write_labels(labels, write_images(images))
    rules = (labels / "set.toml").read_text().replace("seed = 1", "seed = 1\nedition = 1")
    (labels / "set.toml").write_text(f"{rules}\n[split_by_copy]\nimages = 5\n")
    options = ["--real-images", str(images), "--labels", str(labels), "--split-by", "copy"]
    assert main(["dataset", "build", "drawn", "--out", str(out), *options]) == 0
    assert "5 images, 20 pairs, split by copy" in capsys.readouterr().out
    assert verify(out) == []
    loaded, description = load(out), read_description(out)
    assert [int((loaded.splits == name).sum()) for name in ("train", "validation", "test")] == [14, 4, 2]
    listed = {
        (image["body"], image["split"], index)
        for image in description["images"]
        for index in range(image["samples"][0], image["samples"][1] + 1)
    }
    assert listed == set(zip(loaded.bodies, loaded.splits, loaded.indices.tolist(), strict=True))
    assert set_name(description) == "drawn_first_edition_paper_split"
    assert provenance(out)["edition"] == 1
    assert len({bytes(np.sort(image.ravel())) for image in loaded.images}) == 5


def test_names_tell_editions_and_splits_apart() -> None:
    def name(**fields: object) -> str:
        rule = fields.pop("rule", "image")
        return set_name({"name": "d4", "campaign": {"split_by": rule}, **fields})

    assert name(edition=2) == name() == "d4"
    assert name(edition=1) == "d4_first_edition"
    assert name(edition=2, rule="copy") == "d4_paper_split"
    assert name(edition=1, rule="body") == "d4_first_edition_unseen_bodies"


def test_tested_groups_are_tested_and_others_never() -> None:
    bodies, groups = ["a"] * 20, [str(number // 2) for number in range(20)]
    for seed in range(10):
        splits = split_by_image(bodies, groups, (0.7, 0.2, 0.1), seed, {"0", "1", "2"}, {"3", "4", "5", "6", "7", "8"})
        assert [splits[2 * number] for number in range(3)] == ["test"] * 3
        assert "test" not in splits[6:18]


def test_the_edition_of_d4_is_chosen_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images = tmp_path / "images"
    write_images(images)
    for edition in (1, 2):
        options = ["--real-images", str(images), "--edition", str(edition)]
        assert main(["dataset", "info", "d4", *options]) == 2
        assert f"{D4_EDITIONS[edition][0]}: expected labelled images" in capsys.readouterr().err
    both = ["--labels", str(tmp_path), "--edition", "1", "--real-images", str(images)]
    assert main(["dataset", "info", "d4", *both]) == 2
    assert "--edition: not allowed with argument --labels" in capsys.readouterr().err
    assert Rules().edition is None
