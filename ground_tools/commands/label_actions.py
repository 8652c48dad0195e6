"""What the actions of `ground-tools label` do; each takes the parsed command line."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path

from ground_tools.commands.image_options import second_label_folder
from ground_tools.commands.label_import import import_labels
from ground_tools.labelling.annotations import (
    Annotation,
    check_apart,
    how_to_import,
    read_annotation,
    write_annotation,
)
from ground_tools.labelling.collection import (
    MANIFEST_FILE,
    ImageEntry,
    Rules,
    find_image,
    read_image,
    read_manifest,
    read_rules,
    write_manifest,
)
from ground_tools.labelling.label_files import find_drawing, find_label_files, read_labels, refuse_drawing
from ground_tools.labelling.shapes import (
    Shape,
    accepted,
    area,
    as_line,
    counted,
    is_proposal,
    middle,
    shape_of_line,
)


def run_action(arguments: argparse.Namespace) -> int:
    """Do what `ground-tools label` was asked for; returns the exit code."""
    if arguments.action == "manifest":
        return _manifest(arguments)
    entries, rules = read_manifest(arguments.real_images), read_rules(arguments.labels)
    whole = {
        "propose": _propose,
        "check": _check,
        "status": _status,
        "agreement": _agreement,
        "export": _export,
        "import": import_labels,
    }
    if arguments.action in whole:
        return whole[arguments.action](arguments, entries, rules)
    entry = find_image(entries, arguments.image)
    path = find_label_files(arguments.labels, entries, arguments.real_images).path_for(entry)
    if arguments.action == "list":
        return _list(_read(path, entry, arguments.real_images), rules, arguments.text)
    if arguments.action == "sheet":
        return _sheet(arguments, _read(path, entry, arguments.real_images), entry, rules)
    changes = {"add": _add, "replace": _replace, "move": _move, "remove": _remove, "apply": _apply, "set": _set}
    annotation = changes[arguments.action](arguments, _read(path, entry, arguments.real_images))
    write_annotation(annotation, path)
    return _list(annotation, rules, False)


def _manifest(arguments: argparse.Namespace) -> int:
    listing = write_manifest(arguments.folder, arguments.body, arguments.bit_depth)
    _tell([f"{line}; left out" for line in listing.litter + listing.unusable])
    left_out = f", {len(listing.unusable)} files left out" if listing.unusable else ""
    print(f"{arguments.folder / MANIFEST_FILE}: {listing.images} images{left_out}")
    return 1 if listing.unusable else 0


def _read(path: Path, entry: ImageEntry, images: Path) -> Annotation:
    """The labels of an image, or none of it yet. Raises ValueError when the file is of another image's content."""
    if not path.exists():
        height, width = read_image(images, entry).shape
        return Annotation(entry.file, entry.sha256, width, height)
    annotation, problems = read_annotation(path)
    if problems:
        # To write the file again would lose these shapes.
        raise ValueError("; ".join(problems).replace("; left out", ""))
    if annotation.sha256 != entry.sha256:
        raise ValueError(f"{path}: sha256: expected {entry.sha256[:16]}..., got {annotation.sha256[:16]}...")
    return annotation


def _tell(problems: list[str]) -> None:
    for problem in problems:
        print(problem, file=sys.stderr)


def _propose(arguments: argparse.Namespace, entries: dict[str, ImageEntry], rules: Rules) -> int:
    from ground_tools.labelling.proposals import propose

    wanted = entries if rules.wanted is None else [file for file in rules.wanted if file in entries]
    names = arguments.images or [file for file in wanted if file not in rules.excluded]
    files = find_label_files(arguments.labels, entries, arguments.real_images)
    # What stands against single images is told with them.
    with_image = {f"{reason}; left out" for _, reason in files.foreign.values()}
    _tell([line for line in files.problems if line not in with_image])
    failed = 0
    for name in names:
        try:
            entry = find_image(entries, name)
            path = files.path_for(entry)
            before = _read(path, entry, arguments.real_images)
            if not arguments.replace and all(map(is_proposal, before.shapes)):
                refuse_drawing(arguments.real_images, entry)
            image = read_image(arguments.real_images, entry)
        except ValueError as error:
            _tell([f"{error}; left out"])
            failed += 1
            continue
        annotation = propose(image, before, rules.margin, arguments.terminator, arguments.replace)
        write_annotation(annotation, path)
        print(f"{path.name}: {_counts(annotation)}")
    return 1 if failed else 0


def _counts(annotation: Annotation) -> str:
    counts = counted(annotation.shapes)
    return ", ".join(f"{count} {label}" for label, count in counts.items() if count) or "no shapes"


def _given_shape(arguments: argparse.Namespace, label: str) -> Shape:
    for kind in ("ellipse", "circle", "rectangle", "polygon"):
        values = getattr(arguments, kind)
        if values is not None:
            return shape_of_line(f"{label} {kind} {values if isinstance(values, str) else ' '.join(values)}")
    raise ValueError("expected a shape, got none")


def _number_of(number: int, annotation: Annotation) -> int:
    if not 0 <= number < len(annotation.shapes):
        raise ValueError(f"{annotation.file}: --shape: expected 0..{len(annotation.shapes) - 1}, got {number}")
    return number


def _add(arguments: argparse.Namespace, annotation: Annotation) -> Annotation:
    return replace(annotation, shapes=(*annotation.shapes, _given_shape(arguments, arguments.label)))


def _replace(arguments: argparse.Namespace, annotation: Annotation) -> Annotation:
    number = _number_of(arguments.shape, annotation)
    shape = _given_shape(arguments, arguments.label or annotation.shapes[number].label)
    return replace(annotation, shapes=(*annotation.shapes[:number], shape, *annotation.shapes[number + 1 :]))


def _move(arguments: argparse.Namespace, annotation: Annotation) -> Annotation:
    number = _number_of(arguments.shape, annotation)
    dx, dy = arguments.by
    points = tuple((round(x + dx, 2), round(y + dy, 2)) for x, y in annotation.shapes[number].points)
    moved = Shape(annotation.shapes[number].label, points, annotation.shapes[number].kind)
    return replace(annotation, shapes=(*annotation.shapes[:number], moved, *annotation.shapes[number + 1 :]))


def _remove(arguments: argparse.Namespace, annotation: Annotation) -> Annotation:
    numbers = {_number_of(number, annotation) for number in arguments.shape}
    return replace(annotation, shapes=tuple(s for n, s in enumerate(annotation.shapes) if n not in numbers))


def _apply(arguments: argparse.Namespace, annotation: Annotation) -> Annotation:
    text = sys.stdin.read() if str(arguments.file) == "-" else arguments.file.read_text(encoding="utf-8")
    shapes: list[Shape] = []
    for number, line in enumerate(text.splitlines(), start=1):
        line = line.partition("#")[0].strip()
        if line:
            try:
                shapes.append(shape_of_line(line))
            except ValueError as error:
                raise ValueError(f"{arguments.file}, line {number}: {error}") from error
    # What the file says as the proposals do is a proposal still.
    before = {(shape.label, shape.points): shape for shape in annotation.shapes}
    return replace(annotation, shapes=tuple(before.get((shape.label, shape.points), shape) for shape in shapes))


def _set(arguments: argparse.Namespace, annotation: Annotation) -> Annotation:
    if arguments.silhouette is not None:
        annotation = replace(annotation, silhouette=arguments.silhouette)
    if arguments.note is not None:
        annotation = replace(annotation, note=arguments.note)
    if arguments.crop is not None:
        annotation = replace(annotation, crop=None if arguments.crop == "auto" else arguments.crop)
    if arguments.close_ups is not None:
        check_apart(arguments.close_ups, "--close-ups")
        annotation = replace(annotation, close_ups=tuple(arguments.close_ups))
    if arguments.labelled is not None:
        shapes = tuple(map(accepted, annotation.shapes)) if arguments.labelled else annotation.shapes
        annotation = replace(annotation, labelled=arguments.labelled, shapes=shapes)
    return annotation


def _list(annotation: Annotation, rules: Rules, as_lines: bool) -> int:
    from ground_tools.labelling.sheets import places, sizes

    if as_lines:
        print("\n".join(as_line(shape) for shape in annotation.shapes))
        return 0
    state = "labelled" if annotation.labelled else "not labelled yet"
    print(f"{annotation.file}: {_counts(annotation)}; outline {annotation.silhouette}; {state}")
    least = rules.minimum_across_in(annotation)
    measured = zip(annotation.shapes, sizes(annotation, rules.margin), places(annotation, rules.margin), strict=True)
    for number, (shape, size, place) in enumerate(measured):
        small = ", TOO SMALL" if size < least.get(shape.label, 0.0) - 0.05 else ""
        state = ", proposal" if is_proposal(shape) else ""
        where = {"inside": "", "partly": ", partly outside of the crop", "outside": ", OUTSIDE OF THE CROP"}[place]
        x, y = middle(shape)
        print(
            f"{number:>4} {shape.label:<11} at {x:6.1f},{y:6.1f}  {size:6.1f} px across at 128, "
            f"area {area(shape):8.1f} px{small}{where}{state}"
        )
    return 0


def _sheet(arguments: argparse.Namespace, annotation: Annotation, entry: ImageEntry, rules: Rules) -> int:
    import cv2

    from ground_tools.datasets.store import png_bytes
    from ground_tools.foundation.files import write_whole
    from ground_tools.labelling.sheets import PANELS, label_sheet

    panels = ("plain",) if arguments.no_labels else arguments.panels or PANELS
    image = read_image(arguments.real_images, entry)
    picture = label_sheet(
        image,
        annotation,
        rules.minimum_across_in(annotation),
        rules.margin,
        panels,
        arguments.region,
        arguments.scale,
        arguments.gamma,
        arguments.smooth,
    )
    write_whole(arguments.out, png_bytes(cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)))
    print(arguments.out)
    return 0


def _check(arguments: argparse.Namespace, entries: dict[str, ImageEntry], rules: Rules) -> int:
    from ground_tools.labelling.checks import check

    findings = check(arguments.labels, arguments.real_images, entries, rules)
    _tell([f"error: {line}" for line in findings.errors])
    for line in findings.remarks:
        print(f"remark: {line}")
    print(f"{arguments.labels}: {len(findings.errors)} errors, {len(findings.remarks)} remarks")
    return 1 if findings.errors else 0


def _status(arguments: argparse.Namespace, entries: dict[str, ImageEntry], rules: Rules) -> int:
    from ground_tools.labelling.checks import unlabelled

    annotations, problems = read_labels(arguments.labels, entries)
    _tell(problems)
    done = {file for file, annotation in annotations.items() if annotation.labelled}
    for file in sorted(done | set(annotations)):
        state = "labelled" if file in done else "begun"
        print(f"{state:<9} {file:<28} {_counts(annotations[file])}")
    left = unlabelled(annotations, entries, rules)
    for file in left:
        if file not in annotations:
            drawing = find_drawing(arguments.real_images, entries[file])
            print(f"{'none':<9} {file}" if drawing is None else f"{'drawn':<9} {file:<28} {how_to_import(drawing)}")
    for file, why in rules.excluded.items():
        print(f"{'excluded':<9} {file:<28} {why}")
    bodies = {entries[file].body for file in done}
    print(f"{len(done)} images of {len(bodies)} bodies labelled, {len(left)} to do, {len(rules.excluded)} excluded")
    return 0


def _agreement(arguments: argparse.Namespace, entries: dict[str, ImageEntry], rules: Rules) -> int:
    from ground_tools.foundation.json_records import to_plain
    from ground_tools.labelling.agreement import agreement, as_text

    result, problems = agreement(arguments.labels, arguments.second or second_label_folder(arguments), entries, rules)
    _tell(problems)
    print(json.dumps(to_plain(result), indent=2) + "\n" if arguments.json else as_text(result), end="")
    if arguments.write is not None:
        from ground_tools.datasets.report import write_agreement

        for path in write_agreement(rules.name, result, arguments.write):
            print(path)
    return 0


def _export(arguments: argparse.Namespace, entries: dict[str, ImageEntry], rules: Rules) -> int:
    from ground_tools.labelling.coco import write_coco

    annotations, problems = read_labels(arguments.labels, entries)
    _tell(problems)
    write_coco(annotations, arguments.coco)
    shapes = sum(len(annotation.shapes) for annotation in annotations.values())
    print(f"{arguments.coco}: {len(annotations)} images, {shapes} shapes")
    return 0
