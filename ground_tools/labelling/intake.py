"""Taking in what people have drawn in other tools: whole or not at all."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from ground_tools.labelling.annotations import Annotation, annotation_of
from ground_tools.labelling.collection import ImageEntry, read_image
from ground_tools.labelling.image_names import ImageNames
from ground_tools.labelling.label_files import LabelFiles
from ground_tools.labelling.labelme import NoLabelmeFile, UnknownLabel, read_labelme, read_shapes
from ground_tools.labelling.shapes import LABELS, Shape, accepted, counted, is_proposal, outline

# Points nearer to each other than this are the same: tools round coordinates (pixels).
_SAME_POINT = 0.02


@dataclass(frozen=True)
class Drawing:
    """What a tool's file says of one image.

    place: file and part of it, for messages. entry: the image. size: width and height that the coordinates are of,
    pixels; None where the file does not say. shapes: in the order drawn. before: what our own fields of the file say,
    where it has them. source: the file, where it is about this image alone.
    """

    place: str
    entry: ImageEntry
    size: tuple[int, int] | None
    shapes: tuple[Shape, ...]
    before: Annotation | None = None
    source: Path | None = None


@dataclass
class Intake:
    """What was found in the files of a tool.

    Attributes:
        drawings: of single images.
        problems: what cannot be used, a line each.
        spoiled: images of which something that was drawn cannot be used.
        remarks: what was left out without harm, or taken for granted.
        losses: labels that a person had drawn and that are gone.
        unknown_labels: names that are no labels -> how many shapes have them.
    """

    drawings: list[Drawing] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    spoiled: set[str] = field(default_factory=set)
    remarks: list[str] = field(default_factory=list)
    losses: list[str] = field(default_factory=list)
    unknown_labels: dict[str, int] = field(default_factory=dict)

    def add_problem(self, place: str, error: Exception, file: str | None = None) -> None:
        """Note what cannot be used. file: the image that it is about, when one with labels of before should keep them.

        An unknown label is counted, and named once by `all_problems`.
        """
        if isinstance(error, UnknownLabel):
            self.unknown_labels[error.name] = self.unknown_labels.get(error.name, 0) + 1
            return
        self.problems.append(f"{place}: {error}")
        if file is not None:
            self.spoiled.add(file)

    def all_problems(self) -> list[str]:
        """The problems, and a line for each unknown label."""
        unknown = [
            f"label {name!r} of {count} shape{'s' * (count > 1)}: expected {', '.join(LABELS)}; "
            f"--category {name!r}=LABEL takes it for one of them"
            for name, count in self.unknown_labels.items()
        ]
        return self.problems + unknown


def read_drawings(
    paths: Iterable[Path], names: ImageNames, images: Path, categories: Mapping[str, str], line_width: float | None
) -> Intake:
    """Labelme files, drawn with or without our commands.

    Args:
        paths: files, and folders that are looked through with all that are in them; hidden files are named.
        names: the images.
        images: their folder.
        categories: as of parse_categories.
        line_width: of a terminator that is drawn as a line, pixels of the image; None: 6 pixels of a sample.
    """
    intake = Intake()
    for path in _json_files(paths, intake):
        try:
            drawn = read_labelme(path)
            entry = names.match_drawing(drawn, images)
        except NoLabelmeFile as error:
            intake.remarks.append(f"{error}; left out")
            continue
        except ValueError as error:
            place = "" if str(error).startswith(str(path)) else f"{path}: "
            intake.problems.append(f"{place}{error}")
            continue
        if drawn_on := names.drawn_on_other_bytes(drawn, entry):
            intake.remarks.append(
                f"{path}: drawn on {drawn_on}, taken for {entry.file} by its name; its bytes are other"
            )
        shapes, wrong = read_shapes(drawn, categories, line_width)
        for number, fault in wrong:
            intake.add_problem(f"{path}: shape {number}", fault, entry.file)
        size = None if drawn.width is None or drawn.height is None else (drawn.width, drawn.height)
        try:
            before = annotation_of(drawn)[0] if isinstance(drawn.ours, dict) else None
        except ValueError as error:
            intake.problems.append(str(error))
            continue
        intake.drawings.append(Drawing(str(path), entry, size, tuple(shapes), before, path))
    return intake


def _json_files(paths: Iterable[Path], intake: Intake) -> list[Path]:
    found: dict[Path, None] = {}
    for path in paths:
        for file in sorted(path.rglob("*.json")) if path.is_dir() else [path]:
            inner = file.relative_to(path).parts if path.is_dir() else (file.name,)
            if any(part.startswith(".") for part in inner):
                intake.remarks.append(f"{file}: hidden; left out")
            else:
                found[file] = None
    return list(found)


def take_in(
    intake: Intake, files: LabelFiles, images: Path, labelled: bool = False, clear_empty: bool = False
) -> dict[Path, Annotation]:
    """The label files to write for what was found; what stands against it is added to the intake's problems.

    The shapes of an image are replaced; what our files say besides (crop, silhouette, note) stays, and a shape that
    came back as it went keeps its kind and description. An image of which a file has no shapes keeps its labels.

    Args:
        intake: what was found.
        files: the folder of labels.
        images: the folder of images.
        labelled: call the images done.
        clear_empty: take no shapes for a person's word that there is nothing to see.
    """
    written: dict[Path, Annotation] = {}
    for drawing in _one_each(intake, clear_empty):
        file = drawing.entry.file
        try:
            before = _before(drawing, files, images)
            if drawing.size not in (None, (before.width, before.height)):
                raise ValueError(
                    f"expected {before.width} x {before.height} pixels as {file} has, got {drawing.size[0]} x "  # type: ignore[index]
                    f"{drawing.size[1]}: drawn on another size of it; export labels of the original"
                )
            path = _path(drawing, files)
            if path in written:
                raise ValueError(f"{path}: expected one image for each label file, got {written[path].file} and {file}")
        except ValueError as error:
            intake.add_problem(drawing.place, error, file)
            continue
        if file in intake.spoiled:
            continue
        shapes = tuple(_as_before(shape, before) for shape in drawing.shapes)
        if labelled:
            shapes = tuple(map(accepted, shapes))
        intake.losses += _losses(before, shapes)
        written[path] = replace(before, shapes=shapes, labelled=before.labelled or labelled)
    return written


def _one_each(intake: Intake, clear_empty: bool) -> Iterable[Drawing]:
    """The drawings with something in them, of each image one."""
    together: dict[str, list[Drawing]] = {}
    for drawing in intake.drawings:
        together.setdefault(drawing.entry.file, []).append(drawing)
    for file, drawings in together.items():
        drawn = [drawing for drawing in drawings if drawing.shapes] or (drawings[:1] if clear_empty else [])
        if not drawn:
            if file not in intake.spoiled:
                intake.remarks.append(f"{drawings[0].place}: no shapes of {file}; it stays as it is")
            continue
        if len(drawn) > 1:
            others = " and ".join(drawing.place for drawing in drawn)
            intake.add_problem(others, ValueError(f"expected labels of {file} once, got them {len(drawn)} times"), file)
            continue
        yield drawn[0]


def _before(drawing: Drawing, files: LabelFiles, images: Path) -> Annotation:
    """The labels that an image had, or none."""
    entry = drawing.entry
    if entry.file in files.annotations:
        return files.annotations[entry.file]
    if entry.file in files.paths:
        raise ValueError(f"{files.paths[entry.file]}: labels of another content of {entry.file}; move that file away")
    if drawing.before is not None and drawing.before.sha256 == entry.sha256:
        return replace(drawing.before, file=entry.file, shapes=())
    height, width = read_image(images, entry).shape
    return Annotation(entry.file, entry.sha256, width, height)


def _path(drawing: Drawing, files: LabelFiles) -> Path:
    foreign = files.foreign.get(drawing.entry.file)
    if drawing.source is not None and foreign is not None and foreign[0].samefile(drawing.source):
        # It lies in the folder of labels: the hash is added to it there.
        return files.paths.get(drawing.entry.file, foreign[0])
    return files.path_for(drawing.entry)


def _as_before(shape: Shape, before: Annotation) -> Shape:
    """The shape of the file that a polygon came from, when nobody has moved it."""
    for old in before.shapes:
        if old.label == shape.label:
            points, again = outline(old), outline(shape)
            if len(points) == len(again) and np.abs(points - again).max() < _SAME_POINT:
                return old
    return shape


def _losses(before: Annotation, shapes: tuple[Shape, ...]) -> list[str]:
    """The labels that a person had drawn in an image and that have no shape there any more."""
    drawn = counted([shape for shape in before.shapes if not is_proposal(shape)])
    now = counted(shapes)
    lost = [f"{count} {label}" for label, count in drawn.items() if count and not now[label]]
    return [f"{before.file}: had {', '.join(lost)}, and has none any more"] if lost else []


def parse_categories(pairs: Iterable[str]) -> Mapping[str, str]:
    """What names in files stand for, from words NAME=LABEL: name in lower case -> label.

    Raises ValueError with the word.
    """
    categories = {}
    for pair in pairs:
        name, _, label = pair.rpartition("=")
        if not name.strip() or label not in LABELS:
            raise ValueError(f"--category: expected NAME=LABEL with one of {', '.join(LABELS)}, got {pair!r}")
        categories[name.strip().lower()] = label
    return categories
