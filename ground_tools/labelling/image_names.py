"""Which image of manifest.csv is meant by the name that a tool has written."""

from __future__ import annotations

import csv
import hashlib
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import unquote

from ground_tools.labelling.annotations import default_name
from ground_tools.labelling.collection import MANIFEST_FILE, ImageEntry
from ground_tools.labelling.labelme import LabelmeFile

# Label Studio puts this before the names of uploaded files.
_UPLOAD_PREFIX = re.compile(r"^[0-9a-f]{8}-")
_MOST_NAMES = 3


class ImageNames:
    """The images of a manifest, to be found by the names that tools give them.

    Attributes:
        entries: the images by name in manifest.csv.
        renamed: names in tools' files and what they stand for, before everything else.
    """

    def __init__(self, entries: Mapping[str, ImageEntry], renamed: Mapping[str, str] | None = None) -> None:
        self.entries = entries
        self.renamed = renamed or {}
        self._by_name = _index(entries, lambda entry: Path(entry.file).name)
        self._by_stem = _index(entries, lambda entry: Path(entry.file).stem)
        self._by_label_file = _index(entries, lambda entry: default_name(entry.file))
        self._by_upload = _index(entries, lambda entry: _upload_name(Path(entry.file).name))
        self._by_content = _index(entries, lambda entry: entry.sha256)

    def match(self, name: str) -> ImageEntry:
        """The image that a tool means.

        The name itself, with other folders before it or without its own, with another ending, percent-encoded as in
        addresses, or as Label Studio has it of an upload: eight hexadecimal digits and a hyphen before it, and nothing
        but letters, digits, `_`, `-` and `.` left of it.

        Raises:
            ValueError: there is none, or several.
        """
        if name in self.renamed:
            return self.match_plain(self.renamed[name])
        # Addresses have the path behind "?d=" (local files of Label Studio), or what signs them behind "?".
        plain = name.replace("\\", "/").replace("?d=", "/")
        for spelling in dict.fromkeys((plain, unquote(plain), unquote(plain.partition("?")[0]))):
            parts = spelling.split("/")
            for first in range(len(parts)):
                if (tail := "/".join(parts[first:])) in self.entries:
                    return self.entries[tail]
            if found := self._alike(parts[-1]):
                return _only(name, found)
        raise ValueError(f"image {name}: no such image in {MANIFEST_FILE}")

    def _alike(self, last: str) -> list[ImageEntry]:
        """The images whose names are most like the last part of a path."""
        stem = Path(last).stem
        for index, key in (
            (self._by_name, last),
            (self._by_stem, last),
            (self._by_stem, stem),
            (self._by_label_file, f"{stem}.json"),
            (self._by_upload, _UPLOAD_PREFIX.sub("", last)),
        ):
            if key in index:
                return index[key]
        return []

    def match_plain(self, name: str) -> ImageEntry:
        """The image of a name in manifest.csv, or of its last part. Raises ValueError as `match` does."""
        if name in self.entries:
            return self.entries[name]
        found = self._by_name.get(name) or self._by_stem.get(name) or []
        if not found:
            raise ValueError(f"image {name}: no such image in {MANIFEST_FILE}")
        return _only(name, found)

    def match_drawing(self, drawn: LabelmeFile, images: Path | None = None) -> ImageEntry:
        """The image that a labelme file is about: by the bytes in it, by where it lies, by the bytes there, by name.

        Args:
            drawn: the file.
            images: the folder of the manifest; None: the place says nothing.

        Raises:
            ValueError: there is none, or several.
        """
        if drawn.image in self.renamed:
            return self.match(drawn.image)
        if drawn.image_sha256 in self._by_content:
            same = self._by_content[str(drawn.image_sha256)]
            if len(same) == 1:
                return same[0]
        # The path may be that of another computer; the image lies beside the file all the same.
        for path in (drawn.path.parent / drawn.image, drawn.path.parent / Path(drawn.image).name):
            if images is not None and path.resolve().is_relative_to(images.resolve()):
                place = path.resolve().relative_to(images.resolve()).as_posix()
                if place in self.entries:
                    return self.entries[place]
            if path.is_file():
                same = self._by_content.get(hashlib.sha256(path.read_bytes()).hexdigest(), [])
                if len(same) == 1:
                    return same[0]
        try:
            return self.match((drawn.path.parent / drawn.image).as_posix())
        except ValueError:
            return self.match(drawn.image)

    def drawn_on_other_bytes(self, drawn: LabelmeFile, entry: ImageEntry) -> str:
        """What a labelme file was drawn on, where that is no copy of the manifest's image; "" where it may be one."""
        beside = drawn.path.parent / drawn.image
        if beside.is_file():
            same = hashlib.sha256(beside.read_bytes()).hexdigest() == entry.sha256
            return "" if same else str(beside)
        return "" if drawn.image_sha256 in (None, entry.sha256) else "the image in it"


def read_renamed(path: Path) -> dict[str, str]:
    """Names in tools' files and what they are called in manifest.csv, from lines `NAME,FILE`.

    Raises ValueError naming the file and the line.
    """
    try:
        rows = list(csv.reader(path.read_text(encoding="utf-8-sig").splitlines()))
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: not readable as text ({error})") from error
    renamed = {}
    for number, row in enumerate(rows, start=1):
        if not row:
            continue
        if len(row) != 2 or not all(row):
            raise ValueError(f"{path}, line {number}: expected NAME,FILE, got {','.join(row)!r}")
        renamed[row[0]] = row[1]
    return renamed


def _index(entries: Mapping[str, ImageEntry], key: Callable[[ImageEntry], str]) -> dict[str, list[ImageEntry]]:
    index: dict[str, list[ImageEntry]] = {}
    for entry in entries.values():
        index.setdefault(key(entry), []).append(entry)
    return index


def _only(name: str, found: list[ImageEntry]) -> ImageEntry:
    if len(found) == 1:
        return found[0]
    names = ", ".join(entry.file for entry in found[:_MOST_NAMES]) + (", ..." if len(found) > _MOST_NAMES else "")
    raise ValueError(f"image {name}: {len(found)} images have that name in {MANIFEST_FILE}: {names}")


def _upload_name(name: str) -> str:
    """A name as Django, on which Label Studio stands, makes it fit for a file."""
    return re.sub(r"[^-\w.]", "", name.strip().replace(" ", "_"))
