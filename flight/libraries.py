"""Loading compiled libraries, which fail in more ways than by not being there: what failed, in one line."""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Iterator

from flight.schema import format_text

_SHOWN = 400
# What is said by libraries that were compiled for NumPy 1 where NumPy 2 is installed.
_OLD_NUMPY = ("_ARRAY_API", "numpy.core.multiarray", "NumPy 1.x")


class LibraryError(RuntimeError):
    """A library does not work here; the message names it and the cause."""


@contextlib.contextmanager
def explain_failure(library: str) -> Iterator[None]:
    """Turn whatever is raised while a library is loaded or called into a LibraryError.

    What the library writes to standard error meanwhile, as NumPy does of one that was compiled for another NumPy, is
    written only if all goes well.

    Args:
        library: name of the library, or what it is for.

    Raises:
        ModuleNotFoundError: a package is not installed, as it came.
        LibraryError: anything else, an exit of the program included.
    """
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            yield
    except (LibraryError, ModuleNotFoundError):
        raise
    except (Exception, SystemExit) as error:
        raise LibraryError(f"{library}: {describe_failure(error, said.getvalue())}") from error
    if said.getvalue() and sys.stderr is not None:
        sys.stderr.write(said.getvalue())


def describe_failure(error: BaseException, said: str = "") -> str:
    """What was raised, in one line, with what mends it where that is known.

    Args:
        error: as raised.
        said: what was written to standard error before.
    """
    text = format_text(" ".join(str(error).split()), _SHOWN)
    line = f"{type(error).__name__}: {text}" if text else type(error).__name__
    if any(sign in text or sign in said for sign in _OLD_NUMPY):
        # Only here: it is large, and this process may have to stay small.
        from importlib import metadata

        with contextlib.suppress(metadata.PackageNotFoundError):
            line += f" (compiled for another NumPy than {metadata.version('numpy')}: pip install 'numpy<2')"
    return line
