"""Bundles on the storage: copied in whole and verified, found again by the SHA-256 of their manifest."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from flight.bundle import Bundle, BundleError, load_bundle, read_files
from flight.schema import shown
from flight.service.record import sync_folder


class BundleStore:
    """state: the folder in which bundles are kept, one folder each; None: a scratch folder, until close().

    Raises OSError when the folder cannot be made.
    """

    def __init__(self, state: Path | None) -> None:
        self._scratch: tempfile.TemporaryDirectory[str] | None = None
        if state is None:
            self._scratch = tempfile.TemporaryDirectory(prefix="rubblemap_bundles_")
            state = Path(self._scratch.name)
        self._folder = state / "bundles"
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def close(self) -> None:
        """Remove the store if it was only a scratch one."""
        if self._scratch is not None:
            self._scratch.cleanup()

    def copy_in(self, source: Path) -> tuple[str, Path]:
        """Copy a bundle into the store. Returns the SHA-256 of its manifest, and its folder there.

        Only files that SHA256SUMS lists are copied, and what is written is what was verified. Raises BundleError, or
        OSError when the storage is full or fails; nothing half-written is left under a bundle's name.
        """
        return self.keep(read_files(source))

    def keep(self, files: dict[str, bytes]) -> tuple[str, Path]:
        """Write a bundle from its verified files (see copy_in); one that is there and damaged is replaced."""
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
                os.fsync(file.fileno())
        sync_folder(part)
        shutil.rmtree(final, ignore_errors=True)
        part.rename(final)
        sync_folder(self._folder)
        return sha256, final

    def find(self, sha256: str) -> Bundle:
        """A bundle of the store, verified. Raises BundleError."""
        bundle = load_bundle(self._folder / sha256)
        if bundle.sha256 != sha256:
            raise BundleError(f"{bundle.path}: manifest.json: expected sha256 {sha256[:16]}..., got another bundle")
        return bundle

    def forget_others(self, kept: set[str]) -> None:
        """Remove every bundle that is not among `kept`, and what a power cut left half-written."""
        for path in self._folder.iterdir():
            if path.name not in kept:
                shutil.rmtree(path, ignore_errors=True)


def folder_inside(bundles: Path, name: object) -> Path:
    """The folder inside `bundles` that a command names. Raises BundleError for whatever lies elsewhere."""
    root = bundles.resolve()
    if not isinstance(name, str) or not 1 <= len(name) <= 255 or "\0" in name:
        raise BundleError(f"path: expected the name of a folder in {root}, got {shown(name)}")
    try:
        path = (root / name).resolve()
    except (OSError, RuntimeError):
        # A symbolic link that leads to itself.
        path = root
    if root not in path.parents:
        raise BundleError(f"path: expected a folder inside {root}, got {shown(name)}")
    return path
