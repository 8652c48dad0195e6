"""Runs on the board: carries out commands that come as lines of JSON, and answers each with one, until its input ends.

Besides the service's commands: `read_bundles`, which looks at every bundle in the state folder, and `look_back`, at
what systemd, service and kernel have said since the boot. A login for each would take longer on a slow board.
"""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from flight.client import Commander, CommandFailed

STATE = Path("/var/lib/rubblemap")
UNIT = "rubblemap-flight"
DAMAGE = (
    "record_lost|record_copy_damaged|record_not_written|bundle_refused|bundle_damaged|bundle_fell_back|worker_timeout"
)


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


def look_back() -> dict[str, Any]:
    """How often systemd has restarted the service, what damage that has told, and whether the kernel had to recover."""
    said = _run("journalctl", "-b", "-u", UNIT, "-o", "cat", "--no-pager")
    return {
        "restarts": int(_run("systemctl", "show", "-p", "NRestarts", "--value", UNIT)),
        "damage_told": re.findall(rf"^[a-z_]+ +((?:{DAMAGE}):.*)", said, re.MULTILINE),
        "file_system_recovered": re.search("EXT4-fs.*recovery complete", _run("dmesg")) is not None,
    }


def _run(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


OWN = {"read_bundles": read_bundles, "look_back": look_back}


def main() -> None:
    """Answer until the input ends."""
    with Commander("tcp://127.0.0.1:5604", 120.0, None) as commander:
        for line in sys.stdin:
            request = json.loads(line)
            try:
                name = request["name"]
                answer = {"ok": OWN[name]() if name in OWN else commander.send(name, **request["arguments"])}
            except (CommandFailed, TimeoutError, OSError, subprocess.SubprocessError) as error:
                answer = {"error": f"{type(error).__name__}: {error}"}
            print(json.dumps(answer), flush=True)


main()
