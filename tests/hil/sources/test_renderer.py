"""A renderer's process answers, and is told by what it says where it does not."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from hil.sources.renderer import CameraView, Renderer, RendererError

UP = np.array([0.0, 0.0, 1.0])
HELLO = """import json, sys
import numpy as np
def say(record, data=b""):
    sys.stdout.buffer.write(json.dumps(record).encode() + b"\\n" + data)
    sys.stdout.buffer.flush()
say({"name": "cube", "extent_km": 1.0, "radius_km": 0.6, "field_of_view_deg": 10.0, "size": 4})
"""


def run_renderer(program: str) -> Renderer:
    return Renderer([sys.executable, "-c", HELLO + program])


VIEW = CameraView(np.array([1.0, 0, 0]), np.eye(3), UP)


def test_a_renderer_answers() -> None:
    renderer = run_renderer("""for line in sys.stdin:
    ask = json.loads(line)
    image = np.full((4, 4), ask["seed"], np.uint8)
    say({"dtype": "|u1", "shape": [4, 4]}, image.tobytes())
""")
    try:
        assert (renderer.name, renderer.size, renderer.extent_km) == ("cube", 4, 1.0)
        assert np.array_equal(renderer.image(VIEW, 7), np.full((4, 4), 7, np.uint8))
    finally:
        renderer.close()


@pytest.mark.parametrize(
    ("program", "problem"),
    [
        ("sys.exit('no shapes here')", "renderer: no shapes here"),
        ("sys.stdin.readline(); say({'error': 'request: expected x, got y'})", "renderer: request: expected x, got y"),
        ("sys.stdin.readline(); say({'dtype': '<f8', 'shape': [9]}, b'short')", "renderer: it ended without a word"),
        ("sys.stdin.readline(); say({'dtype': '<f8', 'shape': [99999999]})", "renderer: expected at most"),
    ],
)
def test_a_renderer_that_fails_is_told_in_its_words(program: str, problem: str) -> None:
    with pytest.raises(RendererError) as told:
        run_renderer(program).image(VIEW, 1)
    assert str(told.value).startswith(problem)


def test_one_that_does_not_start_is_told() -> None:
    with pytest.raises(RendererError, match="renderer /nowhere/at/all: No such file"):
        Renderer(["/nowhere/at/all"])
    with pytest.raises(RendererError, match="renderer: it ended without a word"):
        Renderer([sys.executable, "-c", "pass"])
