"""Which bundle serves, which one is staged, and which one to fall back to."""

from __future__ import annotations

import contextlib
import tempfile
from dataclasses import dataclass
from pathlib import Path

from flight.bundle import Bundle, BundleError, load_bundle
from flight.icd.limits import PROBATION_FRAMES
from flight.service.bundle_store import BundleStore
from flight.service.record import RecordStore


@dataclass
class Staged:
    """A bundle that was loaded, and, once validated, its content."""

    sha256: str
    folder: Path
    bundle: Bundle | None = None


class Bundles:
    """The serving bundle and the ones around it.

    serving: the bundle. folder: from which workers load it. probation_left: frames until it is trusted, 0 when it is.
    notices: (event, message) of finding it at start.

    Raises BundleError when no bundle can be served, OSError when the store cannot be made.
    """

    def __init__(self, records: RecordStore, state: Path | None, uplink: Path | None, factory: Path) -> None:
        self._records = records
        self._scratch: tempfile.TemporaryDirectory[str] | None = None
        if state is None:
            self._scratch = tempfile.TemporaryDirectory(prefix="rubblemap_bundles_")
            state = Path(self._scratch.name)
        self.store = BundleStore(state / "bundles", uplink)
        self.staged: Staged | None = None
        self.notices: list[tuple[str, str]] = []
        self.probation_left = 0
        self._factory = self._find_factory(factory)
        self.serving = self._find_serving()
        self.folder = self.serving.path
        self.forget_others()

    def _find_factory(self, path: Path) -> Bundle:
        """The bundle given at start; if it is damaged, its copy in the store."""
        record = self._records.record
        try:
            bundle = load_bundle(path)
        except BundleError as error:
            if not record.factory:
                raise
            self.notices.append(("bundle_damaged", f"{error}; its copy is used"))
            try:
                return self.store.find(record.factory)
            except BundleError as second:
                raise BundleError(f"{error}; and its copy: {second}") from second
        if self._records.persistent:
            try:
                self.store.keep(bundle.files)
                if record.factory != bundle.sha256:
                    self._records.change(factory=bundle.sha256)
            except OSError as error:
                self.notices.append(("record_not_written", f"no copy of {path}: {error.strerror}"))
        return bundle

    def _find_serving(self) -> Bundle:
        record = self._records.record
        for sha256 in filter(None, (record.active, record.previous)):
            if sha256 == self._factory.sha256:
                break
            try:
                bundle = self.store.find(sha256)
            except BundleError as error:
                self.notices.append(("bundle_refused", str(error)))
                continue
            if record.probation and sha256 == record.active:
                self.probation_left = PROBATION_FRAMES
            self.notices.append(("bundle_restored", f"{bundle.name} {bundle.version}, {sha256[:16]}..."))
            return bundle
        return self._factory

    def forget_others(self) -> None:
        """Remove bundles from the store that nothing refers to any more."""
        record = self._records.record
        kept = {record.factory, record.active, record.previous, self.serving.sha256, self._factory.sha256}
        if self.staged is not None:
            kept.add(self.staged.sha256)
        self.store.forget_others(kept)

    def activate(self, bundle: Bundle, folder: Path) -> None:
        """Let a bundle serve, on probation. Raises OSError when that cannot be recorded; then nothing has changed."""
        # What is fallen back to must be proven: neither itself, activated once more, nor one on probation.
        unproven = bundle.sha256 == self.serving.sha256 or self.probation_left > 0
        previous = self._records.record.previous if unproven else self.serving.sha256
        self._records.change(active=bundle.sha256, previous=previous, probation=True)
        self.serving, self.folder = bundle, folder
        self.probation_left = PROBATION_FRAMES
        with contextlib.suppress(OSError):
            self.forget_others()

    def answered(self) -> bool:
        """A frame was answered. Returns whether that was the last one of the probation."""
        if self.probation_left == 0:
            return False
        self.probation_left -= 1
        return self.probation_left == 0

    def confirm(self) -> None:
        """End the probation in the record. Raises OSError."""
        self._records.change(probation=False)

    def fall_back(self) -> None:
        """Serve the bundle before the present one again, whatever the storage says to it. Raises OSError."""
        self.probation_left = 0
        previous = self._records.record.previous
        self.serving = self._factory
        if previous not in ("", self._factory.sha256):
            try:
                self.serving = self.store.find(previous)
            except BundleError as error:
                self.notices.append(("bundle_refused", str(error)))
        self.folder = self.serving.path
        self._records.change(active=self.serving.sha256, previous="", probation=False)

    def write_anew(self) -> Path:
        """Write the serving bundle's files, which were verified when read, into the store; returns their folder.

        Raises BundleError when the copy in memory is damaged too, OSError when the storage fails.
        """
        self.serving.verify()
        return self.store.keep(self.serving.files)[1]

    def close(self) -> None:
        """Remove the store if it was only a scratch one."""
        if self._scratch is not None:
            self._scratch.cleanup()
