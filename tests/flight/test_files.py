"""Files written whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from flight.files import write_whole


def test_what_was_there_before_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "map.npz"
    write_whole(path, b"before")

    def fill_the_disk(self: Path, data: bytes) -> int:
        with self.open("wb") as file:
            file.write(data[:3])
        raise OSError(28, "No space left on device")  # as a write is told of it: without a name

    monkeypatch.setattr(Path, "write_bytes", fill_the_disk)
    with pytest.raises(OSError, match="No space left on device") as raised:
        write_whole(path, b"after that")
    assert raised.value.filename == str(path)
    assert path.read_bytes() == b"before"
    assert os.listdir(tmp_path) == ["map.npz"]  # noqa: PTH208


def test_a_file_may_have_the_longest_name_that_there_is(tmp_path: Path) -> None:
    path = tmp_path / ("n" * 251 + ".png")
    write_whole(path, b"picture")
    assert path.read_bytes() == b"picture"


def test_a_folder_that_is_gone_is_not_made_anew(tmp_path: Path) -> None:
    path = tmp_path / "card" / "map.npz"
    with pytest.raises(FileNotFoundError) as raised:
        write_whole(path, b"map")
    assert raised.value.filename == str(path)
    assert not path.parent.exists()
