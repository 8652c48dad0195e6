"""The record: two copies, of which one is whole whatever happens to the storage."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flight.service.record import (
    COPIES,
    Copy,
    Origin,
    Record,
    RecordError,
    RecordStore,
    decode_copy,
    encode_copy,
)
from tests.flight.service.scenarios import RecordingSink

OLD = Record(parameters={"passes": 5, "gamma": 2.5, "mode": "Fused"}, factory="ab" * 32, references={"x y": "cd" * 32})
NEW = replace(OLD, parameters={"passes": 6, "publish_full": True}, active="ef" * 32, previous="ab" * 32, probation=True)

digests = st.just("") | st.text("0123456789abcdef", min_size=64, max_size=64)
values = st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text(max_size=20)
records = st.builds(
    Record,
    parameters=st.dictionaries(st.text(max_size=20), values, max_size=8),
    factory=digests,
    active=digests,
    previous=digests,
    probation=st.booleans(),
    references=st.dictionaries(st.text(max_size=60), st.text(max_size=64), max_size=8),
)


def opened(folder: Path | None) -> tuple[RecordStore, list[tuple[str, str]]]:
    """A store, and the events that it sends: those of its reading, and from then on."""
    events = RecordingSink()
    return RecordStore(folder, events), events.sent


def stored(folder: Path, record: Record = OLD) -> Path:
    """A folder with both copies of a record."""
    opened(folder)[0].save(record)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in COPIES}


@given(records, st.integers(0, 2**64 - 1))
def test_a_copy_gives_back_its_record_and_generation(record: Record, generation: int) -> None:
    origin = Origin("ab" * 16, "machine:/var/lib/rubblemap")
    assert decode_copy(encode_copy(record, generation, origin), "copy") == Copy(generation, record, origin)
    assert decode_copy(encode_copy(record, generation), "copy") == Copy(generation, record, Origin())


@settings(max_examples=30)
@given(records, st.integers(0, 2**64 - 1), st.data())
def test_a_flipped_bit_of_any_record_is_detected(record: Record, generation: int, data: st.DataObject) -> None:
    copy = bytearray(encode_copy(record, generation))
    bit = data.draw(st.integers(0, 8 * len(copy) - 1))
    copy[bit // 8] ^= 1 << (bit % 8)
    with pytest.raises(RecordError, match="copy: "):
        decode_copy(bytes(copy), "copy")


def test_every_flipped_bit_of_a_copy_is_detected() -> None:
    whole = encode_copy(NEW, 77)
    for bit in range(8 * len(whole)):
        copy = bytearray(whole)
        copy[bit // 8] ^= 1 << (bit % 8)
        with pytest.raises(RecordError):
            decode_copy(bytes(copy), "copy")


def test_a_copy_cut_at_any_length_or_too_long_is_detected() -> None:
    whole = encode_copy(NEW, 77)
    for length in range(len(whole)):
        with pytest.raises(RecordError, match="copy: expected"):
            decode_copy(whole[:length], "copy")
    with pytest.raises(RecordError, match="after the header"):
        decode_copy(whole + b"\0", "copy")


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_no_record(data: bytes) -> None:
    with pytest.raises(RecordError):
        decode_copy(data, "copy")


def test_a_record_survives_and_leaves_two_equal_copies(tmp_path: Path) -> None:
    store, events = opened(tmp_path / "made" / "anew")
    assert (store.record, store.copies, events) == (Record(), 0, [])
    store.save(OLD)
    store.change(parameters=NEW.parameters)
    again, events = opened(tmp_path / "made" / "anew")
    assert again.record == replace(OLD, parameters=NEW.parameters)
    assert (again.copies, events) == (2, [])
    assert len(set(contents(tmp_path / "made" / "anew").values())) == 1


def test_without_a_folder_the_record_lives_in_memory() -> None:
    store, _ = opened(None)
    store.change(probation=True)
    assert store.record.probation
    assert not store.persistent


@pytest.mark.parametrize("later", COPIES)
def test_of_two_whole_copies_the_later_generation_counts(tmp_path: Path, later: str) -> None:
    for name in COPIES:
        copy = encode_copy(NEW, 8) if name == later else encode_copy(OLD, 7)
        (tmp_path / name).write_bytes(copy)
    store, events = opened(tmp_path)
    assert (store.record, store.copies, events) == (NEW, 2, [])
    assert opened(tmp_path)[0].record == NEW


@pytest.mark.parametrize("name", COPIES)
@pytest.mark.parametrize("harm", ["flipped", "cut", "empty", "missing", "folder"])
def test_a_damaged_copy_is_reported_the_other_used_and_both_made_whole(tmp_path: Path, name: str, harm: str) -> None:
    path = stored(tmp_path) / name
    content = path.read_bytes()
    if harm in ("missing", "folder"):
        path.unlink()
    else:
        damaged = {"flipped": content[:-1] + bytes([content[-1] ^ 1]), "cut": content[:30], "empty": b""}[harm]
        path.write_bytes(damaged)
    if harm == "folder":
        path.mkdir()
    store, events = opened(tmp_path)
    assert store.record == OLD
    assert events[0][0] == "record_copy_damaged"
    assert str(path) in events[0][1]
    if harm == "folder":  # which a file cannot replace; the other copy goes on
        assert [event for event, _ in events] == ["record_copy_damaged", "record_not_written"]
        assert store.copies == 1
        store.save(NEW)
        assert opened(tmp_path)[0].record == NEW
        return
    assert len(events) == 1
    assert store.copies == 2
    again, events = opened(tmp_path)
    assert (again.record, events) == (OLD, [])


def test_with_both_copies_damaged_the_defaults_count_and_it_is_said(tmp_path: Path) -> None:
    for name in COPIES:
        (stored(tmp_path) / name).write_bytes(b"nothing")
        (tmp_path / COPIES[0]).write_bytes(b"nothing")
    store, events = opened(tmp_path)
    assert (store.record, store.copies) == (Record(), 0)
    ((event, message),) = events
    assert event == "record_lost"
    assert all(name in message for name in COPIES)
    store.save(NEW)
    assert opened(tmp_path)[0].record == NEW


def failing_fsync(monkeypatch: pytest.MonkeyPatch, folders_only: bool) -> None:
    flush = os.fsync

    def fsync(descriptor: int) -> None:
        if not folders_only or Path(f"/proc/self/fd/{descriptor}").resolve().is_dir():
            raise OSError(5, "Input/output error")
        flush(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)


@pytest.mark.parametrize("cause", ["fsync", "fsync of the folder", "storage full", "part is a folder"])
def test_a_write_that_fails_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cause: str) -> None:
    store, _ = opened(stored(tmp_path))
    before = contents(tmp_path)
    with monkeypatch.context() as patch:
        if cause.startswith("fsync"):
            failing_fsync(patch, folders_only="folder" in cause)
        for name in COPIES:
            part = tmp_path / f".{name}.part"
            if cause == "storage full":
                part.symlink_to("/dev/full")
            elif cause == "part is a folder":
                part.mkdir()
        with pytest.raises(OSError, match=r"error|space|directory"):
            store.save(NEW)
    assert (store.record, store.copies) == (OLD, 2)
    assert contents(tmp_path) == before
    assert opened(tmp_path)[0].record == OLD


@pytest.mark.parametrize("name", COPIES)
def test_one_copy_that_cannot_be_written_is_reported_and_the_other_goes_on(tmp_path: Path, name: str) -> None:
    store, events = opened(stored(tmp_path))
    part = tmp_path / f".{name}.part"
    part.symlink_to("/dev/full")
    for record in (NEW, OLD, NEW):
        store.save(record)
        assert (store.record, store.copies) == (record, 1)
        (problem,) = events
        assert problem[0] == "record_not_written"
        assert name in problem[1]
        events.clear()
        assert opened(tmp_path)[0].record == record
    part.unlink()
    store.save(OLD)
    assert (store.copies, events) == (2, [])


def test_a_torn_part_file_leaves_the_old_record(tmp_path: Path) -> None:
    stored(tmp_path)
    data = encode_copy(NEW, 9)
    for name in COPIES:
        for length in range(0, len(data) + 1, 3):
            (tmp_path / f".{name}.part").write_bytes(data[:length])
            store, events = opened(tmp_path)
            assert (store.record, events) == (OLD, [])


@pytest.mark.parametrize("name", COPIES)
def test_a_torn_copy_leaves_the_old_or_the_new_record(tmp_path: Path, name: str) -> None:
    """As on a storage that does not keep its promise about renaming."""
    before = contents(stored(tmp_path))
    data = encode_copy(NEW, 9)
    for length in range(0, len(data) + 1, 3):
        torn = data[:length] + before[name][length:]
        for content in (data[:length], torn):
            for copy in COPIES:
                (tmp_path / copy).write_bytes(content if copy == name else before[copy])
            assert opened(tmp_path)[0].record == (NEW if content == data else OLD)


@pytest.mark.parametrize("moment", range(6))
def test_a_power_cut_at_any_step_leaves_the_old_or_the_new_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: int
) -> None:
    """A save is six steps: flush, rename, flush the folder, for each of the two copies."""

    class PowerCut(BaseException):
        """Nothing after this is carried out."""

    steps = 0

    def counted(run: Any) -> Any:
        def step(*arguments: Any) -> Any:
            nonlocal steps
            if steps == moment:
                raise PowerCut
            steps += 1
            return run(*arguments)

        return step

    store, _ = opened(stored(tmp_path))
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", counted(os.fsync))
        patch.setattr(Path, "replace", counted(Path.replace))
        with pytest.raises(PowerCut):
            store.save(NEW)
    again, events = opened(tmp_path)
    assert again.record == (OLD if moment <= 1 else NEW)
    assert (events, again.copies) == ([], 2)


def test_a_record_that_could_not_be_read_again_is_not_written(tmp_path: Path) -> None:
    store, _ = opened(stored(tmp_path))
    with pytest.raises(OSError, match="File too large"):
        store.change(references={f"bundle {number}": "ab" * 32 for number in range(1000)})
    assert store.record == OLD
    assert opened(tmp_path)[0].record == OLD
