"""Names that come out of files and become parts of paths: of sets, bodies, splits, stages, pictures.

A set, a campaign or a record may come from elsewhere, and a name in it must not decide where a command writes or reads.
Names are therefore checked where a file is read, whatever they are used for later.
"""

from __future__ import annotations

from pathlib import PurePosixPath

from flight.schema import format_value

_MOST_BYTES = 100
# Of a file, whose name may be made of several names.
_MOST_FILE_BYTES = 240
PLAIN_NAME = f"a name of at most {_MOST_BYTES} bytes, printable, without / and \\ and a dot in front"
INNER_PATH = "a file inside the folder, as name or folder/name"


def is_plain_name(name: object, most_bytes: int = _MOST_BYTES) -> bool:
    """Whether a name can be a part of a file's name, and of nothing else: `bennu`, `d1_unseen bodies`, `67P`."""
    return (
        isinstance(name, str)
        and name.isprintable()
        and 0 < len(name.encode("utf-8", "surrogatepass")) <= most_bytes
        and not name.startswith((".", " "))
        and not name.endswith(" ")
        and "/" not in name
        and "\\" not in name
    )


def is_inner_path(path: object) -> bool:
    """Whether a path, its parts plain names, stays inside the folder that it is joined to: `still/bennu_01.png`."""
    if not isinstance(path, str):
        return False
    parts = PurePosixPath(path).parts
    return "/".join(parts) == path != "" and all(is_plain_name(part, _MOST_FILE_BYTES) for part in parts)


def check_name(name: object, place: str) -> str:
    """The name, if it is a plain one.

    Args:
        name: as it stands in the file.
        place: for the message, such as "dataset d1.parquet: body".

    Raises:
        ValueError: it is not.
    """
    if not is_plain_name(name):
        raise ValueError(f"{place}: expected {PLAIN_NAME}, got {format_value(name)}")
    return str(name)


def check_inner_path(path: object, place: str) -> str:
    """The path, if it stays inside the folder that it will be joined to; arguments and error as of `check_name`."""
    if not is_inner_path(path):
        raise ValueError(f"{place}: expected {INNER_PATH}, got {format_value(path)}")
    return str(path)
