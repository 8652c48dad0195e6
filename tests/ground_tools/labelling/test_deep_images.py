"""Images of more than 8 bits to label: as bright as in 8 bits, with no low byte dropped."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from ground_tools.cli import main
from ground_tools.labelling.collection import find_image, read_image, read_manifest
from hil.sources.folder import open_source

GREY = open_source("flyby").frame(30)


def folder_of(tmp_path: Path, bits: int, suffix: str) -> Path:
    images = tmp_path / f"{suffix[1:]}{bits}"
    (images / "body").mkdir(parents=True)
    pixels = GREY if bits == 8 else np.rint(GREY / 255.0 * (2**bits - 1)).astype(np.uint16)
    cv2.imwrite(str(images / "body" / f"frame{suffix}"), pixels)
    assert main(["label", "manifest", str(images)]) == 0
    return images


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("bits", [10, 12, 14, 16])
def test_a_deep_image_is_proposed_for_as_its_8_bit_picture(bits: int, suffix: str, tmp_path: Path, capsys) -> None:
    areas = {}
    for depth in (8, bits):
        images, labels = folder_of(tmp_path, depth, suffix), tmp_path / f"labels{depth}"
        labels.mkdir()
        assert main(["label", "propose", "--real-images", str(images), "--labels", str(labels)]) == 0
        (file,) = labels.glob("*.json")
        shapes = [shape for shape in json.loads(file.read_text())["shapes"] if shape["label"] == "body"]
        areas[depth] = sum(cv2.contourArea(np.array(shape["points"], np.float32)) for shape in shapes)
        entries = read_manifest(images)
        seen = read_image(images, find_image(entries, "frame"))
        assert seen.dtype == np.uint8
        assert np.abs(seen.astype(int) - GREY).max() <= 1
    assert areas[8] > 1000
    assert abs(areas[bits] / areas[8] - 1) < 0.01
    assert ("--bit-depth" in capsys.readouterr().err) == (bits < 16)


def test_images_of_one_folder_keep_their_brightness_to_each_other(tmp_path: Path) -> None:
    images = folder_of(tmp_path, 12, ".png")
    dim = np.rint(GREY / 255.0 * 900).astype(np.uint16)
    cv2.imwrite(str(images / "body" / "dim.png"), dim)
    assert main(["label", "manifest", str(images)]) == 0
    seen = read_image(images, find_image(read_manifest(images), "dim"))
    assert np.abs(seen - dim / 4095.0 * 255.0).max() <= 0.51


def test_the_manifest_may_say_the_bit_depth(tmp_path: Path) -> None:
    images = folder_of(tmp_path, 12, ".png")
    path = images / "manifest.csv"
    header, line = path.read_text().splitlines()
    path.write_text(f"{header},bit_depth\n{line},14\n")
    entry = find_image(read_manifest(images), "frame")
    assert entry.bit_depth == 14
    assert np.abs(read_image(images, entry).astype(float) - GREY / 4.0).max() <= 1
    path.write_text(f"{header},bit_depth\n{line},7\n")
    with pytest.raises(ValueError, match=r"line 2: bit_depth: expected 8\.\.16, got '7'"):
        read_manifest(images)


def test_a_file_of_several_images_is_none_to_label(tmp_path: Path) -> None:
    images = folder_of(tmp_path, 8, ".tif")
    cv2.imwritemulti(str(images / "body" / "frame.tif"), [GREY, GREY])
    assert main(["label", "manifest", str(images)]) == 2
