"""Names out of files: none of them leads a command out of the folder that it was given."""

from __future__ import annotations

import csv
import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ground_tools.bodies.catalogue import load_catalogue
from ground_tools.datasets.packing import export, pack
from ground_tools.datasets.pictures import write_pictures
from ground_tools.datasets.report import set_figures
from ground_tools.datasets.store import (
    DESCRIPTION_KEY,
    FORMAT_VERSION,
    SAMPLE_SCHEMA,
    content_digest,
    load,
    sample_digest,
    shard_bytes,
    webp_bytes,
    write_description,
    write_index,
)
from ground_tools.evaluation.results import read_results
from ground_tools.export.bundle_writer import read_trained
from ground_tools.foundation.names import check_inner_path, check_name, is_inner_path, is_plain_name
from ground_tools.labelling.collection import read_manifest, read_rules
from ground_tools.labels.classes import CLASS_NAMES
from ground_tools.rendering.campaign import load_campaign
from ground_tools.training.chain.plan import load_plan
from ground_tools.training.chain.results import unpack_results

PLAIN = ["bennu", "67p", "1996hw1", "D-1", "d1.v2", "2019 OR2", "é", "a" * 100, "-", "_"]
LEADING_OUT = [
    *("../up", "../../../up/rock", "/absolute", "a/b", "a/../../b", "..", ".", "", ".hidden", "a\\b", "C:\\x"),
    *("a\0b", "a\nb", "\x1b[2J", "a" * 101, "é" * 51, " ", " a", "a ", "\u202eb", "\ud800"),
]


@pytest.mark.parametrize("name", PLAIN)
def test_a_plain_name_is_taken(name: str) -> None:
    assert check_name(name, "place") == name
    assert check_inner_path(f"{name}/{name}.png", "place") == f"{name}/{name}.png"


@pytest.mark.parametrize("name", [*LEADING_OUT, None, 7, b"x", ["a"], {}])
def test_any_other_is_refused_in_one_printable_line(name: object) -> None:
    with pytest.raises(ValueError, match=r"^place: expected a name of at most 100 bytes") as caught:
        check_name(name, "place")
    assert str(caught.value).isprintable()


@given(name=st.text(max_size=12))
def test_what_is_taken_stays_in_its_folder(name: str) -> None:
    folder = Path("/folder")
    if is_plain_name(name):
        assert (folder / f"{name}.png").parent == folder
        assert (folder / name).resolve() == folder / name != folder
    if is_inner_path(name):
        assert folder in (folder / name).resolve().parents


def test_an_inner_path_may_go_down_and_nowhere_else() -> None:
    assert is_inner_path("still/bennu_01.png")
    for path in ("../a", "a/../b", "/a", "a//b", "a/", "./a", "a/.b", "", None, "a\\..\\b"):
        assert not is_inner_path(path)


# A set, as a folder and as a file, with one name that leads out


def sample(body: str, split: str) -> dict[str, Any]:
    image = np.random.default_rng(1).integers(0, 255, (128, 128), dtype=np.uint8)
    mask, identifiers = np.zeros((128, 128), np.uint8), np.zeros((128, 128), np.uint16)
    geometry = {"camera_km": [0.0, 0.0, 1.0], "sun_direction": [0.0, 0.0, 1.0], "range_km": 1.0, "range_d0": 1.0}
    return {
        "body": body,
        "split": split,
        "index": 0,
        "seed": 1,
        "phase_angle_deg": 10.0,
        "time_s": None,
        **geometry,
        "class_pixels": [128 * 128, 0, 0, 0, 0],
        "sha256": sample_digest(image, mask, identifiers, identifiers),
        "image": webp_bytes(image),
        "mask": webp_bytes(mask),
        "identifiers": webp_bytes(identifiers),
        "ground": webp_bytes(identifiers),
    }


def write_set(folder: Path, name: str, body: str, split: str, described_body: str, packed: bool) -> Path:
    row = sample(body, split)
    measures = {"extent_km": 1.0, "mean_radius_km": 1.0, "reference_range_km": 1.0}
    description: dict[str, Any] = {
        "format": FORMAT_VERSION,
        "name": name,
        "classes": list(CLASS_NAMES),
        "image": "",
        "field_of_view_deg": 10,
        "noise": None,
        "campaign": {"seed": 1, "samples": 1, "bodies": {described_body: [1, 0, 0]}, "flyby": None},
        "bodies": {described_body: {"recipe": {}, "sha256": {}, **measures}},
        "samples": 1,
    }
    table = pa.Table.from_pylist([row], schema=SAMPLE_SCHEMA)
    if packed:
        description["sha256"] = content_digest(table)
        path = folder / "set.parquet"
        pq.write_table(table.replace_schema_metadata({DESCRIPTION_KEY: json.dumps(description).encode()}), path)
        return path
    path = folder / "set"
    (path / "shards").mkdir(parents=True)
    (path / "shards" / "one.parquet").write_bytes(shard_bytes([row]))
    write_description(path, {**description, "sha256": write_index(path)})
    return path


USES: dict[str, Callable[[Path, Path], Any]] = {
    "export": lambda path, out: export(path, out),
    "export with noise": lambda path, out: export(path, out, noise=True),
    "pack": lambda path, out: pack(path, out / "packed.parquet"),
    "show": lambda path, out: write_pictures(path, out),
    "report": lambda path, _: set_figures(path),
    "load": lambda path, _: load(path),
}


def files(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("packed", [False, True], ids=["folder", "packed"])
@pytest.mark.parametrize("use", USES.values(), ids=USES.keys())
@pytest.mark.parametrize("field", ["name", "body", "split", "described_body"])
def test_a_set_whose_names_lead_out_is_refused(
    field: str, use: Callable[[Path, Path], Any], packed: bool, tmp_path: Path
) -> None:
    for number, bad in enumerate(("../../up/x", f"{tmp_path}/absolute/x", "..", "a\nb", "")):
        folder = tmp_path / str(number)
        folder.mkdir()
        right = {"name": "set", "body": "rock", "split": "train", "described_body": "rock"}
        path = write_set(folder, **{**right, field: bad}, packed=packed)
        before = files(tmp_path)
        with pytest.raises(ValueError, match=r"^dataset .*: expected "):
            use(path, folder / "deep" / "out")
        assert files(tmp_path) == before


@pytest.mark.parametrize("packed", [False, True], ids=["folder", "packed"])
def test_a_set_with_plain_names_is_exported(packed: bool, tmp_path: Path) -> None:
    path = write_set(tmp_path, "set", "2019 OR2", "test", "2019 OR2", packed)
    assert export(path, tmp_path / "out") == 1
    assert {str(file.relative_to(tmp_path / "out")) for file in files(tmp_path / "out")} == {
        "samples.csv",
        "test/images/2019 OR2_00000.png",
        "test/masks/2019 OR2_00000.png",
    }


# The other files that names come from


def test_a_campaign_a_plan_a_catalogue_and_rules_name_the_field(tmp_path: Path) -> None:
    def refuses(read: Callable[[Any], Any], text: str, place: str, argument: Any = None) -> None:
        path = tmp_path / "file.toml"
        path.write_text(text, encoding="utf-8")
        with pytest.raises(ValueError, match=place):
            read(path if argument is None else argument)

    def campaign(name: str, body: str) -> str:
        return f'name = "{name}"\nseed = 1\nsamples = 1\n[bodies]\n"{body}" = [1, 0, 0]\n'

    load = lambda path: load_campaign(str(path))  # noqa: E731
    refuses(load, campaign("../up", "rock"), "name: expected a name of at most")
    refuses(load, campaign("set", "../../up/rock"), "bodies: expected a name of at most")
    flyby = "\n[flyby]\nbody = '/up'\nframes = 3\nclosest = 1.0\nfarthest = 2.0\nduration_s = 9.0\n"
    refuses(load, "name = 'f'\nseed = 1\nsamples = 1\n" + flyby, r"flyby\.body: expected a name")
    plan = 'minutes = 1.0\n[[stage]]\nname = "../up"\nrecipe = "best-encoder"\ndataset = "d1"\nshare = 1.0\n'
    refuses(lambda path: load_plan(str(path)), plan, r"stage\[0\]\.name: expected a name")
    body = "seed = 1\ncraters = 0\nboulders = [0, 0, 0]\nroughness = 0.0\n"
    refuses(load_catalogue, f'["../rock"]\n{body}shape = "a.ply"\n', "expected a name of at most")
    for shape in ("../a.ply", "/etc/passwd", "a/../../b.ply"):
        refuses(load_catalogue, f'[rock]\n{body}shape = "{shape}"\n', r"rock\.shape: expected a file inside the folder")
        relief = f'[crater_maps.one]\nfile = "{shape}"\nlabels = "b.png"\n[rock]\n{body}shape = "a.ply"\n'
        refuses(load_catalogue, relief, r"crater_maps\.one\.file: expected a file inside the folder")
    (tmp_path / "set.toml").write_text('name = "../d4"\n')
    with pytest.raises(ValueError, match="name: expected a name of at most"):
        read_rules(tmp_path)


@pytest.mark.parametrize(("file", "body"), [("../a.png", "rock"), ("/etc/a.png", "rock"), ("a.png", "../rock")])
def test_a_manifest_of_images_stays_in_its_folder(file: str, body: str, tmp_path: Path) -> None:
    with (tmp_path / "manifest.csv").open("w", newline="") as sink:
        csv.writer(sink).writerows([["file", "body", "sha256"], [file, body, "0" * 64]])
    with pytest.raises(ValueError, match=r"line 2: (file: expected a file inside|body: expected a name)"):
        read_manifest(tmp_path)


def test_pictures_of_a_record_of_results_stay_in_their_folder(tmp_path: Path) -> None:
    origin = {"bundle": {"name": "b", "version": "1", "sha256": "0" * 64}, "dataset_sha256": "0" * 64}
    for file in ("../../victim.png", "/etc/victim.png", "a/b.png", ".."):
        record = {"pictures": {"d1": [{"file": file, "caption": "", **origin}]}}
        (tmp_path / "results.json").write_text(json.dumps(record))
        with pytest.raises(ValueError, match="picture: file: expected"):
            read_results(tmp_path / "results.json")


def test_a_network_with_a_role_that_leads_out_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "unet.weights.h5").write_bytes(b"")
    (tmp_path / "training.json").write_text(json.dumps({"recipe": {"role": "../../UNetS"}}))
    with pytest.raises(ValueError, match=r"recipe\.role: expected a name"):
        read_trained(tmp_path)


@pytest.mark.parametrize("name", ["../stage/x", "/stage/x", "..", ".stage/x"])
def test_results_that_are_unpacked_stay_in_their_folder(name: str, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "results_1.tar", "w") as archive:
        entry = tarfile.TarInfo(name)
        entry.size = 1
        archive.addfile(entry, io.BytesIO(b"x"))
    out = tmp_path / "deep" / "out"
    before = files(tmp_path)
    with pytest.raises(ValueError, match="expected"):
        unpack_results(tmp_path, out)
    assert files(tmp_path) == before
