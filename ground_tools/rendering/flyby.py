"""Rendering a flyby: a folder of centred frames with truth masks and geometry, as `hil stream` takes it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np

from ground_tools.bodies.catalogue import BodyRecipe
from ground_tools.bodies.enhanced_body import enhance, read_parts
from ground_tools.datasets.store import png_bytes
from ground_tools.foundation.files import write_whole
from ground_tools.foundation.progress import progress
from ground_tools.rendering.blender_thread import quiet
from ground_tools.rendering.geometry import FIELD_OF_VIEW_DEG, camera_axes, hyperbolic_flyby, reference_range
from ground_tools.rendering.studio import Studio

FRAMES = 56
# Ranges in D0: the training shell is 0.4 to 1.3.
CLOSEST, FARTHEST = 0.75, 3.2
DURATION_S = 1800.0
_LIGHT_PATHS = 32
# A mild, fixed sensor noise; the stored frames are what a camera would send.
_NOISE_SIGMA = 1.5


def render_flyby(
    body: str, catalogue: dict[str, BodyRecipe], shapes: Path | None, crater_maps: Path | None, out: Path
) -> None:
    """Render the flyby of a body into out/frames, out/masks and out/flyby.json.

    Raises ValueError for an unknown body or an unfit file, FileNotFoundError for a missing one.
    """
    if body not in catalogue:
        raise ValueError(f"unknown body {body}; known: {', '.join(catalogue)}")
    enhanced = enhance(read_parts(catalogue[body], shapes, crater_maps))
    with quiet():
        studio = Studio(enhanced, _LIGHT_PATHS, threads=os.cpu_count() or 1)
    views, times = hyperbolic_flyby(enhanced.extent, FRAMES, CLOSEST, FARTHEST, DURATION_S)
    entries = []
    moments = progress(list(zip(views, times, strict=True)), unit="frame", label=f"flyby of {body}")
    for index, (view, time_s) in enumerate(moments):
        with quiet():
            picture = studio.picture(view, index)
        noise = np.random.default_rng([catalogue[body].seed, index]).normal(0.0, _NOISE_SIGMA, picture.image.shape)
        frame = np.clip(np.rint(picture.image + 4.0 + noise), 0, 255).astype(np.uint8)
        write_whole(out / "frames" / f"{index:03d}.png", png_bytes(frame))
        write_whole(out / "masks" / f"{index:03d}.png", png_bytes(picture.mask))
        entries.append(
            {
                "time_s": round(float(time_s), 3),
                "range_km": round(view.range_km, 6),
                "range_d0": round(view.range_km / reference_range(enhanced.extent), 4),
                "phase_angle_deg": round(view.phase_angle_deg, 3),
                "sun_direction_camera": [round(float(v), 6) for v in camera_axes(view) @ view.sun],
            }
        )
    with quiet():
        studio.close()
    description = {"body": body, "field_of_view_deg": FIELD_OF_VIEW_DEG, "frames": entries}
    write_whole(out / "flyby.json", (json.dumps(description, indent=1) + "\n").encode())
