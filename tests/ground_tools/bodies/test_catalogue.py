"""The catalogue of bodies as a file: what is read, what is malformed, and the record that sets are known by."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ground_tools.bodies.catalogue import BodyRecipe, load_catalogue, without_files
from ground_tools.bodies.reliefs import ANALYTIC, CraterMap
from ground_tools.foundation.descriptions import parse
from tests.ground_tools.foundation.structure_strategy import NAMES, as_read, structures

BODY = """
[x]
shape = "x.ply"
seed = 1
craters = 2
boulders = [5, 4, 3]
roughness = 4
"""
FULL = """
[crater_maps.moon]
file = "m.png"
centre = [1, 2]
rim_radius = 3

[crater_maps.mars]
file = "n.png"
labels = "l.png"

[x]
shape = "x.ply"
seed = 1
craters = 2
nested = 1
crater_maps = ["analytic", "moon"]
boulders = [5, 4, 3]
roughness = 4
procedural = { kind = "top", axes_km = [3, 2, 1.5] }
"""
FIELDS = "seed, craters, boulders, roughness, nested, crater_maps, shape, procedural"
SIZES = "[small: a whole number 0..10000, medium: a whole number 0..1000, large: a whole number 0..1000]"
MAP_PARTS = "either centre and rim_radius, or labels"


def read(tmp_path: Path, text: str) -> dict[str, BodyRecipe]:
    path = tmp_path / "bodies.toml"
    path.write_text(text)
    return load_catalogue(path)


def test_what_a_body_says(tmp_path: Path) -> None:
    body = read(tmp_path, BODY)["x"]
    assert body == BodyRecipe("x", 1, 2, (5, 4, 3), 4.0, shape="x.ply")
    assert body.relief_sources == (None,)
    with pytest.raises(ValueError, match="body x: has no `procedural` shape"):
        without_files(body)
    full = read(tmp_path, FULL)["x"]
    assert full.relief_sources == (None, CraterMap("moon", "m.png", (1.0, 2.0), 3.0))
    assert without_files(full).relief_sources == (None,)
    assert without_files(full).shape is None


def test_the_records_of_sets_stay_as_they_are(tmp_path: Path) -> None:
    """What dataset.json is compared with: a set that is there can grow, whatever else is in the catalogue."""
    body = {"name": "x", "seed": 1, "craters": 2, "boulders": [5, 4, 3], "roughness": 4.0}
    moon = {"name": "moon", "file": "m.png", "centre": [1.0, 2.0], "rim_radius": 3.0, "labels": None}
    stand_in = {"procedural_kind": "top", "procedural_axes_km": [3.0, 2.0, 1.5]}
    expected = {**body, "nested": 1, "crater_maps": [None, moon], "shape": "x.ply", **stand_in}
    assert list(read(tmp_path, FULL)["x"].record().items()) == list(expected.items())
    no_stand_in = {"procedural_kind": None, "procedural_axes_km": None}
    expected = {**body, "nested": 0, "crater_maps": [None], "shape": "x.ply", **no_stand_in}
    assert list(read(tmp_path, BODY)["x"].record().items()) == list(expected.items())


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("seed = 1", "seed = -1", "x.seed: expected a whole number >= 0, got -1"),
        ("seed = 1", "seed = true", "x.seed: expected a whole number >= 0, got true"),
        ("craters = 2", "craters = 501", "x.craters: expected a whole number 0..500, got 501"),
        ("craters = 2\n", "", "x.craters: expected a whole number 0..500, got nothing"),
        ("nested = 1", "nested = 2", "x.nested: expected less than the number of craters, 2, got 2"),
        ("boulders = [5, 4, 3]", "boulders = [5, 4]", f"x.boulders: expected {SIZES}, got [5, 4]"),
        ("[5, 4, 3]", "[5, 1001, 3]", f"x.boulders: expected {SIZES}, got [5, 1001, 3]"),
        ("roughness = 4", "roughness = 51", "x.roughness: expected a number 0..50, got 51"),
        ("roughness = 4", "roughness = nan", "x.roughness: expected a finite number, got NaN"),
        ("seed = 1", "seed = 1\nhue = 3", f"x.hue: expected one of {FIELDS}, got an unknown field"),
        ("seed = 1", 'seed = 1\nname = "y"', f"x.name: expected one of {FIELDS}, got an unknown field"),
        ('"moon"]', '"sun"]', 'x.crater_maps[1]: expected one of analytic, moon, mars, got "sun"'),
        ('["analytic", "moon"]', "[]", "x.crater_maps: expected a list of one or more strings, got []"),
        ('"top"', '"cube"', 'x.procedural.kind: expected "bilobate", "ellipsoid" or "top", got "cube"'),
        ("[3, 2, 1.5]", "[3, 2, 0]", "x.procedural.axes_km: expected [x, y, z], numbers > 0, got [3, 2, 0]"),
        ('kind = "top", ', "", 'x.procedural.kind: expected "bilobate", "ellipsoid" or "top", got nothing'),
        (
            "[x]",
            "y = 3\n[x]",
            "crater_maps.mars.y: expected one of file, centre, rim_radius, labels, got an unknown field",
        ),
        ("\n[crater_maps.moon]", "y = 3\n[crater_maps.moon]", "y: expected a table, got 3"),
        ('file = "m.png"\n', "", "crater_maps.moon.file: expected a string, got nothing"),
        ("[1, 2]", "[1]", "crater_maps.moon.centre: expected [row, column], numbers, got [1]"),
        ("rim_radius = 3", "rim_radius = 0", "crater_maps.moon.rim_radius: expected a number > 0, got 0"),
        ("rim_radius = 3\n", "", f"crater_maps.moon: expected {MAP_PARTS}, got centre"),
        ('labels = "l.png"\n', "", f"crater_maps.mars: expected {MAP_PARTS}, got neither"),
        ("labels", "centre = [1, 1]\nlabels", f"crater_maps.mars: expected {MAP_PARTS}, got centre and labels"),
    ],
)
def test_a_malformed_catalogue_is_named(tmp_path: Path, before: str, after: str, message: str) -> None:
    assert before in FULL
    with pytest.raises(ValueError, match="body catalogue ") as caught:
        read(tmp_path, FULL.replace(before, after, 1))
    assert str(caught.value) == f"body catalogue {tmp_path / 'bodies.toml'}: {message}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "[x]\nseed = 1\ncraters = 0\nboulders = [0, 0, 0]\nroughness = 0",
            "x: expected shape or procedural, got neither",
        ),
        ("crater_maps = 3", "crater_maps: expected a table, got 3"),
        ("[x", "Expected ']' at the end of a table declaration"),
    ],
)
def test_other_malformed_catalogues(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ValueError, match=r"body catalogue .*bodies\.toml: ") as caught:
        read(tmp_path, text)
    assert message in str(caught.value)


def test_a_catalogue_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"body catalogue .*none\.toml: No such file or directory$"):
        load_catalogue(tmp_path / "none.toml")


MAPS = st.dictionaries(st.sampled_from(["moon", "mars"]), structures(CraterMap, name=NAMES, file=NAMES), max_size=2)


@pytest.mark.slow
@given(
    MAPS.flatmap(
        lambda maps: structures(
            BodyRecipe,
            name=NAMES,
            shape=st.none() | NAMES,
            height_maps=st.just(maps),
            crater_maps=st.lists(st.sampled_from([ANALYTIC, *maps]), min_size=1, max_size=3).map(tuple),
        )
    )
)
def test_what_is_written_is_read_back(body: BodyRecipe) -> None:
    maps = {
        name: parse("map", as_read(crater_map, "name"), CraterMap, name=crater_map.name)
        for name, crater_map in body.height_maps.items()
    }
    assert maps == body.height_maps
    table = as_read(body, "name", "height_maps")
    assert parse("body", table, BodyRecipe, name=body.name, height_maps=maps) == body
