"""Stores bundles: copied whole and verified, found by the SHA-256 of their manifest."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
import time
from pathlib import Path

from flight.bundle import Bundle, BundleError, load_bundle, read_files
from flight.schema import format_value
from flight.service.folder_lock import FolderLock
from flight.service.record import sync_folder

# A bundle's folder, and one that is not finished yet; what has another name is not the store's.
_SCRATCH = "rubblemap_bundles_"
_ABANDONED_S = 60.0
_FOLDER = re.compile(r"[0-9a-f]{64}|\.[0-9a-f]{64}\.part")


def load_this_bundle(folder: Path, sha256: str) -> Bundle:
    """Load a bundle that must be a certain one: another in its place may be whole, and answer other maps.

    Args:
        folder: of the bundle.
        sha256: of its manifest.

    Raises:
        BundleError: the bundle is damaged, or another one.
    """
    bundle = load_bundle(folder)
    if bundle.sha256 != sha256:
        raise BundleError(
            f"{folder}: manifest.json: expected sha256 {sha256[:16]}..., got {bundle.sha256[:16]}...: another bundle"
        )
    return bundle


class BundleStore:
    """Keeps bundles, one folder each, named by the SHA-256 of the manifest."""

    def __init__(self, state: Path | None) -> None:
        """Open the store.

        Args:
            state: folder in which the bundles are kept; None for a temporary folder that close() removes.

        Raises:
            OSError: the folder cannot be made.
        """
        self._scratch: tempfile.TemporaryDirectory[str] | None = None
        if state is None:
            _remove_abandoned()
            self._scratch = tempfile.TemporaryDirectory(prefix=_SCRATCH)
            state = Path(self._scratch.name)
            self._lock = FolderLock(state)
        self._folder = state / "bundles"
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def close(self) -> None:
        """Remove the store if it is a temporary folder."""
        if self._scratch is not None:
            self._scratch.cleanup()
            self._lock.close()

    def copy_in(self, source: Path) -> tuple[str, Path]:
        """Copy a bundle into the store: only files that SHA256SUMS lists, and exactly the bytes that were verified.

        Args:
            source: folder of the bundle.

        Returns:
            The SHA-256 of its manifest, and its folder in the store.

        Raises:
            BundleError: the bundle is damaged.
            OSError: the storage is full or fails; no part of the bundle is left under its name.
        """
        return self.keep(read_files(source))

    def keep(self, files: dict[str, bytes]) -> tuple[str, Path]:
        """Write a bundle from its verified files, in place of a damaged one. Returns and raises as copy_in.

        A temporary store does not outlive the service: nobody waits until its storage has written.
        """
        sha256 = Bundle.hash_manifest(files)
        final = self._folder / sha256
        try:
            if read_files(final) == files:
                return sha256, final
        except BundleError:
            pass
        part = self._folder / f".{sha256}.part"
        shutil.rmtree(part, ignore_errors=True)
        # Cleaners of temporary folders may have removed the store.
        part.mkdir(mode=0o700, parents=True)
        for name, content in files.items():
            with (part / name).open("wb") as file:
                file.write(content)
                file.flush()
                if self._scratch is None:
                    os.fsync(file.fileno())
        if self._scratch is None:
            sync_folder(part)
        shutil.rmtree(final, ignore_errors=True)
        part.rename(final)
        if self._scratch is None:
            sync_folder(self._folder)
        return sha256, final

    def find(self, sha256: str) -> Bundle:
        """Find a bundle by the SHA-256 of its manifest, and verify it. Raises BundleError."""
        return load_this_bundle(self._folder / sha256, sha256)

    def remove_others(self, kept: set[str]) -> None:
        """Remove every bundle that is not among `kept`, and folders that a power cut left unfinished."""
        for path in self._folder.iterdir():
            if path.name not in kept and _FOLDER.fullmatch(path.name):
                shutil.rmtree(path, ignore_errors=True)


def _remove_abandoned() -> None:
    """Remove the temporary stores of services that were killed: of those that run, each holds the lock of its own."""
    for path in Path(tempfile.gettempdir()).glob(f"{_SCRATCH}*"):
        with contextlib.suppress(OSError):
            # One that was made a moment ago may not be locked yet.
            if time.time() - path.stat().st_mtime > _ABANDONED_S:
                lock = FolderLock(path)
                shutil.rmtree(path, ignore_errors=True)
                lock.close()


def find_folder(bundles: Path, name: str) -> Path:
    """Find the folder inside `bundles` that a command names.

    Args:
        bundles: the uplink folder.
        name: path relative to it.

    Raises:
        BundleError: `name` is not a path, or leads out of the uplink folder.
    """
    root = bundles.resolve()
    if "\0" in name:
        raise BundleError(f"path: expected the name of a folder in {root}, got {format_value(name)}")
    try:
        path = (root / name).resolve()
    except (OSError, RuntimeError):
        # A symbolic link that leads to itself.
        path = root
    if root not in path.parents:
        raise BundleError(f"path: expected a folder inside {root}, got {format_value(name)}")
    return path
