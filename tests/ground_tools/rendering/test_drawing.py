"""Views on demand: what `ground-tools draw` answers over its pipes."""

from __future__ import annotations

import io
import json
from typing import Any

import cv2
import numpy as np
import pytest

from ground_tools.bodies.catalogue import load_catalogue
from ground_tools.bodies.enhanced_body import enhance, read_parts
from ground_tools.labels.classes import BACKGROUND, BOULDERS, CRATERS, SURFACE, TERMINATOR
from ground_tools.rendering.drawing import BodyDrawing, answer_requests
from ground_tools.rendering.geometry import View, camera_axes, reference_range
from ground_tools.rendering.rays import BodyRays
from ground_tools.rendering.truth import find_truth

SIZE = 64


@pytest.fixture(scope="module")
def drawing() -> BodyDrawing:
    return BodyDrawing(enhance(read_parts(load_catalogue()["procedural_top"], None, None), 5000), SIZE, 1)


def ask(drawing: BodyDrawing, *requests: dict[str, Any] | str) -> tuple[dict[str, Any], list[Any]]:
    """The description, and the answers: arrays, or the text of an error."""
    lines = [request if isinstance(request, str) else json.dumps(request) for request in requests]
    answers = io.BytesIO()
    answer_requests(drawing, io.BytesIO("\n".join([*lines, ""]).encode()), answers)
    answers.seek(0)
    described = json.loads(answers.readline())
    found: list[Any] = []
    while line := answers.readline():
        record = json.loads(line)
        if "error" in record:
            found.append(record["error"])
            continue
        kind = np.dtype(record["dtype"])
        data = answers.read(kind.itemsize * int(np.prod(record["shape"])))
        found.append(np.frombuffer(data, kind).reshape(record["shape"]))
    return described, found


def view_request(what: str, view: View, **more: Any) -> dict[str, Any]:
    place = {"camera_km": view.camera.tolist(), "axes": camera_axes(view).tolist(), "sun": view.sun.tolist()}
    return {"ask": what, **place, **more}


def test_image_objects_and_ranges_show_the_same_body(drawing: BodyDrawing) -> None:
    extent = drawing.describe()["extent_km"]
    far = 1.5 * reference_range(extent)
    view = View(np.array([far, 0.0, 0.0]), np.array([1.0, 0.0, 0.0]))
    described, (image, again, objects, ranges) = ask(
        drawing,
        view_request("image", view, seed=3),
        view_request("image", view, seed=3),
        view_request("objects", view),
        {"ask": "ranges", "origins_km": [[far, 0, 0]] * 2, "directions": [[-2.0, 0, 0], [0, 0, 1]]},
    )
    assert described["name"] == "procedural_top"
    assert described["size"] == SIZE
    assert image.dtype == np.uint8
    assert np.array_equal(image, again)
    assert ((image > 20) & (objects == 0)).sum() < 0.02 * (objects > 0).sum()
    assert (image[objects > 0] > 20).mean() > 0.8  # in full light
    assert {0, 1} < set(np.unique(objects))
    assert 0.3 * extent < far - ranges[0] < 0.7 * extent
    assert np.isinf(ranges[1])


def test_the_camera_may_roll(drawing: BodyDrawing) -> None:
    """Turned by a quarter about its boresight, the camera sees the image turned."""
    view = View(np.array([1.5 * reference_range(drawing.describe()["extent_km"]), 0.0, 0.0]), np.array([1.0, 0.0, 0.0]))
    x, y, z = camera_axes(view)
    rolled = View(view.camera, view.sun, axes=np.stack([y, -x, z]))
    _, (upright, turned) = ask(drawing, view_request("objects", view), view_request("objects", rolled))
    assert (np.rot90(upright) == turned).mean() > 0.99


def test_truth_is_that_of_rendered_sets(drawing: BodyDrawing) -> None:
    """Classes where the objects are; the terminator between day and night; the same as a rendered set has it."""
    far = 1.2 * reference_range(drawing.describe()["extent_km"])
    view = View(np.array([far, 0.0, 0.0]), np.array([0.0, 1.0, 0.0]))
    _, (truth, objects, image) = ask(
        drawing, view_request("truth", view), view_request("objects", view), view_request("image", view, seed=1)
    )
    assert (truth.shape, truth.dtype) == ((SIZE, SIZE), np.uint8)
    assert np.array_equal(truth == BACKGROUND, objects == 0)
    assert set(np.unique(truth)) <= {BACKGROUND, SURFACE, CRATERS, BOULDERS, TERMINATOR}
    assert (truth == TERMINATOR).sum() > 20
    night = np.median(np.nonzero((image == 0) & (truth > 0))[1])
    day = np.median(np.nonzero(image > 100)[1])
    terminator = np.median(np.nonzero(truth == TERMINATOR)[1])
    assert min(night, day) < terminator < max(night, day)
    rays = BodyRays(drawing._body, SIZE)
    assert np.array_equal(truth, find_truth(rays, view, *rays.identifiers(view))[0])


@pytest.mark.slow
def test_cycles_draws_the_same_body(drawing: BodyDrawing) -> None:
    """Blender's image lies where the truth has the body, and is lit from the same side as the rays' image."""
    from ground_tools.commands.draw import open_cycles

    far = 1.2 * reference_range(drawing.describe()["extent_km"])
    view = View(np.array([far, 0.0, 0.0]), np.array([0.5, 0.8, 0.3]) / np.sqrt(0.98))
    cycles = BodyDrawing(drawing._body, SIZE, 4, open_cycles(drawing._body, SIZE, 4))
    image, rays, truth = cycles.image(view, 1), drawing.image(view, 1), cycles.truth(view)
    inside = cv2.dilate((truth > 0).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    assert (image[~inside] == 0).all()
    both = [picture[truth > 0].astype(float) for picture in (image, rays)]
    # Two laws of reflection, and the noise of four light paths; 0.90 on one computer, a mirrored image has far less.
    assert np.corrcoef(*both)[0, 1] > 0.8
    mirrored = [picture[truth > 0].astype(float) for picture in (image, rays[:, ::-1])]
    assert np.corrcoef(*mirrored)[0, 1] < 0.5


@pytest.mark.parametrize(
    ("request_line", "problem"),
    [
        ("nonsense", "JSONDecodeError"),
        ('{"ask": "image"}', "KeyError: 'camera_km'"),
        ('{"ask": "ranges", "origins_km": [[1, 2]], "directions": [[1, 2, 3]]}', "ValueError"),
        ('{"ask": "ranges", "origins_km": [[NaN, 0, 0]], "directions": [[1, 2, 3]]}', "expected finite numbers"),
        (
            '{"ask": "film", "camera_km": [1, 0, 0], "sun": [1, 0, 0], "axes": [[1, 0, 0], [0, 1, 0], [0, 0, 1]]}',
            "expected image, truth, objects or ranges, got 'film'",
        ),
    ],
)
def test_a_malformed_request_is_told_and_the_next_one_answered(
    drawing: BodyDrawing, request_line: str, problem: str
) -> None:
    good = {"ask": "ranges", "origins_km": [[9, 0, 0]], "directions": [[-1, 0, 0]]}
    _, (error, distance) = ask(drawing, request_line, good)
    assert problem in error
    assert np.isfinite(distance).all()
