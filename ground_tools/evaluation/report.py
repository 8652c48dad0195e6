"""Where an evaluation leaves its figures: a record for programs, one HTML report, and the pages in docs."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from ground_tools.evaluation.figures import Record, add_conclusions, sets_of
from ground_tools.evaluation.statistics import VERSION
from ground_tools.evaluation.tables import blocks
from ground_tools.foundation.files import write_whole
from ground_tools.pages.html_page import html_page
from ground_tools.pages.markdown import markdown
from ground_tools.pages.sections import check_section, write_section

TITLE = "Rubblemap: evaluation"


def check_docs(docs: Path) -> None:
    """Raise ValueError unless DOCS/results.md has a place for figures: before hours of work, not after."""
    check_section(docs / "results.md", "figures")


def read_record(path: Path) -> Record:
    """The figures so far; none where there is no file. Raises ValueError for a file that is no record."""
    if not path.exists():
        return {}
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: no JSON ({error})") from error
    if not isinstance(record, dict):
        raise ValueError(f"{path}: expected an object, got {type(record).__name__}")
    return record


def merge(record: Record, new: Record) -> Record:
    """A record with new figures in place of older ones of the same set and mode; what is not new stays.

    Figures of another version of a bundle or of a set that is in `new` go, and so do those of an older evaluation:
    versions are never mixed. Says so on stderr. Pictures, choices and what is unlike training go with the last figures
    of their bundle on their set.
    """
    fresh = [figures for modes in sets_of(new).values() for figures in modes.values()]
    versions = {figures["bundle"]["name"]: figures["bundle"]["sha256"] for figures in fresh}
    contents = {figures["dataset"]: figures["dataset_sha256"] for figures in fresh}

    def current(figures: Record) -> bool:
        if figures.get("statistics_version") != VERSION:
            return False
        bundle, content = figures["bundle"], figures["dataset_sha256"]
        same_bundle = versions.get(bundle["name"], bundle["sha256"]) == bundle["sha256"]
        return bool(same_bundle and contents.get(figures["dataset"], content) == content)

    result: Record = {}
    for name, modes in {**sets_of(record), **sets_of(new)}.items():
        older = record.get(name, {})
        kept = {key: figures for key, figures in older.items() if current(figures)}
        if len(kept) < len(older):
            print(f"figures of {name} from another version of bundle, set or evaluation are left out", file=sys.stderr)
        together = {**kept, **(modes if name in new else {})}
        if together:
            result[name] = together
    left = [(name, figures) for name, modes in result.items() for figures in modes.values()]
    owners = {(name, _origin(figures)) for name, figures in left}
    # Choices are by set, whatever the split that is evaluated.
    owners_of_choices = {(figures["dataset"], _origin(figures)) for _, figures in left}
    for part, allowed in (("choices", owners_of_choices), ("unlike_training", owners)):
        result[part] = {}
        for source in (record, new):
            for name, by_bundle in source.get(part, {}).items():
                kept = {bundle: figures for bundle, figures in by_bundle.items() if (name, _origin(figures)) in allowed}
                if kept:
                    result[part].setdefault(name, {}).update(kept)
    pictures: dict[str, dict[str, Record]] = {}
    for source in (record, new):
        for name, items in source.get("pictures", {}).items():
            kept = {item["file"]: item for item in items if (name, _origin(item)) in owners}
            pictures.setdefault(name, {}).update(kept)
    result["pictures"] = {name: [*items.values()] for name, items in pictures.items() if items}
    return add_conclusions({**dict(sorted(result.items()))})


def _origin(item: Record) -> tuple[str, str | None]:
    """The content of the bundle and of the set that figures or a picture come from."""
    return item["bundle"]["sha256"], item.get("dataset_sha256")


def write_record(path: Path, record: Record) -> None:
    """Write results.json whole or not at all."""
    write_whole(path, (json.dumps(record, indent=1) + "\n").encode())


def write_out(out: Path, new: Record) -> list[Path]:
    """Add figures to OUT/results.json and write OUT/report.html anew; returns the files."""
    record = merge(read_record(out / "results.json"), new)
    write_record(out / "results.json", record)
    text = html_page(blocks(record), TITLE, out / "images")
    write_whole(out / "report.html", text.encode())
    return [out / "results.json", out / "report.html"]


def write_docs(docs: Path, out: Path, new: Record) -> list[Path]:
    """Add figures to DOCS/results.json, DOCS/results.md and DOCS/images/results; returns the files."""
    check_docs(docs)
    former = read_record(docs / "results.json")
    record = merge(former, new)
    written = [docs / "results.json", docs / "results.md"]
    write_section(written[1], "figures", section(record), record, written[0])
    images = docs / "images" / "results"
    for items in new.get("pictures", {}).values():
        for item in items:
            written.append(images / item["file"])
            write_whole(written[-1], (out / "images" / item["file"]).read_bytes())
    for file in _picture_files(former) - _picture_files(record):
        (images / file).unlink(missing_ok=True)
    return written


def section(record: Record) -> str:
    """The figures as Markdown."""
    return markdown(blocks(record), "images/results", deeper=1)


def _picture_files(record: Record) -> set[str]:
    return {Path(item["file"]).name for items in record.get("pictures", {}).values() for item in items}
