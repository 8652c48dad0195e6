"""Where an evaluation leaves its figures: a record for programs, one HTML report, and the pages in docs."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from msgspec import UNSET

from ground_tools.evaluation.results import (
    ModeFigures,
    PictureEntry,
    Provenance,
    Results,
    plain_results,
    read_results,
)
from ground_tools.evaluation.tables import blocks
from ground_tools.evaluation.targets import conclude
from ground_tools.foundation.files import write_whole
from ground_tools.foundation.json_records import json_bytes
from ground_tools.pages.html_page import html_page
from ground_tools.pages.markdown import markdown
from ground_tools.pages.sections import check_section, write_section

TITLE = "Rubblemap: evaluation"

# Sets, each with the content of the bundle and of the set itself.
_Owners = set[tuple[str, tuple[str, str]]]
_Told = TypeVar("_Told", bound=Provenance)


def check_docs(docs: Path) -> None:
    """Raise ValueError unless DOCS/results.md has a place for figures: before hours of work, not after."""
    check_section(docs / "results.md", "figures")


def _tell_of_grey_levels(older: dict[str, ModeFigures], newer: dict[str, ModeFigures]) -> None:
    """Say so where two makes of a set have the same geometry and labels, as when another processor rendered one."""
    contents = {(f.dataset_sha256, f.dataset_labels_sha256) for f in (*older.values(), *newer.values())}
    labels = {label for _, label in contents}
    if len(contents) > 1 and len(labels) == 1 and UNSET not in labels:
        print("  their sets differ in grey levels alone: geometry and labels are the same", file=sys.stderr)


def merge(former: Results, new: Results) -> Results:
    """Results with new figures in place of former ones of the same set and mode; what is not new stays.

    Figures of another version of a bundle or of a set that is in `new` go: versions are never mixed. Says so on
    stderr. Pictures, choices and what is unlike training go with the last figures of their bundle on their set.
    """
    fresh = [figures for _, _, figures in new.figures()]
    versions = {figures.bundle.name: figures.bundle.sha256 for figures in fresh}
    contents = {figures.dataset: figures.dataset_sha256 for figures in fresh}

    def current(figures: ModeFigures) -> bool:
        bundle, content = figures.bundle, figures.dataset_sha256
        return versions.get(bundle.name, bundle.sha256) == bundle.sha256 and (
            contents.get(figures.dataset, content) == content
        )

    sets: dict[str, dict[str, ModeFigures]] = {}
    for name in {**former.sets, **new.sets}:
        older = former.sets.get(name, {})
        kept = {key: figures for key, figures in older.items() if current(figures)}
        if len(kept) < len(older):
            print(f"figures of {name} from another version of bundle or set are left out", file=sys.stderr)
            _tell_of_grey_levels(older, new.sets.get(name, {}))
        together = {**kept, **new.sets.get(name, {})}
        if together:
            sets[name] = together
    left = Results(sets=dict(sorted(sets.items())))
    owners = {(name, figures.origin) for name, _, figures in left.figures()}
    # Choices are by set, whatever the split that is evaluated.
    of_choices = {(figures.dataset, figures.origin) for _, _, figures in left.figures()}
    return conclude(
        replace(
            left,
            choices=_together(former.choices, new.choices, of_choices),
            unlike_training=_together(former.unlike_training, new.unlike_training, owners),
            hazard=_together(former.hazard, new.hazard, owners),
            risk=_together(former.risk, new.risk, owners),
            pictures=_pictures_together(former.pictures, new.pictures, owners),
        )
    )


def _together(
    former: dict[str, dict[str, _Told]], new: dict[str, dict[str, _Told]], owners: _Owners
) -> dict[str, dict[str, _Told]]:
    """By set and bundle or mode, those whose set and origin are among the owners, new ones in place of former ones."""
    result: dict[str, dict[str, _Told]] = {}
    for source in (former, new):
        for name, by_bundle in source.items():
            kept = {bundle: figures for bundle, figures in by_bundle.items() if (name, figures.origin) in owners}
            if kept:
                result.setdefault(name, {}).update(kept)
    return result


def _pictures_together(
    former: dict[str, list[PictureEntry]], new: dict[str, list[PictureEntry]], owners: _Owners
) -> dict[str, list[PictureEntry]]:
    pictures: dict[str, dict[str, PictureEntry]] = {}
    for source in (former, new):
        for name, entries in source.items():
            kept = {entry.file: entry for entry in entries if (name, entry.origin) in owners}
            pictures.setdefault(name, {}).update(kept)
    return {name: [*by_file.values()] for name, by_file in pictures.items() if by_file}


def write_out(out: Path, new: Results) -> list[Path]:
    """Add figures to OUT/results.json and write OUT/report.html anew; returns the files."""
    results = merge(read_results(out / "results.json"), new)
    write_whole(out / "results.json", json_bytes(plain_results(results)))
    text = html_page(blocks(results), TITLE, out / "images")
    write_whole(out / "report.html", text.encode())
    return [out / "results.json", out / "report.html"]


def write_docs(docs: Path, out: Path, new: Results) -> list[Path]:
    """Add figures to DOCS/results.json, DOCS/results.md and DOCS/images/results; returns the files."""
    check_docs(docs)
    former = read_results(docs / "results.json")
    results = merge(former, new)
    written = [docs / "results.json", docs / "results.md"]
    write_section(written[1], "figures", section(results), plain_results(results), written[0])
    images = docs / "images" / "results"
    for entries in new.pictures.values():
        for entry in entries:
            written.append(images / entry.file)
            write_whole(written[-1], (out / "images" / entry.file).read_bytes())
    for file in _picture_files(former) - _picture_files(results):
        (images / file).unlink(missing_ok=True)
    return written


def section(results: Results) -> str:
    """The figures as Markdown."""
    return markdown(blocks(results), "images/results", deeper=1)


def _picture_files(results: Results) -> set[str]:
    return {entry.file for entries in results.pictures.values() for entry in entries}
