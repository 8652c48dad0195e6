"""Files that are there whole or not at all."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path


def write_whole(path: Path, data: bytes) -> None:
    """Write a file whole or not at all, into a folder that is there.

    Raises:
        OSError: it cannot be written, for example because the disk is full; names `path`. What was at `path` before is
            still there, and nothing else is left.
    """
    # Short, as the name of the file itself may be as long as names can be.
    temporary = path.with_name(f".{os.getpid()}-{abs(hash(path.name)):x}.part")
    try:
        temporary.write_bytes(data)
        temporary.replace(path)
    except OSError as error:
        # A full disk is told of without any name, other failures with the temporary one.
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        # Of a folder that became read-only, or is gone, the first error says so.
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
