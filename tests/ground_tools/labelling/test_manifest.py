"""`ground-tools label manifest`: folders of images as people have them."""

from __future__ import annotations

import csv
import hashlib
import os
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from ground_tools.cli import main
from ground_tools.labelling.collection import read_image, read_manifest
from tests.ground_tools.labelling.label_tool import label


def test_litter_and_bad_files_are_named_and_the_rest_is_listed(
    images: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (images / "manifest.csv").unlink()
    (images / "alpha" / "._alpha_0.png").write_bytes(b"\x00\x05\x16\x07" + bytes(4000))
    for folder in (".thumbnails", "__MACOSX", "alpha/@eaDir"):
        (images / folder).mkdir()
        shutil.copy(images / "beta" / "beta_0.png", images / folder / "small.png")
    assert main(["label", "manifest", str(images)]) == 0
    err = capsys.readouterr().err
    for name in ("alpha/._alpha_0.png", ".thumbnails/small.png", "__MACOSX/small.png", "alpha/@eaDir/small.png"):
        assert f"{images / name}: litter; left out" in err
    (images / "beta" / "empty.png").write_bytes(b"")
    (images / "beta" / "broken.jpg").write_bytes(b"\xff\xd8 nothing")
    (images / "beta" / "gone.png").symlink_to(images / "nowhere.png")
    (images / "beta" / "folder.png").mkdir()
    shutil.copy(images / "beta" / "beta_1.png", os.fsencode(images / "beta") + b"/Itokawa_\xe9.png")
    assert main(["label", "manifest", str(images)]) == 1
    out, err = capsys.readouterr()
    assert out == f"{images / 'manifest.csv'}: 12 images, 4 files left out\n"
    for name in ("empty.png", "broken.jpg", "gone.png", "Itokawa_"):
        assert str(images / "beta" / name) in err
    assert len(read_manifest(images)) == 12


def test_a_manifest_from_within_the_folder_is_one_that_the_next_command_takes(
    images: Path, labels: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(images / "alpha")
    assert main(["label", "manifest", "."]) == 0
    assert {entry.body for entry in read_manifest(images / "alpha").values()} == {"alpha"}
    label("status", images=Path(), labels=labels)
    assert "4 images of 1 bodies labelled" in capsys.readouterr().out


@pytest.mark.parametrize("body", ["", " ", "a/b", ".hidden"])
def test_a_body_that_no_manifest_may_have_is_refused(
    images: Path, body: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (images / "manifest.csv").read_bytes()
    assert main(["label", "manifest", str(images), "--body", body]) == 2
    assert "--body: expected a name" in capsys.readouterr().err
    assert (images / "manifest.csv").read_bytes() == before


def test_what_a_person_wrote_into_a_manifest_stays(images: Path) -> None:
    path = images / "manifest.csv"
    rows = [{**row, "camera": ""} for row in csv.DictReader(path.read_text().splitlines())]
    rows[0] |= {"body": "Ryugu", "obtained_from": "hyb2_onc_20180801", "camera": "ONC-T"}
    text = "\n".join([",".join(rows[0]), *(",".join(row.values()) for row in rows)])
    path.write_text(f"\ufeff{text}\n", encoding="utf-8")
    first = rows[0]["file"]
    assert read_manifest(images)[first].body == "Ryugu"
    shutil.copy(images / first, images / "beta" / "another.png")
    assert main(["label", "manifest", str(images)]) == 0
    again = {row["file"]: row for row in csv.DictReader(path.read_text().splitlines())}
    assert len(again) == 13
    told = [again[first][name] for name in ("body", "obtained_from", "camera")]
    assert told == ["Ryugu", "hyb2_onc_20180801", "ONC-T"]
    # Of another content nothing is known.
    shutil.copy(images / "beta" / "beta_0.png", images / first)
    assert main(["label", "manifest", str(images)]) == 0
    row = next(row for row in csv.DictReader(path.read_text().splitlines()) if row["file"] == first)
    assert (row["body"], row["obtained_from"], row["camera"]) == (first.split("/")[0], "", "")
    assert row["sha256"] == hashlib.sha256((images / first).read_bytes()).hexdigest()


def test_a_bit_depth_is_written_for_all_who_read_the_manifest(images: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dark = np.full((60, 60), 800, dtype=np.uint16)
    cv2.imwrite(str(images / "beta" / "dark.png"), dark)
    assert main(["label", "manifest", str(images), "--bit-depth", "12"]) == 0
    assert "bit depth" not in capsys.readouterr().err
    entries = read_manifest(images)
    assert {entry.bit_depth for entry in entries.values()} == {12}
    assert read_image(images, entries["beta/dark.png"])[0, 0] == round(800 / 4095 * 255)
    # Without the option it stays.
    assert main(["label", "manifest", str(images)]) == 0
    assert read_manifest(images)["beta/dark.png"].bit_depth == 12


def test_a_manifest_that_is_no_text_is_named(images: Path, labels: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (images / "manifest.csv").write_bytes("file,body,sha256\nbéta.png,b,0\n".encode("latin-1"))
    label("status", images=images, labels=labels, expect=2)
    assert f"{images / 'manifest.csv'}: not readable as CSV in UTF-8" in capsys.readouterr().err
