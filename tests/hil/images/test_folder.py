"""Folders as people have them: order, litter, subfolders, thousands of files, names of any bytes."""

from __future__ import annotations

import os
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from flight.client.images import ImageError, natural_key
from hil.images.folder import list_folder
from hil.sources.folder import open_source

PNG = cv2.imencode(".png", np.full((16, 16), 90, dtype=np.uint8))[1].tobytes()


def fill(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(PNG)


def names(folder: Path, subfolders: bool = False) -> list[str]:
    return [path.relative_to(folder).as_posix() for path in list_folder(folder, subfolders).files]


@pytest.mark.parametrize(
    "ordered",
    [
        [f"frame_{number}.png" for number in (1, 2, 9, 10, 11, 100)],
        ["1.png", "2.png", "10.png"],
        ["a2b10.png", "a2b11.png", "a10b1.png"],
        ["0009.png", "010.png", "11.png"],
        ["img-1.png", "img-2.png", "img-10.png"],
        ["run2/9.png", "run2/10.png", "run10/1.png"],
        ["frame.png", "frame1.png", "frame²3.png"],
        ["00001234567890123456789.png", "12345678901234567890.png"],
    ],
)
def test_numbers_in_names_are_in_the_order_that_people_count_in(ordered: list[str], tmp_path: Path) -> None:
    fill(tmp_path, *reversed(ordered))
    assert names(tmp_path, subfolders=True) == ordered


def test_the_order_is_the_same_however_the_folder_lists_its_files() -> None:
    """Names that differ only in zeros in front are still told apart."""
    paths = [Path(name) for name in ("1", "01", "a", "1a", "a1", "", "1.2", "1/2", "é", "\udcff")]
    backwards = paths[::-1]
    assert sorted(paths, key=natural_key) == sorted(backwards, key=natural_key)


def test_litter_is_named_and_left_out(tmp_path: Path) -> None:
    fill(tmp_path, "a.png", "b.PNG", "._a.png", ".hidden.png", "Thumbs.db", "notes.txt", ".git/c.png", "__MACOSX/a.png")
    (tmp_path / "empty.png").touch()
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "gone.png").symlink_to(tmp_path / "nowhere.png")
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "labels.xml").write_text("<?xml version='1.0'?><annotation/>")
    listing = list_folder(tmp_path)
    assert [path.name for path in listing.files] == ["a.png", "b.PNG"]
    told = {line.split(" (")[0]: line for line in listing.left_out}
    expected = {"._a.png", ".hidden.png", "Thumbs.db", "notes.txt", "empty.png", "gone.png", "pipe.png", "labels.xml"}
    assert set(told) == expected
    assert told["empty.png"] == "empty.png (empty)"
    assert told["._a.png"] == "._a.png (hidden)"
    assert listing.summary().startswith("left out: ")
    assert listing.summary().endswith("; and 3 more")
    assert "\n" not in listing.summary()


def test_subfolders_are_an_option_that_is_told_of(tmp_path: Path) -> None:
    fill(tmp_path, "one/2.png", "one/deep/10.png", "two/1.png", ".trash/9.png")
    with pytest.raises(ImageError, match=r"no \.png, .* files in it; --subfolders: below it"):
        list_folder(tmp_path)
    assert names(tmp_path, subfolders=True) == ["one/2.png", "one/deep/10.png", "two/1.png"]
    fill(tmp_path, "0.png")
    assert names(tmp_path) == ["0.png"]


def test_a_label_and_its_data_are_one_image(tmp_path: Path) -> None:
    (tmp_path / "a.IMG").write_bytes(b"pixels")
    (tmp_path / "a.LBL").write_bytes(b"PDS_VERSION_ID = PDS3\r\n")
    (tmp_path / "b.fits").write_bytes(b"SIMPLE  =")
    (tmp_path / "b.xml").write_bytes(b"<?xml?><Product_Observational>")
    (tmp_path / "c.IMG").write_bytes(b"PDS_VERSION_ID = PDS3\r\n")
    listing = list_folder(tmp_path)
    assert [path.name for path in listing.files] == ["a.LBL", "b.fits", "c.IMG"]
    assert listing.left_out == []


def test_ten_thousand_files_are_opened_in_seconds(tmp_path: Path) -> None:
    for number in range(10_000):
        (tmp_path / f"{number}.png").write_bytes(PNG)
    began = time.process_time()
    source = open_source(str(tmp_path))
    assert len(source) == 10_000
    assert [path.name for path in source.files[9_998:]] == ["9998.png", "9999.png"]
    assert time.process_time() - began < 10.0


def test_names_of_any_bytes_are_shown_in_one_line(tmp_path: Path) -> None:
    for name in (b"s\xfcd.png", "龍.png".encode(), b"new\nline.png", b"\x1b[31mred.png"):
        Path(os.fsdecode(os.path.join(os.fsencode(tmp_path), name))).write_bytes(PNG)  # noqa: PTH118  # of bytes
    said: list[str] = []
    (tmp_path / os.fsdecode(b"\xff\n.txt")).touch()
    source = open_source(str(tmp_path), warn=said.append)
    assert len(source) == 4
    assert source.frame(0).shape == (16, 16)
    for text in [*said, *map(str, source.images.items)]:
        assert text.isprintable()


def test_a_folder_that_vanishes_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "card"
    fill(folder, "a.png", "b.png")
    source = open_source(str(folder))
    for path in source.files:
        path.unlink()
    folder.rmdir()
    with pytest.raises(ImageError, match=r"card/a\.png: No such file or directory"):
        source.frame(0)
    with pytest.raises(ImageError, match="card: no such folder"):
        open_source(str(folder))
