"""Pictures of a set for people: contact sheets, and the files of its charts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ground_tools.datasets.charts import CHARTS
from ground_tools.datasets.store import channels_of, read_batches, read_description, read_index, webp_array
from ground_tools.foundation.files import write_whole
from ground_tools.foundation.progress import progress
from ground_tools.labels.class_table import ClassTable, table_of
from ground_tools.labels.mask_colors import colors_from_mask
from ground_tools.pages.charts import write_chart

_PAPER = (30, 32, 40)
_INK = (225, 225, 230)
_GAP, _TITLE = 4, 22
_COLUMNS = 10


def sheet(
    path: Path,
    count: int = 20,
    seed: int = 0,
    body: str | None = None,
    enlarge: int = 1,
    masks_alone: bool = False,
) -> np.ndarray:
    """A contact sheet: `count` random samples, each image above its mask; of a flyby in order of time.

    enlarge: each pixel becomes so many. masks_alone: no images, for sets whose images may not be passed on. Returns
    (H, W, 3) uint8. Raises ValueError when no such sample is there.
    """
    description = read_description(path)
    index = read_index(path)
    places = [i for i, name in enumerate(index["body"].to_pylist()) if body is None or name == body]
    if not places:
        raise ValueError(f"dataset {path}: no samples of {body or 'any body'}")
    count = min(count, len(places))
    if index["time_s"].null_count == 0:
        chosen = [places[i] for i in np.linspace(0, len(places) - 1, count).round().astype(int)]
    else:
        chosen = sorted(np.random.default_rng(seed).choice(places, count, replace=False).tolist())
    wanted = set(chosen)
    cells, position = {}, 0
    for table in read_batches(path, ["image", "mask", "range_d0", "phase_angle_deg"]):
        for row in range(len(table)):
            if position in wanted:
                cells[position] = _cell(table.slice(row, 1).to_pylist()[0], description, enlarge, masks_alone)
            position += 1
    ordered = [cells[place] for place in chosen]
    height, width, _ = ordered[0].shape
    columns = min(_COLUMNS, count)
    rows = -(-count // columns)
    picture = np.full((rows * (height + _GAP) + _GAP + _TITLE, columns * (width + _GAP) + _GAP, 3), _PAPER, np.uint8)
    title = f"{description['name']}{' ' + body if body else ''}: {count} of {len(places)}"
    _legend(picture, title, table_of(description))
    for number, cell in enumerate(ordered):
        top = _TITLE + _GAP + (number // columns) * (height + _GAP)
        left = _GAP + (number % columns) * (width + _GAP)
        picture[top : top + height, left : left + width] = cell
    return picture


def _cell(row: dict[str, Any], description: dict[str, Any], enlarge: int, mask_alone: bool) -> np.ndarray:
    """One sample: the image, below it the mask, below that range and phase angle where they are known."""
    pair = colors_from_mask(webp_array(row["mask"], "mask"), table_of(description))
    if not mask_alone:
        image = webp_array(row["image"], "image", channels_of(description))
        pair = np.vstack([image if image.ndim == 3 else cv2.cvtColor(image, cv2.COLOR_GRAY2RGB), pair])
    pair = np.repeat(np.repeat(pair, enlarge, axis=0), enlarge, axis=1)
    if row["range_d0"] is None:
        return pair
    strip = np.full((14, pair.shape[1], 3), _PAPER, np.uint8)
    _write(strip, f"{row['range_d0']:.2f} D0  {row['phase_angle_deg']:.0f} deg", (2, 10), 0.33)
    return np.vstack([pair, strip])


def _legend(picture: np.ndarray, title: str, table: ClassTable) -> None:
    _write(picture, title, (_GAP, 15), 0.45)
    left = _GAP + 12 * len(title)
    for name, color in zip(table.names, table.colors, strict=True):
        if left + 120 > picture.shape[1]:
            return
        cv2.rectangle(picture, (left, 5), (left + 11, 16), color, cv2.FILLED)
        cv2.rectangle(picture, (left, 5), (left + 11, 16), _INK, 1)
        _write(picture, name, (left + 17, 15), 0.42)
        left += 35 + 8 * len(name)


def _write(picture: np.ndarray, text: str, place: tuple[int, int], scale: float) -> None:
    cv2.putText(picture, text, place, cv2.FONT_HERSHEY_SIMPLEX, scale, _INK, 1, cv2.LINE_AA)


def write_pictures(
    path: Path, out: Path, count: int = 20, seed: int = 0, enlarge: int = 1, one_sheet: bool = False
) -> list[Path]:
    """Write every picture of a set into a folder; returns the files: sheets, and one each of the others.

    one_sheet: of samples of all bodies, in place of one for each.
    """
    bodies = [None] if one_sheet else list(dict.fromkeys(read_index(path)["body"].to_pylist()))
    written = []
    with progress(total=len(bodies) + len(CHARTS), unit="picture", label=path.name, keep=False) as bar:
        for body in bodies:
            written.append(out / ("sheet.png" if body is None else f"sheet_{body}.png"))
            picture = sheet(path, count, seed, body, enlarge)
            write_whole(written[-1], cv2.imencode(".png", picture[:, :, ::-1])[1].tobytes())
            bar.update()
        for name, draw in CHARTS.items():
            written.append(out / f"{name}.png")
            figure = draw(path)
            figure.suptitle(read_description(path)["name"])
            write_chart(written[-1], figure, all_colors=name == "occurrence")
            bar.update()
    return written
