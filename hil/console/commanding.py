"""Commands to the service from programs of asyncio, beside everything else that they do."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from flight.client import Commander, CommandFailed, ConnectionClosed
from flight.icd.catalogue import COMMANDS, check_arguments
from flight.icd.packing import PackingError
from flight.keys import load_client_keys
from flight.schema import SchemaError, format_value

_TIMEOUT_S = 5.0
_LONG_TIMEOUT_S = 180.0
# Commands that take time have threads of their own: they must not keep others waiting.
_AT_ONCE = 4


class CommandDesk:
    """Sends commands to the service.

    Args:
        endpoint: the service's commands socket.
        keys: see Connection.
        at_once: how many commands that take no time are under way at most; with 1 they keep their order.

    Raises:
        KeyFileError: see Connection.
    """

    def __init__(self, endpoint: str, keys: Path | None, at_once: int = _AT_ONCE) -> None:
        self._endpoint = endpoint
        self._keys = keys
        if keys is not None:
            load_client_keys(keys)  # what is wrong with them is said now
        self._open: set[Commander] = set()
        self._threads = {
            takes_time: ThreadPoolExecutor(count, thread_name_prefix="rubblemap-commands")
            for takes_time, count in ((False, at_once), (True, _AT_ONCE))
        }

    async def send(self, name: Any, arguments: Any) -> dict[str, Any]:
        """Send a command of the page's.

        Args:
            name: of the command.
            arguments: of the command.

        Returns:
            {"result": ...}, or {"error": one line}.
        """
        try:
            if not isinstance(name, str) or name not in COMMANDS:
                raise ValueError(f"command: expected one of the ICD's, got {format_value(name)}")
            if not isinstance(arguments, dict):
                raise ValueError(f"{name}.arguments: expected a map, got {format_value(arguments)}")
            check_arguments(name, arguments)
            return {"result": await self.exchange(name, arguments)}
        except (ValueError, SchemaError, PackingError, CommandFailed, ConnectionClosed, TimeoutError, OSError) as error:
            return {"error": str(error)}

    async def exchange(self, name: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Send a command of the ICD, and wait for the result of its reply. Raises as Commander and its `send`."""
        threads = self._threads[COMMANDS[name].takes_time]
        return await asyncio.get_running_loop().run_in_executor(threads, self._exchange, name, arguments)

    def _exchange(self, name: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        timeout_s = _LONG_TIMEOUT_S if COMMANDS[name].takes_time else _TIMEOUT_S
        with Commander(self._endpoint, timeout_s, self._keys) as commander:
            self._open.add(commander)
            try:
                return commander.send(name, **arguments)
            finally:
                self._open.discard(commander)

    def close(self) -> None:
        """Give up waiting for the replies to commands that are under way."""
        for threads in self._threads.values():
            threads.shutdown(wait=False, cancel_futures=True)
        for commander in list(self._open):
            commander.close()
