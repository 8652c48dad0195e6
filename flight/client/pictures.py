"""Pictures of maps for people: class map, entropy, hazard, the frame, and panels of them side by side."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from flight.files import write_whole

Picture = NDArray[np.uint8]  # (H, W, 3), red, green, blue

PALETTE: tuple[tuple[int, int, int], ...] = (
    (16, 18, 30),
    (150, 150, 150),
    (66, 135, 245),
    (245, 150, 40),
    (200, 70, 190),
    (90, 190, 90),
    (120, 90, 60),
    (60, 190, 200),
)
UNCERTAIN_COLOR = (255, 240, 90)
OUTSIDE_COLOR = (70, 72, 84)

_MARGIN = 8
_TITLE = 24
_INK = (225, 225, 230)
_PAPER = (30, 32, 40)


def draw_class_map(
    class_map: NDArray[Any],
    colors: tuple[tuple[int, int, int], ...] = PALETTE,
    classes: int | None = None,
    seen: NDArray[np.bool_] | None = None,
) -> Picture:
    """Colour a class map.

    Args:
        class_map: (H, W) uint8.
        colors: of the classes, red, green, blue, 0..255; used again from the start if there are more classes.
        classes: number of classes K, to colour the index K as uncertain; None for a class map without it.
        seen: (H, W) False outside of the camera's frame, which gets a colour of its own; None: True everywhere.

    Returns:
        (H, W, 3) uint8.
    """
    table = np.zeros((256, 3), dtype=np.uint8)
    for index in range(classes if classes is not None else len(colors)):
        table[index] = colors[index % len(colors)]
    if classes is not None:
        table[classes] = UNCERTAIN_COLOR
    picture: Picture = table[class_map]
    if seen is not None:
        picture[~seen] = OUTSIDE_COLOR
    return picture


def draw_entropy(entropy: NDArray[Any], classes: int) -> Picture:
    """Colour an entropy map: black at 0, over red, to pale yellow at ln K, the largest possible entropy.

    Args:
        entropy: (H, W), nats.
        classes: number of classes K.

    Returns:
        (H, W, 3) uint8.
    """
    scaled = np.clip(entropy.astype(np.float32) / math.log(classes), 0.0, 1.0)
    colored = cv2.applyColorMap(np.rint(scaled * 255).astype(np.uint8), cv2.COLORMAP_INFERNO)
    picture: Picture = np.ascontiguousarray(colored[:, :, ::-1], dtype=np.uint8)
    return picture


def draw_hazard(probability: NDArray[Any]) -> Picture:
    """Colour a hazard map: green at 0, yellow at 0.5, red at 1.

    Args:
        probability: (H, W), 0..1.

    Returns:
        (H, W, 3) uint8.
    """
    p = np.clip(probability.astype(np.float32), 0.0, 1.0)[:, :, None]
    safe, middle, hazard = (np.array(c, dtype=np.float32) for c in ((40, 150, 70), (240, 210, 70), (190, 35, 45)))
    low, high = np.minimum(2 * p, 1.0), np.maximum(2 * p - 1.0, 0.0)
    colored = safe + low * (middle - safe) + high * (hazard - middle)
    picture: Picture = np.rint(colored).astype(np.uint8)
    return picture


def resample_frame(pixels: NDArray[Any], bit_depth: int, affine: list[float], height: int, width: int) -> Picture:
    """Resample a sensor frame to the pixels of a map.

    Args:
        pixels: (rows, columns) or (rows, columns, 3) of the frame.
        bit_depth: bits per channel in use.
        affine: map_to_sensor (a, b, c, d, e, f).
        height: of the map, pixels.
        width: of the map, pixels.

    Returns:
        (height, width, 3) uint8 grey; black outside the frame.
    """
    grey = pixels.astype(np.float32) * np.float32(255.0 / ((1 << bit_depth) - 1))
    if grey.ndim == 3:
        grey = grey.mean(axis=2, dtype=np.float32)
    a, b, c, d, e, f = affine
    matrix = np.array([[a, b, c], [d, e, f]], dtype=np.float64)
    scale = math.sqrt(abs(a * e - b * d))
    if scale > 1.5:
        grey = cv2.GaussianBlur(grey, (0, 0), 0.4 * scale).astype(np.float32, copy=False)
    seen = cv2.warpAffine(grey, matrix, (width, height), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
    return np.repeat(np.clip(np.rint(seen), 0, 255).astype(np.uint8)[:, :, None], 3, axis=2)


def join_panels(
    panels: list[tuple[str, Picture]], legend: list[tuple[str, tuple[int, int, int]]], caption: str, side: int = 320
) -> Picture:
    """Join pictures in a row, with titles above, a caption and a legend below.

    Args:
        panels: title and picture of each panel; scaled so that the larger side is `side`.
        legend: name and colour of each entry.
        caption: one line.
        side: of a panel, pixels.

    Returns:
        (H, W, 3) uint8.
    """
    height = _TITLE + side + 2 * _TITLE + 2 * _MARGIN
    width = len(panels) * (side + _MARGIN) + _MARGIN
    canvas: Picture = np.full((height, width, 3), _PAPER, dtype=np.uint8)
    for number, (title, panel) in enumerate(panels):
        x = _MARGIN + number * (side + _MARGIN)
        _write(canvas, title, x, _TITLE - 7)
        rows, columns = panel.shape[:2]
        scale = side / max(rows, columns)
        size = (round(columns * scale), round(rows * scale))
        canvas[_TITLE : _TITLE + size[1], x : x + size[0]] = cv2.resize(panel, size, interpolation=cv2.INTER_NEAREST)
    _write(canvas, caption, _MARGIN, _TITLE + side + _TITLE - 5)
    x, y = _MARGIN, _TITLE + side + 2 * _TITLE
    for name, color in legend:
        cv2.rectangle(canvas, (x, y - 11), (x + 14, y + 2), color, cv2.FILLED)
        cv2.rectangle(canvas, (x, y - 11), (x + 14, y + 2), _INK, 1)
        x = _write(canvas, name, x + 20, y) + 18
    return canvas


def make_legend(
    names: list[str], colors: tuple[tuple[int, int, int], ...] = PALETTE
) -> list[tuple[str, tuple[int, int, int]]]:
    """Legend entries (name, colour) for the classes and for pixels without one; see draw_class_map for `colors`."""
    entries = [(name, colors[index % len(colors)]) for index, name in enumerate(names)]
    return [*entries, ("uncertain", UNCERTAIN_COLOR), ("outside the frame", OUTSIDE_COLOR)]


def save_png(path: Path, picture: Picture) -> None:
    """Write a picture as a PNG file, whole or not at all. Raises OSError, which names it, if it cannot be written."""
    done, data = cv2.imencode(".png", np.ascontiguousarray(picture[:, :, ::-1]))
    if not done:
        raise OSError(f"{path}: PNG encoding failed")
    write_whole(path, data.tobytes())


def _write(canvas: Picture, text: str, x: int, y: int) -> int:
    """Write text with its baseline at y; returns the x after it. What is not ASCII, OpenCV cannot draw: "?" instead."""
    text = text.encode("ascii", "replace").decode("ascii")
    font, size = cv2.FONT_HERSHEY_SIMPLEX, 0.45
    cv2.putText(canvas, text, (x, y), font, size, _INK, 1, cv2.LINE_AA)
    (length, _), _ = cv2.getTextSize(text, font, size, 1)
    return int(x + length)
