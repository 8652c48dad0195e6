"""Files of scenarios: found by path or by the name of one that is shipped, and read."""

from __future__ import annotations

import tomllib
from pathlib import Path

from flight.schema import SchemaError, format_text
from hil.scenarios.fields import Table, read_table


class ScenarioError(ValueError):
    """A scenario that cannot be read or run; the message names the file and the field."""


def list_names(folder: Path) -> list[str]:
    """Names of the scenarios in a folder."""
    return sorted(path.stem for path in folder.glob("*.toml"))


def find_file(name_or_path: str, folder: Path, what: str) -> Path:
    """The file of a scenario: a path, or the name of one in a folder, with dashes or underscores, or its beginning.

    Args:
        name_or_path: of the scenario.
        folder: of those that are shipped.
        what: it should be, for the message.

    Raises:
        ScenarioError: there is none.
    """
    path, names = Path(name_or_path), list_names(folder)
    if path.is_file():
        return path
    name = path.name.removesuffix(".toml").replace("-", "_")
    begun = [shipped for shipped in names if name and shipped.startswith(name)]
    if path.parent == Path() and (name in begun or len(begun) == 1):
        return folder / f"{name if name in begun else begun[0]}.toml"
    raise ScenarioError(f"{format_text(path)}: expected {what}, or one of {', '.join(names)}, got neither")


def read_file(kind: type[Table], path: Path) -> Table:
    """Read a scenario's file.

    Args:
        kind: dataclass of its fields.
        path: of the file.

    Raises:
        ScenarioError: it cannot be read, is no TOML, or a field does not fit.
    """
    try:
        return read_table(kind, tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise ScenarioError(f"{path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ScenarioError(f"{path}: no TOML ({error})") from error
    except SchemaError as error:
        raise ScenarioError(f"{path}: {error}") from error
