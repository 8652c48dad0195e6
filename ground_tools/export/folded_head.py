"""The folded head in a .tflite file: one convolution inside, others near the borders, scores of fine step.

A class's range is covered by as many int8 channels as it takes, each of which saturates outside of its own part, and
their sum is the score. See docs/posterior.md.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ground_tools.export.linear_head import LinearHead, fold
from ground_tools.export.tflite_graph import GraphWriter, Quantization


@dataclass(frozen=True)
class ScoreWindows:
    """Which part of which class's range each channel covers.

    classes: of each channel. centers: of each channel, nat. offsets: by class, what the sum of its channels lacks.
    """

    step: float
    classes: np.ndarray
    centers: np.ndarray
    offsets: np.ndarray

    @staticmethod
    def cover(low: np.ndarray, high: np.ndarray, step: float) -> ScoreWindows:
        """As many windows for each class as its range takes.

        int8 covers -128..127 steps around a centre. Of windows 255 steps apart, those below a score saturate at 127 and
        those above at -128, so that their sum is the score, up to a constant.
        """
        width = 255 * step
        classes, centers, offsets = [], [], []
        for number, (least, largest) in enumerate(zip(low, high, strict=True)):
            count = max(int(np.ceil((largest - least) / width)), 1)
            first = (least + largest) / 2 - (count - 1) * width / 2 + step / 2
            classes += [number] * count
            centers += [first + place * width for place in range(count)]
            offsets.append(first + 128 * step * (count - 1))
        return ScoreWindows(step, np.array(classes), np.array(centers), np.array(offsets))

    def spread(self, kernel: np.ndarray, bias: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """A convolution's kernel and bias by class -> by channel."""
        return kernel[self.classes], bias[self.classes] - self.centers


class FoldedHead:
    """Adds the folded head to a graph: one convolution inside, others near the borders, put together."""

    def __init__(self, writer: GraphWriter, x: int, head: LinearHead, windows: ScoreWindows) -> None:
        self._writer = writer
        self._x = x
        self._head = head
        self._windows = windows
        self._output = Quantization(windows.step, 0)
        _, self._rows, self._columns, _ = writer.shape(x)
        self._reach = head.margin + head.radius
        # An image that has a pixel of every kind of fold.
        self._side = 2 * self._reach + 1
        self._folds = {
            (row, column): fold(head, self._side, self._side, row, column)
            for row in self._places
            for column in self._places
        }

    @property
    def _places(self) -> list[int]:
        margin, last = self._head.margin, self._side - 1
        near = list(range(margin))
        return [*near, self._reach, *(last - place for place in reversed(near))]

    def add(self) -> int:
        """The scores by channel of the windows, int8."""
        writer, margin, radius = self._writer, self._head.margin, self._head.radius
        middle = self._reach
        inside = self._kernel([(middle, middle)], range(middle - radius, middle + radius + 1), None)
        scores = writer.add_convolution(self._x, *inside, self._output, same=True)
        if margin == 0:
            return scores
        inner = (self._rows - 2 * margin, self._columns - 2 * margin)
        center = writer.add_slice(scores, (margin, margin), inner)
        last = self._side - 1
        near = list(range(margin))
        far = [last - place for place in reversed(near)]
        bands = []
        for rows in (near, far):
            corners = [self._corner(rows, columns) for columns in (near, far)]
            bands.append(writer.add_concatenation([corners[0], self._row_band(rows), corners[1]], 2))
        sides = [self._column_band(columns) for columns in (near, far)]
        between = writer.add_concatenation([sides[0], center, sides[1]], 2)
        return writer.add_concatenation([bands[0], between, bands[1]], 1)

    def _kernel(
        self, pixels: list[tuple[int, int]], rows: range, columns: range | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Kernel and bias by channel of pixels, over the rows and columns that their folds reach."""
        columns = rows if columns is None else columns
        kernels, biases = [], []
        for pixel in pixels:
            weights, bias = self._folds[pixel]
            kernel = weights[:, rows.start : rows.stop, columns.start : columns.stop]
            spread = self._windows.spread(kernel, bias)
            kernels.append(spread[0])
            biases.append(spread[1])
        return np.concatenate(kernels), np.concatenate(biases)

    def _near_range(self, places: list[int]) -> range:
        """What the folds of the places near one border reach, in the image of all kinds."""
        return range(self._reach) if places[0] == 0 else range(self._side - self._reach, self._side)

    def _strip(self, places: list[int], length: int) -> tuple[int, int]:
        """Begin and size of what the places near one border read."""
        return (0 if places[0] == 0 else length - self._reach), self._reach

    def _corner(self, rows: list[int], columns: list[int]) -> int:
        """The pixels near two borders: each has a fold of its own."""
        writer = self._writer
        (top, height), (left, width) = self._strip(rows, self._rows), self._strip(columns, self._columns)
        part = writer.add_slice(self._x, (top, left), (height, width))
        pixels = [(row, column) for row in rows for column in columns]
        kernel = self._kernel(pixels, self._near_range(rows), self._near_range(columns))
        values = writer.add_convolution(part, *kernel, self._output)
        return writer.add_reshape(values, (1, len(rows), len(columns), len(self._windows.classes)))

    def _row_band(self, rows: list[int]) -> int:
        """The pixels near the upper or lower border and no other: one convolution along each row."""
        writer, margin, radius = self._writer, self._head.margin, self._head.radius
        top, height = self._strip(rows, self._rows)
        part = writer.add_padding(writer.add_slice(self._x, (top, 0), (height, self._columns)), 0, radius - margin)
        along = range(self._reach - radius, self._reach + radius + 1)
        bands = []
        for row in rows:
            kernel = self._kernel([(row, self._reach)], self._near_range(rows), along)
            bands.append(writer.add_convolution(part, *kernel, self._output))
        return writer.add_concatenation(bands, 1) if len(bands) > 1 else bands[0]

    def _column_band(self, columns: list[int]) -> int:
        """The pixels near the left or right border and no other: one convolution down all columns."""
        writer, margin, radius = self._writer, self._head.margin, self._head.radius
        left, width = self._strip(columns, self._columns)
        part = writer.add_padding(writer.add_slice(self._x, (0, left), (self._rows, width)), radius - margin, 0)
        along = range(self._reach - radius, self._reach + radius + 1)
        kernel = self._kernel([(self._reach, column) for column in columns], along, self._near_range(columns))
        values = writer.add_convolution(part, *kernel, self._output)
        height = self._rows - 2 * margin
        return writer.add_reshape(values, (1, height, len(columns), len(self._windows.classes)))
