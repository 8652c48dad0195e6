"""Drawn scenes of a body with craters and boulders: for a network's first look when there are no images."""

from __future__ import annotations

import cv2
import numpy as np

SCENE_CLASSES = ("background", "surface", "craters", "boulders")


def draw_scene(generator: np.random.Generator, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw a lit, rough body on black sky.

    Args:
        generator: of what is in it.
        height, width: pixels, at least 16.

    Returns:
        (H, W) uint8 image, and (H, W) uint8 classes, indices of SCENE_CLASSES.
    """
    v, u = np.mgrid[:height, :width].astype(np.float32)
    side = min(height, width)
    x, y = width * generator.uniform(0.42, 0.58), height * generator.uniform(0.42, 0.58)
    radius = side * generator.uniform(0.3, 0.42)
    reach = np.hypot((u - x) / radius, (v - y) / radius)
    on_body = reach <= 1.0
    light = generator.uniform(-0.5, 0.5, 2)
    shade = np.clip(
        np.sqrt(np.clip(1.0 - reach**2, 0.0, 1.0)) + light[0] * (u - x) / radius + light[1] * (v - y) / radius, 0.15, 1
    )
    image = np.where(on_body, 60.0 + 80.0 * shade, 4.0)
    classes = on_body.astype(np.uint8)
    for kind, count, least, most in ((2, 5, 0.08, 0.2), (3, 8, 0.03, 0.07)):
        for _ in range(int(generator.integers(2, count))):
            angle, distance = generator.uniform(0, 2 * np.pi), radius * np.sqrt(generator.uniform(0, 0.7))
            at = (x + distance * np.cos(angle), y + distance * np.sin(angle))
            size = max(radius * generator.uniform(least, most), 1.5)
            inside = (np.hypot(u - at[0], v - at[1]) <= size) & on_body
            slope = ((u - at[0]) + (v - at[1])) / (2 * size)
            image = np.where(inside, image * (0.55 + 0.25 * slope) if kind == 2 else 215.0 + 25.0 * slope, image)
            classes[inside] = kind
    image = cv2.GaussianBlur(image.astype(np.float32), (0, 0), 0.6) + generator.normal(0.0, 3.0, image.shape)
    return np.clip(np.rint(image), 0, 255).astype(np.uint8), classes
