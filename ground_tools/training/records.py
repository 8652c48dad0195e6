"""What a training's record says: of the trainings that it goes back to, and whether a set was kept apart from them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ground_tools.datasets.store import read_description

Record = dict[str, Any]


def chain(record: Record) -> Iterator[Record]:
    """The training records of a network, the last training first, as far as they are known."""
    yield record
    origin = record.get("began_from", {}).get("training")
    if origin:
        yield from chain(origin)


def split_rule(description: Record) -> str | None:
    """By what a set of real images was split, as its description states it: "image" or "body"; None for other sets."""
    rule = description.get("campaign", {}).get("split_by")
    return None if rule is None else str(rule)


def set_name(description: Record) -> str:
    """What results call a set: its name; with _unseen_bodies where other bodies are in test than in training."""
    unseen = "_unseen_bodies" if split_rule(description) == "body" else ""
    return f"{description['name']}{unseen}"


def check_unseen(owner: str, used: dict[str, list[Record]], path: Path) -> None:
    """Raise ValueError when anything in a bundle comes from a set that differs from this one in its splits only.

    Its test images were among those used. Says on stderr when it comes from another make of the set, whose splits may
    be others. owner: for messages, as "bundle unet_h". used: what it came from -> the sets (name, sha256, split_by), as
    {"UNetS": [...], "the choices": [...]}.
    """
    description = read_description(path)
    rule = split_rule(description)
    for what, sets in used.items():
        for record in sets:
            if record.get("name") != description["name"]:
                continue
            if record.get("split_by") != rule:
                raise ValueError(
                    f"dataset {path}: split by {rule}: expected {what} of {owner} to come from {description['name']} "
                    f"split by {rule}, or from other sets; got it split by {record.get('split_by')}, with images of "
                    "this test split"
                )
            if rule is not None and record.get("sha256") != description.get("sha256"):
                print(
                    f"dataset {path}: {what} of {owner} came from another make of {description['name']}; images of "
                    "this test split may have been used",
                    file=sys.stderr,
                )


def sets_used(training: dict[str, Record], choices: dict[str, Record]) -> dict[str, list[Record]]:
    """For `check_unseen`: the sets of all trainings, by role, and those on which choices were made.

    training: the manifest's, by role. choices: its metrics.validation, by set; bundles that do not state the sets'
    hashes have none here.
    """
    used = {role: [part.get("dataset", {}) for part in chain(record)] for role, record in training.items()}
    stated = [figures["dataset"] for figures in choices.values() if isinstance(figures, dict) and "dataset" in figures]
    return {**used, "the choices": stated}
