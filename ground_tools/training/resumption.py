"""Going on with a training whose files a power cut may have damaged: repaired from the others, or named.

A file that was being written when the power went is empty, cut off, or full of zeros. What the log and the two backups
hold between them is enough to go on in most cases; where it is not, one line says which file is damaged and what to do.
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path
from typing import Any

import h5py

from ground_tools.foundation.files import write_whole
from ground_tools.foundation.json_records import read_json
from ground_tools.training.outcome import SEGMENTER_WEIGHTS, STARTED_FILE, UNET_WEIGHTS, best_file, write_best
from ground_tools.training.progress import LOG_FILE

BACKUP = "backup"
# As Keras names them in BackupAndRestore.
_STATE, _EPOCH = "latest.weights.h5", "training_metadata.json"
# Columns of the log.
_IOU = "val_iou_"
_BEGIN_AGAIN = "choose another --out to begin again"


def read_left(path: Path, advice: str) -> dict[str, Any]:
    """An object from a JSON file that a training or the like has left.

    Args:
        path: of the file, which must be there.
        advice: what to do where it is damaged.

    Raises:
        ValueError: it is damaged; names it.
    """
    try:
        record = read_json(path)
    except ValueError as error:
        record = {}
        reason = str(error).removeprefix(f"{path}: ")
    else:
        reason = "empty"
    if not record:
        raise ValueError(f"{path}: damaged ({reason}), as a power cut leaves files; {advice}")
    return record


def check_weights(path: Path, advice: str) -> None:
    """Check that a file of weights can be read to its end.

    Raises:
        ValueError: it is damaged; names it and what to do.
    """
    if not _holds_weights(path):
        raise ValueError(f"{path}: damaged, expected a whole HDF5 file of weights; {advice}")


def read_identity(out: Path) -> dict[str, Any] | None:
    """Which training a folder holds, from its started.json; None where there is none. Raises ValueError."""
    path = out / STARTED_FILE
    if not path.exists():
        return None
    return read_left(path, f"remove it to go on, if recipe, sets and start are those of before, or {_BEGIN_AGAIN}")


def repair(out: Path) -> None:
    """Make a training's folder such that it can go on; says on stderr what was repaired.

    Args:
        out: folder of the training; nothing is done where none was begun.

    Raises:
        ValueError: what is left does not suffice; names the file and what to do.
    """
    rows = _repair_log(out / LOG_FILE)
    done = _repair_backup(out / BACKUP)
    if done > len(rows):
        raise ValueError(f"{out / LOG_FILE}: damaged, expected {done} epochs in it, got {len(rows)}; {_BEGIN_AGAIN}")
    for weights in (out / UNET_WEIGHTS, out / SEGMENTER_WEIGHTS):
        if weights.exists():
            check_weights(weights, f"remove it and {best_file(weights).name} to keep the best epoch of those to come")
            _repair_best(weights, rows)


def _say(path: Path, what: str) -> None:
    print(f"{path}: damaged, as a power cut leaves files; {what}", file=sys.stderr)


def _holds_weights(path: Path) -> bool:
    try:
        with h5py.File(path, "r") as file:
            file.visititems(lambda _, item: item[()] is None if isinstance(item, h5py.Dataset) else None)
    except (OSError, RuntimeError, KeyError):
        return False
    return True


def _repair_log(path: Path) -> list[dict[str, str]]:
    """The log's whole rows, which alone are left in it."""
    if not path.exists():
        return []
    text = path.read_text(encoding="utf-8", errors="replace")
    lines = [line for line in text.replace("\0", "").splitlines() if line]
    rows = [row for row in csv.DictReader(lines) if _is_whole(row)]
    whole = lines[:1] + [line for line, row in zip(lines[1:], csv.DictReader(lines), strict=False) if _is_whole(row)]
    content = "".join(f"{line}\n" for line in whole if rows)
    if content != text.replace("\r\n", "\n"):
        write_whole(path, content.encode())
        if text.strip():
            _say(path, f"{len(rows)} epochs are left in it")
    return rows


def _is_whole(row: dict[str, str]) -> bool:
    try:
        return None not in row and bool([float(value) for value in row.values()])
    except (TypeError, ValueError):
        return False


def _repair_backup(folder: Path) -> int:
    """Put the state before last in the place of the last one where that is damaged; returns the epochs done in it."""
    if not (folder / _STATE).exists():
        return 0
    for ending in ("", ".bkp"):
        state, epoch = folder / f"{_STATE}{ending}", folder / f"{_EPOCH}{ending}"
        try:
            done = int(read_json(epoch)["epoch"])
        except (KeyError, TypeError, ValueError):
            continue
        if not state.exists() or not _holds_weights(state):
            continue
        if ending:
            _say(folder / _STATE, f"the state after epoch {done} is used")
            for source, name in ((state, _STATE), (epoch, _EPOCH)):
                write_whole(folder / name, source.read_bytes())
        return done
    if not (folder / f"{_EPOCH}.bkp").exists():
        # Of the first epoch alone: it is done again.
        _say(folder / _STATE, "the first epoch is done again")
        for name in (_STATE, _EPOCH):
            (folder / name).unlink(missing_ok=True)
        return 0
    raise ValueError(f"{folder / _STATE}: damaged, as is the state before it; {_BEGIN_AGAIN}")


def _repair_best(weights: Path, rows: list[dict[str, str]]) -> None:
    """Write the figures of the best weights again, from the log, where their file is damaged."""
    path = best_file(weights)
    try:
        if not path.exists() or read_json(path)["miou"] >= 0.0:
            return
    except (KeyError, TypeError, ValueError):
        pass
    measured = [row for row in rows if "val_miou" in row]
    if not measured:
        raise ValueError(f"{path}: damaged, and no log to make it again from; {_BEGIN_AGAIN}")
    best = max(measured, key=lambda row: float(row["val_miou"]))
    columns = [column for column in best if column.startswith(_IOU)]
    names = [column.removeprefix(_IOU) for column in columns]
    write_best(weights, int(best["epoch"]) + 1, float(best["val_miou"]), [float(best[c]) for c in columns], names)
    _say(path, f"made again from {LOG_FILE}")
