"""Sets as people use them: statistics, pictures, integrity, packing, export and C-1, by command line and loaders."""

from __future__ import annotations

import csv
import dataclasses
import json
import re
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ground_tools.datasets.body_sets import derive_body_set
from ground_tools.datasets.figures import Scaling
from ground_tools.datasets.identity import evaluated_labels, finish_set, labels_digest, labels_sha256
from ground_tools.datasets.integrity import verify
from ground_tools.datasets.noise import NOISE_SEED, add_noise, noise_seeded_by_image
from ground_tools.datasets.report import write_scaling
from ground_tools.datasets.store import (
    SAMPLE_SCHEMA,
    digest,
    load,
    read_description,
    sample_digest,
    shard_bytes,
    shard_paths,
    webp_array,
    webp_bytes,
    write_description,
    write_index,
)
from ground_tools.labels.classes import COLORS
from tests.ground_tools.conftest import ground_tools


def dataset_tool(*arguments: object) -> str:
    """Run `ground-tools dataset`, which must succeed; returns what it prints."""
    done = ground_tools("dataset", *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_info_tells_counts_classes_and_geometry(dataset: Path) -> None:
    text = dataset_tool("info", dataset)
    assert text.startswith("tiny: 10 samples, ")
    assert digest(dataset) in text
    assert [line.split() for line in text.splitlines() if line.startswith("procedural_top")] == [
        ["procedural_top", "3", "1", "1"]
    ]
    told = json.loads(dataset_tool("info", dataset, "--json"))
    masks = load(dataset).masks
    assert sum(told["class_share"].values()) == pytest.approx(1.0)
    assert told["class_share"]["background"] == pytest.approx((masks == 0).mean())
    assert told["class_present"]["terminator"] == pytest.approx((masks == 4).any(axis=(1, 2)).mean())
    assert 0.4 <= told["range_d0"][0] <= told["range_d0"][1] <= told["range_d0"][2] <= 1.3


def test_show_draws_every_sample_in_the_colours_of_its_classes(dataset: Path, tmp_path: Path) -> None:
    paths = [Path(line) for line in dataset_tool("show", dataset, "--out", tmp_path, "--count", 5).split()]
    assert sorted(path.name for path in paths) == [
        "classes.png",
        "geometry.png",
        "occurrence.png",
        "sheet_procedural_bilobate.png",
        "sheet_procedural_top.png",
    ]
    assert all(cv2.imread(str(path)) is not None for path in paths)
    together = dataset_tool("show", dataset, "--out", tmp_path / "one", "--count", 10, "--one-sheet").split()
    assert [Path(line).name for line in together if "sheet" in line] == ["sheet.png"]
    # Ten samples, of which five would be in each of the others.
    assert cv2.imread(together[0]).shape[1] > 1.9 * cv2.imread(str(tmp_path / "sheet_procedural_top.png")).shape[1]
    sheet = cv2.imread(str(tmp_path / "sheet_procedural_top.png"))[:, :, ::-1]
    masks = load(dataset, bodies=["procedural_top"]).masks
    for index, name in ((2, "craters"), (3, "boulders"), (4, "terminator")):
        assert (sheet[25:] == COLORS[name]).all(axis=2).sum() == (masks == index).sum()


def test_a_sound_set_is_told_to_be_sound(dataset: Path) -> None:
    told = f"{dataset}: 10 samples, all sound\nsha256 {digest(dataset)}\nlabels_sha256 {labels_digest(dataset)} "
    assert dataset_tool("verify", dataset).startswith(told)


def rewritten(shard: Path, change: Any) -> None:
    rows = pq.read_table(shard).to_pylist()
    change(rows)
    shard.write_bytes(shard_bytes(rows))


def darker(rows: list[dict[str, Any]]) -> None:
    rows[0]["image"] = webp_bytes(webp_array(rows[0]["image"], "image") // 2)


def moved(rows: list[dict[str, Any]]) -> None:
    rows[0]["camera_km"] = [2.0 * value for value in rows[0]["camera_km"]]


def unreadable(rows: list[dict[str, Any]]) -> None:
    rows[0]["mask"] = b"RIFFnothing"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (darker, "its pixels give another sha256"),
        (moved, "camera_km: expected "),
        (unreadable, "mask: 11 bytes that are no WebP image"),
        (lambda rows: rows.clear(), "is in the index, and in no shard"),
        (lambda rows: rows.append(rows[0]), "is not in the index, or twice in the set"),
    ],
)
def test_verify_names_what_is_wrong_and_where(dataset: Path, tmp_path: Path, change: Any, message: str) -> None:
    copy = Path(shutil.copytree(dataset, tmp_path / "copy"))
    rewritten(shard_paths(copy)[0], change)
    done = ground_tools("dataset", "verify", copy)
    assert done.returncode == 1
    assert any(message in line and str(copy) in line for line in done.stderr.splitlines()), done.stderr


def test_a_flipped_bit_is_found_or_changes_nothing(dataset: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(dataset, tmp_path / "copy"))
    shard = shard_paths(copy)[1]
    sound, whole = shard.read_bytes(), load(copy, identifiers=True)
    generator = np.random.default_rng(4)
    found = 0
    for _ in range(60):
        data = bytearray(sound)
        data[generator.integers(len(data))] ^= 1 << generator.integers(8)
        shard.write_bytes(data)
        if verify(copy):
            found += 1
            continue
        again = load(copy, identifiers=True)
        for field in dataclasses.fields(whole):
            np.testing.assert_array_equal(getattr(whole, field.name), getattr(again, field.name))
    assert found >= 25  # the rest hit padding and statistics


def test_verify_misses_lost_samples(dataset: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(dataset, tmp_path / "copy"))
    shard_paths(copy)[1].unlink()
    write_index(copy)
    done = ground_tools("dataset", "verify", copy)
    assert done.returncode == 1
    assert "procedural_bilobate train: expected samples 0..2, 0 of them are there" in done.stderr


def remade(dataset: Path, copy: Path, change: Any) -> Path:
    """A sound set with another first sample, as another processor or another seed would have given it."""
    shutil.copytree(dataset, copy)

    def change_sample(rows: list[dict[str, Any]]) -> None:
        change(rows)
        arrays = [webp_array(rows[0][name], name) for name in ("image", "mask", "identifiers", "ground")]
        rows[0]["sha256"] = sample_digest(*arrays)

    rewritten(shard_paths(copy)[0], change_sample)
    stated = {name: value for name, value in read_description(copy).items() if not name.endswith("sha256")}
    finish_set(copy, stated, stated["samples"])
    return copy


def moved_by_a_bit(rows: list[dict[str, Any]]) -> None:
    rows[0]["camera_km"] = np.nextafter(rows[0]["camera_km"], np.inf).tolist()
    rows[0]["range_km"] = float(np.nextafter(rows[0]["range_km"], 0.0))


def relabelled(rows: list[dict[str, Any]]) -> None:
    mask = webp_array(rows[0]["mask"], "mask")
    mask[np.nonzero(mask == 1)[0][0], np.nonzero(mask == 1)[1][0]] = 2
    rows[0]["mask"] = webp_bytes(mask)


def turned(rows: list[dict[str, Any]]) -> None:
    rows[0]["sun_direction"] = [*rows[0]["sun_direction"][1:], rows[0]["sun_direction"][0]]


@pytest.mark.parametrize(
    ("change", "same", "same_labels"),
    [
        (lambda rows: None, True, True),
        (darker, False, True),
        (moved_by_a_bit, True, True),
        (relabelled, False, False),
        (turned, True, False),
    ],
)
def test_sets_that_differ_in_grey_levels_alone_have_one_digest_of_labels(
    dataset: Path, tmp_path: Path, change: Any, same: bool, same_labels: bool
) -> None:
    other = remade(dataset, tmp_path / "other", change)
    assert (digest(other) == digest(dataset)) == same
    assert (labels_sha256(other) == labels_sha256(dataset)) == same_labels
    # The first sample is one for testing.
    assert (evaluated_labels(other) == evaluated_labels(dataset)) == same_labels


def test_the_digest_of_labels_is_stated_and_of_older_sets_computed(dataset: Path, tmp_path: Path) -> None:
    stated = read_description(dataset)["labels_sha256"]
    assert json.loads(dataset_tool("info", dataset, "--json"))["labels_sha256"] == stated
    older = Path(shutil.copytree(dataset, tmp_path / "older"))
    description = read_description(older)
    write_description(older, {name: value for name, value in description.items() if name != "labels_sha256"})
    assert f"labels_sha256 {stated}" in dataset_tool("info", older)
    assert f"labels_sha256 {stated}" in dataset_tool("verify", older)
    write_description(older, description | {"labels_sha256": "0" * 64})
    done = ground_tools("dataset", "verify", older)
    assert done.returncode == 1
    assert "give another labels_sha256 than dataset.json tells" in done.stderr
    for words, whole in (((), True), (("--split", "test"), False)):
        packed = tmp_path / "packed.parquet"
        dataset_tool("pack", dataset, *words, "--out", packed)
        assert (read_description(packed)["labels_sha256"] == stated) == whole
        assert "all sound" in dataset_tool("verify", packed)


def test_a_packed_set_is_taken_in_place_of_the_folder(dataset: Path, tmp_path: Path) -> None:
    packed = tmp_path / "tiny.parquet"
    assert "10 samples" in dataset_tool("pack", dataset, "--out", packed)
    first = packed.read_bytes()
    dataset_tool("pack", dataset, "--out", packed)
    assert packed.read_bytes() == first
    assert "all sound" in dataset_tool("verify", packed)
    assert dataset_tool("info", packed).startswith("tiny: 10 samples")
    assert digest(packed) == digest(dataset)
    folder, file = (load(path, "train", identifiers=True) for path in (dataset, packed))
    assert all(
        np.array_equal(getattr(folder, n), getattr(file, n)) for n in ("images", "masks", "identifiers", "ground")
    )
    assert folder.bodies.tolist() == file.bodies.tolist()


def test_a_part_of_a_set_is_packed_as_a_set_of_its_own(dataset: Path, tmp_path: Path) -> None:
    packed = tmp_path / "part.parquet"
    dataset_tool("pack", dataset, "--out", packed, "--split", "test", "--body", "procedural_top")
    assert len(load(packed)) == 1
    assert read_description(packed)["selection"] == {"splits": ["test"], "bodies": ["procedural_top"]}
    assert "1 samples, all sound" in dataset_tool("verify", packed)
    done = ground_tools("dataset", "pack", dataset, "--out", tmp_path / "none.parquet", "--body", "ceres")
    assert done.returncode == 2
    assert "no samples of ceres in any split" in done.stderr
    assert not (tmp_path / "none.parquet").exists()


def test_export_gives_plain_files_to_other_tools(dataset: Path, tmp_path: Path) -> None:
    dataset_tool("export", dataset, "--out", tmp_path / "plain")
    dataset_tool("export", dataset, "--out", tmp_path / "noisy", "--noise")
    with (tmp_path / "plain" / "samples.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    test = load(dataset, "test")
    assert len(rows) == 10
    found = [row for row in rows if row["split"] == "test"]
    for row, image, mask, distance in zip(found, test.images, test.masks, test.ranges_d0, strict=True):
        path = tmp_path / "plain" / row["image"]
        assert np.array_equal(cv2.imread(str(path), cv2.IMREAD_UNCHANGED), image)
        truth = path.parent.parent / "masks" / path.name
        assert np.array_equal(cv2.imread(str(truth), cv2.IMREAD_UNCHANGED), mask)
        assert float(row["range_d0"]) == distance
        noisy = cv2.imread(str(tmp_path / "noisy" / row["image"]), cv2.IMREAD_UNCHANGED)
        assert np.array_equal(noisy, np.rint(noise_seeded_by_image(image) * 255.0).astype(np.uint8))


def test_the_report_writes_figures_and_pictures(dataset: Path, tmp_path: Path) -> None:
    (tmp_path / "datasets.md").write_text("# Sets\n\n<!-- figures: begin -->\nold\n<!-- figures: end -->\n\nTerms.\n")
    written = dataset_tool("report", dataset, "--write", tmp_path).split()
    assert all(Path(path).stat().st_size > 0 for path in written)
    write_scaling(Scaling("b", 100, 1, "m", {"1": [60.0], "2": [40.0]}), tmp_path)
    text = (tmp_path / "datasets.md").read_text()
    assert text.startswith("# Sets\n")
    assert text.endswith("<!-- figures: end -->\n\nTerms.\n")
    assert "old" not in text
    assert f"`{digest(dataset)[:16]}` |" in text
    assert "| 2 | 40.0 (40.0 to 40.0) | 0.400 | 1.50 |" in text
    rendering = json.loads((tmp_path / "datasets.json").read_text())["sets"]["tiny"]["rendering"]
    assert rendering["procedural_top"]["samples"] == 5
    assert 0.0 < rendering["procedural_top"]["seconds_per_sample"] < 300.0
    for link in re.findall(r"\((images/[^)]+)\)", text):
        assert (tmp_path / link).exists()


def test_noise_is_the_papers_and_the_same_in_any_part_of_a_set(dataset: Path) -> None:
    everything, part = load(dataset), load(dataset, "test")
    whole = add_noise(everything.images)
    assert np.array_equal(whole[everything.splits == "test"], add_noise(part.images))
    assert not np.array_equal(whole, add_noise(everything.images, NOISE_SEED + 1))
    sky = everything.images == 0
    assert whole[..., 0][sky].mean() == pytest.approx(0.1, abs=0.002)
    assert whole[..., 0][sky].std() == pytest.approx(0.01, rel=0.1)


def test_c1_is_the_bodies_of_the_whole_set(dataset: Path) -> None:
    bodies, loaded = derive_body_set(dataset), load(dataset)
    assert bodies.names == ["procedural_bilobate", "procedural_top"]
    assert [bodies.names[label] for label in bodies.labels] == loaded.bodies.tolist()
    assert len(bodies.train) == 8
    assert sorted([*bodies.train, *bodies.validation]) == list(range(10))
    assert np.array_equal(derive_body_set(dataset).train, bodies.train)


@pytest.mark.parametrize("column", ["image", "identifiers"])
def test_what_is_no_picture_is_refused(column: str) -> None:
    with pytest.raises(ValueError, match=f"{column}: 0 bytes that are no WebP image"):
        webp_array(b"", column)


def test_pixels_come_back_as_they_were() -> None:
    generator = np.random.default_rng(0)
    image = generator.integers(0, 256, (128, 128), dtype=np.uint8)
    identifiers = generator.integers(0, 65536, (128, 128)).astype(np.uint16)
    assert np.array_equal(webp_array(webp_bytes(image), "image"), image)
    assert np.array_equal(webp_array(webp_bytes(identifiers), "identifiers"), identifiers)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("info", "nowhere"), "dataset nowhere: no readable dataset.json"),
        (("show", "SET", "--out", "x", "--count", "0"), "--count: expected 1..1000, got 0"),
        (("verify", "EMPTY"), "no readable dataset.json, and no packed set"),
        (("info", "OLD"), "expected format 2, got 1; render it again"),
    ],
)
def test_a_wrong_call_is_one_line(dataset: Path, tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    pq.write_table(pa.table({"a": [1]}), tmp_path / "other.parquet")
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "dataset.json").write_text('{"format": 1}')
    places = {"SET": dataset, "EMPTY": tmp_path / "other.parquet", "OLD": tmp_path / "old"}
    done = ground_tools("dataset", *(places.get(argument, argument) for argument in arguments))
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_the_schema_is_written_down() -> None:
    text = (Path(__file__).parents[3] / "docs" / "datasets.md").read_text(encoding="utf-8")
    for field in SAMPLE_SCHEMA:
        assert f"| `{field.name}` | {field.metadata[b'meaning'].decode()} |" in text
