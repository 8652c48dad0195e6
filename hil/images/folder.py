"""Folders of images as people have them: which files are images, and in which order."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from flight.client.images import ImageError, ImageItem, ImageSequence, natural_key
from hil.images import pds
from hil.images.reader import FITS_SUFFIXES, SUFFIXES, list_pages, read_samples

# So many names of files that are left out are told.
_TOLD = 5
_HEAD_BYTES = 4096
# Files with pixels that a detached label tells how to read.
_DATA_SUFFIXES = (".img", ".imq", ".dat", ".raw")


@dataclass(frozen=True)
class Listing:
    """The images of a folder.

    Attributes:
        files: images, in natural order: frame_2 before frame_10.
        left_out: other files, with why, a line each.
    """

    files: list[Path]
    left_out: list[str]

    def summary(self) -> str:
        """What is left out, in one line; "" when there is nothing."""
        if not self.left_out:
            return ""
        more = f"; and {len(self.left_out) - _TOLD} more" if len(self.left_out) > _TOLD else ""
        return f"left out: {'; '.join(self.left_out[:_TOLD])}{more}"


def list_folder(folder: Path, subfolders: bool = False) -> Listing:
    """List the images of a folder.

    Args:
        folder: of the images.
        subfolders: those below, too.

    Raises:
        ImageError: no such folder, it cannot be read, or no images are in it.
    """
    shown = str(ImageItem(folder))
    if not folder.is_dir():
        raise ImageError(f"{shown}: no such folder")
    files, left_out = [], []
    for path in sorted(_walk(folder, subfolders), key=natural_key):
        why = _why_not(path)
        if why is None:
            files.append(path)
        elif why:
            left_out.append(f"{ImageItem(path.relative_to(folder))} ({why})")
    listing = Listing(files, left_out)
    if not files:
        below = "" if subfolders or not any(path.is_dir() for path in folder.iterdir()) else "; --subfolders: below it"
        what = f"; {listing.summary()}" if left_out else ""
        raise ImageError(f"{shown}: no {', '.join(SUFFIXES)} files in it{below}{what}")
    return listing


def open_images(
    files: list[Path], bit_depth: int | None = None, warn: Callable[[str], None] | None = None
) -> ImageSequence:
    """The images of files, each page one, with one rule for their bit depth.

    Args:
        files: in order.
        bit_depth: given by a person; None: as the files state it, or by the rule.
        warn: is told, in one line, what was assumed; None: nobody is.

    Raises:
        MissingReader: the package that reads some kind is not installed.
    """
    return ImageSequence([item for path in files for item in list_pages(path)], read_samples, bit_depth, warn)


def _walk(folder: Path, subfolders: bool) -> Iterator[Path]:
    """The files of a folder. Raises ImageError when it cannot be read."""

    def fail(error: OSError) -> None:
        raise ImageError(f"{ImageItem(Path(error.filename or folder))}: {error.strerror}") from error

    for place, folders, names in os.walk(folder, onerror=fail):
        # Of hidden folders (.git, .Trash) and of what macOS puts into archives, nothing is told.
        folders[:] = sorted(name for name in folders if subfolders and name[0] != "." and name != "__MACOSX")
        yield from (Path(place, name) for name in names)


def _why_not(path: Path) -> str | None:
    """Why a file is no image of the folder; None: it is one; "": it goes with one."""
    if path.name[0] == ".":
        return "hidden"
    suffix = path.suffix.lower()
    if suffix == ".gz":
        suffix = suffix if Path(path.stem).suffix.lower() not in FITS_SUFFIXES else FITS_SUFFIXES[0]
    if suffix in _DATA_SUFFIXES and pds.label_beside(path) is not None:
        return ""  # read through its label
    if suffix not in SUFFIXES:
        return "no image"
    try:
        if not path.is_file():
            return "no file"
        if path.stat().st_size == 0:
            return "empty"
        if suffix in (".xml", ".lbl"):
            # FITS files say themselves what they hold, and labels of other things lie about.
            if any(path.with_suffix(other).is_file() for other in (".fits", ".fit", ".FITS", ".FIT")):
                return ""
            with path.open("rb") as file:
                return None if pds.matches(path, file.read(_HEAD_BYTES)) else "no label of an image"
    except OSError as error:
        return error.strerror or "cannot be read"
    return None
