"""Bundles: a good one loads; a missing, malformed or changed one is refused with file and field."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flight.bundle import BundleError, load_bundle, write_sums
from flight.cli import main
from flight.inference.engine import Engine
from tests.tiny_bundle import put_garbage_for_a_network


@pytest.fixture
def copy(tiny_bundle: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_bundle, tmp_path / "copy"))


def edit(folder: Path, change) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    change(manifest)
    (folder / "manifest.json").write_text(json.dumps(manifest))
    write_sums(folder)


def test_a_good_bundle_loads(tiny_bundle: Path) -> None:
    bundle = load_bundle(tiny_bundle)
    assert bundle.modes == ("Fused", "First", "Second")
    assert [c.role for c in bundle.classes] == ["background", "safe", "hazard", "terminator"]
    assert (bundle.height, bundle.width, bundle.channels) == (32, 48, 3)


def test_the_shipped_bundle_loads(shipped_bundle: Path) -> None:
    bundle = load_bundle(shipped_bundle)
    assert bundle.modes == ("UNetH", "UNetS", "UNetAS")
    assert bundle.passes == 20
    assert [len(network.dropout_masks) for network in bundle.networks] == [6, 6]
    assert bundle.manifest["metrics"]["test"]["d1"]["UNetS"]["miou"] > 0.5


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "modes"),
    [
        ("unet_h", ("UNetH", "UNetS", "UNetAS")),
        ("unet_s", ("UNetS",)),
        ("unet_as", ("UNetAS",)),
        ("unet_r", ("UNetR",)),
    ],
)
def test_every_shipped_bundle_knows_its_test_image(shipped_bundle: Path, name: str, modes: tuple[str, ...]) -> None:
    folder = shipped_bundle.parent / name
    assert load_bundle(folder).modes == modes
    assert main(["check", "--bundle", str(folder)]) == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m.update(schema=2), "manifest.schema: expected 1, got 2"),
        (lambda m: m.pop("classes"), "manifest.classes: expected a value"),
        (lambda m: m.update(extra=1), "manifest.extra"),
        (lambda m: m["defaults"].update(passes=0), "manifest.defaults.passes: expected 1..100, got 0"),
        (lambda m: m["networks"][0].update(file="../x.tflite"), "manifest.networks[0].file"),
        (lambda m: m["classes"][1].update(index=3), "manifest.classes[1].index: expected 1, got 3"),
        (lambda m: m["networks"][1].update(role="First"), "expected distinct roles"),
        (lambda m: m.pop("fusion"), "manifest.fusion: expected a rule for 2 networks"),
        (lambda m: m["fusion"]["classes"].pop(), "manifest.fusion.classes: expected 4 items, got 3"),
        (lambda m: m["input"].update(orientations=2), "manifest.input.orientations"),
        (lambda m: m["input"].update(orientations=8), "orientations: expected 1 or 4 for 32 x 48 pixels, got 8"),
        (lambda m: m["fusion"]["classes"][2].update(network="Third"), "expected one of First, Second, got Third"),
    ],
)
def test_a_malformed_manifest_is_refused(copy: Path, change, message: str) -> None:
    edit(copy, change)
    with pytest.raises(BundleError) as caught:
        load_bundle(copy)
    assert message in str(caught.value)
    assert "manifest.json" in str(caught.value)


@pytest.mark.parametrize("name", ["First.tflite", "Second.tflite", "image.png", "class_map.png", "manifest.json"])
def test_a_changed_byte_is_refused(copy: Path, name: str) -> None:
    content = bytearray((copy / name).read_bytes())
    content[len(content) // 2] ^= 1
    (copy / name).write_bytes(bytes(content))
    with pytest.raises(BundleError, match=f"{name}: sha256: expected .* the file was changed"):
        load_bundle(copy)


def test_a_missing_bundle_or_file_is_named(copy: Path, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"nowhere/SHA256SUMS: No such file"):
        load_bundle(tmp_path / "nowhere")
    (copy / "First.tflite").unlink()
    with pytest.raises(BundleError, match=r"First\.tflite: No such file"):
        load_bundle(copy)


def test_a_file_that_is_no_model_is_refused(copy: Path) -> None:
    put_garbage_for_a_network(copy)
    with pytest.raises(BundleError, match="network First: not a TFLite model"):
        Engine(load_bundle(copy))


def test_tensors_are_bound_by_name_and_checked(copy: Path) -> None:
    edit(copy, lambda m: m["networks"][0]["dropout_masks"][0].update(input="mask_9"))
    with pytest.raises(BundleError, match="network First: expected a tensor mask_9, got image, mask_1"):
        Engine(load_bundle(copy))
    edit(copy, lambda m: m["networks"][0]["dropout_masks"][0].update(input="mask_1", shape=[4, 4, 8]))
    with pytest.raises(BundleError, match="tensor mask_1: expected shape"):
        Engine(load_bundle(copy))


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=400))
def test_random_manifests_are_refused(copy: Path, data: bytes) -> None:
    (copy / "manifest.json").write_bytes(data)
    write_sums(copy)
    with pytest.raises(BundleError):
        load_bundle(copy)
