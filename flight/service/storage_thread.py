"""Runs what reads or writes the storage in a thread: it may take long, and the loop goes on meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from flight.bundle import BundleError
from flight.service.commands import CommandError

Result = TypeVar("Result")


class StorageThread:
    """Runs one call after another in a thread."""

    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="storage")

    def run(self, call: Callable[[], Result]) -> Generator[None, None, Result]:
        """Run a call in the thread, as a generator that ends when the call does.

        Returns:
            The call's result.

        Raises:
            CommandError: for the call's BundleError or OSError.
        """
        future = self._executor.submit(call)
        while not future.done():
            yield
        try:
            return future.result()
        except BundleError as error:
            raise CommandError("not_valid", str(error)) from error
        except OSError as error:
            raise CommandError("storage_failed", f"{error.filename}: {error.strerror}") from error

    def start(self, call: Callable[[], object]) -> None:
        """Run a call in the thread after those before it; whether it fails does not matter."""
        self._executor.submit(call)

    def close(self) -> None:
        """Wait for the call that runs, and cancel those that wait."""
        self._executor.shutdown(wait=True, cancel_futures=True)
