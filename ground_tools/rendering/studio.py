"""One body ready to be pictured: its grey images and its masks, view by view."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ground_tools.bodies.enhanced_body import BodyParts, EnhancedBody, enhance
from ground_tools.labels.encoding import encode_for_display
from ground_tools.labels.stacking import drop_unseen_craters
from ground_tools.rendering.close_range import CloseRange, Ground
from ground_tools.rendering.geometry import View
from ground_tools.rendering.ray_renderer import RayRenderer
from ground_tools.rendering.rays import BodyRays
from ground_tools.rendering.scene import GreyRenderer
from ground_tools.rendering.truth import find_truth

SIZE = 128
# Linear level of the bright parts of an image from close by, 0..1.
_EXPOSURE = (0.3, 0.9)
# The ground of a body away from its sites.
_COARSE_FACES = 50_000


@dataclass(frozen=True)
class Picture:
    """One view of a body, as it is stored; all (SIZE, SIZE).

    image: uint8, display-encoded, no noise. mask: uint8, classes. identifiers, ground: uint16, of the full model and of
    the ground alone, as in ground_tools.bodies.enhanced_body, 0 off the body.
    """

    image: np.ndarray
    mask: np.ndarray
    identifiers: np.ndarray
    ground: np.ndarray


class Studio:
    """Pictures one body. One in a process at a time, and only from the thread that made it (Blender's rule)."""

    def __init__(self, body: EnhancedBody, light_paths: int, threads: int = 1) -> None:
        self.extent = body.extent
        self._rays = BodyRays(body, SIZE)
        self._grey = GreyRenderer(body, SIZE, light_paths, threads)

    def picture(self, view: View, seed: int) -> Picture:
        """Picture one view. The same body, view and seed give the same bytes."""
        found, ground = self._rays.identifiers(view)
        return _picture(encode_for_display(self._grey.render(view, seed)), found, ground, self._rays, view)

    def close(self) -> None:
        self._grey.close()


class CloseStudio:
    """Pictures the ground of one body from close by, site by site; by rays, and without Blender."""

    def __init__(self, parts: BodyParts, settings: CloseRange, rays: int) -> None:
        body = enhance(parts, _COARSE_FACES)
        self.extent = body.extent
        self._settings = settings
        self._light_paths = rays
        self._ground = Ground(body, parts)
        self._site: tuple[list[int], list[View], BodyRays, RayRenderer] | None = None

    def picture(self, seed: list[int], number: int) -> tuple[View, Picture]:
        """Picture one view of the site that a seed gives. The same body, seed and number give the same bytes."""
        if self._site is None or self._site[0] != seed:
            site = self._ground.site(self._settings, SIZE, seed)
            rays = BodyRays(site.body, SIZE, like=None if self._site is None else self._site[2])
            self._site = (seed, site.views, rays, RayRenderer(site.body, SIZE, self._light_paths, rays.scene))
        _, views, rays, renderer = self._site
        generator = np.random.default_rng([*seed, number])
        radiance = renderer.render(views[number], int(generator.integers(2**31)))
        image = encode_for_display(_expose(radiance, generator))
        found, ground = drop_unseen_craters(*rays.identifiers(views[number]))
        return views[number], _picture(image, found, ground, rays, views[number])

    def close(self) -> None:
        self._site = None


def _expose(radiance: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """As a camera's automatic exposure: the brightest fiftieth of what is lit comes to lie at a random level."""
    lit = radiance[radiance > 0.02]
    level = np.percentile(lit, 98.0) if lit.size else 1.0
    return radiance * (generator.uniform(*_EXPOSURE) / level)


def _picture(image: np.ndarray, found: np.ndarray, ground: np.ndarray, rays: BodyRays, view: View) -> Picture:
    """The picture of a view, of which the grey image and identifiers are known."""
    mask, identifiers = find_truth(rays, view, found, ground)
    return Picture(image, mask, identifiers, ground.astype(np.uint16))
