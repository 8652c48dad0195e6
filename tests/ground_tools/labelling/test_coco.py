"""Labels through COCO files and back: our own, and those that CVAT and Label Studio write."""

from __future__ import annotations

import json
import re
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ground_tools.labelling.annotations import Annotation, default_name, read_annotation
from ground_tools.labelling.coco import as_coco, read_coco
from ground_tools.labelling.collection import ImageEntry
from ground_tools.labelling.image_names import ImageNames
from ground_tools.labelling.intake import take_in
from ground_tools.labelling.label_files import LabelFiles
from ground_tools.labelling.rasterisation import region_of
from ground_tools.labelling.shapes import Shape, area, ellipse, outline
from tests.ground_tools.labelling.drawn import HEIGHT, WIDTH
from tests.ground_tools.labelling.label_tool import label
from tests.ground_tools.labelling.shape_strategy import shapes
from tests.ground_tools.labelling.tool_files import cvat_coco, label_studio_coco

BODY, ROCK = ellipse("body", 120, 90, 60, 50), ellipse("boulder", 118, 88, 9, 7)
FILE = "alpha/alpha_0.png"
SQUARE = (0, 0, WIDTH)


def painted_ring() -> np.ndarray:
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    distance = np.hypot(x - 120, y - 90)
    return (distance < 60) & (distance > 20)


def written(path: Path, data: Any) -> Path:
    path.write_text(json.dumps(data))
    return path


def shapes_of(labels: Path, file: str = FILE) -> tuple[Shape, ...]:
    annotation, problems = read_annotation(labels / default_name(file))
    assert problems == []
    return annotation.shapes


def contents(labels: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in labels.iterdir()}


@settings(max_examples=50)
@given(st.lists(shapes(), min_size=1, max_size=6))
def test_labels_survive_the_way_through_coco(tmp_path_factory: pytest.TempPathFactory, drawn: list[Shape]) -> None:
    folder = tmp_path_factory.mktemp("coco")
    entries = {"a/b.png": ImageEntry("a/b.png", "a", "0")}
    before = Annotation("a/b.png", "0", WIDTH, HEIGHT, tuple(drawn), "inferred", (1, 2, 30), True, "note")
    path = written(folder / "labels.json", as_coco({"a/b.png": before}))
    intake = read_coco(path, ImageNames(entries), {})
    files = LabelFiles(folder, {"a/b.png": folder / "a_b.json"}, {"a/b.png": before})
    assert list(take_in(intake, files, folder).values()) == [before]
    assert intake.all_problems() == []
    for first, second in zip(drawn, intake.drawings[0].shapes, strict=True):
        assert first.label == second.label
        assert np.allclose(outline(first), outline(second), atol=0.01)


def test_what_was_not_changed_in_cvat_comes_back_as_it_went(images: Path, labels: Path, tmp_path: Path) -> None:
    """Through a file of our own, and one as CVAT writes it, in the archive that it sends."""
    label("add", "alpha_0", "--label", "crater", "--circle", "120,90,12", images=images, labels=labels)
    label("export", "--coco", tmp_path / "out.json", images=images, labels=labels)
    before = contents(labels)
    sent = json.loads((tmp_path / "out.json").read_text())
    names = [image["file_name"] for image in sent["images"]]
    drawn = [
        (names.index(file) + 1, shape.label, Shape(shape.label, tuple(map(tuple, outline(shape).tolist()))))
        for file in names
        for shape in shapes_of(labels, file)
    ]
    path = tmp_path / "task_7_annotations.zip"
    with zipfile.ZipFile(path, "w") as archive:
        data = cvat_coco([(name, WIDTH, HEIGHT) for name in names], drawn)
        archive.writestr("annotations/instances_default.json", json.dumps(data))
        archive.writestr("__MACOSX/annotations/._instances_default.json", b"\x00\x05")
    label("import", "--coco", path, images=images, labels=labels)
    assert contents(labels) == before
    label("import", "--coco", tmp_path / "out.json", images=images, labels=labels)
    assert contents(labels) == before


def test_masks_of_cvat_arrive_with_their_pixels_and_holes(images: Path, labels: Path, tmp_path: Path) -> None:
    ring = painted_ring()
    data = cvat_coco(
        [(FILE, WIDTH, HEIGHT), ("alpha/alpha_1.png", WIDTH, HEIGHT)],
        [(1, "body", ring), (1, "boulder", ROCK), (2, "body", Shape("body", ((30, 20), (200, 150)), "rectangle"))],
        ("boulder", "body", "crater", "terminator", "never used"),
    )
    data["annotations"][2]["attributes"]["rotation"] = 90.0
    label("import", "--coco", written(tmp_path / "c.json", data), images=images, labels=labels)
    body, rock = shapes_of(labels)
    assert (body.label, rock.label) == ("body", "boulder")
    assert (region_of([body], SQUARE, WIDTH)[:HEIGHT] == ring).all()
    (box,) = shapes_of(labels, "alpha/alpha_1.png")
    assert box.kind == "oriented_rectangle"
    assert outline(box).min(axis=0) == pytest.approx((50, 0))
    assert outline(box).max(axis=0) == pytest.approx((180, 170))
    # And out again, as polygons, and back.
    label("export", "--coco", tmp_path / "out.json", images=images, labels=labels)
    before = contents(labels)
    for path in labels.glob("*.json"):
        path.unlink()
    label("import", "--coco", tmp_path / "out.json", images=images, labels=labels)
    assert (region_of(list(shapes_of(labels))[:1], SQUARE, WIDTH)[:HEIGHT] == ring).all()
    assert set(contents(labels)) == set(before)


def test_packed_run_lengths_are_read(images: Path, labels: Path, tmp_path: Path) -> None:
    mask = pytest.importorskip("pycocotools.mask")
    ring = painted_ring()
    data = cvat_coco([(FILE, WIDTH, HEIGHT)], [(1, "body", ring)])
    packed = mask.encode(np.asfortranarray(ring.astype(np.uint8)))
    data["annotations"][0]["segmentation"]["counts"] = packed["counts"].decode()
    label("import", "--coco", written(tmp_path / "c.json", data), images=images, labels=labels)
    assert (region_of(list(shapes_of(labels)), SQUARE, WIDTH)[:HEIGHT] == ring).all()


@pytest.mark.parametrize(
    "name",
    [
        "../../label-studio/data/media/upload/4/cb0618f0-{}",
        "images/cb0618f0-{}",
        "images\\4\\cb0618f0-{}",
        "/data/local-files/?d=body/{}",
        "https://bucket.s3.example/{}?X-Amz-Signature=ab/cd",
        "{}",
    ],
)
def test_labels_of_label_studio_arrive_whatever_it_calls_the_images(images: Path, tmp_path: Path, name: str) -> None:
    (images / "alpha" / "alpha_0.png").rename(images / "alpha" / "frame (7) a.png")
    assert label_manifest(images) == 0
    uploaded = "frame_7_a.png" if "cb0618f0" in name else "frame%20(7)%20a.png"
    called = [(name.format(uploaded), WIDTH, HEIGHT), (name.format("beta_1.png"), WIDTH, HEIGHT)]
    data = label_studio_coco(called, [(0, BODY), (1, BODY), (1, ROCK)])
    labels = tmp_path / "own"
    label("import", "--coco", written(tmp_path / "result.json", data), "--labelled", images=images, labels=labels)
    arrived = shapes_of(labels, "alpha/frame (7) a.png")
    assert np.allclose(outline(arrived[0]), outline(BODY), atol=0.01)
    assert [shape.label for shape in shapes_of(labels, "beta/beta_1.png")] == ["body", "boulder"]
    assert read_annotation(labels / "beta_beta_1.json")[0].labelled


def label_manifest(images: Path) -> int:
    from ground_tools.cli import main

    return main(["label", "manifest", str(images)])


def test_names_that_say_too_little_are_mapped_by_a_file(
    images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for body in ("alpha", "beta"):
        (images / body / f"{body}_0.png").rename(images / body / "001.png")
    assert label_manifest(images) == 0
    data = label_studio_coco([("cb0618f0-001.png", WIDTH, HEIGHT), ("x7.png", WIDTH, HEIGHT)], [(0, BODY), (1, BODY)])
    path, labels = written(tmp_path / "result.json", data), tmp_path / "own"
    label("import", "--coco", path, images=images, labels=labels, expect=2)
    err = capsys.readouterr().err
    several = "image cb0618f0-001.png: 2 images have that name in manifest.csv: alpha/001.png, beta/001.png"
    assert f"{several}; --name-map says which of them it is" in err
    assert "image x7.png: no such image in manifest.csv" in err
    assert not labels.exists()
    names = tmp_path / "names.csv"
    names.write_text("cb0618f0-001.png,beta/001.png\nx7.png,gamma_2\n")
    label("import", "--coco", path, "--name-map", names, images=images, labels=labels)
    assert sorted(file.name for file in labels.iterdir()) == ["beta_001.json", "gamma_gamma_2.json"]
    names.write_text("cb0618f0-001.png\n")
    label("import", "--coco", path, "--name-map", names, images=images, labels=labels, expect=2)
    assert f"{names}, line 1: expected NAME,FILE" in capsys.readouterr().err


def test_other_categories_are_mapped_or_refused_by_name(
    images: Path, labels: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = cvat_coco([(FILE, WIDTH, HEIGHT)], [(1, "Asteroid", BODY), (1, "block", ROCK)], ("Asteroid", "block"))
    data["annotations"].append({**data["annotations"][1], "id": 9})
    path, before = written(tmp_path / "c.json", data), contents(labels)
    label("import", "--coco", path, images=images, labels=labels, expect=2)
    err = capsys.readouterr().err
    assert "label 'block' of 2 shapes: expected body, crater, boulder, terminator; --category 'block'=LABEL" in err
    assert contents(labels) == before
    arguments = ("--category", "asteroid=body", "block=boulder")
    label("import", "--coco", path, *arguments, images=images, labels=labels)
    assert [shape.label for shape in shapes_of(labels)] == ["body", "boulder", "boulder"]


def _damage(**fields: Any) -> Any:
    return lambda data: data["annotations"][1].update(fields)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_damage(segmentation={"counts": "abc", "size": [9, 9]}), r"annotation 2: segmentation.size: expected"),
        (_damage(segmentation={"counts": [7, 3], "size": [HEIGHT, WIDTH]}), "annotation 2: segmentation.counts: exp"),
        (_damage(segmentation={"counts": "`" * 9, "size": [HEIGHT, WIDTH]}), "annotation 2: segmentation.counts: exp"),
        (_damage(segmentation=[[1, 2, 3]]), "expected lists of pairs of numbers, got 3 numbers"),
        (_damage(segmentation=[1, 2, 3, 4, 5, 6]), "expected lists of pairs of numbers, got 1"),
        (_damage(segmentation=[[1, 2, 3, 4]]), "boulder polygon: expected 3 or more points, got 2"),
        (_damage(segmentation=[["a", 2, 3, 4, 5, 6]]), "annotation 2: "),
        (_damage(segmentation="x"), "expected polygons or run lengths"),
        (_damage(segmentation=[], bbox=[1, 2, 0, 4]), "bbox: expected a width and a height above 0"),
        (_damage(segmentation=None, bbox=None), "expected a segmentation or a bbox"),
        (_damage(image_id=[1]), "image_id: no such image None"),
        (_damage(image_id=77), "image_id: no such image 77"),
        (_damage(category_id=None), "label 'category None' of 1 shape"),
        (lambda data: data["annotations"].append(5), "annotation 5: "),
        (lambda data: data["images"][0].update(width=640, height=640), "expected 260 x 200 pixels as .* got 640 x 640"),
        (lambda data: data["images"][0].update(width=None), "expected its width and height, got None and 200"),
        (lambda data: data["images"].append({**data["images"][0], "id": 5}) or data["annotations"].append(
            {**data["annotations"][0], "image_id": 5}), "expected labels of alpha/alpha_0.png once, got them 2 times"),
        (lambda data: data["images"][0].update(file_name="moon.png"), "image moon.png: no such image"),
        (lambda data: data["images"].append(data["images"][0]), "images: expected each id once"),
        (lambda data: data.pop("categories"), "expected a COCO file with images, categories and annotations"),
    ],
)  # fmt: skip
def test_an_import_is_whole_or_not_at_all(
    images: Path, labels: Path, tmp_path: Path, damage: Any, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    data = cvat_coco(
        [(FILE, WIDTH, HEIGHT), ("alpha/alpha_1.png", WIDTH, HEIGHT)],
        [(1, "body", BODY), (1, "boulder", ROCK), (2, "body", BODY)],
    )
    damage(data)
    before = contents(labels)
    label("import", "--coco", written(tmp_path / "c.json", data), images=images, labels=labels, expect=2)
    err = capsys.readouterr().err
    assert re.search(message, err)
    assert "Traceback" not in err
    assert contents(labels) == before


def test_an_image_that_is_spoiled_keeps_its_labels_and_the_rest_arrives(
    images: Path, labels: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = cvat_coco(
        [(FILE, WIDTH, HEIGHT), ("alpha/alpha_1.png", WIDTH, HEIGHT), ("moon.png", 9, 9)],
        [(1, "body", BODY), (1, "boulder", ROCK), (2, "body", BODY), (2, "dust", ROCK), (3, "body", BODY)],
        ("body", "boulder", "dust"),
    )
    data["annotations"][1]["segmentation"] = [[1, 2, 3]]
    before = contents(labels)
    path = written(tmp_path / "c.json", data)
    label("import", "--coco", path, "--skip-unusable", images=images, labels=labels, expect=1)
    after = contents(labels)
    assert [name for name in before if after[name] != before[name]] == ["alpha_alpha_1.json"]
    assert [shape.label for shape in shapes_of(labels, "alpha/alpha_1.png")] == ["body"]
    err = capsys.readouterr().err
    for told in ("annotation 2: segmentation", "moon.png", "label 'dust' of 1 shape"):
        assert told in err


def test_images_without_annotations_keep_their_labels_unless_told(
    images: Path, labels: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Label Studio's export has every image of a project, also those that nobody has labelled there."""
    data = label_studio_coco([("alpha_0.png", WIDTH, HEIGHT), ("alpha_1.png", WIDTH, HEIGHT)], [(0, BODY)])
    before = contents(labels)
    path = written(tmp_path / "result.json", data)
    label("import", "--coco", path, images=images, labels=labels)
    assert "no shapes of alpha/alpha_1.png; it stays as it is" in capsys.readouterr().err
    assert contents(labels)["alpha_alpha_1.json"] == before["alpha_alpha_1.json"]
    assert area(shapes_of(labels)[0]) == pytest.approx(area(BODY), rel=1e-3)
    label("import", "--coco", path, "--clear-empty", images=images, labels=labels)
    assert shapes_of(labels, "alpha/alpha_1.png") == ()


def test_archives_with_several_files_and_options_without_use_are_refused(
    images: Path, labels: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "all.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("annotations/instances_train.json", "annotations/instances_val.json"):
            archive.writestr(name, "{}")
    label("import", "--coco", path, images=images, labels=labels, expect=2)
    assert "expected one JSON file in the archive, got annotations/instances_train.json" in capsys.readouterr().err
    data = written(tmp_path / "c.json", cvat_coco([(FILE, WIDTH, HEIGHT)], [(1, "body", BODY)]))
    label("import", "--coco", data, "--line-width", 3, images=images, labels=labels, expect=2)
    assert "--line-width: expected with --labelme alone" in capsys.readouterr().err
