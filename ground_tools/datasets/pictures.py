"""Pictures of a set for people: contact sheets, class balance, geometry, and where in the image each class lies."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import matplotlib as mpl
import numpy as np

from ground_tools.datasets.statistics import describe
from ground_tools.datasets.store import known_numbers, read_batches, read_description, read_index, webp_array
from ground_tools.foundation.files import write_whole
from ground_tools.foundation.progress import progress
from ground_tools.labels.classes import COLORS

_PAPER = (30, 32, 40)
_INK = (225, 225, 230)
_GAP, _TITLE = 4, 22
_COLUMNS = 10


def mask_picture(mask: np.ndarray, names: list[str]) -> np.ndarray:
    """A class mask in colours, (H, W, 3) uint8, red green blue."""
    table = np.array([COLORS.get(name, (255, 0, 255)) for name in names], dtype=np.uint8)
    picture: np.ndarray = table[mask]
    return picture


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
                cells[position] = _cell(
                    table.slice(row, 1).to_pylist()[0], description["classes"], enlarge, masks_alone
                )
            position += 1
    ordered = [cells[place] for place in chosen]
    height, width, _ = ordered[0].shape
    columns = min(_COLUMNS, count)
    rows = -(-count // columns)
    picture = np.full((rows * (height + _GAP) + _GAP + _TITLE, columns * (width + _GAP) + _GAP, 3), _PAPER, np.uint8)
    title = f"{description['name']}{' ' + body if body else ''}: {count} of {len(places)}"
    _legend(picture, title, description["classes"])
    for number, cell in enumerate(ordered):
        top = _TITLE + _GAP + (number // columns) * (height + _GAP)
        left = _GAP + (number % columns) * (width + _GAP)
        picture[top : top + height, left : left + width] = cell
    return picture


def _cell(row: dict[str, Any], names: list[str], enlarge: int, mask_alone: bool) -> np.ndarray:
    """One sample: the image, below it the mask, below that range and phase angle where they are known."""
    pair = mask_picture(webp_array(row["mask"], "mask"), names)
    if not mask_alone:
        pair = np.vstack([cv2.cvtColor(webp_array(row["image"], "image"), cv2.COLOR_GRAY2RGB), pair])
    pair = np.repeat(np.repeat(pair, enlarge, axis=0), enlarge, axis=1)
    if row["range_d0"] is None:
        return pair
    strip = np.full((14, pair.shape[1], 3), _PAPER, np.uint8)
    _write(strip, f"{row['range_d0']:.2f} D0  {row['phase_angle_deg']:.0f} deg", (2, 10), 0.33)
    return np.vstack([pair, strip])


def _legend(picture: np.ndarray, title: str, names: list[str]) -> None:
    _write(picture, title, (_GAP, 15), 0.45)
    left = _GAP + 12 * len(title)
    for name in names:
        if left + 120 > picture.shape[1]:
            return
        cv2.rectangle(picture, (left, 5), (left + 11, 16), COLORS.get(name, (255, 0, 255)), cv2.FILLED)
        cv2.rectangle(picture, (left, 5), (left + 11, 16), _INK, 1)
        _write(picture, name, (left + 17, 15), 0.42)
        left += 35 + 8 * len(name)


def _write(picture: np.ndarray, text: str, place: tuple[int, int], scale: float) -> None:
    cv2.putText(picture, text, place, cv2.FONT_HERSHEY_SIMPLEX, scale, _INK, 1, cv2.LINE_AA)


def class_balance(path: Path) -> Any:
    """Bars per class: mean share of the pixels, and share of the samples that show it. Returns a figure."""
    statistics = describe(path)
    names = list(statistics["class_share"])
    share, present = (np.array([*statistics[key].values()]) for key in ("class_share", "class_present"))
    figure = _figure(7.0, 3.2)
    axes = figure.subplots(1, 2)
    for axis, values, title in zip(
        axes, (share, present), ("mean share of pixels", "samples that show it"), strict=True
    ):
        bars = axis.barh(names, values * 100.0, color=[_plot_color(name) for name in names], edgecolor="0.3")
        axis.bar_label(bars, fmt="%.1f", padding=2, fontsize=8)
        axis.set(xlabel="%", title=title, xlim=(0, max(values) * 115.0))
        axis.invert_yaxis()
    axes[1].set_yticklabels([])
    return figure


def geometry(path: Path) -> Any:
    """Histograms of range and phase angle, all bodies together. Returns a figure."""
    index = read_index(path)
    figure = _figure(7.0, 2.8)
    axes = figure.subplots(1, 2)
    for axis, column, label in (
        (axes[0], "range_d0", "range / D0"),
        (axes[1], "phase_angle_deg", "phase angle / degrees"),
    ):
        values = known_numbers(index[column].drop_null())
        if not len(values):
            axis.set(xlabel=label, xticks=[], yticks=[], title="not known")
            continue
        axis.hist(values, bins=min(36, max(5, len(values) // 10)), color="#4287f5", edgecolor="white", linewidth=0.3)
        axis.set(xlabel=label, ylabel="samples")
    return figure


def occurrence(path: Path) -> Any:
    """Where in the image each class lies: the share of the samples that show it in each pixel. Returns a figure."""
    names = read_description(path)["classes"]
    counts, samples = None, 0
    for table in read_batches(path, ["mask"]):
        for data in table["mask"].to_pylist():
            mask = webp_array(data, "mask")
            if counts is None:
                counts = np.zeros((len(names), *mask.shape))
            for index in range(len(names)):
                counts[index] += mask == index
            samples += 1
    assert counts is not None
    figure = _figure(2.2 * len(names), 2.4)
    for axis, name, count in zip(figure.subplots(1, len(names)), names, counts, strict=True):
        image = axis.imshow(count / samples * 100.0, cmap="magma", vmin=0.0)
        axis.set(title=name, xticks=[], yticks=[])
        figure.colorbar(image, ax=axis, orientation="horizontal", pad=0.04, label="% of samples")
    return figure


def write_pictures(path: Path, out: Path, count: int = 20, seed: int = 0, enlarge: int = 1) -> list[Path]:
    """Write every picture of a set into a folder; returns the files: a sheet per body, and one each of the others."""
    bodies = list(dict.fromkeys(read_index(path)["body"].to_pylist()))
    charts = (("classes", class_balance), ("geometry", geometry), ("occurrence", occurrence))
    written = []
    with progress(total=len(bodies) + len(charts), unit="picture", label=path.name, keep=False) as bar:
        for body in bodies:
            written.append(out / f"sheet_{body}.png")
            picture = sheet(path, count, seed, body, enlarge)
            write_whole(written[-1], cv2.imencode(".png", picture[:, :, ::-1])[1].tobytes())
            bar.update()
        for name, draw in charts:
            written.append(out / f"{name}.png")
            figure = draw(path)
            figure.suptitle(read_description(path)["name"], fontsize=10)
            figure.savefig(written[-1], dpi=110)
            bar.update()
    return written


def _figure(width: float, height: float) -> Any:
    with mpl.rc_context({"font.size": 9}):
        from matplotlib.figure import Figure

        return Figure(figsize=(width, height), layout="constrained")


def _plot_color(name: str) -> tuple[float, float, float]:
    red, green, blue = COLORS.get(name, (255, 0, 255))
    return (red / 255.0, green / 255.0, blue / 255.0)
