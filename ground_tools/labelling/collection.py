"""A folder of labels beside a folder of images: manifest.csv, set.toml, and the label files that belong to them."""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Annotated

import numpy as np
from msgspec import Meta, field
from msgspec.structs import asdict, replace

from flight.client.bit_depth import BitDepthRule, scale_to_grey
from flight.client.images import preview
from flight.segment import warn
from ground_tools.foundation.descriptions import parse, read_toml
from ground_tools.foundation.expectations import format_toml_value
from ground_tools.foundation.files import write_whole
from ground_tools.foundation.names import PLAIN_NAME, check_inner_path, check_name, is_plain_name
from ground_tools.foundation.structures import FieldError, TomlTable
from ground_tools.labelling.annotations import Annotation, default_name
from hil.images.reader import SUFFIXES, list_pages, read_samples

_HERE = Path(__file__).parent
# The labels of each edition of the set D-4, and those of its second pass.
D4_EDITIONS = {1: (_HERE / "d4", _HERE / "d4_second"), 2: (_HERE / "d4_edition_2", _HERE / "d4_edition_2_second")}
D4_LABELS, D4_SECOND = D4_EDITIONS[max(D4_EDITIONS)]
MANIFEST_FILE, RULES_FILE = "manifest.csv", "set.toml"
_MANIFEST_COLUMNS = ("file", "body", "width_px", "height_px", "sha256", "obtained_from")
# Folders of copies that systems make of what lies beside them.
_LITTER_FOLDERS = ("__MACOSX", "@eaDir", "$RECYCLE.BIN")
# Of those that the reader knows, all but labels of other files.
IMAGE_SUFFIXES = tuple(suffix for suffix in SUFFIXES if suffix not in (".xml", ".lbl"))


@dataclass(frozen=True)
class ImageEntry:
    """One line of manifest.csv. bit_depth: bits in use of an image of more than 8; None: see read_image."""

    file: str
    body: str
    sha256: str
    bit_depth: int | None = None


class LeastSizes(TomlTable, frozen=True):
    """Least sizes of features that are labelled, pixels of a 128 x 128 crop."""

    crater: Annotated[float, Meta(ge=1, le=128, description="least size of a crater, pixels of a 128 x 128 crop")] = 6.0
    boulder: Annotated[float, Meta(ge=1, le=128, description="least size of a boulder, as of a crater")] = 6.0
    close_up_boulder: Annotated[
        Annotated[float, Meta(ge=1, le=128)] | None,
        Meta(description="least size of a boulder in a close-up; without it, as elsewhere"),
    ] = None


class Shares(TomlTable, frozen=True):
    """What goes to each split; the three sum to 1."""

    train: Annotated[float, Meta(ge=0, le=1, description="share for training")] = 0.7
    validation: Annotated[float, Meta(ge=0, le=1, description="share for validation")] = 0.2
    test: Annotated[float, Meta(ge=0, le=1, description="share for testing; the three sum to 1")] = 0.1

    def __post_init__(self) -> None:
        if abs(sum(self.shares) - 1.0) > 1e-9:
            raise FieldError("", "shares that sum to 1", f"{sum(self.shares):g}")

    @property
    def shares(self) -> tuple[float, float, float]:
        return self.train, self.validation, self.test


class SplitByImage(Shares, frozen=True):
    """Shares of the images, and images whose split another set has decided."""

    tested: Annotated[
        tuple[str, ...], Meta(description="images for testing, with their groups, whatever the shares")
    ] = ()
    never_tested: Annotated[
        tuple[str, ...], Meta(description="images that never come to testing, nor their groups")
    ] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        if both := set(self.tested) & set(self.never_tested):
            raise FieldError("never_tested", "images not in tested", format_toml_value(min(both)))


class SplitByCopy(Shares, frozen=True):
    """Shares of the copies, wherever the other copies of an image go."""

    images: Annotated[
        int, Meta(ge=0, description="so many images are drawn, with all their copies; 0: every one is used")
    ] = 0


class SplitByBody(TomlTable, frozen=True):
    """Which bodies are for training and validation, and which for testing."""

    train: Annotated[tuple[str, ...], Meta(description="bodies to train on, and to validate with")] = ()
    test: Annotated[tuple[str, ...], Meta(description="bodies to test on")] = ()
    validation_share: Annotated[
        float, Meta(ge=0, le=0.9, description="share of the images of the bodies to train on")
    ] = 0.2

    def __post_init__(self) -> None:
        if both := set(self.train) & set(self.test):
            raise FieldError("test", "bodies not in train", format_toml_value(min(both)))


class Rules(TomlTable, frozen=True):
    """What set.toml says of a set of real images."""

    name: Annotated[str, Meta(description="name of the set; empty: the folder's")] = ""
    edition: Annotated[
        Annotated[int, Meta(ge=1)] | None,
        Meta(description="edition of a set that has several; results call the first NAME_first_edition"),
    ] = None
    seed: Annotated[int, Meta(ge=0, le=2**32, description="seed of the splits")] = 0
    least_sizes: LeastSizes = field(name="minimum_across", default=LeastSizes())
    margin: Annotated[float, Meta(ge=1, le=4, description="side of the crop over the largest extent of the body")] = (
        1.15
    )
    split_by_image: SplitByImage = SplitByImage()
    split_by_body: SplitByBody = SplitByBody()
    split_by_copy: SplitByCopy = SplitByCopy()
    excluded: Annotated[dict[str, str], Meta(description="images that are not used, and why")] = field(
        default_factory=dict
    )
    groups: Annotated[
        tuple[tuple[str, ...], ...],
        Meta(description="images that show the same and never come into different splits"),
    ] = ()
    wanted: Annotated[
        tuple[str, ...] | None, Meta(description="the images to label; without it, all of manifest.csv")
    ] = None

    def __post_init__(self) -> None:
        if self.name and not is_plain_name(self.name):
            raise FieldError("name", PLAIN_NAME, format_toml_value(self.name))
        members = [file for group in self.groups for file in group]
        if twice := {file for file in members if members.count(file) > 1}:
            raise FieldError("groups", "images that are in one group alone", format_toml_value(min(twice)))
        tested = set(map(self.group_of, self.split_by_image.tested))
        if both := [file for file in self.split_by_image.never_tested if self.group_of(file) in tested]:
            expected = "images in no group with one of tested"
            raise FieldError("split_by_image.never_tested", expected, format_toml_value(min(both)))

    @property
    def minimum_across(self) -> dict[str, float]:
        """Label -> least size of a crater or boulder, pixels of a 128 x 128 crop; in close-ups, of close_up_boulder."""
        return {name: size for name, size in asdict(self.least_sizes).items() if size is not None}

    def minimum_across_in(self, annotation: Annotation) -> dict[str, float]:
        """Label -> least size of a crater or boulder in the samples of an image, pixels of a 128 x 128 crop."""
        sizes, close_up = self.least_sizes, self.least_sizes.close_up_boulder
        return {
            "crater": sizes.crater,
            "boulder": close_up if annotation.close_ups and close_up is not None else sizes.boulder,
        }

    def group_of(self, file: str) -> str:
        """The group of an image: the name of its group's first image, or its own."""
        return next((group[0] for group in self.groups if file in group), file)


def read_manifest(images: Path) -> dict[str, ImageEntry]:
    """The images of a folder by name, from its manifest.csv (columns file, body, sha256, and bit_depth where it is).

    Raises ValueError that says what to provide when there is none, or a line does not fit.
    """
    path = images / MANIFEST_FILE
    if not path.is_file():
        raise ValueError(
            f"{path}: no such file; give --real-images DIR, a folder of images with manifest.csv "
            "(`ground-tools label manifest DIR` writes one)"
        )
    try:
        # Spreadsheets put a mark of the byte order before it.
        reader = csv.DictReader(io.StringIO(path.read_text(encoding="utf-8-sig"), newline=""))
        rows = [(reader.line_num, row) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path}: not readable as CSV in UTF-8 ({error})") from error
    missing = {"file", "body", "sha256"} - set(reader.fieldnames or ())
    if missing:
        raise ValueError(f"{path}: expected columns file, body, sha256, without {', '.join(sorted(missing))}")
    entries: dict[str, ImageEntry] = {}
    for line, row in rows:
        place = f"{path}, line {line}"
        if not all(row.get(name) for name in ("file", "body", "sha256")):
            raise ValueError(f"{place}: expected a file, a body and a sha256, got {row}")
        check_inner_path(row["file"], f"{place}: file")
        check_name(row["body"], f"{place}: body")
        entry = ImageEntry(row["file"], row["body"], row["sha256"], _bit_depth_of(row, place))
        if entries.setdefault(entry.file, entry) != entry:
            raise ValueError(f"{place}: file: expected each image once, got {entry.file} again, with other values")
    return entries


@dataclass(frozen=True)
class Listing:
    """What `write_manifest` found. images: how many it listed. litter, unusable: what it left out, a line each."""

    images: int
    litter: list[str]
    unusable: list[str]


def write_manifest(images: Path, body: str | None = None, bit_depth: int | None = None) -> Listing:
    """Write manifest.csv for the images below a folder.

    What cannot be read, or has a name that no manifest may have, is left out and told, and so is litter: hidden files,
    those in hidden folders, and copies that systems make. What a manifest of before says of the same image (its body,
    where it was obtained, columns that a person added) stays, the body unless `body` is given.

    Args:
        images: the folder.
        body: of all images; None: each image's body is the name of the folder that it lies in.
        bit_depth: bits in use of images of more than 8; None: what the manifest of before says, or nothing.

    Raises:
        ValueError: there are no images, or `body` is no plain name.
    """
    if body is not None:
        check_name(body, "--body")
    files = sorted(path for path in images.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES and not path.is_dir())
    if not files:
        raise ValueError(f"{images}: expected images ({', '.join(IMAGE_SUFFIXES)}), found none")
    columns, before = _rows_of_before(images / MANIFEST_FILE)
    if bit_depth is not None and "bit_depth" not in columns:
        columns.append("bit_depth")
    litter: list[str] = []
    unusable: list[str] = []
    rows: list[dict[str, str | int]] = []
    for path in files:
        name = path.relative_to(images).as_posix()
        if any(part.startswith(".") or part in _LITTER_FOLDERS for part in path.relative_to(images).parts):
            litter.append(f"{_printable(path)}: litter")
            continue
        try:
            check_inner_path(name, _printable(path))
            data = path.read_bytes()
            height, width = _read_grey(path, bit_depth).shape
            digest = hashlib.sha256(data).hexdigest()
            known = before.get((name, digest), {})
            its_body = body or (known.get("body") if is_plain_name(known.get("body")) else None)
            place = f"{_printable(path)}: its body, the name of its folder"
            its_body = its_body or check_name(path.resolve().parent.name, place)
        except OSError as error:
            unusable.append(f"{_printable(path)}: not readable ({error.strerror})")
        except ValueError as error:
            unusable.append(str(error))
        else:
            found = (name, its_body, width, height, digest)
            stated = {} if bit_depth is None else {"bit_depth": bit_depth}
            rows.append({**known, **dict(zip(_MANIFEST_COLUMNS, found, strict=False)), **stated})
    if not rows:
        raise ValueError(f"{images}: expected images, found none that can be used: {(unusable + litter)[0]}")
    sink = io.StringIO()
    writer = csv.DictWriter(sink, [*_MANIFEST_COLUMNS, *columns], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_whole(images / MANIFEST_FILE, sink.getvalue().encode())
    return Listing(len(rows), litter, unusable)


def _printable(path: Path) -> str:
    """A path for a message: its bytes need not be UTF-8."""
    return str(path).encode("utf-8", "backslashreplace").decode()


def _rows_of_before(path: Path) -> tuple[list[str], dict[tuple[str, str], dict[str, str]]]:
    """The columns that a person added to a manifest, and its rows by name and sha256; none of one that is no CSV."""
    try:
        reader = csv.DictReader(path.read_text(encoding="utf-8-sig").splitlines())
        rows = [{name: value for name, value in row.items() if name and value} for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error):
        return [], {}
    columns = [name for name in reader.fieldnames or () if name and name not in _MANIFEST_COLUMNS]
    return columns, {(row.get("file", ""), row.get("sha256", "")): row for row in rows}


def _bit_depth_of(row: Mapping[str, str | None], place: str) -> int | None:
    text = row.get("bit_depth")
    if not text:
        return None
    if text not in map(str, range(8, 17)):
        raise ValueError(f"{place}: bit_depth: expected 8..16, got {text!r}")
    return int(text)


def read_image(images: Path, entry: ImageEntry) -> np.ndarray:
    """The image as (H, W) uint8 grey, as bright as it is.

    Of more than 8 bits, full scale is what the manifest says; or else what the file states; or else the least of 8, 10,
    12, 14 and 16 bits that holds the brightest pixel of the images in its folder, with a warning on stderr.

    Raises ValueError naming it when it is missing, other or unreadable.
    """
    path = images / entry.file
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ValueError(f"{path}: not readable ({error.strerror})") from error
    digest = hashlib.sha256(data).hexdigest()
    if digest != entry.sha256:
        raise ValueError(f"{path}: sha256: expected {entry.sha256[:16]}... of {MANIFEST_FILE}, got {digest[:16]}...")
    return _read_grey(path, entry.bit_depth)


def _read_grey(path: Path, bit_depth: int | None = None) -> np.ndarray:
    """An image file as (H, W) uint8 grey; see read_image."""
    item, *others = list_pages(path)
    if others:
        raise ValueError(f"{path}: expected one image in the file, got {len(others) + 1}")
    samples = read_samples(item)
    rule = BitDepthRule(bit_depth, warn)
    if rule.must_assume(samples):
        rule = _rule_of(path.parent)
    return scale_to_grey(samples, rule.full_scale(samples, str(item)))


@lru_cache(maxsize=64)
def _rule_of(folder: Path) -> BitDepthRule:
    """The rule of a folder of images: of one camera, as a rule, and to be as bright as each other."""
    rule = BitDepthRule(warn=warn)
    items = []
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in IMAGE_SUFFIXES and path.name[0] != ".":
            # One that cannot be read is told where it is read for its own sake.
            with suppress(ValueError, OSError):
                items += list_pages(path)
    preview(items, read_samples, rule)
    return rule


def find_image(entries: dict[str, ImageEntry], name: str) -> ImageEntry:
    """The image that a person means: `still/bennu_01.png`, `bennu_01`, `ryugu_sequence/000`.

    Raises ValueError when there is none, or several.
    """
    if name in entries:
        return entries[name]
    stem = name.removesuffix(".json")
    found = [
        entry
        for entry in entries.values()
        if stem in (entry.file.rsplit(".", 1)[0], Path(entry.file).stem, Path(entry.file).name)
        or default_name(entry.file) == f"{stem}.json"
    ]
    if len(found) != 1:
        several = f"{len(found)} images have that name" if found else "no such image"
        raise ValueError(f"image {name}: {several} in {MANIFEST_FILE}")
    return found[0]


def read_rules(labels: Path) -> Rules:
    """The rules of a folder of labels, from its set.toml; defaults where there is none.

    Raises ValueError naming the file and the field.
    """
    path = labels / RULES_FILE
    table = read_toml("rules", path) if path.exists() else {}
    rules = parse(f"rules {path}", table, Rules)
    return rules if rules.name else replace(rules, name=labels.resolve().name)
