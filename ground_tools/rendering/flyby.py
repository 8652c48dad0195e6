"""Rendering a flyby: a folder of centred frames with truth masks and geometry, as `hil stream` takes it."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import numpy as np
from tqdm import tqdm

from ground_tools.bodies.catalogue import BodyRecipe
from ground_tools.bodies.enhance import base_shape, enhance
from ground_tools.datasets.store import png_bytes
from ground_tools.rendering.encoding import display_encoded
from ground_tools.rendering.geometry import View, hyperbolic_flyby, reference_range
from ground_tools.rendering.labels import class_mask

FRAMES = 56
# Ranges in D0: the training shell is 0.4 to 1.3.
CLOSEST, FARTHEST = 0.75, 3.2
DURATION_S = 1800.0
# A mild, fixed sensor noise; the stored frames are what a camera would send.
_NOISE_SIGMA = 1.5


def camera_axes(view: View) -> np.ndarray:
    """Rows: the camera's x (right), y (down) and z (boresight) axes in the body frame, as the renderer has them."""
    z = -view.camera / view.range_km
    up = np.array([0.0, 0.0, 1.0])
    x = np.cross(z, up)
    x /= np.linalg.norm(x)
    return np.stack([x, np.cross(z, x), z])


def render_flyby(body: str, catalogue: dict[str, BodyRecipe], shapes: Path | None, out: Path) -> None:
    """Render the flyby of a body into out/frames, out/masks and out/flyby.json.

    Raises ValueError for an unknown body or a missing shape model.
    """
    if body not in catalogue:
        raise ValueError(f"unknown body {body}; known: {', '.join(catalogue)}")
    enhanced = enhance(catalogue[body], base_shape(catalogue[body], shapes))
    # Blender reports every frame on standard output.
    standard_output = os.dup(1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    from ground_tools.rendering.scene import BodyRenderer

    renderer = BodyRenderer(enhanced, samples=32, threads=os.cpu_count() or 1)
    views, times = hyperbolic_flyby(enhanced.extent, FRAMES, CLOSEST, FARTHEST, DURATION_S)
    (out / "frames").mkdir(parents=True, exist_ok=True)
    (out / "masks").mkdir(exist_ok=True)
    entries = []
    for index, (view, time_s) in enumerate(tqdm(list(zip(views, times, strict=True)), unit="frame", file=sys.stderr)):
        rendering = renderer.render(view, index)
        noise = np.random.default_rng([catalogue[body].seed, index]).normal(0.0, _NOISE_SIGMA, (128, 128))
        frame = np.clip(np.rint(display_encoded(rendering.grey) + 4.0 + noise), 0, 255).astype(np.uint8)
        mask = class_mask(rendering.identifiers, rendering.clean)
        (out / "frames" / f"{index:03d}.png").write_bytes(png_bytes(frame))
        (out / "masks" / f"{index:03d}.png").write_bytes(png_bytes(mask))
        entries.append(
            {
                "time_s": round(float(time_s), 3),
                "range_km": round(view.range_km, 6),
                "range_d0": round(view.range_km / reference_range(enhanced.extent), 4),
                "phase_angle_deg": round(view.phase_angle_deg, 3),
                "sun_direction_camera": [round(float(v), 6) for v in camera_axes(view) @ view.sun],
            }
        )
    renderer.close()
    os.dup2(standard_output, 1)
    description = {"body": body, "field_of_view_deg": 10.0, "frames": entries}
    (out / "flyby.json").write_text(json.dumps(description, indent=1) + "\n", encoding="utf-8")
