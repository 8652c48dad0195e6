"""Loads, validates and activates uplinked bundles, and repairs the files of the serving one."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from flight.bundle import Bundle, BundleError
from flight.service.bundle_store import BundleStore, find_folder
from flight.service.candidate import CandidateSlot
from flight.service.commands import CommandError, Procedure, advance
from flight.service.file_check import FileCheck
from flight.service.serving_bundle import ServingBundle
from flight.service.state import State, Trigger
from flight.service.statistics import Counters
from flight.service.storage_thread import StorageThread
from flight.service.worker_care import WorkerCare


@dataclass(frozen=True)
class Staged:
    """A bundle that load_bundle has copied into the store.

    Attributes:
        sha256: of its manifest.
        folder: in the store.
        bundle: its content once it is validated, None before.
    """

    sha256: str
    folder: Path
    bundle: Bundle | None = None


class BundleCare:
    """Carries out the bundle commands, and repairs the serving bundle's files.

    For both, a candidate worker passes its self-test over the files before it replaces the serving worker.
    """

    def __init__(
        self,
        bundles: Path | None,
        store: BundleStore,
        storage: StorageThread,
        file_check: FileCheck,
        candidate: CandidateSlot,
        serving: ServingBundle,
        worker_care: WorkerCare,
        state: State,
        counters: Counters,
    ) -> None:
        """Start with nothing staged.

        Args:
            bundles: folder that load_bundle may read, None if it is not configured.
        """
        self._bundles = bundles
        self._store = store
        self._storage = storage
        self._file_check = file_check
        self._candidate = candidate
        self._serving = serving
        self._worker_care = worker_care
        self._state = state
        self._events = state.events
        self._counters = counters
        self._staged: Staged | None = None
        self._repair: Procedure | None = None
        self._factory_changed = False

    def staged_status(self) -> dict[str, Any] | None:
        """The staged bundle as in housekeeping; None if there is none."""
        if self._staged is None:
            return None
        return {"sha256": self._staged.sha256, "validated": self._staged.bundle is not None}

    # Commands

    def load_bundle(self, path: str) -> Procedure:
        """Carry out the command load_bundle: copy the folder `path` of the uplink folder into the store.

        Raises:
            CommandError: no folders are configured, or `path` is not a folder among them.
        """
        if self._bundles is None:
            raise CommandError("not_configured", "load_bundle: storage.bundles and storage.state are not configured")
        try:
            source = find_folder(self._bundles, path)
        except BundleError as error:
            raise CommandError("invalid_argument", f"load_bundle.{error}") from error
        return self._load(source)

    def _load(self, source: Path) -> Procedure:
        sha256, folder = yield from self._storage.run(lambda: self._store.copy_in(source))
        self._staged = Staged(sha256, folder)
        self._serving.remove_unused(sha256)
        self._events.send("bundle_loaded", folder=source.name, sha256=sha256)
        return {"sha256": sha256}

    def validate_bundle(self) -> Procedure:
        """Carry out the command validate_bundle: the staged bundle must pass its self-test.

        Raises:
            CommandError: no bundle is staged.
        """
        if self._staged is None:
            raise CommandError("not_staged", "validate_bundle: expected a bundle loaded by load_bundle, got none")
        return self._validate(self._staged)

    def _validate(self, staged: Staged) -> Procedure:
        self._staged = replace(staged, bundle=None)
        bundle: Bundle = yield from self._storage.run(lambda: self._store.find(staged.sha256))
        agreement = yield from self._candidate.warm_up(staged.folder, bundle)
        self._candidate.drop()
        self._staged = replace(staged, bundle=bundle)
        self._events.send("bundle_validated", name=bundle.name, version=bundle.version, sha256=bundle.sha256)
        return {**bundle.identity, "modes": list(bundle.modes), "agreement": agreement}

    def activate_bundle(self) -> Procedure:
        """Carry out the command activate_bundle: the validated bundle serves from the next frame on.

        Raises:
            CommandError: no bundle is validated.
        """
        staged = self._staged
        if staged is None or staged.bundle is None:
            raise CommandError("not_staged", "activate_bundle: expected a bundle that validate_bundle passed, got none")
        return self._activate(staged.bundle, staged.folder)

    def _activate(self, bundle: Bundle, folder: Path) -> Procedure:
        yield from self._candidate.warm_up(folder, bundle)
        try:
            yield from self._serving.record_activation(bundle)
        except OSError as error:
            self._candidate.drop()
            raise CommandError("storage_failed", f"not activated: the record: {error.strerror}") from error
        before = self._serving.bundle
        yield from self._worker_care.replace(lambda: self._serving.activate(bundle, folder))
        self._counters.count("bundle_activations")
        self._events.send(
            "bundle_activated",
            name=bundle.name,
            version=bundle.version,
            sha256=bundle.sha256,
            previous_name=before.name,
            previous_version=before.version,
        )
        return dict(bundle.identity)

    # Files of the serving bundle

    def take_file_checks(self) -> None:
        """Take the result of a check of the files, and start a repair if they are damaged."""
        if self._file_check.results.empty():
            return
        folder, problem = self._file_check.results.get_nowait()
        if folder == self._serving.factory_folder and folder != self._serving.folder:
            self._note_factory(problem)
            return
        if problem is None:
            self._counters.count("file_checks_passed")
            # An earlier repair failed, and the files still count as damaged: repair again.
            wanted = self._state.files_damaged
        elif folder == self._serving.folder:
            self._counters.count("file_checks_failed")
            self._events.send("bundle_damaged", problem=problem)
            self._state.apply(Trigger.FILES_DAMAGED)
            wanted = True
        else:
            wanted = False
        if wanted and self._repair is None:
            self._repair = self._repair_files()

    def _note_factory(self, problem: str | None) -> None:
        """Tell that the factory folder was changed: the next start would find it so; nothing serves from it."""
        if problem is not None and not self._factory_changed:
            self._events.send("bundle_damaged", given_problem=problem)
        self._factory_changed = problem is not None

    def advance_repair(self) -> None:
        """Resume a repair that is under way."""
        if self._repair is None:
            return
        outcome = advance(self._repair)
        if outcome is not None:
            self._repair = None
            if outcome.code != "ok":
                self._events.send("bundle_damaged", repair_error=outcome.message)

    def _repair_files(self) -> Procedure:
        """Write the files again, and replace the worker by one that has loaded them."""
        while not self._candidate.free:
            yield
        repaired = self._serving.bundle
        if not (yield from self._serving.rewrite_files()):
            return {}
        yield from self._candidate.warm_up(self._serving.folder, repaired)

        def take_over() -> None:
            if self._serving.bundle is not repaired:
                raise CommandError("wrong_state", "another bundle serves by now")
            self._state.apply(Trigger.FILES_GOOD)

        try:
            yield from self._worker_care.replace(take_over)
        except CommandError:
            return {}
        folder = str(self._serving.folder)
        self._events.send("bundle_repaired", name=repaired.name, version=repaired.version, folder=folder)
        return {}
