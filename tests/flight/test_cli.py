"""`flight` on the command line: segment and check, and one line with exit code 2 for what is wrong."""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from flight.cli import main
from flight.client.pictures import OUTSIDE_COLOR
from hil.sources.folder import open_source
from tests.tiny_bundle import promise_risks

ARRAYS = {
    "class_map": ((32, 48), np.uint8),
    "enhanced_class_map": ((32, 48), np.uint8),
    "predictive_entropy": ((32, 48), np.float32),
    "mutual_information": ((32, 48), np.float32),
    "mean_probability": ((4, 32, 48), np.float32),
    "map_to_sensor": ((6,), np.float64),
}


@pytest.fixture
def images(tmp_path: Path) -> list[Path]:
    """An 8-bit PNG, a 16-bit TIFF and a colour JPEG."""
    frame = open_source("flyby").frame(28)
    paths = [tmp_path / name for name in ("eight.png", "sixteen.tif", "colour.jpg")]
    for path, image in zip(paths, (frame, frame.astype(np.uint16) * 257, cv2.merge([frame] * 3)), strict=True):
        cv2.imwrite(str(path), image)
    return paths


def test_segment_writes_pictures_and_arrays(tiny_bundle: Path, images: list[Path], tmp_path: Path, capsys) -> None:
    out = tmp_path / "out"
    code = main(["segment", "--bundle", str(tiny_bundle), "--out", str(out), *map(str, images)])
    assert code == 0
    assert len(capsys.readouterr().out.splitlines()) == 3
    for path in images:
        for suffix in ("_maps", "_class_map", "_enhanced_class_map", "_predictive_entropy", "_mutual_information"):
            assert cv2.imread(str(out / f"{path.stem}{suffix}.png")) is not None
        with np.load(out / f"{path.stem}.npz") as arrays:
            assert {name: (arrays[name].shape, arrays[name].dtype) for name in arrays} == {
                name: (shape, np.dtype(dtype)) for name, (shape, dtype) in ARRAYS.items()
            }
    eight, sixteen = (np.load(out / f"{stem}.npz")["class_map"] for stem in ("eight", "sixteen"))
    assert (eight == sixteen).mean() > 0.99


def test_what_the_camera_did_not_see_has_a_colour_of_its_own(tiny_bundle: Path, tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "tall.png"), np.full((100, 20), 90, dtype=np.uint8))
    out = tmp_path / "out"
    image = str(tmp_path / "tall.png")
    assert main(["segment", "--bundle", str(tiny_bundle), "--centered", "--out", str(out), image]) == 0
    outside = np.load(out / "tall.npz")["class_map"] == 4
    assert outside.any()
    assert not outside.all()
    for name in ("class_map", "enhanced_class_map"):
        picture = cv2.imread(str(out / f"tall_{name}.png"))[:, :, ::-1]
        assert np.array_equal((picture == OUTSIDE_COLOR).all(axis=2), outside)


def test_segment_is_repeatable(tiny_bundle: Path, images: list[Path], tmp_path: Path) -> None:
    results = []
    for name in ("a", "b"):
        arguments = ["segment", "--bundle", str(tiny_bundle), "--out", str(tmp_path / name), "--seed", "9"]
        assert main([*arguments, str(images[0])]) == 0
        results.append(np.load(tmp_path / name / "eight.npz")["mean_probability"])
    assert results[0].tobytes() == results[1].tobytes()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--passes", "0"], "--passes: expected 1..100, got 0"),
        (["--gamma", "nan"], "--gamma: expected 1..10, got nan"),
        (["--mode", "UNet"], "--mode: expected Fused | First | Second, got 'UNet'"),
        (["--uncertainty-threshold", "2"], "--uncertainty-threshold: expected 0..1, got 2"),
        (["--uncertain-rule", "none"], "--uncertain-rule: expected risk | relative, got 'none'"),
        (["--risk", "0"], "--risk: expected 0.0001..1, got 0"),
        (["--seed", "-1"], "--seed: expected 0.."),
        (["--threads", "0"], "--threads: expected 1..64, got 0"),
    ],
)
def test_a_bad_argument_is_one_line(tiny_bundle, images, tmp_path, capsys, arguments, message) -> None:
    line = ["segment", "--bundle", str(tiny_bundle), "--out", str(tmp_path / "out"), *arguments, str(images[0])]
    assert main(line) == 2
    error = capsys.readouterr().err
    assert message in error
    assert len(error.strip().splitlines()) == 1


def test_segment_marks_by_the_risk_that_the_bundle_promises(tiny_bundle, images, tmp_path, capsys) -> None:
    bundle = promise_risks(shutil.copytree(tiny_bundle, tmp_path / "promising"), {"Fused": [(0.01, 0.6), (0.03, 0.9)]})

    def marked(name: str, *more: str) -> np.ndarray:
        out = tmp_path / name
        assert main(["segment", "--bundle", str(bundle), "--out", str(out), *more, str(images[0])]) == 0
        maps = np.load(out / "eight.npz")
        seen = maps["class_map"] < 4
        return (maps["enhanced_class_map"] == 4) & seen, (maps["predictive_entropy"] > np.float32(0.6)) & seen

    strict, above = marked("default")
    assert (strict[above]).all()
    assert marked("lenient", "--risk", "0.05")[0].sum() < strict.sum()
    assert not np.array_equal(marked("relative", "--uncertain-rule", "relative")[0], strict)
    capsys.readouterr()
    line = ["segment", "--bundle", str(bundle), "--out", str(tmp_path / "none"), "--risk", "0.001", str(images[0])]
    assert main(line) == 2
    assert "--risk: expected 0.01 or more, the least that bundle tiny promises in mode Fused" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()


def test_an_unreadable_image_is_named_and_the_others_are_done(tiny_bundle, images, tmp_path, capsys) -> None:
    broken, empty, small = (tmp_path / name for name in ("broken.png", "empty.png", "small.png"))
    broken.write_bytes(images[0].read_bytes()[:50])
    empty.write_bytes(b"")
    cv2.imwrite(str(small), np.zeros((8, 8), dtype=np.uint8))
    paths = [broken, empty, tmp_path / "missing.png", small, images[0]]
    code = main(["segment", "--bundle", str(tiny_bundle), "--out", str(tmp_path / "out"), *map(str, paths)])
    assert code == 1
    captured = capsys.readouterr()
    for path, what in ((broken, "not a readable"), (empty, "not a readable"), (paths[2], "No such file")):
        assert f"{path}: {what}" in captured.err
    assert f"{small}: expected 16..4096 px a side, got 8 x 8" in captured.err
    assert "eight.png" in captured.out


def test_an_input_is_never_overwritten(tiny_bundle: Path, images: list[Path], capsys) -> None:
    source = images[0].with_name("eight_maps.png")
    images[0].rename(source)
    before = source.read_bytes()
    other = images[1].rename(images[1].with_name("eight.tif"))
    arguments = ["segment", "--bundle", str(tiny_bundle), "--out", str(source.parent), str(source), str(other)]
    assert main(arguments) == 2
    assert "eight_maps.png would overwrite an input" in capsys.readouterr().err
    assert source.read_bytes() == before


def test_check(tiny_bundle: Path, tmp_path: Path, capsys) -> None:
    assert main(["check", "--bundle", str(tiny_bundle)]) == 0
    assert "self-test passed: 100.00 %" in capsys.readouterr().out
    changed = Path(shutil.copytree(tiny_bundle, tmp_path / "changed"))
    content = bytearray((changed / "First.tflite").read_bytes())
    content[1000] ^= 4
    (changed / "First.tflite").write_bytes(bytes(content))
    assert main(["check", "--bundle", str(changed)]) == 2
    assert "First.tflite: sha256: expected" in capsys.readouterr().err


@pytest.mark.parametrize("options", [[], ["--short"]])
def test_check_of_the_shipped_bundle(options: list[str], shipped_bundle: Path, capsys) -> None:
    assert main(["check", "--bundle", str(shipped_bundle), *options]) == 0
    said = capsys.readouterr().out
    assert "self-test passed: 100.00 %" in said
    assert "modes UNetH, UNetS, UNetAS" in said
