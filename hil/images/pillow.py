"""Kinds that Pillow reads: GIF, WebP, animated PNG, JPEG of CMYK colours. Of an animation, each frame is an image."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from flight.client.bit_depth import Samples
from flight.client.image_formats import samples_of
from flight.client.images import ImageError, ImageItem
from hil.images.packages import require


def matches(path: Path, head: bytes) -> bool:
    """Whether a file is of a kind that only Pillow reads. head: how it begins."""
    return head.startswith(b"GIF8") or (head.startswith(b"RIFF") and head[8:12] == b"WEBP")


def count_pages(path: Path) -> int:
    """The number of frames of an image. Raises ImageError."""
    with path.open("rb") as file:
        head = file.read(4096)
    if head.startswith(b"\x89PNG") and b"acTL" not in head:
        return 1
    with _opened(ImageItem(path)) as image:
        return int(getattr(image, "n_frames", 1))


def read(item: ImageItem) -> Samples:
    """Read an image. Raises ImageError."""
    from PIL import ImageOps

    with _opened(item) as image:
        if item.page:
            image.seek(item.page)
        turned = ImageOps.exif_transpose(image)
        if turned.mode.startswith("I;16"):
            return samples_of(np.asarray(turned).astype(np.uint16))
        if turned.mode in ("1", "L"):
            return samples_of(np.asarray(turned.convert("L")))
        has_opacity = "A" in turned.mode or "transparency" in turned.info
        return samples_of(np.asarray(turned.convert("RGBA" if has_opacity else "RGB")))


@contextmanager
def _opened(item: ImageItem) -> Iterator[Any]:
    """An image, open; what goes wrong with it is an ImageError."""
    Image = require("PIL.Image", "hil", "GIF, WebP and CMYK")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(item.path) as image:
                yield image
    except (Image.DecompressionBombError, Image.DecompressionBombWarning, MemoryError) as error:
        raise ImageError(f"{item}: more pixels than can be read; crop or bin the image") from error
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        if isinstance(error, ImageError):
            raise
        raise ImageError(f"{item}: not a readable image: {' '.join(str(error).split())}") from error
