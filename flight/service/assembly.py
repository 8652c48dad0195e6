"""Builds the service's parts in order of dependence: none knows a part that is built after it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import zmq

from flight.service.bundle_care import BundleCare
from flight.service.bundle_store import BundleStore
from flight.service.candidate import CandidateSlot
from flight.service.command_desk import CommandDesk
from flight.service.configuration import Configuration, StorageSection
from flight.service.events import EventSink
from flight.service.file_check import FileCheck
from flight.service.folder_lock import FolderLock
from flight.service.frame_line import FrameLine
from flight.service.housekeeping import Housekeeping
from flight.service.pace import Pace
from flight.service.parameters import ParameterTable
from flight.service.publisher import Publisher
from flight.service.rate_limit import RateLimit
from flight.service.record import RecordStore
from flight.service.record_writer import RecordWriter
from flight.service.self_tests import SelfTests
from flight.service.serving_bundle import FoundBundles, ServingBundle, find_bundles
from flight.service.silence import RunningClock
from flight.service.sockets import ServiceError
from flight.service.state import State
from flight.service.statistics import Counters, Latencies
from flight.service.storage_thread import StorageThread
from flight.service.supervision import Worker
from flight.service.systemd import Notifier
from flight.service.worker_care import WorkerCare


@dataclass(frozen=True)
class Storage:
    """What is on the storage at start.

    Attributes:
        records: the record, read.
        store: the copies of bundles.
        found: the bundles that can be served.
    """

    records: RecordStore
    store: BundleStore
    found: FoundBundles


def lock_state(folder: Path | None) -> FolderLock | None:
    """Take the state folder for this service alone, before anything in it is read or changed.

    Args:
        folder: `storage.state` of the configuration; it is made if it is missing.

    Raises:
        ServiceError: another service has it, or it cannot be made or locked.
    """
    if folder is None:
        return None
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return FolderLock(folder)
    except BlockingIOError as error:
        raise ServiceError(f"storage.state: expected a folder of this service alone, got {folder}: in use") from error
    except OSError as error:
        raise ServiceError(f"storage.state: {error.filename or folder}: {error.strerror}") from error


def open_storage(section: StorageSection, bundle: Path, events: EventSink) -> Storage:
    """Read the storage.

    Args:
        section: [storage] of the configuration.
        bundle: folder of the factory bundle.
        events: gets what is wrong with the record or a bundle.

    Raises:
        ServiceError: a folder cannot be made.
        BundleError: no bundle can be served.
    """
    try:
        records, store = RecordStore(section.state, events), BundleStore(section.state)
        return Storage(records, store, find_bundles(bundle, store, records, events))
    except OSError as error:
        place = "a temporary folder" if section.state is None else "storage.state"
        raise ServiceError(": ".join(filter(None, (place, error.filename, error.strerror)))) from error


@dataclass(frozen=True)
class Parts:
    """The parts that the loop calls, and those that must be closed after them."""

    frame_line: FrameLine
    worker_care: WorkerCare
    bundle_care: BundleCare
    command_desk: CommandDesk
    housekeeping: Housekeeping
    serving: ServingBundle
    notifier: Notifier
    candidate: CandidateSlot
    storage_thread: StorageThread
    records: RecordWriter
    store: BundleStore

    def close(self) -> None:
        """End workers and threads, and remove temporary folders."""
        self.worker_care.close()
        self.candidate.drop()
        self.storage_thread.close()
        self.records.close()
        self.store.close()


def build_parts(
    configuration: Configuration,
    storage: Storage,
    context: zmq.Context[zmq.Socket[bytes]],
    sockets: dict[str, zmq.Socket[bytes]],
    state: State,
    counters: Counters,
    shutdown: Callable[[], None],
) -> Parts:
    """Build the parts.

    Args:
        configuration: of the service.
        storage: from open_storage.
        context: for the workers' sockets.
        sockets: the public sockets by name, bound.
        state: of the service, with the sink for events.
        counters: of the service.
        shutdown: asks the loop to end.
    """
    store, found = storage.store, storage.found
    limits, latencies, notifier, thread = configuration.limits, Latencies(), Notifier(), StorageThread()
    interval_s = configuration.integrity.file_check_interval_s
    file_check, records = FileCheck(interval_s), RecordWriter(storage.records, interval_s, state.events)
    parameters = ParameterTable(records, configuration.parameters, found.serving, state.events)
    serving = ServingBundle(found, store, thread, records, parameters, file_check, state, counters)
    publisher = Publisher(sockets["products"], counters, latencies)
    frame_limit, base_seed = RateLimit(limits.frames_per_second), configuration.inference.base_seed
    frame_line = FrameLine(sockets["frames"], frame_limit, base_seed, publisher, serving, parameters, state, counters)
    self_tests = SelfTests(records, parameters, state.events, counters)
    threads, clock, pace = configuration.inference.threads, RunningClock(), Pace()
    make_worker = partial(Worker, context, threads, configuration.worker, clock, pace)
    candidate = CandidateSlot(make_worker, self_tests)
    worker_care = WorkerCare(
        make_worker, configuration.worker, candidate, serving, frame_line, self_tests, notifier, state, counters
    )
    bundles = configuration.storage.bundles
    bundle_care = BundleCare(bundles, store, thread, file_check, candidate, serving, worker_care, state, counters)
    housekeeping = Housekeeping(
        *(sockets["telemetry"], state, counters, frame_line.cameras, latencies, worker_care, serving, bundle_care),
        *(self_tests, parameters, records),
    )
    state.call_on_change(housekeeping.send)
    commands, limit = sockets["commands"], RateLimit(limits.commands_per_second)
    command_desk = CommandDesk(
        commands, limit, parameters, worker_care, bundle_care, housekeeping, shutdown, state.events, counters, latencies
    )
    return Parts(
        frame_line,
        worker_care,
        bundle_care,
        command_desk,
        housekeeping,
        serving,
        notifier,
        candidate,
        thread,
        records,
        store,
    )
