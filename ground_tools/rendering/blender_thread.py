"""The thread of a worker in which Blender works, and what it has open there.

Blender's state is global and tied to a thread: one thread of its own renders, with the studio that it opened last.
"""

from __future__ import annotations

import atexit
import os
import resource
import sys
from collections.abc import Callable, Hashable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

T = TypeVar("T")

_THREAD = ThreadPoolExecutor(max_workers=1, thread_name_prefix="rendering")
_studio: tuple[Hashable, Any] | None = None


def run_in_blender_thread(function: Callable[..., T], *arguments: Any) -> T:
    """What a function gives in this process's rendering thread."""
    return _THREAD.submit(function, *arguments).result()


def open_studio(key: Hashable, make: Callable[[], Any]) -> Any:
    """The studio of a key, from the call before or made anew, for which the other one is closed.

    To be called in the rendering thread alone. make: gives what has a method `close`.
    """
    global _studio
    if _studio is None or _studio[0] != key:
        with quiet():
            if _studio is None:
                # Blender tells of its own leaks when the process ends; what is registered last runs first.
                atexit.register(lambda: os.dup2(os.open(os.devnull, os.O_WRONLY), 2))
            else:
                _studio[1].close()
                _studio = None
            _studio = (key, make())
    return _studio[1]


def peak_memory_mib() -> float:
    """The most memory that this process has had, MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024.0 if sys.platform != "darwin" else 1024.0**2)


@contextmanager
def quiet() -> Iterator[None]:
    """Nothing that is printed meanwhile reaches standard output: Blender reports every frame there."""
    sys.stdout.flush()
    kept, nothing = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 1)
    try:
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
        os.close(nothing)
