"""Sets of real images: built from drawn stand-ins and their labels, split, and read like rendered sets."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ground_tools.cli import main
from ground_tools.datasets.integrity import verify
from ground_tools.datasets.report import write_report
from ground_tools.datasets.store import load, read_description
from ground_tools.labelling.annotations import read_annotation, write_annotation
from ground_tools.labelling.collection import read_manifest
from ground_tools.labelling.real_sets import load_real
from ground_tools.labelling.shapes import Shape, ellipse
from ground_tools.labelling.splits import split_by_body, split_by_image
from ground_tools.labels.stacking import stack_masks
from tests.ground_tools.labelling.drawn import write_images, write_labels


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Images and labels."""
    folder = tmp_path_factory.mktemp("drawn")
    write_labels(folder / "labels", write_images(folder / "images"))
    return folder / "images", folder / "labels"


def dataset(*arguments: object, folders: tuple[Path, Path], expect: int = 0) -> None:
    command = ["dataset", *map(str, arguments), "--real-images", str(folders[0]), "--labels", str(folders[1])]
    assert main(command) == expect


@pytest.fixture(scope="module")
def built(folders: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("built") / "drawn"
    dataset("build", "drawn", "--out", out, folders=folders)
    return out


def test_info_tells_images_pairs_both_splits_and_classes(
    folders: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    dataset("info", "drawn", folders=folders)
    text = capsys.readouterr().out
    assert text.startswith("drawn: 11 real images of 3 bodies, 44 pairs (each image 4 times), 0 close-ups")
    assert "shapes: 11 body, 22 crater, 22 boulder, 11 terminator; 11 outlines inferred; 10 groups" in text
    assert [line.split() for line in text.splitlines() if line.startswith("gamma")][1] == ["gamma", "0", "0", "3"]
    dataset("info", "drawn", "--json", folders=folders)
    told = json.loads(capsys.readouterr().out)
    assert sum(told["class_share"].values()) == pytest.approx(1.0)
    assert set(told["class_present"].values()) == {1.0}
    for kind in ("image", "body"):
        assert sum(sum(counts) for counts in told[f"split_by_{kind}"].values()) == 11


def test_without_the_images_one_line_says_what_to_provide(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.delenv("RUBBLEMAP_REAL_IMAGES", raising=False)
    assert main(["dataset", "info", "d4"]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert (
        "--real-images: expected DIR, the folder of images with manifest.csv, or RUBBLEMAP_REAL_IMAGES to be set" in err
    )
    assert main(["dataset", "info", "d4", "--real-images", str(tmp_path)]) == 2
    assert "manifest.csv: no such file; give --real-images DIR" in capsys.readouterr().err


def test_a_built_set_is_an_ordinary_set(built: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert verify(built) == []
    loaded = load(built, identifiers=True)
    assert loaded.images.shape == loaded.masks.shape == (44, 128, 128)
    assert np.isnan(loaded.ranges_d0).all()
    assert loaded.cameras_km.shape == (44, 3)
    assert np.isnan(loaded.cameras_km).all()
    for mask, identifiers, ground in zip(loaded.masks, loaded.identifiers, loaded.ground, strict=True):
        assert (stack_masks(identifiers, ground, mask == 4) == mask).all()
    assert main(["dataset", "info", str(built)]) == 0
    assert "range        not known" in capsys.readouterr().out
    assert main(["dataset", "show", str(built), "--out", str(tmp_path / "show"), "--count", "3"]) == 0
    assert main(["dataset", "pack", str(built), "--out", str(tmp_path / "drawn.parquet")]) == 0
    assert verify(tmp_path / "drawn.parquet") == []
    assert (load(tmp_path / "drawn.parquet").images == loaded.images).all()
    assert main(["dataset", "export", str(built), "--out", str(tmp_path / "png"), "--noise"]) == 2
    assert "its images are real and have their own" in capsys.readouterr().err
    assert main(["dataset", "export", str(built), "--out", str(tmp_path / "png")]) == 0


def test_each_image_gives_four_samples_turned_alike_in_one_split(built: Path) -> None:
    loaded = load(built)
    description = read_description(built)
    assert len(description["images"]) == 11
    for image in description["images"]:
        first, last = image["samples"]
        rows = (loaded.bodies == image["body"]) & (loaded.splits == image["split"])
        rows &= (loaded.indices >= first) & (loaded.indices <= last)
        four = loaded.chosen(rows)
        assert len(four) == 4
        for arrays in (four.images, four.masks):
            assert (arrays[1] == arrays[0][:, ::-1]).all()
            assert (arrays[2] == np.rot90(arrays[0])).all()
            assert (arrays[3] == arrays[0][::-1, ::-1]).all()


def test_no_split_shows_an_image_or_a_group_of_another(built: Path) -> None:
    loaded = load(built)
    digests = {
        split: {bytes(np.sort(image.ravel())) for image in loaded.images[loaded.splits == split]}
        for split in ("train", "validation", "test")
    }
    assert all(digests.values())
    assert not digests["train"] & digests["test"]
    assert not digests["train"] & digests["validation"]
    assert not digests["validation"] & digests["test"]
    splits = {image["file"]: image["split"] for image in read_description(built)["images"]}
    assert splits["alpha/alpha_2.png"] == splits["alpha/alpha_3.png"]


@pytest.mark.slow
def test_the_split_by_body_tests_on_bodies_never_seen(folders: tuple[Path, Path], tmp_path: Path) -> None:
    dataset("build", "drawn", "--out", tmp_path / "out", "--split-by", "body", "--size", 256, folders=folders)
    loaded = load(tmp_path / "out")
    assert loaded.images.shape == (44, 256, 256)
    assert set(loaded.bodies[loaded.splits == "test"]) == {"gamma"}
    assert set(loaded.bodies[loaded.splits != "test"]) == {"alpha", "beta"}
    assert verify(tmp_path / "out") == []


@pytest.mark.slow
def test_the_same_labels_give_the_same_set_and_a_strange_folder_is_left_alone(
    folders: tuple[Path, Path], built: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    again = tmp_path / "again"
    for _ in range(2):  # anew over an earlier make, too
        dataset("build", "drawn", "--out", again, folders=folders)
    assert read_description(again) == read_description(built)
    assert [p.read_bytes() for p in sorted(again.rglob("*.parquet"))] == [
        p.read_bytes() for p in sorted(built.rglob("*.parquet"))
    ]
    dataset("build", "drawn", "--out", folders[0], folders=folders, expect=2)
    assert "expected an empty folder or an earlier make of drawn" in capsys.readouterr().err
    dataset("build", "d1", "--out", tmp_path / "no", folders=folders, expect=2)
    assert "NAME: expected drawn, the set of" in capsys.readouterr().err


def test_the_loader_needs_no_folder_for_the_set(folders: tuple[Path, Path], built: Path) -> None:
    loaded, problems = load_real(folders[0], "test", folders[1])
    assert problems == []
    assert (loaded.images == load(built, "test").images).all()


def test_bad_labels_are_named_and_the_rest_is_used(
    folders: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images, labels = tmp_path / "images", tmp_path / "labels"
    shutil.copytree(folders[0], images)
    shutil.copytree(folders[1], labels)

    def change(name: str, **fields: object) -> None:
        path = labels / f"{name}.json"
        write_annotation(replace(read_annotation(path)[0], **fields), path)  # type: ignore[arg-type]

    shapes = read_annotation(labels / "alpha_alpha_0.json")[0].shapes
    change("alpha_alpha_0", shapes=(*shapes, ellipse("crater", -80, 20, 12, 12)))
    change("alpha_alpha_1", shapes=(*shapes, Shape("boulder", ((100, 80), (130, 110), (130, 80), (100, 110)))))
    change("beta_beta_0", file="beta/beta_9.png")
    with (images / "beta" / "beta_1.png").open("ab") as file:
        file.write(b"more")
    change("beta_beta_2", labelled=False)
    for path in labels.glob("*.json"):
        annotation = read_annotation(path)[0]
        kept = tuple(shape for shape in annotation.shapes if shape.label != "terminator")
        write_annotation(replace(annotation, shapes=kept), path)
    dataset("info", "drawn", folders=(images, labels))
    said = capsys.readouterr()
    assert said.out.startswith("drawn: 8 real images of 3 bodies, 32 pairs")
    for pattern in (
        r"alpha_0.png: shape 5 \(crater\): lies outside of the image",
        r"alpha_1.png: shape 5 \(boulder\): its outline crosses itself; left out",
        r"beta_beta_0.json: image beta/beta_9.png: no such image in manifest.csv; left out",
        r"beta_1.png: sha256: expected .*; left out",
        r"class terminator: empty, no image shows it",
    ):
        assert re.search(pattern, said.err), (pattern, said.err)
    assert len(said.err.splitlines()) == 5
    for path in labels.glob("*.json"):
        path.unlink()
    dataset("info", "drawn", folders=(images, labels), expect=2)
    assert "expected labelled images" in capsys.readouterr().err


def test_the_report_shows_no_image_that_may_not_be_passed_on(built: Path, tmp_path: Path) -> None:
    (tmp_path / "datasets.md").write_text("<!-- figures: begin -->\n<!-- figures: end -->\n")
    written = write_report([built], tmp_path)
    assert not [path for path in written if "geometry" in path.name]
    page = (tmp_path / "datasets.md").read_text()
    assert "11 real images, 0 of them close-ups, 44 pairs; 10 groups" in page
    assert "Split by copy, pairs: 31 / 9 / 4." in page
    assert "| drawn | not known | not known |" in page
    import cv2

    sheet = cv2.imread(str(next(path for path in written if path.name == "drawn_alpha.jpg")))
    # Ten columns of masks at most, one row of them for ten samples: no rows of images.
    assert sheet.shape[0] < 2 * 128 * 2 + 60


@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.sampled_from("abcd"), st.integers(0, 30)), min_size=10, max_size=80),
    st.integers(0, 1000),
)
def test_splits_keep_groups_whole_and_shares_near(images: list[tuple[str, int]], seed: int) -> None:
    bodies = [body for body, _ in images]
    groups = [f"{body}{number}" for body, number in images]
    splits = split_by_image(bodies, groups, (0.7, 0.2, 0.1), seed)
    assert splits == split_by_image(bodies, groups, (0.7, 0.2, 0.1), seed)
    for group in set(groups):
        assert len({split for split, own in zip(splits, groups, strict=True) if own == group}) == 1
    largest = max(groups.count(group) for group in groups)
    for split, share in (("train", 0.7), ("validation", 0.2), ("test", 0.1)):
        assert abs(splits.count(split) - share * len(images)) <= 1.0 + largest + len(set(bodies)) / 2


def test_single_images_of_many_bodies_come_to_their_shares_in_each_body() -> None:
    bodies = ["a"] * 20 + ["b"] * 10 + ["c"] * 10
    splits = split_by_image(bodies, list(map(str, range(40))), (0.7, 0.2, 0.1), 3)
    for body, expected in (("a", (14, 4, 2)), ("b", (7, 2, 1)), ("c", (7, 2, 1))):
        own = [split for split, name in zip(splits, bodies, strict=True) if name == body]
        assert tuple(own.count(split) for split in ("train", "validation", "test")) == expected


@pytest.mark.parametrize("seed", range(20))
def test_one_large_group_is_no_test_when_smaller_ones_are_at_hand(seed: int) -> None:
    """Five arcs of four frames and thirty single images: a test of five would be nothing but one arc."""
    bodies = ["turning"] * 20 + ["a"] * 10 + ["b"] * 10 + ["c"] * 10
    groups = [f"arc {number // 4}" for number in range(20)] + list(map(str, range(30)))
    splits = split_by_image(bodies, groups, (0.7, 0.2, 0.1), seed)
    assert "test" not in splits[:20]
    assert [splits.count(split) for split in ("train", "validation", "test")] == pytest.approx([35, 10, 5], abs=1)
    # Without single images there is no choice, and no split stays empty.
    only_arcs = split_by_image(bodies[:20], groups[:20], (0.6, 0.2, 0.2), seed)
    assert set(only_arcs) == {"train", "validation", "test"}


def test_a_body_in_neither_list_is_told() -> None:
    with pytest.raises(ValueError, match="body c: expected it in train or in test"):
        split_by_body(["a", "b", "c"], ["1", "2", "3"], ["a"], ["b"], 0.2, 0)
    with pytest.raises(ValueError, match="expected images of bodies in train and in test"):
        split_by_body(["a", "a"], ["1", "2"], ["a"], ["b"], 0.2, 0)


def test_images_of_a_manifest_are_found_by_name(folders: tuple[Path, Path]) -> None:
    entries = read_manifest(folders[0])
    assert {entry.body for entry in entries.values()} == {"alpha", "beta", "gamma"}
