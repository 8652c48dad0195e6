"""Knows which bundle serves, whether it is trusted yet, and which one it falls back to."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, replace
from pathlib import Path

from flight.bundle import Bundle, BundleError, load_bundle
from flight.icd.limits import PROBATION_FRAMES
from flight.service.bundle_store import BundleStore
from flight.service.commands import CommandError
from flight.service.events import EventSink
from flight.service.file_check import FileCheck
from flight.service.parameters import ParameterTable
from flight.service.record import Record, RecordStore
from flight.service.record_writer import RecordWriter
from flight.service.state import State, Trigger
from flight.service.statistics import Counters
from flight.service.storage_thread import StorageThread


@dataclass(frozen=True)
class FoundBundles:
    """The bundles that can be served at start.

    Their folders are the service's own copies.

    Attributes:
        factory: of the command line.
        serving: to be served.
        on_probation: whether `serving` is.
        factory_folder: the factory bundle's own folder, of which `factory` is a copy; None if it is damaged.
    """

    factory: Bundle
    serving: Bundle
    on_probation: bool
    factory_folder: Path | None


def find_bundles(path: Path, store: BundleStore, records: RecordStore, events: EventSink) -> FoundBundles:
    """Find the bundle that was active; if that fails the one before it; if that fails the factory bundle.

    Args:
        path: folder of the factory bundle.
        store: with the copies of the others.
        records: which ones they are.
        events: gets bundles that are damaged.

    Raises:
        BundleError: none can be served.
    """
    factory, folder = _find_factory(path, store, records, events)
    record = records.record
    for sha256 in filter(None, (record.active, record.previous)):
        if sha256 == factory.sha256:
            break
        try:
            bundle = store.find(sha256)
        except BundleError as error:
            events.send("bundle_refused", problem=str(error))
            continue
        events.send("bundle_restored", name=bundle.name, version=bundle.version, sha256=sha256)
        return FoundBundles(factory, bundle, record.probation and sha256 == record.active, folder)
    return FoundBundles(factory, factory, False, folder)


def _find_factory(
    path: Path, store: BundleStore, records: RecordStore, events: EventSink
) -> tuple[Bundle, Path | None]:
    """Load the factory bundle and copy it into the store, or find its copy there if it is damaged.

    Returns:
        The bundle, whose folder is the copy's: whoever may write to the factory folder must not decide what a later
        worker loads. Without a copy it is the factory folder, and a worker rejects another bundle there. And the
        factory folder, None if it is damaged.

    Raises:
        BundleError: both are damaged.
    """
    record = records.record
    try:
        bundle = load_bundle(path)
    except BundleError as error:
        if not record.factory:
            raise
        events.send("bundle_damaged", given_problem=str(error))
        try:
            return store.find(record.factory), None
        except BundleError as second:
            raise BundleError(f"{error}; and its copy: {second}") from second
    try:
        bundle = replace(bundle, path=store.keep(bundle.files)[1])
        if record.factory != bundle.sha256:
            records.change(factory=bundle.sha256)
    except OSError as error:
        events.send("record_not_written", bundle=str(path), error=str(error.strerror))
    return bundle, path


class ServingBundle:
    """Holds the bundle that serves; parameters and the check of its files follow every change.

    Attributes:
        bundle: its content.
        folder: from which workers load it, the service's own copy.
        factory_folder: the folder of the command line, from which nothing is loaded any more; None if it was damaged.
    """

    def __init__(
        self,
        found: FoundBundles,
        store: BundleStore,
        storage: StorageThread,
        records: RecordWriter,
        parameters: ParameterTable,
        file_check: FileCheck,
        state: State,
        counters: Counters,
    ) -> None:
        self._factory = found.factory
        self._store = store
        self._storage = storage
        self._records = records
        self._parameters = parameters
        self._file_check = file_check
        self._state = state
        self._events = state.events
        self._counters = counters
        self._probation_left = PROBATION_FRAMES if found.on_probation else 0
        self._confirmed: Bundle | None = None
        self._rewriting: Generator[None, None, bool] | None = None
        self.bundle = found.serving
        self.folder = found.serving.path
        self.factory_folder = found.factory_folder
        if found.factory_folder is not None:
            file_check.watch_factory(found.factory_folder, found.factory.hashes)
        self.remove_unused()
        self._watch_files()

    @property
    def on_probation(self) -> bool:
        """Whether the bundle was activated lately, and is replaced by the one before it if it fails."""
        return self._probation_left > 0

    def remove_unused(self, staged: str = "") -> None:
        """Remove bundles from the store that nothing refers to. staged: SHA-256 of one to keep."""
        record = self._records.record
        used = {record.factory, record.active, record.previous, self.bundle.sha256, self._factory.sha256, staged}
        self._storage.start(lambda: self._store.remove_others(used))

    def record_activation(self, bundle: Bundle) -> Generator[None, None, None]:
        """Record that a bundle is active, on probation, as a generator that ends when it is written.

        Raises:
            OSError: it cannot be recorded; then nothing has changed.
        """
        return self._records.change(lambda record: self._mark_active(record, bundle))

    def activate(self, bundle: Bundle, folder: Path) -> None:
        """Serve a bundle that was recorded as active, on probation.

        Args:
            bundle: its content.
            folder: in the store.
        """
        # Once more: the bundle that served may have failed while this was being written.
        record = self._mark_active(self._records.record, bundle)
        self._records.note(active=record.active, previous=record.previous, probation=True)
        self._probation_left = PROBATION_FRAMES
        self._serve(bundle, folder)
        self.remove_unused(bundle.sha256)

    def _mark_active(self, record: Record, bundle: Bundle) -> Record:
        # The bundle to fall back to must be proven: neither this one, activated again, nor one on probation.
        unproven = bundle.sha256 == self.bundle.sha256 or self.on_probation
        previous = record.previous if unproven else self.bundle.sha256
        return replace(record, active=bundle.sha256, previous=previous, probation=True)

    def count_answer(self) -> None:
        """Count a frame that was answered; the last one of the probation ends it."""
        if self._probation_left == 0:
            return
        self._probation_left -= 1
        if self._probation_left == 0:
            self._records.note(probation=False)
            self._confirmed = self.bundle

    def fall_back(self, why: str) -> None:
        """Serve the bundle before this one, which failed on probation. why: for the event."""
        failed, previous = self.bundle, self._records.record.previous
        bundle = self._factory
        if previous not in ("", self._factory.sha256):
            try:
                bundle = self._store.find(previous)
            except BundleError as error:
                self._events.send("bundle_refused", problem=str(error))
        self._probation_left = 0
        self._records.note(active=bundle.sha256, previous="", probation=False)
        self._counters.count("bundle_fall_backs")
        self._serve(bundle, bundle.path)
        self._events.send(
            "bundle_fell_back",
            failed_name=failed.name,
            failed_version=failed.version,
            problem=why,
            name=bundle.name,
            version=bundle.version,
        )

    @property
    def rewriting(self) -> bool:
        """Whether the files are being written again: a worker that starts now would find them damaged still."""
        return self._rewriting is not None

    def start_rewriting(self) -> None:
        """Write the files again, see rewrite_files; advance() goes on with it."""
        if self._rewriting is None:
            self._rewriting = self.rewrite_files()

    def advance(self) -> None:
        """Resume the writing of files that is under way, and say what has been recorded since."""
        # Who reads that a bundle is confirmed may cut the power: the record must hold it by then.
        if self._confirmed is not None and self._records.settled:
            confirmed, self._confirmed = self._confirmed, None
            self._events.send("bundle_confirmed", name=confirmed.name, version=confirmed.version)
        if self._rewriting is not None and next(self._rewriting, self) is self:
            self._rewriting = None

    def rewrite_files(self) -> Generator[None, None, bool]:
        """Write the files again from memory, and let workers load these, as a generator. Returns whether it worked."""
        bundle = self.bundle

        def keep() -> Path:
            bundle.verify()
            return self._store.keep(bundle.files)[1]

        try:
            folder = yield from self._storage.run(keep)
        except CommandError as error:
            self._events.send("bundle_damaged", write_error=str(error))
            return False
        if self.bundle is bundle:
            self.folder = folder
            self._watch_files()
        return True

    def _serve(self, bundle: Bundle, folder: Path) -> None:
        self.bundle, self.folder = bundle, folder
        self._parameters.use_bundle(bundle)
        self._state.apply(Trigger.FILES_GOOD)
        self._watch_files()

    def _watch_files(self) -> None:
        self._file_check.watch(self.folder, self.bundle.hashes)
