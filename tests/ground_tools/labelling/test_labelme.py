"""Labels drawn in labelme: with our commands before, and from nothing."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest

from ground_tools.labelling.annotations import Annotation, default_name, read_annotation, write_annotation
from ground_tools.labelling.collection import read_manifest
from ground_tools.labelling.rasterisation import rasterise, region_of
from ground_tools.labelling.shapes import Shape, area, ellipse, outline
from tests.ground_tools.labelling.drawn import HEIGHT, WIDTH, annotation_of
from tests.ground_tools.labelling.label_tool import label
from tests.ground_tools.labelling.tool_files import labelme_mask, labelme_shape, write_labelme

SIZE = (WIDTH, HEIGHT)
BODY = [(round(x, 3), round(y, 3)) for x, y in outline(ellipse("body", 120, 90, 60, 50)).tolist()]
TERMINATOR = [(80.0, 60.0), (74.0, 90.0), (80.0, 120.0)]


def every_kind() -> tuple[list[dict[str, object]], np.ndarray]:
    """A body with one of each of labelme's shapes on it, and the pixels of the painted one, which has a hole."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    painted = (np.hypot(x - 140, y - 70) < 12) & (np.hypot(x - 140, y - 70) > 4)
    return [
        labelme_shape("Body ", BODY),
        labelme_shape("crater", [(100, 80), (100, 92)], "circle"),
        labelme_shape("boulder", [(150, 100), (160, 108)], "rectangle"),
        labelme_shape("boulder", [(120, 110), (130, 115), (127, 121), (117, 116)], "oriented_rectangle"),
        labelme_shape("crater", [(105, 60), (118, 58), (120, 70), (108, 72), (105.5, 60.5)], "linestrip"),
        labelme_shape("terminator", TERMINATOR, "linestrip"),
        labelme_shape("terminator", [(80, 120), (95, 131)], "line"),
        labelme_mask("crater", painted),
    ], painted


def shapes_at(labels: Path, file: str) -> tuple[Shape, ...]:
    annotation, problems = read_annotation(labels / default_name(file))
    assert problems == []
    return annotation.shapes


@pytest.fixture
def own(tmp_path: Path) -> Path:
    (tmp_path / "own").mkdir()
    return tmp_path / "own"


def test_all_shapes_of_labelme_are_taken_in_with_the_images_hash(images: Path, own: Path) -> None:
    shapes, painted = every_kind()
    write_labelme(images / "alpha" / "alpha_0.json", "alpha_0.png", SIZE, shapes)
    label("import", "--labelme", images, images=images, labels=own)
    annotation, problems = read_annotation(own / "alpha_alpha_0.json")
    assert problems == []
    assert annotation.sha256 == read_manifest(images)["alpha/alpha_0.png"].sha256
    assert (annotation.file, annotation.labelled) == ("alpha/alpha_0.png", False)
    found = annotation.shapes
    assert [shape.label for shape in found] == [
        "body",
        *["crater", "boulder", "boulder", "crater"],
        *["terminator"] * 2,
        "crater",
    ]
    kinds = ["polygon", "circle", "rectangle", "oriented_rectangle"]
    assert [shape.kind for shape in found[:4]] == kinds
    assert area(found[3]) == pytest.approx(abs(10 * 6 - 5 * -3))
    assert len(found[4].points) == 5
    # 6 pixels of 128 of a square of 1.15 times the body.
    width, length = 6 / 128 * 1.15 * 120, 2 * math.hypot(6, 30)
    assert area(found[5]) == pytest.approx(width * length + math.pi * width**2 / 4, rel=0.08)
    square = (0, 0, WIDTH)
    assert (rasterise(outline(found[7]), square, WIDTH)[:HEIGHT] == painted).all()
    label("import", "--labelme", images / "alpha" / "alpha_0.json", "--line-width", 12, images=images, labels=own)
    assert area(shapes_at(own, "alpha/alpha_0.png")[5]) == pytest.approx(12 * length + math.pi * 36, rel=0.05)


def test_what_labelme_adds_to_a_file_of_ours_is_read(images: Path, labels: Path) -> None:
    """labelme keeps the key `rubblemap` of a file that is edited in it."""
    path = labels / "alpha_alpha_0.json"
    data = json.loads(path.read_text())
    more, painted = every_kind()
    data["shapes"] += more[1:]
    data["imagePath"] = "..\\images\\alpha\\alpha_0.png"
    path.write_text(json.dumps(data, indent=2))
    annotation, problems = read_annotation(path)
    assert problems == []
    assert len(annotation.shapes) == 6 + 7
    label("set", "alpha_0", "--note", "edited", images=images, labels=labels)
    again, problems = read_annotation(path)
    assert problems == []
    assert again.shapes == annotation.shapes
    square = (0, 0, WIDTH)
    assert (region_of([again.shapes[-1]], square, WIDTH)[:HEIGHT] == painted).all()


def test_labels_that_lie_in_the_folder_of_labels_are_taken_in_there(
    images: Path, own: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_labelme(own / "my_drawing.json", "../images/beta/beta_2.png", SIZE, [labelme_shape("body", BODY)])
    text = path.read_text()
    hint = f"drawn in labelme, not taken in yet: `ground-tools label import --labelme {path}`"
    for command in (
        ("status",),
        ("check",),
        ("propose", "beta_2"),
        ("add", "beta_2", "--label", "crater", "--circle", "9,9,9"),
    ):
        label(*command, images=images, labels=own, expect={"status": 0, "add": 2}.get(command[0], 1))
        assert hint in capsys.readouterr().err
        assert path.read_text() == text
        assert [file.name for file in own.iterdir()] == ["my_drawing.json"]
    label("import", "--labelme", path, "--labelled", images=images, labels=own)
    assert [file.name for file in own.iterdir()] == ["my_drawing.json"]
    annotation = read_annotation(path)[0]
    assert annotation.labelled
    assert [point for shape in annotation.shapes for point in shape.points] == BODY


def test_no_machines_outline_takes_the_place_of_what_a_person_has_drawn(
    images: Path, own: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_labelme(images / "beta" / "beta_1.json", "beta_1.png", SIZE, [labelme_shape("body", BODY)])
    write_labelme(images / "beta" / "beta_3.json", "beta_3.png", SIZE, [])
    label("status", images=images, labels=own)
    assert "drawn     beta/beta_1.png              drawn in labelme, not taken in yet" in capsys.readouterr().out
    label("propose", "beta_1", "beta_2", "beta_3", images=images, labels=own, expect=1)
    assert f"beta/beta_1.png: drawn in labelme, not taken in yet: `ground-tools label import --labelme {path}`" in (
        capsys.readouterr().err
    )
    assert sorted(file.name for file in own.iterdir()) == ["beta_beta_2.json", "beta_beta_3.json"]
    # Proposals of before are no reason to pass over what was drawn since.
    write_labelme(images / "beta" / "beta_2.json", "beta_2.png", SIZE, [labelme_shape("body", BODY)])
    before = (own / "beta_beta_2.json").read_bytes()
    label("propose", "beta_2", images=images, labels=own, expect=1)
    assert (own / "beta_beta_2.json").read_bytes() == before
    label("import", "--labelme", images / "beta", images=images, labels=own)
    label("propose", "beta_1", "beta_2", "--terminator", "none", images=images, labels=own)
    for file in ("beta/beta_1.png", "beta/beta_2.png"):
        bodies = [shape for shape in shapes_at(own, file) if shape.label == "body"]
        assert [shape.points for shape in bodies] == [tuple(BODY)]


def test_propose_tells_of_drawings_of_which_it_cannot_tell_the_image(
    images: Path, own: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_labelme(own / "my drawing.json", "moon.png", SIZE, [labelme_shape("body", BODY)])
    label("propose", "beta_2", images=images, labels=own)
    assert f"`ground-tools label import --labelme '{path}'`; left out" in capsys.readouterr().err
    label("import", "--labelme", path, images=images, labels=own, expect=2)
    assert "moon.png: no such image in manifest.csv" in capsys.readouterr().err


@pytest.mark.parametrize("where", ["beside", "mirrored", "elsewhere", "copied", "within"])
def test_the_image_is_found_though_its_name_is_not_the_only_one(
    images: Path, own: Path, tmp_path: Path, where: str
) -> None:
    """Two images of one name: by the place, the folders' names, the bytes there, or the bytes in the file."""
    shutil.copy(images / "alpha" / "alpha_1.png", images / "beta" / "alpha_0.png")
    assert label_manifest(images) == 0
    other = tmp_path / "other"
    place = {"beside": images / "beta", "mirrored": other / "beta", "copied": other}.get(where, tmp_path / "drawings")
    place.mkdir(parents=True, exist_ok=True)
    if where == "copied":
        shutil.copy(images / "beta" / "alpha_0.png", place)
    image = "../images/beta/alpha_0.png" if where == "elsewhere" else "alpha_0.png"
    data = (images / "beta" / "alpha_0.png").read_bytes() if where == "within" else None
    write_labelme(place / "x.json", image, SIZE, [labelme_shape("body", BODY)], data)
    # beta/alpha_0.png and alpha/alpha_1.png have the same bytes: of them the name decides.
    wanted = "beta/alpha_0.png"
    if where in ("copied", "within"):
        (images / "alpha" / "alpha_1.png").unlink()
        assert label_manifest(images) == 0
    label("import", "--labelme", place, images=images, labels=own)
    assert read_annotation(own / default_name(wanted))[0].file == wanted


def label_manifest(images: Path) -> int:
    from ground_tools.cli import main

    return main(["label", "manifest", str(images)])


@pytest.mark.parametrize(
    ("shapes", "size", "message"),
    [
        (
            [labelme_shape("boulder", [(5, 5)], "point")],
            SIZE,
            "shape 1: boulder: expected a shape with an area, got a point",
        ),
        ([labelme_shape("body", TERMINATOR, "linestrip")], SIZE, "got an open line; draw a polygon, or end the line"),
        ([labelme_shape("crater", [(5, 5), (9, 9)], "line")], SIZE, "got a line; draw a polygon"),
        ([labelme_shape("boulder", [(5, 5), (9, 9)], "cube")], SIZE, "shape type: expected polygon"),
        ([labelme_shape("boulder", [(5, 5), (9, 9)], "mask")], SIZE, "mask: expected a PNG in base64"),
        (
            [labelme_shape("boulder", [(5, 5), (9, 9)], "mask", np.ones((9, 9), bool))],
            SIZE,
            "mask: expected 5 x 5 pixels as its points say, got 9 x 9",
        ),
        ([{"label": "boulder"}], SIZE, "shape 1: expected a shape with label, points and shape_type"),
        (
            [labelme_shape("craters", [(5, 5), (9, 9)], "circle")],
            SIZE,
            "label 'craters' of 1 shape: expected body, crater",
        ),
        (
            [],
            (2 * WIDTH, 2 * HEIGHT),
            "expected 260 x 200 pixels as alpha/alpha_0.png has, got 520 x 400: drawn on another",
        ),
    ],
)
def test_what_cannot_be_used_keeps_all_labels_as_they_were(
    images: Path,
    labels: Path,
    tmp_path: Path,
    shapes: list[dict[str, object]],
    size: tuple[int, int],
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    drawn = tmp_path / "drawn"
    write_labelme(drawn / "alpha_0.json", "alpha_0.png", size, [labelme_shape("body", BODY), *shapes])
    write_labelme(drawn / "alpha_1.json", "alpha_1.png", SIZE, [labelme_shape("body", BODY)])
    before = {path.name: path.read_bytes() for path in labels.iterdir()}
    label("import", "--labelme", drawn, images=images, labels=labels, expect=2)
    err = capsys.readouterr().err
    assert message in err
    assert "nothing is written (--skip-unusable leaves them out)" in err
    assert {path.name: path.read_bytes() for path in labels.iterdir()} == before
    label("import", "--labelme", drawn, "--skip-unusable", images=images, labels=labels, expect=1)
    assert shapes_at(labels, "alpha/alpha_1.png")[0].points == tuple(BODY)
    kept = labels / "alpha_alpha_0.json"
    assert (kept.read_bytes() == before[kept.name]) == (not message.startswith("label 'craters'"))


def test_a_spoiled_image_keeps_its_labels_whatever_its_file_calls_it(
    images: Path, labels: Path, tmp_path: Path
) -> None:
    path = labels / "alpha_alpha_0.json"
    path.write_text(path.read_text().replace('"alpha/alpha_0.png"', '"../images/alpha/alpha_0.png"'))
    before = path.read_bytes()
    drawn = [labelme_shape("body", BODY), labelme_shape("boulder", [(5, 5)], "point")]
    write_labelme(tmp_path / "d" / "alpha_0.json", "alpha_0.png", SIZE, drawn)
    label("import", "--labelme", tmp_path / "d", "--skip-unusable", images=images, labels=labels, expect=1)
    assert path.read_bytes() == before


def test_labels_of_an_image_with_other_bytes_are_told(
    images: Path, own: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A copy in another format, or another image of the same name: nobody but a person knows."""
    folder = tmp_path / "d"
    write_labelme(folder / "alpha_0.json", "alpha_0.png", SIZE, [labelme_shape("body", BODY)])
    (folder / "alpha_0.png").write_bytes((images / "alpha" / "alpha_0.png").read_bytes() + b"more")
    label("import", "--labelme", folder, images=images, labels=own)
    told = f"drawn on {folder / 'alpha_0.png'}, taken for alpha/alpha_0.png by its name; its bytes are other"
    assert told in capsys.readouterr().err
    (folder / "alpha_0.png").write_bytes((images / "alpha" / "alpha_0.png").read_bytes())
    label("import", "--labelme", folder, images=images, labels=own)
    assert "its bytes are other" not in capsys.readouterr().err


def test_names_of_ones_own_are_mapped_to_labels(images: Path, own: Path) -> None:
    drawn = [labelme_shape("Asteroid", BODY), labelme_shape("rocks", [(100, 80), (100, 92)], "circle")]
    write_labelme(images / "alpha" / "alpha_0.json", "alpha_0.png", SIZE, drawn)
    arguments = ("--category", "asteroid=body", "--category", "rocks=boulder")
    label("import", "--labelme", images, *arguments, images=images, labels=own)
    assert [shape.label for shape in shapes_at(own, "alpha/alpha_0.png")] == ["body", "boulder"]
    label("import", "--labelme", images, "--category", "asteroid=planet", images=images, labels=own, expect=2)


def test_other_files_and_litter_are_named_and_broken_ones_stop_all(
    images: Path, own: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_labelme(images / "alpha" / "alpha_0.json", "alpha_0.png", SIZE, [labelme_shape("body", BODY)])
    (images / "settings.json").write_text("{}")
    (images / "alpha" / "._alpha_0.json").write_bytes(b"\x00\x05\x16\x07")
    label("import", "--labelme", images, images=images, labels=own)
    err = capsys.readouterr().err
    assert f"{images / 'settings.json'}: expected a labelme file with a list `shapes`; left out" in err
    assert f"{images / 'alpha' / '._alpha_0.json'}: hidden; left out" in err
    (images / "beta" / "beta_0.json").write_text('{"shapes": [')
    label("import", "--labelme", images, images=images, labels=own, expect=2)
    assert f"{images / 'beta' / 'beta_0.json'}: not readable as JSON" in capsys.readouterr().err


def test_labels_that_a_person_drew_and_that_are_gone_are_told(
    images: Path, labels: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_labelme(tmp_path / "d" / "alpha_0.json", "alpha_0.png", SIZE, [labelme_shape("body", BODY)])
    label("import", "--labelme", tmp_path / "d", images=images, labels=labels)
    told = "alpha/alpha_0.png: had 2 crater, 2 boulder, 1 terminator, and has none any more"
    assert told in capsys.readouterr().err


def test_an_unwritable_label_file_leaves_all_as_they_were(
    images: Path, labels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("alpha_0", "alpha_1", "beta_0"):
        write_labelme(tmp_path / "d" / f"{name}.json", f"{name}.png", SIZE, [labelme_shape("body", BODY)])
    before = {path.name: path.read_bytes() for path in labels.iterdir()}
    replace = Path.replace

    def fail(path: Path, target: Path) -> Path:
        if Path(target).name == "beta_beta_0.json":
            raise OSError(28, "No space left on device", str(target))
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", fail)
    label("import", "--labelme", tmp_path / "d", images=images, labels=labels, expect=2)
    assert {path.name: path.read_bytes() for path in labels.iterdir()} == before


def test_two_images_that_differ_by_their_ending_have_a_label_file_each(images: Path, own: Path) -> None:
    shutil.copy(images / "alpha" / "alpha_1.png", images / "alpha" / "alpha_0.bmp")
    assert label_manifest(images) == 0
    label("add", "alpha/alpha_0.png", "--label", "crater", "--circle", "100,80,9", images=images, labels=own)
    label("add", "alpha/alpha_0.bmp", "--label", "boulder", "--circle", "100,80,9", images=images, labels=own)
    entries = read_manifest(images)
    for name, word in (("alpha_alpha_0.json", "crater"), ("alpha_alpha_0.bmp.json", "boulder")):
        annotation = read_annotation(own / name)[0]
        assert annotation.sha256 == entries[annotation.file].sha256
        assert [shape.label for shape in annotation.shapes] == [word]


def test_labels_of_another_content_are_not_written_over(
    images: Path, own: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    entry = read_manifest(images)["alpha/alpha_0.png"]
    old: Annotation = annotation_of(entry, 0)
    write_annotation(Annotation(**{**vars(old), "sha256": "0" * 64}), own / "a.json")
    write_labelme(images / "alpha" / "alpha_0.json", "alpha_0.png", SIZE, [labelme_shape("body", BODY)])
    label("import", "--labelme", images, images=images, labels=own, expect=2)
    assert f"{own / 'a.json'}: labels of another content of alpha/alpha_0.png" in capsys.readouterr().err
    assert len(read_annotation(own / "a.json")[0].shapes) == 6
