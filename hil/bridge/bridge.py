"""The bridge: messages of the service become packets, telecommands become its commands, and their replies reports."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterable
from typing import Any

from flight.client import CommandFailed, ConnectionClosed
from flight.icd.limits import TOPIC_EVENT
from flight.icd.packing import PackingError
from flight.schema import SchemaError
from hil.bridge.apids import BRIDGE
from hil.bridge.layouts import ALIVE_REPORT, LAYOUTS, MOST_RESULT, Layout
from hil.bridge.own import BridgeStatus
from hil.bridge.telecommands import (
    CONNECTION_TEST,
    DISABLE_EVENTS,
    DISABLE_REPORTS,
    ENABLE_EVENTS,
    ENABLE_REPORTS,
    PERFORM,
    Telecommand,
    TelecommandError,
    TelecommandReader,
)
from hil.bridge.telemetry import Packetizer, make_event, read_housekeeping
from hil.console.commanding import CommandDesk

# Housekeeping comes every second.
GONE_S = 3.5
MOST_UNDER_WAY = 32
# The verification reports that a telecommand may ask for, by the bits of its header; those of failures always come.
_WANTED = {"acceptance": 0b0001, "start": 0b0010, "completion": 0b1000}


class Bridge:
    """Between a service and ground systems. For the tasks of one event loop.

    Args:
        send: gets each telemetry packet.
        tell: gets a line of text when something changes.
        desk: sends commands to the service.
        packetizer: makes telemetry packets.
        reader: checks telecommands.

    Attributes:
        malformed: messages that broke the contract, beside those that the clients counted.
    """

    def __init__(
        self,
        send: Callable[[bytes], None],
        tell: Callable[[str], None],
        desk: CommandDesk,
        packetizer: Packetizer,
        reader: TelecommandReader,
    ) -> None:
        self._send = send
        self._tell = tell
        self._desk = desk
        self._packetizer = packetizer
        self._reader = reader
        self._started = time.monotonic()
        self._heard: float | None = None
        self._service_is_there = False
        self._told_at_start = False
        self._counts = dict.fromkeys(("housekeeping", "events", "products", "received", "accepted", "rejected"), 0)
        self.malformed = 0
        self._silenced: set[tuple[str, str]] = set()  # (source, event), and ("", structure)
        self._newest: dict[str, list[tuple[dict[str, Any], int]]] = {}
        self._under_way: set[asyncio.Task[None]] = set()

    def take_telemetry(self, topic: str, message: dict[str, Any]) -> None:
        """Take in a message of the service's telemetry."""
        try:
            if topic == TOPIC_EVENT:
                self._counts["events"] += 1
                if ("telemetry", message["name"]) not in self._silenced:
                    self._send(self._packetizer.event("telemetry", message))
                return
            self._counts["housekeeping"] += 1
            self._hear(message["state"])
            self._report(read_housekeeping(message))
        except ValueError:
            self.malformed += 1

    def take_product(self, name: str, values: dict[str, Any]) -> None:
        """Take in the summary of a product. name: of its layout."""
        self._counts["products"] += 1
        try:
            self._report([(name, values, values["published_time_ns"])])
        except ValueError:
            self.malformed += 1

    def _report(self, found: Iterable[tuple[str, dict[str, Any], int]]) -> None:
        """Report structures, as far as their reports are not disabled, and keep them. Raises ValueError."""
        kept: dict[str, list[tuple[dict[str, Any], int]]] = {}
        for name, values, time_ns in found:
            kept.setdefault(name, []).append((values, time_ns))
            if ("", name) not in self._silenced:
                self._send(self._packetizer.report(name, values, time_ns))
        self._newest |= kept

    def _hear(self, state: str) -> None:
        self._heard = time.monotonic()
        if not self._service_is_there:
            self._service_is_there = True
            self._tell_event("service_found", state=state)

    def _tell_event(self, name: str, **arguments: Any) -> None:
        event = make_event(name, time.time_ns(), **arguments)
        self._tell(f"{name}: {event['message']}")
        if (BRIDGE, name) not in self._silenced:
            self._send(self._packetizer.event(BRIDGE, event))

    def tick(self, ground_links: int, links_dropped: int, products_lost: int, malformed: int) -> None:
        """Report the bridge's own state, and notice that the service is gone; called every second.

        Args:
            ground_links, links_dropped, products_lost: see BridgeStatus.
            malformed: messages that the clients found malformed.
        """
        now = time.monotonic()
        age = now - (self._started if self._heard is None else self._heard)
        if age > GONE_S and (self._service_is_there or not (self._heard or self._told_at_start)):
            self._service_is_there, self._told_at_start = False, True
            self._tell_event("service_gone", age_s=age)
        counts = self._counts
        status = BridgeStatus(
            uptime_s=now - self._started,
            service_is_there=self._service_is_there,
            housekeeping_age_s=None if self._heard is None else age,
            housekeeping_received=counts["housekeeping"],
            events_received=counts["events"],
            products_received=counts["products"],
            products_lost=products_lost,
            messages_malformed=self.malformed + malformed,
            packets_sent=self._packetizer.made,
            telecommands_received=counts["received"],
            telecommands_accepted=counts["accepted"],
            telecommands_rejected=counts["rejected"],
            ground_links=ground_links,
            links_dropped=links_dropped,
        )
        self._report([("bridge_status", vars(status), time.time_ns())])

    def take_telecommand(self, octets: bytes) -> None:
        """Take in a telecommand packet, or what should have been one; never raises."""
        self._counts["received"] += 1
        try:
            telecommand = self._reader.read(octets)
            if self._is_for_service(telecommand) and len(self._under_way) >= MOST_UNDER_WAY:
                raise TelecommandError("too_many", f"expected {MOST_UNDER_WAY} under way at most", octets)
            self._check_items(telecommand)
        except TelecommandError as error:
            self._counts["rejected"] += 1
            source = self._reader.find_source(octets)
            self._fail(f"{source}_acceptance_failure", octets, error.code, str(error))
            return
        self._counts["accepted"] += 1
        self._verify("acceptance", telecommand)
        self._verify("start", telecommand)
        if self._is_for_service(telecommand):
            task = asyncio.get_running_loop().create_task(self._command(telecommand))
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)
        else:
            self._carry_out(telecommand)
            self._verify("completion", telecommand)

    @staticmethod
    def _is_for_service(telecommand: Telecommand) -> bool:
        return telecommand.service in (PERFORM, CONNECTION_TEST) and telecommand.source != BRIDGE

    def _check_items(self, telecommand: Telecommand) -> None:
        """Check that what a telecommand asks for is there. Raises TelecommandError."""
        if telecommand.service in (ENABLE_REPORTS, DISABLE_REPORTS, ENABLE_EVENTS, DISABLE_EVENTS):
            return
        for name in telecommand.items:
            if name not in self._newest:
                raise TelecommandError("unknown_structure", f"{name}: none has come yet", telecommand.octets)

    def _carry_out(self, telecommand: Telecommand) -> None:
        """Do what is the bridge's own to do."""
        service = telecommand.service
        if service == CONNECTION_TEST:
            self._answer(f"{BRIDGE}_alive", telecommand, {})
        elif service in (ENABLE_EVENTS, DISABLE_EVENTS):
            self._silence(((telecommand.source, name) for name in telecommand.items), service == DISABLE_EVENTS)
        elif service in (ENABLE_REPORTS, DISABLE_REPORTS):
            self._silence((("", name) for name in telecommand.items), service == DISABLE_REPORTS)
        else:
            for name in telecommand.items:
                for values, time_ns in self._newest[name]:
                    self._send(self._packetizer.report(name, values, time_ns))

    def _silence(self, what: Iterable[tuple[str, str]], silent: bool) -> None:
        if silent:
            self._silenced.update(what)
        else:
            self._silenced.difference_update(what)

    async def _command(self, telecommand: Telecommand) -> None:
        """Let the service carry out a command, and report how it ended."""
        name = telecommand.function or "no_op"
        try:
            result = await self._desk.exchange(name, telecommand.arguments or {})
        except CommandFailed as error:
            self._fail_completion(telecommand, error.code, str(error))
        except (SchemaError, PackingError) as error:
            self._fail_completion(telecommand, "invalid_argument", str(error))
        except (TimeoutError, ConnectionClosed, OSError) as error:
            self._fail_completion(telecommand, "no_reply", str(error))
        except Exception as error:
            # Whatever it is, whoever sent the telecommand must get an answer, and the bridge go on.
            self._fail_completion(telecommand, "internal_error", f"{name}: {type(error).__name__}: {error}")
        else:
            if telecommand.service == CONNECTION_TEST:
                self._answer("commands_alive", telecommand, {})
            else:
                self._answer("function_result", telecommand, {"function": name, **_as_result(result)})
            self._verify("completion", telecommand)

    def _answer(self, name: str, telecommand: Telecommand, values: dict[str, Any]) -> None:
        layout = LAYOUTS[name]
        request = {} if layout.service == ALIVE_REPORT else _request(telecommand.octets)
        self._send_now(layout, {**request, **values}, telecommand.source_id)

    def _verify(self, stage: str, telecommand: Telecommand) -> None:
        """Report that a stage of a telecommand succeeded, if it asks for that."""
        if telecommand.acknowledge & _WANTED[stage]:
            layout = LAYOUTS[f"{telecommand.source}_{stage}_success"]
            self._send_now(layout, _request(telecommand.octets), telecommand.source_id)

    def _fail_completion(self, telecommand: Telecommand, code: str, text: str) -> None:
        source = telecommand.source
        self._fail(f"{source}_completion_failure", telecommand.octets, code, text, telecommand.source_id)

    def _fail(self, layout: str, octets: bytes, code: str, text: str, destination: int = 0) -> None:
        """Report that a stage failed; of octets that were no telecommand, too."""
        values = {**_request(octets), "failure_code": code, "failure_text": text}
        self._send_now(LAYOUTS[layout], values, destination)
        self._tell(f"telecommand {octets[:4].hex() or 'without octets'}: {code}: {text}")

    def _send_now(self, layout: Layout, values: dict[str, Any], destination: int) -> None:
        self._send(self._packetizer.make(layout, values, time.time_ns(), destination))

    async def close(self) -> None:
        """End what is under way."""
        for task in list(self._under_way):
            task.cancel()
        await asyncio.gather(*self._under_way, return_exceptions=True)


def _request(octets: bytes) -> dict[str, int]:
    """What names a telecommand in reports about it; what it does not have is zero."""
    head = octets[:4].ljust(4, b"\0")
    return {
        "request_packet_id": int.from_bytes(head[:2], "big"),
        "request_sequence": int.from_bytes(head[2:], "big"),
    }


def _as_result(result: dict[str, Any]) -> dict[str, Any]:
    text = json.dumps(result, ensure_ascii=False)
    return {"result": text, "result_is_whole": len(text.encode("utf-8", "replace")) <= MOST_RESULT}
