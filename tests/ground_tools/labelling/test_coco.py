"""Labels through COCO files and back."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ground_tools.labelling.annotations import Annotation, read_annotation
from ground_tools.labelling.coco import as_coco, read_coco
from ground_tools.labelling.collection import (
    ImageEntry,
)
from ground_tools.labelling.shapes import (
    Shape,
    outline,
)
from tests.ground_tools.labelling.drawn import (
    HEIGHT,
    WIDTH,
)
from tests.ground_tools.labelling.label_tool import label
from tests.ground_tools.labelling.shape_strategy import shapes


@settings(deadline=None, max_examples=50)
@given(st.lists(shapes(), max_size=6))
def test_labels_survive_the_way_through_coco(tmp_path_factory: pytest.TempPathFactory, drawn: list[Shape]) -> None:
    path = tmp_path_factory.mktemp("coco") / "labels.json"
    entries = {"a/b.png": ImageEntry("a/b.png", "a", "0")}
    before = {"a/b.png": Annotation("a/b.png", "0", WIDTH, HEIGHT, tuple(drawn), "inferred", (1, 2, 30), True, "note")}
    path.write_text(json.dumps(as_coco(before)))
    again, problems = read_coco(path, entries, before)
    assert problems == []
    assert again == before
    fresh, _ = read_coco(path, entries, {})
    for first, second in zip(drawn, fresh["a/b.png"].shapes, strict=True):
        assert first.label == second.label
        assert np.allclose(outline(first), outline(second), atol=0.01)


def test_a_coco_file_of_another_tool_is_read_and_its_unknown_images_are_named(
    images: Path, labels: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "coco.json"
    label("export", "--coco", path, images=images, labels=labels)
    data = json.loads(path.read_text())
    assert (len(data["images"]), len(data["annotations"])) == (11, 66)
    for image in data["images"]:
        image["file_name"] = f"upload/{Path(image['file_name']).name}"
    data["images"].append({"id": 99, "file_name": "moon.png", "width": 9, "height": 9})
    data["categories"].append({"id": 9, "name": "shadow"})
    first = data["annotations"][0]
    data["annotations"] += [
        {**first, "id": 100, "category_id": 9},
        {**first, "id": 101, "segmentation": {"counts": "abc", "size": [9, 9]}},
        {**first, "id": 102, "image_id": 99},
        {**first, "id": 103, "category_id": 2, "segmentation": [[80, 80, 100, 80, 100, 100]]},
    ]
    path.write_text(json.dumps(data))
    label("import", "--coco", path, images=images, labels=labels, expect=1)
    err = capsys.readouterr().err
    assert "image 99: image moon.png: no such image in manifest.csv; left out" in err
    assert "annotation 100: label: expected body, crater, boulder, terminator, got 'shadow'" in err
    assert "annotation 101: segmentation: expected polygons, got a bitmap" in err
    assert read_annotation(labels / "alpha_alpha_0.json")[0].shapes[-1].label == "crater"
    assert len(read_annotation(labels / "alpha_alpha_0.json")[0].shapes) == 7
