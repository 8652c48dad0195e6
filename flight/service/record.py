"""What survives a restart: one record in two copies, each protected by a CRC and replaced as a whole.

A copy is a header (magic, generation, length, and the CRC-32 of generation, length and content) and a msgpack map. The
map also says which state folder the record belongs to, by an identity that the folder keeps in a file of its own: a
copy that was put there from another service's folder is not taken for this one's.

The older copy is replaced first: written under another name, flushed to the storage, renamed. So at least one copy
is whole at any moment. Of two whole copies the one of the later generation counts.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import struct
import zlib
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from flight.icd.packing import PackingError, pack_map, unpack_map
from flight.schema import SchemaError, check, load_schema
from flight.service.events import EventSink

_SCHEMA = load_schema("flight.schemas", "record")
_MAGIC = b"RBLMREC1"
_HEADER = struct.Struct("<8sQII")
_RECORD_BYTES = 64 * 1024
COPIES = ("record.a", "record.b")
IDENTITY = "identity"
_IDENTITY_BYTES = 16
_MACHINE_ID = Path("/etc/machine-id")


class RecordError(ValueError):
    """A copy that is missing or damaged; the message says which and how."""


@dataclass(frozen=True)
class Record:
    """What the service remembers.

    Attributes:
        parameters: by name, "mode" among them; those that commands have set.
        factory: SHA-256 of the manifest of the factory bundle, the one of the command line; "" for none.
        active: the same of the activated bundle.
        previous: the same of the bundle before that.
        probation: the active bundle has not answered its first frames yet.
        references: reference digest of the self-test, by bundle and environment.
    """

    parameters: dict[str, Any] = field(default_factory=dict)
    factory: str = ""
    active: str = ""
    previous: str = ""
    probation: bool = False
    references: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Origin:
    """Which service wrote a record.

    Attributes:
        identity: of its state folder, hexadecimal; "" in records of versions that did not state it.
        place: where that folder was: the machine's id and the path.
    """

    identity: str = ""
    place: str = ""


@dataclass(frozen=True)
class Copy:
    """The content of a copy. generation: the later one counts."""

    generation: int
    record: Record
    origin: Origin


def encode_copy(record: Record, generation: int, origin: Origin = Origin()) -> bytes:
    """Encode a copy of the record."""
    payload = pack_map({**asdict(record), "origin": asdict(origin)})
    checksum = zlib.crc32(payload, zlib.crc32(struct.pack("<QI", generation, len(payload))))
    return _HEADER.pack(_MAGIC, generation, len(payload), checksum) + payload


def decode_copy(data: bytes, what: str) -> Copy:
    """Decode a copy of the record.

    Args:
        data: content of the file.
        what: names the copy in messages.

    Raises:
        RecordError: the copy is damaged.
    """
    if len(data) < _HEADER.size:
        raise RecordError(f"{what}: expected at least {_HEADER.size} bytes, got {len(data)}")
    magic, generation, length, checksum = _HEADER.unpack_from(data)
    payload = data[_HEADER.size :]
    if magic != _MAGIC:
        raise RecordError(f"{what}: expected to begin with {_MAGIC!r}, got {magic!r}")
    if length != len(payload):
        raise RecordError(f"{what}: expected {length} bytes after the header, got {len(payload)}")
    actual = zlib.crc32(payload, zlib.crc32(data[8:20]))
    if actual != checksum:
        raise RecordError(f"{what}: CRC-32: expected {checksum:#010x}, got {actual:#010x}")
    try:
        values = unpack_map(payload, _RECORD_BYTES, what)
        check(values, _SCHEMA, "record")
    except (PackingError, SchemaError) as error:
        raise RecordError(f"{what}: {error}") from error
    origin = Origin(**values.pop("origin", {}))
    return Copy(generation, Record(**values), origin)


class RecordStore:
    """Keeps the record in two copies in a folder, or in memory only.

    Attributes:
        record: the present one.
        folder: of the copies, None in memory only.
    """

    def __init__(self, folder: Path | None, events: EventSink) -> None:
        """Read the copies, and repair a damaged one.

        Args:
            folder: of the copies; None to keep the record in memory only.
            events: gets copies that are damaged, another service's, or could not be written.

        Raises:
            OSError: the folder cannot be made.
        """
        self.folder = folder
        self._events = events
        self.record = Record()
        self._generations = dict.fromkeys(COPIES, 0)
        self._signatures: dict[str, tuple[int, ...] | None] = dict.fromkeys(COPIES)
        self._origin = Origin()
        if folder is not None:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._read(folder)

    @property
    def persistent(self) -> bool:
        """Whether the record survives a restart."""
        return self.folder is not None

    @property
    def copies(self) -> int:
        """How many copies are up to date, and on the storage as they were read or written last, 0..2."""
        newest = max(self._generations.values())
        return sum(self._generations[name] == newest and self._is_unchanged(name) for name in COPIES)

    def _is_unchanged(self, name: str) -> bool:
        """Whether the file of a copy is as it was read or written last."""
        signature = self._signatures[name]
        return self.folder is not None and signature is not None and _sign(self.folder / name) == signature

    def _read(self, folder: Path) -> None:
        found, errors = _read_copies(folder)
        place = _describe_place(folder)
        identity = _read_identity(folder)
        if identity is None:
            # A new folder, or only the copies were brought here: they say whose they are.
            identity = max(found.values(), key=lambda copy: copy.generation).origin.identity if found else ""
            identity = identity or secrets.token_hex(_IDENTITY_BYTES)
            self._try(folder / IDENTITY, partial(write_durably, folder / IDENTITY, identity.encode("ascii")))
        self._origin = Origin(identity, place)
        foreign = [name for name, copy in found.items() if copy.origin.identity not in ("", identity)]
        for name in foreign:
            copy = found.pop(name)
            errors[name] = f"{folder / name}: written by another service, in {copy.origin.place}"
            # It may be missed elsewhere.
            self._try(folder / name, partial((folder / name).replace, folder / f"{name}.other"))
        if found:
            self._choose(folder, found, errors)
        elif foreign or any((folder / name).exists() for name in COPIES):
            self._events.send("record_lost", problems=list(errors.values()))

    def _choose(self, folder: Path, found: dict[str, Copy], errors: dict[str, str]) -> None:
        """Take the newest of the copies that were found, and make both whole."""
        for name, copy in found.items():
            self._generations[name] = copy.generation
            self._signatures[name] = _sign(folder / name)
        newest = max(found.values(), key=lambda copy: copy.generation)
        self.record = newest.record
        for message in errors.values():
            self._events.send("record_copy_damaged", problem=message)
        if newest.origin.place not in ("", self._origin.place):
            self._events.send("record_moved", place=newest.origin.place)
        if self.copies < len(COPIES) or newest.origin != self._origin:
            # Rewrite a damaged or older copy at once, while the other is known to be good.
            self._try(folder, partial(self.save, self.record))

    def _try(self, path: Path, write: Callable[[], object]) -> None:
        try:
            write()
        except OSError as error:
            self._events.send("record_not_written", path=str(path), error=str(error.strerror))

    def change(self, **values: Any) -> None:
        """Replace fields of the record and write it, at start. Raises OSError; then nothing has changed."""
        self.save(replace(self.record, **values))

    def save(self, record: Record) -> None:
        """Write a record, which is the present one then. Raises as write."""
        for path, problem in self.write(record):
            self._events.send("record_not_written", path=path, error=problem)
        self.record = record

    def write(self, record: Record) -> list[tuple[str, str]]:
        """Write both copies, which takes as long as the storage takes; may run in a thread, one call after another.

        One copy that fails only lowers `copies`.

        Returns:
            Path of each copy that could not be written, and what the system says.

        Raises:
            OSError: no copy could be written, or the record is too large to be read again; then nothing has changed.
        """
        if self.folder is None:
            return []
        generation = max(self._generations.values()) + 1
        data = encode_copy(record, generation, self._origin)
        if len(data) > _RECORD_BYTES + _HEADER.size:
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), str(self.folder))
        before = {name: _read_or_none(self.folder / name) for name in COPIES}
        whole = {name: self._is_unchanged(name) for name in COPIES}
        errors: dict[str, OSError] = {}
        # The older or damaged copy first: the newest stays until another copy is whole.
        for name in sorted(COPIES, key=lambda name: self._generations[name]):
            path = self.folder / name
            try:
                write_durably(path, data)
                self._generations[name], self._signatures[name] = generation, _sign(path)
            except OSError as error:
                errors[name] = error
        if len(errors) == len(COPIES):
            for name in COPIES:
                _restore(self.folder / name, before[name])
                self._signatures[name] = _sign(self.folder / name) if whole[name] else None
            raise errors[COPIES[0]]
        return [(str(self.folder / name), str(error.strerror)) for name, error in errors.items()]

    def verify(self, record: Record) -> list[str]:
        """Read the copies again; may run in a thread, as write.

        Args:
            record: that they must hold.

        Returns:
            What is wrong with each that is not as it was written: it does not count among `copies` any more.
        """
        assert self.folder is not None
        found, errors = _read_copies(self.folder)
        for name, copy in found.items():
            if (copy.generation, copy.record, copy.origin) == (self._generations[name], record, self._origin):
                self._signatures[name] = _sign(self.folder / name)
            else:
                errors[name] = f"{self.folder / name}: expected what was written last, got another record"
        for name in errors:
            self._signatures[name] = None
        return list(errors.values())


def _read_copies(folder: Path) -> tuple[dict[str, Copy], dict[str, str]]:
    """The copies that are whole, and what is wrong with the others, by name."""
    found, errors = {}, {}
    for name in COPIES:
        try:
            found[name] = decode_copy(_read_copy(folder / name), str(folder / name))
        except RecordError as error:
            errors[name] = str(error)
    return found, errors


def _sign(path: Path) -> tuple[int, ...] | None:
    """What changes when a file is replaced or written to; None if it is not there."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _read_identity(folder: Path) -> str | None:
    """The identity of a state folder; None if it has none, or none that can be read."""
    with contextlib.suppress(OSError, ValueError):
        text = (folder / IDENTITY).read_text(encoding="ascii")
        if len(bytes.fromhex(text)) == _IDENTITY_BYTES:
            return text
    return None


def _describe_place(folder: Path) -> str:
    """Where a state folder is, for people: the machine's id, if it has one, and the path."""
    machine = ""
    with contextlib.suppress(OSError, ValueError):
        machine = _MACHINE_ID.read_text(encoding="ascii").strip()[:32]
    return f"{machine}:{folder.resolve()}"[-1000:]


def _read_copy(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_RECORD_BYTES + _HEADER.size + 1)
    except OSError as error:
        raise RecordError(f"{path}: {error.strerror}") from error


def _read_or_none(path: Path) -> bytes | None:
    try:
        return _read_copy(path)
    except RecordError:
        return None


def _restore(path: Path, before: bytes | None) -> None:
    """Undo a write that failed after its renaming, so that what is reported as unchanged is unchanged."""
    with contextlib.suppress(OSError):
        if before is None:
            path.unlink(missing_ok=True)
        elif path.read_bytes() != before:
            part = path.with_name(f".{path.name}.part")
            with open(part, "wb", opener=_create) as file:
                file.write(before)
            part.replace(path)


def _create(path: str, flags: int) -> int:
    """Open a file that nobody else may write, whatever the umask and the folder."""
    return os.open(path, flags, 0o644)


def write_durably(path: Path, data: bytes) -> None:
    """Replace a file as a whole: after a power cut it has its old or its new content. Raises OSError."""
    part = path.with_name(f".{path.name}.part")
    with open(part, "wb", opener=_create) as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make renames in a folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
