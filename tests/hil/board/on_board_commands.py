"""Runs on the board: carries out commands that come as lines of JSON, and answers each with one, until its input ends.

Besides the service's commands: `read_bundles`, which looks at every bundle in the state folder.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

from flight.client import Commander, CommandFailed

STATE = Path("/var/lib/rubblemap")


def read_bundles() -> dict[str, Any]:
    """Names of bundles in the state folder: those that are what their name and their SHA256SUMS say, and others."""
    found: dict[str, Any] = {"whole": [], "unfinished": [], "damaged": []}
    for folder in sorted((STATE / "bundles").iterdir()):
        kind = "unfinished" if folder.name.startswith(".") else "whole" if _is_whole(folder) else "damaged"
        found[kind].append(folder.name)
    return found


def _is_whole(folder: Path) -> bool:
    try:
        rows = [line.split() for line in (folder / "SHA256SUMS").read_text(encoding="utf-8").splitlines()]
        sums = all(_hash(folder / name) == digest for digest, name in rows)
        return bool(rows) and sums and _hash(folder / "manifest.json") == folder.name
    except (OSError, ValueError):
        return False


def _hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def main() -> None:
    """Answer until the input ends."""
    with Commander("tcp://127.0.0.1:5604", 120.0, None) as commander:
        for line in sys.stdin:
            request = json.loads(line)
            try:
                own = request["name"] == "read_bundles"
                result = read_bundles() if own else commander.send(request["name"], **request["arguments"])
                answer = {"ok": result}
            except (CommandFailed, TimeoutError, OSError) as error:
                answer = {"error": f"{type(error).__name__}: {error}"}
            print(json.dumps(answer), flush=True)


main()
