"""A folder of label files: which file belongs to which image, and what cannot be used."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ground_tools.labelling.annotations import Annotation, annotation_of, default_name, how_to_import
from ground_tools.labelling.collection import MANIFEST_FILE, ImageEntry
from ground_tools.labelling.image_names import ImageNames
from ground_tools.labelling.labelme import LabelmeFile, NoLabelmeFile, read_labelme


@dataclass
class LabelFiles:
    """The label files of a folder.

    Attributes:
        folder: the folder.
        paths: image -> its label file, whether or not that is of the image's present content.
        annotations: image -> its labels, of those that can be used.
        foreign: image -> a file that is about it and cannot be used, and why. So are those of labelme before they are
            taken in.
        problems: what cannot be used, a line each.
    """

    folder: Path
    paths: dict[str, Path] = field(default_factory=dict)
    annotations: dict[str, Annotation] = field(default_factory=dict)
    foreign: dict[str, tuple[Path, str]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def path_for(self, entry: ImageEntry) -> Path:
        """The label file of an image: the one that is there, or the one to write.

        Raises:
            ValueError: the folder has a file about this image that cannot be used; another one would take its place.
        """
        if entry.file in self.paths:
            return self.paths[entry.file]
        if entry.file in self.foreign:
            raise ValueError(self.foreign[entry.file][1])
        # Two images may differ by the ends of their names alone.
        for name in (default_name(entry.file), entry.file.replace("/", "_") + ".json"):
            if not (self.folder / name).exists():
                return self.folder / name
        raise ValueError(f"{self.folder / name}: expected a label file of {entry.file}, found another one")


def find_label_files(labels: Path, entries: Mapping[str, ImageEntry], images: Path | None = None) -> LabelFiles:
    """Look through a folder of labels.

    A file belongs to the image that its imagePath names; one with no such image, or the second for one, is a problem.
    Hidden files are litter.

    Args:
        labels: the folder.
        entries: the images by name.
        images: their folder, to which a file of labelme may be relative; None: the place says nothing.
    """
    files, names = LabelFiles(labels), ImageNames(entries)
    for path in sorted(path for path in labels.glob("*.json") if not path.name.startswith(".")):
        try:
            _add(files, names, read_labelme(path), images)
        except ValueError as error:
            files.problems.append(f"{error}; left out")
            if not isinstance(error, NoLabelmeFile):
                # Of a file that cannot be read its own name is all that tells of its image.
                with contextlib.suppress(ValueError):
                    files.foreign.setdefault(names.match(path.stem).file, (path, str(error)))
    return files


def _add(files: LabelFiles, names: ImageNames, drawn: LabelmeFile, images: Path | None) -> None:
    path = drawn.path
    try:
        annotation, wrong = annotation_of(drawn)
    except ValueError as error:
        files.problems.append(f"{error}; left out")
        # Of no image, or of one of several, there is none to keep the file for.
        with contextlib.suppress(ValueError):
            files.foreign.setdefault(names.match_drawing(drawn, images).file, (path, str(error)))
        return
    try:
        entry = names.match(annotation.file)
    except ValueError as error:
        files.problems.append(f"{path}: {error}; left out")
        return
    if entry.file in files.paths:
        files.problems.append(
            f"{path}: {entry.file} has its labels in {files.paths[entry.file].name} already; left out"
        )
        return
    files.paths[entry.file] = path
    files.problems.extend(wrong)
    if annotation.sha256 == entry.sha256:
        files.annotations[entry.file] = annotation
    else:
        files.problems.append(
            f"{path}: sha256: expected {entry.sha256[:16]}... as {MANIFEST_FILE} has it of {entry.file}, "
            f"got {annotation.sha256[:16]}...; left out"
        )


def read_labels(labels: Path, entries: Mapping[str, ImageEntry]) -> tuple[dict[str, Annotation], list[str]]:
    """All labels of a folder by image, and what is wrong: what cannot be used is left out, the rest is returned."""
    files = find_label_files(labels, entries)
    return files.annotations, files.problems


def find_drawing(images: Path, entry: ImageEntry) -> Path | None:
    """The labelme file beside an image, where one was drawn and holds shapes; None: there is none."""
    path = (images / entry.file).with_suffix(".json")
    if not path.is_file():
        return None
    try:
        return path if read_labelme(path).shapes else None
    except NoLabelmeFile:
        return None
    except ValueError:
        return path


def refuse_drawing(images: Path, entry: ImageEntry) -> None:
    """Raise ValueError when a person has drawn labels beside an image that has none in the folder of labels."""
    path = find_drawing(images, entry)
    if path is not None:
        raise ValueError(f"{entry.file}: {how_to_import(path)}")
