"""How the maps of a few images change from epoch to epoch: a picture after each, and all of them as a film."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import keras
import numpy as np
from PIL import Image

from ground_tools.datasets.store import png_bytes
from ground_tools.foundation.files import write_whole
from ground_tools.foundation.sampling import evenly
from ground_tools.labels.class_table import ClassTable
from ground_tools.labels.mask_colors import colors_from_mask
from ground_tools.training.segmenter import ValidationImages

FILM_FOLDER, FILM_FILE = "film", "film.gif"
_GAP, _PAPER = 4, 245
_MOST_WIDTH, _FRAME_MS = 1920, 300


class Film(keras.callbacks.Callback):
    """After each epoch draws image, truth and map of a few validation images, evenly from all of them.

    Args:
        network: that gives the maps.
        validation: the images.
        count: of the images.
        table: of the classes.
        out: folder of the training.
    """

    def __init__(
        self, network: keras.Model, validation: ValidationImages, count: int, table: ClassTable, out: Path
    ) -> None:
        super().__init__()
        self._network, self._validation, self._table = network, validation, table
        self._rows = evenly(len(validation.pixels), min(count, len(validation.pixels)))
        self._folder = out / FILM_FOLDER

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        rows, pixels = self._rows, self._validation.pixels
        shown = np.rint(255.0 * self._validation.inputs(rows)).astype(np.uint8)
        maps = self._validation.find_maps(self._network, rows).astype(np.uint8)
        columns = []
        for image, mask, found in zip(shown, pixels.masks[rows], maps, strict=True):
            seen = np.broadcast_to(image, (*image.shape[:2], 3))
            panels = [seen, colors_from_mask(mask, self._table), colors_from_mask(found, self._table)]
            gap = np.full((_GAP, mask.shape[1], 3), _PAPER, dtype=np.uint8)
            columns.append(np.vstack([part for panel in panels for part in (panel, gap)][:-1]))
        gap = np.full((len(columns[0]), _GAP, 3), _PAPER, dtype=np.uint8)
        strip = np.hstack([part for column in columns for part in (column, gap)][:-1])
        if strip.shape[1] > _MOST_WIDTH:
            size = _MOST_WIDTH, round(strip.shape[0] * _MOST_WIDTH / strip.shape[1])
            strip = cv2.resize(strip, size, interpolation=cv2.INTER_AREA)
        self._folder.mkdir(exist_ok=True)
        write_whole(self._folder / f"epoch_{epoch + 1:04}.png", png_bytes(np.ascontiguousarray(strip[..., ::-1])))

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        paths = sorted(self._folder.glob("epoch_*.png"))
        if not paths:
            return
        frames = [Image.open(path).convert("P", palette=Image.Palette.ADAPTIVE) for path in paths]
        part = self._folder / f".{FILM_FILE}"
        frames[0].save(
            part, format="GIF", save_all=True, append_images=frames[1:], duration=_FRAME_MS, loop=0, optimize=True
        )
        part.replace(self._folder / FILM_FILE)
