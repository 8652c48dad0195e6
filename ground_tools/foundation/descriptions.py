"""TOML files shipped with the project, each kind in a folder of its own: recipes, comparisons, campaigns."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any


def find_file(name_or_path: str, folder: Path) -> Path:
    """The file that a name with dashes means in `folder`; what has a suffix is a path already."""
    path = Path(name_or_path)
    return path if path.suffix else folder / f"{name_or_path.replace('-', '_')}.toml"


def read_toml(what: str, path: Path, folder: Path, called: str | None = None) -> dict[str, Any]:
    """Read a TOML file. what: its kind, for messages. folder: whose names they list. called: what was asked for.

    Raises ValueError naming the file, and what is shipped when it cannot be read.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        known = ", ".join(sorted(p.stem.replace("_", "-") for p in folder.glob("*.toml")))
        raise ValueError(f"{what} {called or path}: {error.strerror} (shipped with the project: {known})") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{what} {path}: {error}") from error
