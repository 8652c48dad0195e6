"""What importers share: options, finding pairs of files, reading images, bringing them to one size, splits."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from ground_tools.datasets.pairs import Pair, PairSet
from ground_tools.labelling.splits import split_by_image
from ground_tools.labels.class_table import ClassTable
from ground_tools.labels.mask_colors import mask_from_colors

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg")


@dataclass(frozen=True)
class ImportOptions:
    """How a folder is read.

    Attributes:
        size: height and width of all pairs, pixels; None: as they are.
        part: which part of what was published, a name of the layout's.
        seed: of random splits.
        shares: of the images for train, validation and test, where splits are random.
        masked: what becomes of pixels in masks of rover and range, "ignored" or "classes".
    """

    size: tuple[int, int] | None = None
    part: str | None = None
    seed: int = 1
    shares: tuple[float, float, float] = (0.49, 0.21, 0.30)
    masked: str = "ignored"


@dataclass(frozen=True)
class Layout:
    """A folder layout in which people download a set.

    Attributes:
        summary: what it is, in a line.
        parts: names of its parts, the first one the default.
        read: folder and options to a set's statement and its pairs.
    """

    summary: str
    parts: tuple[str, ...]
    read: Callable[[Path, ImportOptions], tuple[PairSet, Iterator[Pair]]]

    def part_of(self, options: ImportOptions) -> str:
        """The part that options ask for.

        Raises:
            ValueError: the layout has no such part.
        """
        if options.part is None:
            return self.parts[0]
        if options.part not in self.parts:
            raise ValueError(f"--part: expected {' or '.join(self.parts)}, got {options.part}")
        return options.part


def find_images(folder: Path) -> dict[str, Path]:
    """The images of a folder by their names without suffix, sorted.

    Raises:
        ValueError: there is no such folder, or no image in it.
    """
    found = {path.stem: path for path in sorted(folder.glob("*")) if path.suffix.lower() in IMAGE_SUFFIXES}
    if not found:
        raise ValueError(f"{folder}: expected images ({', '.join(IMAGE_SUFFIXES)}), got none")
    return found


def find_folder(root: Path, *candidates: str) -> Path:
    """The first of some folders below a root that is there.

    Raises:
        ValueError: none is; names them.
    """
    for candidate in candidates:
        if (root / candidate).is_dir():
            return root / candidate
    raise ValueError(f"{root}: expected a folder {' or '.join(candidates)} in it, got none")


def read_grey(path: Path) -> np.ndarray:
    """(H, W) uint8. Raises ValueError naming a file that is no image."""
    return _checked(path, cv2.imread(str(path), cv2.IMREAD_GRAYSCALE))


def read_color(path: Path) -> np.ndarray:
    """(H, W, 3) uint8, red, green, blue. Raises ValueError naming a file that is no image."""
    return np.ascontiguousarray(_checked(path, cv2.imread(str(path), cv2.IMREAD_COLOR))[..., ::-1])


def _checked(path: Path, image: np.ndarray | None) -> np.ndarray:
    if image is None:
        raise ValueError(f"{path}: expected an image, got a file that cannot be read as one")
    return image


def label_colors(colors: np.ndarray, table: ClassTable, path: Path) -> np.ndarray:
    """The classes of a mask in colours, (H, W) uint8. Raises ValueError naming its file; see mask_from_colors."""
    try:
        return mask_from_colors(colors, table)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def fit_to_image(mask: np.ndarray, image: np.ndarray) -> np.ndarray:
    """A mask, (H, W) uint8, at the size of its image; no class is mixed with another."""
    if mask.shape == image.shape[:2]:
        return mask
    return cv2.resize(mask, image.shape[1::-1], interpolation=cv2.INTER_NEAREST_EXACT)


def bring_to_size(image: np.ndarray, mask: np.ndarray, size: tuple[int, int] | None) -> tuple[np.ndarray, np.ndarray]:
    """Image and mask at a size: cut about the middle to its shape, then scaled; no class is mixed with another.

    Args:
        image: (H, W) or (H, W, 3) uint8.
        mask: (H, W) uint8.
        size: height and width; None leaves both as they are.
    """
    if size is None:
        return image, mask
    height, width = size
    rows, columns = mask.shape
    scale = min(rows / height, columns / width)
    kept_rows, kept_columns = round(height * scale), round(width * scale)
    top, left = (rows - kept_rows) // 2, (columns - kept_columns) // 2
    window = (slice(top, top + kept_rows), slice(left, left + kept_columns))
    image, mask = np.ascontiguousarray(image[window]), np.ascontiguousarray(mask[window])
    if mask.shape == size:
        return image, mask
    how = cv2.INTER_AREA if kept_rows >= height else cv2.INTER_LINEAR
    return (
        cv2.resize(image, (width, height), interpolation=how),
        cv2.resize(mask, (width, height), interpolation=cv2.INTER_NEAREST_EXACT),
    )


def random_splits(
    domains: Sequence[str], groups: Sequence[str], shares: tuple[float, float, float], seed: int
) -> list[str]:
    """A split for each image, drawn by a seed, the same shares in every domain; a group goes as a whole.

    Raises:
        ValueError: shares that are no shares.
    """
    if min(shares) < 0.0 or abs(sum(shares) - 1.0) > 1e-6:
        raise ValueError(f"--shares: expected three shares that make 1, got {' '.join(map(str, shares))}")
    if len(set(groups)) < len(groups):
        return split_by_image(domains, groups, shares, seed)
    generator = np.random.default_rng(seed)
    splits = np.empty(len(domains), dtype=object)
    names = np.asarray(domains)
    for domain in sorted(set(domains)):
        places = generator.permutation(np.flatnonzero(names == domain))
        ends = np.rint(np.cumsum(shares) * len(places)).astype(int)
        for split, first, last in zip(("train", "validation", "test"), (0, *ends[:-1]), ends, strict=True):
            splits[places[first:last]] = split
    return [str(split) for split in splits]
