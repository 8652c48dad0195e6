"""What survives a restart: one record in two copies, each protected by a CRC and replaced as a whole.

A copy is a header (magic, generation, length, and the CRC-32 of generation, length and content) and a msgpack map.
The older copy is replaced first: written under another name, flushed to the storage, renamed. So at least one copy
is whole at any moment. Of two whole copies the one of the later generation counts.
"""

from __future__ import annotations

import contextlib
import errno
import os
import struct
import zlib
from dataclasses import asdict, dataclass, field, replace
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


class RecordError(ValueError):
    """A copy that is missing or damaged; the message says which and how."""


@dataclass(frozen=True)
class Record:
    """What the service remembers.

    Attributes:
        parameters: by name, "mode" among them; those that commands have set.
        factory: SHA-256 of the manifest of the bundle given at start; "" for none.
        active: the same of the activated bundle.
        previous: the same of the bundle before that.
        probation: the active bundle has not answered its first frames yet.
        references: digest of the self-test's known answer, by bundle and environment.
    """

    parameters: dict[str, Any] = field(default_factory=dict)
    factory: str = ""
    active: str = ""
    previous: str = ""
    probation: bool = False
    references: dict[str, str] = field(default_factory=dict)


def encode_copy(record: Record, generation: int) -> bytes:
    """Encode a copy of the record."""
    payload = pack_map(asdict(record))
    checksum = zlib.crc32(payload, zlib.crc32(struct.pack("<QI", generation, len(payload))))
    return _HEADER.pack(_MAGIC, generation, len(payload), checksum) + payload


def decode_copy(data: bytes, what: str) -> tuple[int, Record]:
    """Decode a copy of the record.

    Args:
        data: content of the file.
        what: names the copy in messages.

    Returns:
        Its generation, and the record.

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
    return generation, Record(**values)


class RecordStore:
    """Keeps the record in two copies in a folder, or in memory only.

    Attributes:
        record: the present one.
    """

    def __init__(self, folder: Path | None, events: EventSink) -> None:
        """Read the copies, and repair a damaged one.

        Args:
            folder: of the copies; None to keep the record in memory only.
            events: gets copies that are damaged or could not be written.

        Raises:
            OSError: the folder cannot be made.
        """
        self._folder = folder
        self._events = events
        self.record = Record()
        self._generations = dict.fromkeys(COPIES, 0)
        if folder is not None:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._read(folder)

    @property
    def persistent(self) -> bool:
        """Whether the record survives a restart."""
        return self._folder is not None

    @property
    def copies(self) -> int:
        """How many copies are whole and up to date, 0..2."""
        newest = max(self._generations.values())
        return sum(generation == newest for generation in self._generations.values()) if newest else 0

    def _read(self, folder: Path) -> None:
        errors: dict[str, str] = {}
        newest = 0
        for name in COPIES:
            try:
                data = _read_copy(folder / name)
                generation, record = decode_copy(data, str(folder / name))
            except RecordError as error:
                errors[name] = str(error)
                continue
            self._generations[name] = generation
            if generation > newest:
                newest, self.record = generation, record
        if len(errors) == len(COPIES):
            if any((folder / name).exists() for name in COPIES):
                self._events.send("record_lost", problems=list(errors.values()))
            return
        for message in errors.values():
            self._events.send("record_copy_damaged", problem=message)
        if self.copies < len(COPIES):
            # Rewrite a damaged or older copy at once, while the other is known to be good.
            try:
                self.save(self.record)
            except OSError as error:
                self._events.send("record_not_written", path=str(folder), error=str(error.strerror))

    def change(self, **values: Any) -> None:
        """Replace fields of the record and write it. Raises OSError; then nothing has changed."""
        self.save(replace(self.record, **values))

    def note(self, **values: Any) -> None:
        """Record what has happened already: a storage that fails cannot undo it, and is reported as an event."""
        try:
            self.change(**values)
        except OSError as error:
            self._events.send("record_not_written", path=str(error.filename), error=str(error.strerror))

    def save(self, record: Record) -> None:
        """Write a record, which is the present one then.

        One copy that fails only lowers `copies`, with an event.

        Raises:
            OSError: no copy could be written, or the record is too large to be read again; then nothing has changed.
        """
        if self._folder is not None:
            generation = max(self._generations.values()) + 1
            data = encode_copy(record, generation)
            if len(data) > _RECORD_BYTES + _HEADER.size:
                raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), str(self._folder))
            before = {name: _read_or_none(self._folder / name) for name in COPIES}
            errors: dict[str, OSError] = {}
            # The older or damaged copy first: the newest stays until another copy is whole.
            for name in sorted(COPIES, key=lambda name: self._generations[name]):
                try:
                    write_durably(self._folder / name, data)
                    self._generations[name] = generation
                except OSError as error:
                    errors[name] = error
            if len(errors) == len(COPIES):
                for name in COPIES:
                    _restore(self._folder / name, before[name])
                raise errors[COPIES[0]]
            for name, failure in errors.items():
                self._events.send("record_not_written", path=str(self._folder / name), error=str(failure.strerror))
        self.record = record


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
            part.write_bytes(before)
            part.replace(path)


def write_durably(path: Path, data: bytes) -> None:
    """Replace a file as a whole: after a power cut it has its old or its new content. Raises OSError."""
    part = path.with_name(f".{path.name}.part")
    with part.open("wb") as file:
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
