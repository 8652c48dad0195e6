"""Packages that read one kind of file, imported when such a file comes."""

from __future__ import annotations

import importlib
from typing import Any


class MissingReader(RuntimeError):
    """The package that reads a kind of file is not installed; the message says what to install."""


def require(module: str, extra: str, kind: str) -> Any:
    """Import a module.

    Args:
        module: its name.
        extra: of this project, that installs it.
        kind: of the files that it reads, for the message.

    Raises:
        MissingReader: it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise MissingReader(f"{kind} images: {error}; pip install 'rubblemap[{extra}]'") from error
