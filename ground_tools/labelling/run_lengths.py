"""COCO's bitmaps: lengths of runs down the columns, off and on in turn, as numbers or in a string of its own.

Source: `common/maskApi.c` of the COCO API (rleDecode, rleFrString). Its own decoder, pycocotools 2.0.11, writes beyond
its memory when a string is damaged, and to check a string is to decode it; so it is done here, and compared with
theirs in the tests.
"""

from __future__ import annotations

from typing import Any

import numpy as np

# A character of the string holds five bits of a number, and whether more follow; the last also the sign.
_FIRST, _BITS, _MORE, _SIGN = 48, 5, 0x20, 0x10
# Digits of a number of 64 bits.
_MOST_DIGITS = 13
# More than any camera's, and still in memory.
_MOST_PIXELS = 1 << 28


def decode_run_lengths(segmentation: dict[str, Any], size: tuple[int, int]) -> np.ndarray:
    """The pixels of a bitmap: (H, W) bool.

    Args:
        segmentation: `size`, [height, width], and `counts`, a list of numbers or a string.
        size: width and height of the image.

    Raises:
        ValueError: the bitmap is of another size, or its runs do not fill it.
    """
    counts, (width, height) = segmentation.get("counts"), size
    if segmentation.get("size") != [height, width]:
        raise ValueError(f"segmentation.size: expected {[height, width]}, got {segmentation.get('size')!r}")
    if width * height > _MOST_PIXELS:
        raise ValueError(f"segmentation.size: expected at most {_MOST_PIXELS} pixels, got {width} x {height}")
    runs = _parse(counts) if isinstance(counts, str) else counts
    if not isinstance(runs, list) or not all(type(run) is int and run >= 0 for run in runs):
        raise ValueError(f"segmentation.counts: expected lengths of runs, got {str(counts)[:40]!r}")
    if sum(runs) != width * height:
        raise ValueError(f"segmentation.counts: expected runs of {width * height} pixels in all, got {sum(runs)}")
    pixels = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
    if not pixels.any():
        raise ValueError("segmentation.counts: expected pixels of the shape, got none")
    return np.ascontiguousarray(pixels.reshape(width, height).T)


def _parse(text: str) -> list[int]:
    """The numbers of a string. From the third on it has the difference to the number two places before."""
    numbers: list[int] = []
    value = digits = 0
    for character in text:
        bits = ord(character) - _FIRST
        if not 0 <= bits < 2 * _MORE or digits == _MOST_DIGITS:
            raise ValueError(f"segmentation.counts: expected a string as COCO packs numbers, got {text[:40]!r}")
        value |= (bits & (_MORE - 1)) << (_BITS * digits)
        digits += 1
        if not bits & _MORE:
            if bits & _SIGN:
                value -= 1 << (_BITS * digits)
            numbers.append(value + (numbers[-2] if len(numbers) > 2 else 0))
            value = digits = 0
    if digits:
        raise ValueError(f"segmentation.counts: expected whole numbers, got one cut off: {text[-40:]!r}")
    return numbers
