"""One image of a craft: where the camera, the sun and a planet are, the picture of a camera, and the mask."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ground_tools.datasets.store import SPLITS
from ground_tools.missions.cameras import develop_picture
from ground_tools.missions.spacecraft.craft import CraftModel, CraftRecipe
from ground_tools.missions.spacecraft.finishes import draw_look
from ground_tools.missions.spacecraft.pieces import build_craft
from ground_tools.missions.spacecraft.planets import BACKGROUNDS, draw_planet, paint_background
from ground_tools.rendering.geometry import View

if TYPE_CHECKING:
    from ground_tools.missions.spacecraft.craft_scene import CraftRenderer

_FIELDS_OF_VIEW_DEG = (8.0, 45.0)
# Span of the craft, in the image's height.
_APPARENT = (0.45, 2.6)
# Between the sun and the camera, as the craft sees them, degrees: beyond, hardly anything of it is lit.
_MOST_PHASE_DEG = 110.0
_EXPOSURES, _FAINTEST = (0.35, 1.1), 0.03
# How many cameras are exposed for the craft, and not for all that is lit.
_FOR_CRAFT = 0.5
# How many cameras see no colours.
_GREY = 0.2


@dataclass(frozen=True)
class CraftImage:
    """image: (H, W, 3) uint8, red, green, blue. mask: (H, W) uint8, classes. background: one of BACKGROUNDS."""

    image: np.ndarray
    mask: np.ndarray
    background: str


def draw_craft_image(
    renderer: CraftRenderer,
    name: str,
    craft: CraftRecipe | CraftModel,
    shape: tuple[int, int],
    key: tuple[int, str, int],
) -> CraftImage:
    """Draw one image. The same craft, shape and key give the same pixels.

    Args:
        renderer: of that shape; its thread is the caller's.
        name: of the craft.
        craft: our own, which is built anew with its wings turned, or one that was read.
        shape: height and width, pixels.
        key: seed of the set, split, number of the image within it.
    """
    from ground_tools.missions.spacecraft.craft_scene import find_parts

    seed, split, number = key
    generator = np.random.default_rng([seed, zlib.crc32(name.encode()), SPLITS.index(split), number])
    model = build_craft(craft, generator) if isinstance(craft, CraftRecipe) else craft
    view = draw_view(model, shape, generator)
    background = BACKGROUNDS[number % len(BACKGROUNDS)]
    planet = None if background == "sky" else draw_planet("earth" if background == "earth" else "moon", view, generator)
    behind, planet = paint_background(planet, view, shape, generator)
    looks = [draw_look(finish, generator) for finish in model.finishes]
    craft_light, coverage = renderer.render(model, looks, view, planet, int(generator.integers(2**31)))
    mask = find_parts(model, view, shape)
    light = craft_light + (1.0 - coverage[..., None]) * behind
    exposed_for = mask > 0 if generator.random() < _FOR_CRAFT else (mask > 0) | (light.max(axis=2) > _FAINTEST)
    image = develop_picture(light, exposed_for, generator, _EXPOSURES, _FAINTEST)
    if generator.random() < _GREY:
        image = np.repeat(np.rint(image.mean(axis=2, keepdims=True)).astype(np.uint8), 3, axis=2)
    return CraftImage(image, mask, background)


def draw_view(model: CraftModel, shape: tuple[int, int], generator: np.random.Generator) -> View:
    """A camera anywhere around a craft, turned in any way, that has it in its image; metres, the craft's frame."""
    low, high = np.log(_FIELDS_OF_VIEW_DEG)
    field_of_view = float(np.exp(generator.uniform(low, high)))
    height = 2.0 * np.tan(np.radians(field_of_view) / 2.0) * shape[0] / shape[1]
    apparent = float(np.exp(generator.uniform(*np.log(_APPARENT))))
    # Never inside of the ball about the craft.
    distance = max(model.span / (apparent * height), 0.6 * model.span)
    towards_camera = _unit(generator.standard_normal(3))
    aside = _unit(np.cross(towards_camera, generator.standard_normal(3)))
    above = np.cross(towards_camera, aside)
    # As far from the middle of the image as leaves most of it in there.
    free = np.array([shape[1] / shape[0], 1.0]) * height * distance / 2.0 - 0.25 * model.span
    right, down = generator.uniform(-1.0, 1.0, 2) * np.clip(free, 0.05 * model.span, None) * 0.8
    camera = model.middle + distance * towards_camera
    x, y = aside, -above
    phase = np.radians(_MOST_PHASE_DEG) * generator.random() ** 0.7
    sideways = _unit(np.cross(towards_camera, generator.standard_normal(3)))
    sun = np.cos(phase) * towards_camera + np.sin(phase) * sideways
    camera = camera + right * x + down * y
    axes = np.stack([x, y, -towards_camera])
    return View(camera, sun, camera - distance * towards_camera, field_of_view, axes)


def _unit(vector: np.ndarray) -> np.ndarray:
    scaled: np.ndarray = vector / np.linalg.norm(vector)
    return scaled
