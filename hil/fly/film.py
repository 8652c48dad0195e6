"""One film and one picture that explain a flight: what the camera sees, what the map says, where it points."""

from __future__ import annotations

import io
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from hil.fly.record import DrawRecord, FlightRecord, Picture
from hil.fly.scenery import Scenery
from hil.overlay import PALETTE

_PANEL, _MARGIN, _CHART, _HEADER = 240, 8, 96, 40
_FRAME_MS, _COLORS, _MOST_FRAMES = 110, 64, 60
_INK, _PAPER, _SOFT = (232, 234, 240), (22, 24, 31), (140, 146, 160)
_TRUE, _MEASURED = (0, 158, 115), (230, 159, 0)
_LINES = {"weighted": (86, 180, 233), "brightness": (230, 159, 0)}
_TITLES = {"weighted": "pointed by the class map", "brightness": "pointed by brightness"}
_FONT = cv2.FONT_HERSHEY_SIMPLEX

Canvas = NDArray[np.uint8]


def make_film(scenery: Scenery, record: DrawRecord) -> tuple[bytes, bytes]:
    """The film of a draw.

    Args:
        scenery: the body.
        record: with the pictures of the flights by the map and by brightness.

    Returns:
        GIF, and one of its frames as PNG, that at the highest phase angle; both empty without such flights.
    """
    flights = [flight for flight in record.flights if flight.pictures]
    if not flights:
        return b"", b""
    count = len(flights[0].pictures)
    chosen = sorted({round(i * (count - 1) / (_MOST_FRAMES - 1)) for i in range(_MOST_FRAMES)})
    frames = [_draw(scenery, flights, index) for index in chosen]
    images = [Image.fromarray(frame).quantize(_COLORS, dither=Image.Dither.NONE) for frame in frames]
    film, picture = io.BytesIO(), io.BytesIO()
    durations = [_FRAME_MS] * (len(images) - 1) + [2000]
    images[0].save(film, "GIF", save_all=True, append_images=images[1:], duration=durations, loop=0, optimize=True)
    Image.fromarray(frames[-1]).save(picture, "PNG", optimize=True)
    return film.getvalue(), picture.getvalue()


def _draw(scenery: Scenery, flights: Sequence[FlightRecord], index: int) -> Canvas:
    width = len(flights) * _PANEL + (len(flights) + 1) * _MARGIN
    canvas = np.full((_HEADER + _PANEL + 22 + _CHART + 2 * _MARGIN, width, 3), _PAPER, dtype=np.uint8)
    seen = flights[0].exposures[index]
    _write(canvas, f"{flights[0].body}, phase angle {seen.phase_deg:.0f} deg", (_MARGIN, 17), _INK, 0.5)
    _write(canvas, "cross: boresight   green: centre of mass   orange: measured", (_MARGIN, 33), _SOFT, 0.36)
    for number, flight in enumerate(flights):
        left = _MARGIN + number * (_PANEL + _MARGIN)
        canvas[_HEADER : _HEADER + _PANEL, left : left + _PANEL] = _draw_frame(scenery, flight.pictures[index])
        error = flight.exposures[index].pointing_deg
        text = f"{_TITLES.get(flight.kind, flight.kind)}: {error:.2f} deg"
        _write(canvas, text, (left, _HEADER + _PANEL + 15), _LINES.get(flight.kind, _INK), 0.4)
    _draw_chart(canvas[_HEADER + _PANEL + 24 :, _MARGIN : width - _MARGIN], flights, index)
    return canvas


def _draw_frame(scenery: Scenery, picture: Picture) -> Canvas:
    scale = _PANEL / scenery.size
    grey = cv2.resize(picture.pixels, (_PANEL, _PANEL), interpolation=cv2.INTER_AREA)
    panel = np.repeat(grey[:, :, None], 3, axis=2)
    if picture.class_map is not None:
        _outline(panel, picture, scale)
    middle = _PANEL // 2
    cv2.line(panel, (middle - 7, middle), (middle + 7, middle), _INK, 1, cv2.LINE_AA)
    cv2.line(panel, (middle, middle - 7), (middle, middle + 7), _INK, 1, cv2.LINE_AA)
    for point, color, radius in ((picture.true, _TRUE, 5), (picture.measured, _MEASURED, 3)):
        if point is not None and max(map(abs, point)) < 4 * scenery.size:
            at = (round((point[0] + 0.5) * scale), round((point[1] + 0.5) * scale))
            cv2.circle(panel, at, radius, color, 2, cv2.LINE_AA)
    return np.asarray(panel, dtype=np.uint8)


def _outline(panel: Canvas, picture: Picture, scale: float) -> None:
    """Draw the borders of the map's classes over the frame."""
    assert picture.class_map is not None
    a, b, c, d, e, f = picture.map_to_sensor
    matrix = np.array([[a, b, c], [d, e, f]]) * scale
    matrix[:, 2] += 0.5 * scale - 0.5
    for number in np.unique(picture.class_map):
        if not 0 < number < len(PALETTE):
            continue
        part = (picture.class_map == number).astype(np.uint8)
        placed = cv2.warpAffine(part, matrix, panel.shape[1::-1], flags=cv2.INTER_NEAREST)
        borders, _ = cv2.findContours(placed, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(panel, borders, -1, PALETTE[number], 1, cv2.LINE_AA)


def _draw_chart(area: Canvas, flights: Sequence[FlightRecord], index: int) -> None:
    """Pointing errors up to now, over the phase angle's time."""
    height, width = area.shape[0] - _MARGIN, area.shape[1]
    top = max(e.pointing_deg for flight in flights for e in flight.exposures[3:]) * 1.1 + 1e-9
    end = flights[0].exposures[-1].time_s or 1.0
    cv2.line(area, (0, height - 1), (width, height - 1), _SOFT, 1)
    for flight in flights:
        points = [
            (round(e.time_s / end * (width - 1)), round((1.0 - min(e.pointing_deg / top, 1.0)) * (height - 14)) + 12)
            for e in flight.exposures[: index + 1]
        ]
        color = _LINES.get(flight.kind, _INK)
        cv2.polylines(area, [np.array(points, dtype=np.int32)], False, color, 2, cv2.LINE_AA)
    _write(area, f"pointing error, up to {top:.1f} deg", (0, 10), _SOFT, 0.36)


def _write(canvas: Canvas, text: str, at: tuple[int, int], color: tuple[int, int, int], size: float) -> None:
    cv2.putText(canvas, text, at, _FONT, size, color, 1, cv2.LINE_AA)
