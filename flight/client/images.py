"""Camera frames from image files, in sequences. Kinds that OpenCV alone does not read, hil.images does."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from flight.client.bit_depth import BitDepthRule, FrameImage, Samples, scale_frame
from flight.client.image_formats import ImageError, OtherFormatError, decode_samples
from flight.schema import format_text

SMALLEST_SIDE, LARGEST_SIDE = 16, 4096
__all__ = [
    "LARGEST_SIDE",
    "SMALLEST_SIDE",
    "ImageError",
    "ImageItem",
    "ImageSequence",
    "OtherFormatError",
    "natural_key",
    "preview",
    "read_bytes",
    "read_samples",
]
# So many images, evenly spread over a sequence, are looked at before the first one is used.
_PREVIEWED = 32
_NAME_LENGTH = 400
_DIGITS = frozenset("0123456789")


@dataclass(frozen=True)
class ImageItem:
    """One image of a file.

    Attributes:
        path: of the file.
        page: from 0.
        pages: of the file.
    """

    path: Path
    page: int = 0
    pages: int = 1

    def __str__(self) -> str:
        """Its name for people: one line of printable characters."""
        place = f", page {self.page + 1} of {self.pages}" if self.pages > 1 else ""
        return f"{format_text(self.path, _NAME_LENGTH)}{place}"


class ImageSequence:
    """Images that belong together, with one rule for their bit depth.

    Args:
        items: in order.
        read: an item's pixels. Raises ImageError.
        bit_depth: given by a person; None: as the files state it, or by the rule of flight.client.bit_depth.
        warn: is told, in one line, what was assumed; None: nobody is.
    """

    def __init__(
        self,
        items: Sequence[ImageItem],
        read: Callable[[ImageItem], Samples],
        bit_depth: int | None = None,
        warn: Callable[[str], None] | None = None,
    ) -> None:
        self.items = items
        self._read = read
        self._rule = BitDepthRule(bit_depth, warn)
        self._previewed = False

    def __len__(self) -> int:
        return len(self.items)

    def samples(self, index: int) -> tuple[Samples, float]:
        """The pixels of an image as the file has them, and the value of full scale. Raises ImageError."""
        item = self.items[index]
        samples = self._read(item)
        if self._rule.must_assume(samples) and not self._previewed:
            self._previewed = True
            preview(self.items, self._read, self._rule)
        return samples, self._rule.full_scale(samples, str(item))

    def frame(self, index: int) -> FrameImage:
        """An image as a frame.

        Raises:
            ImageError: it cannot be read, or is not of 16..4096 pixels a side.
        """
        samples, full_scale = self.samples(index)
        rows, columns = samples.values.shape
        if not (SMALLEST_SIDE <= rows <= LARGEST_SIDE and SMALLEST_SIDE <= columns <= LARGEST_SIDE):
            raise ImageError(
                f"{self.items[index]}: expected {SMALLEST_SIDE}..{LARGEST_SIDE} px a side, got {columns} x {rows}"
            )
        return scale_frame(samples, full_scale)


def preview(items: Sequence[ImageItem], read: Callable[[ImageItem], Samples], rule: BitDepthRule) -> None:
    """Let a rule see images from all over a sequence, so that its first frames become as bright as its last."""
    chosen = np.unique(np.linspace(0, len(items) - 1, min(_PREVIEWED, len(items))).astype(int))
    for index in chosen if len(items) > 1 else []:
        try:
            rule.look_at(read(items[index]))
        except ImageError:
            continue  # is told when its turn comes


def read_bytes(path: Path) -> bytes:
    """The content of an image file. Raises ImageError that names it."""
    try:
        if not path.is_file() and path.exists():
            raise ImageError(f"{_shown(path)}: expected a file; `hil segment` takes folders")
        return path.read_bytes()
    except (OSError, MemoryError) as error:
        raise ImageError(f"{_shown(path)}: {getattr(error, 'strerror', None) or 'larger than the memory'}") from error


def read_samples(item: ImageItem) -> Samples:
    """Read an image file; see flight.client.image_formats.decode_samples. Raises ImageError."""
    return decode_samples(read_bytes(item.path), str(item))


def natural_key(path: Path) -> tuple[list[list[tuple[int, int | str]]], str]:
    """Sorts paths as people count: frame_2 before frame_10; those that differ in zeros in front, by their text."""
    parts = [re.split(r"([0-9]+)", part) for part in (*path.parent.parts, path.stem, path.suffix)]
    return [[(0, int(run)) if run[0] in _DIGITS else (1, run) for run in part if run] for part in parts], str(path)


def _shown(path: Path) -> str:
    return str(ImageItem(path))
