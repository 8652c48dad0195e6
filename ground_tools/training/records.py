"""What a training's record says: of the trainings that it goes back to, and whether a set was kept apart from them."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ground_tools.datasets.store import digest, read_description, read_index

Record = dict[str, Any]


def chain(record: Record) -> Iterator[Record]:
    """The training records of a network, the last training first, as far as they are known."""
    yield record
    origin = record.get("began_from", {}).get("training")
    if origin:
        yield from chain(origin)


def split_rule(description: Record) -> str | None:
    """By what a set of real images was split: "image", "body" or "copy", as its description states it; else None."""
    rule = description.get("campaign", {}).get("split_by")
    return None if rule is None else str(rule)


def provenance(path: Path) -> Record:
    """Which set something came from: name, sha256 of its content, by what it is split, and the sha256 of its splits.

    Sets of one content may differ in their splits.
    """
    description, index = read_description(path), read_index(path)
    lines = [
        f"{sample} {split}" for sample, split in zip(*(index[c].to_pylist() for c in ("sha256", "split")), strict=True)
    ]
    edition = description.get("edition")
    return {
        "name": description["name"],
        **({} if edition is None else {"edition": edition}),
        "sha256": digest(path),
        "split_by": split_rule(description),
        "splits_sha256": hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest(),
    }


def set_name(description: Record) -> str:
    """What results call a set: its name, with _first_edition where there are later ones, and the rule of its splits.

    _unseen_bodies: other bodies are in test than in training. _paper_split: copies of one image are in both, as in the
    reference paper.
    """
    edition = "_first_edition" if description.get("edition") == 1 else ""
    rule = {"body": "_unseen_bodies", "copy": "_paper_split"}.get(split_rule(description) or "", "")
    return f"{description['name']}{edition}{rule}"


def check_unseen(owner: str, used: dict[str, list[Record]], path: Path) -> None:
    """Raise ValueError when anything in a bundle comes from a set that differs from this one in its splits only.

    Its test images were among those used. Says on stderr when it comes from another make of the set, whose splits may
    be others. owner: for messages, as "bundle unet_h". used: what it came from -> the sets (see `provenance`), as
    {"UNetS": [...], "the choices": [...]}.
    """
    own = provenance(path)
    name, rule = own["name"], own["split_by"]
    for what, sets in used.items():
        for record in sets:
            if record.get("name") != name:
                continue
            same = record.get("sha256") == own["sha256"]
            other_splits = same and record.get("splits_sha256", own["splits_sha256"]) != own["splits_sha256"]
            if record.get("split_by") != rule or other_splits:
                raise ValueError(
                    f"dataset {path}: split by {rule}: expected {what} of {owner} to come from the same splits of "
                    f"{name}, or from other sets; got it split by {record.get('split_by')} in another way, with images "
                    "of this test split"
                )
            if rule is not None and not same:
                print(
                    f"dataset {path}: {what} of {owner} came from another make of {name}; images of this test split "
                    "may have been used",
                    file=sys.stderr,
                )


def sets_in(record: Record) -> list[Record]:
    """The sets of one training: the one that it went through, and those that were in every batch beside it."""
    return [record[part] for part in ("dataset", "beside") if part in record] + record.get("mixed", [])


def teachers_in(record: Record) -> Iterator[Record]:
    """The training records of the networks that one training learned from, and of those that these go back to."""
    for teacher in record.get("teachers", []):
        if "training" in teacher:
            yield from chain(teacher["training"])


def sets_used(training: dict[str, Record], choices: dict[str, Record]) -> dict[str, list[Record]]:
    """For `check_unseen`: the sets of all trainings, by role, and those on which choices were made.

    training: the manifest's, by role. choices: its metrics.validation, by set; bundles that do not state the sets'
    hashes have none here.
    """
    parts = {
        role: [each for part in chain(record) for each in (part, *teachers_in(part))]
        for role, record in training.items()
    }
    used = {role: [stated for part in of_role for stated in sets_in(part)] for role, of_role in parts.items()}
    stated = [figures["dataset"] for figures in choices.values() if isinstance(figures, dict) and "dataset" in figures]
    return {**used, "the choices": stated}


def bundle_sets(manifest: Record) -> dict[str, list[Record]]:
    """For `check_unseen`: the sets that a bundle comes from, those of its thresholds with a promise among them."""
    choices = dict(manifest["metrics"].get("validation", {}))
    choices |= {f"risk on {entry['name']}": entry for entry in manifest.get("risk_thresholds", {}).get("sets", ())}
    return sets_used(manifest["training"], choices)
