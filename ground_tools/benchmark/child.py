"""An engine in a process of its own: no library meets another, and one that crashes costs its row alone."""

from __future__ import annotations

import multiprocessing
import os
import traceback
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from flight.bundle import load_bundle
from ground_tools.benchmark.engines import ENGINES
from ground_tools.benchmark.workload import Answer, WholePasses

# A compilation, or a frame of the slowest engine on a slow computer.
_TIMEOUT_S = 900.0
# For a process that is idle, or that is ending; one that computes is killed.
_END_S = 3.0


class EngineError(Exception):
    """An engine that does not work here; says why in one line."""


class EngineProcess:
    """One of ENGINES, loaded in a process of its own. Use as a context.

    Raises EngineError where it cannot be loaded.
    """

    def __init__(self, name: str, bundle: Path, threads: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._connection, other = context.Pipe()
        self._process = context.Process(target=_serve, args=(other, name, bundle, threads), daemon=True)
        self._process.start()
        other.close()
        self._receive()

    def __enter__(self) -> EngineProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def answer(self, frame: np.ndarray, seed: int, passes: int) -> Answer:
        """See FrameEngine. Raises EngineError."""
        answer: Answer = self._ask("answer", frame, seed, passes)
        return answer

    def first_pass(self, frame: np.ndarray, seed: int, passes: int) -> list[np.ndarray] | None:
        """See WholePasses; None from an engine that has no such passes. Raises EngineError."""
        found: list[np.ndarray] | None = self._ask("first_pass", frame, seed, passes)
        return found

    def close(self) -> None:
        """End the process."""
        self._connection.close()
        self._process.join(_END_S)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()

    def _ask(self, *request: Any) -> Any:
        try:
            self._connection.send(request)
        except OSError as error:
            raise EngineError(f"its process is gone ({error.strerror})") from error
        return self._receive()

    def _receive(self) -> Any:
        try:
            if not self._connection.poll(_TIMEOUT_S):
                self._process.kill()
                raise EngineError(f"no answer within {_TIMEOUT_S:g} s")
            done, value = self._connection.recv()
        except (EOFError, OSError) as error:
            self._process.join(_END_S)
            raise EngineError(f"its process ended with exit code {self._process.exitcode}") from error
        if not done:
            raise EngineError(value)
        return value


def _serve(connection: Connection, name: str, bundle_path: Path, threads: int) -> None:
    """What the process does: load, then answer until the other end is closed."""
    # Libraries tell much while they load, which would break the lines of progress.
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    os.dup2(silence, 2)
    # Read by libraries when they are imported.
    for variable in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS"):
        os.environ[variable] = str(threads)
    os.environ |= {"TF_NUM_INTEROP_THREADS": "1", "KERAS_BACKEND": "tensorflow", "CUDA_VISIBLE_DEVICES": "-1"}
    try:
        kind = next(kind for kind in ENGINES if kind.name == name)
        engine = kind.make(load_bundle(bundle_path), threads)
        connection.send((True, None))
        while True:
            request, *arguments = connection.recv()
            if request == "answer":
                connection.send((True, engine.answer(*arguments)))
            else:
                found = engine.first_pass(*arguments) if isinstance(engine, WholePasses) else None
                connection.send((True, found))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return
    except Exception as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        text = " ".join(str(error).split())[:200]
        connection.send((False, f"{type(error).__name__}: {text} ({Path(last.filename).name}:{last.lineno})"))
