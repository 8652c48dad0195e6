"""The catalogue of bodies: what each one is made of, read from TOML."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import msgspec
from msgspec import Meta, field
from msgspec.structs import replace

from ground_tools.bodies.reliefs import ANALYTIC, CraterMap
from ground_tools.foundation.descriptions import parse, read_toml
from ground_tools.foundation.expectations import format_toml_value
from ground_tools.foundation.json_records import as_read_back
from ground_tools.foundation.names import INNER_PATH, PLAIN_NAME, is_inner_path, is_plain_name
from ground_tools.foundation.structures import FieldError, TomlTable, join_path

DEFAULT_CATALOGUE = Path(__file__).with_name("catalogue.toml")
_WHAT, _MAPS = "body catalogue", "crater_maps"

Length = Annotated[float, Meta(gt=0)]


class Boulders(NamedTuple):
    """Numbers of rocks, by size."""

    small: Annotated[int, Meta(ge=0, le=10_000)]
    medium: Annotated[int, Meta(ge=0, le=1_000)]
    large: Annotated[int, Meta(ge=0, le=1_000)]


class Axes(NamedTuple):
    """Extents of a body along its axes, kilometres."""

    x: Length
    y: Length
    z: Length


class ProceduralShape(TomlTable, frozen=True):
    """A shape that the project makes itself, by `bodies.procedural`."""

    kind: Annotated[
        Literal["ellipsoid", "top", "bilobate"],
        Meta(description="shape of a body without `shape`, and of its stand-in with `--procedural`"),
    ]
    axes_km: Annotated[Axes, Meta(description="extents of that shape, kilometres")]


class BodyRecipe(TomlTable, frozen=True):
    """How a body is enhanced. Its name is its table's; height_maps: those among its crater maps."""

    name: str
    seed: Annotated[int, Meta(ge=0, description="seed of every random choice in the enhancement")]
    craters: Annotated[int, Meta(ge=0, le=500, description="number of craters")]
    boulders: Annotated[Boulders, Meta(description="numbers of rocks")]
    roughness: Annotated[
        float,
        Meta(ge=0, le=50, description="standard deviation of the fine relief, in thousandths of the mean radius"),
    ]
    nested: Annotated[int, Meta(ge=0, description="how many of the craters lie inside the largest")] = 0
    crater_maps: Annotated[
        tuple[str, ...],
        Meta(
            min_length=1,
            description="where the relief of craters comes from, each crater from one of them: `analytic`, an own "
            "profile, or the name of a height map",
        ),
    ] = (ANALYTIC,)
    shape: Annotated[
        str | None,
        Meta(description="file name in the folder of shape models: a closed mesh, kilometres, z along the spin axis"),
    ] = None
    procedural: ProceduralShape | None = None
    height_maps: dict[str, CraterMap] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not is_plain_name(self.name):
            raise FieldError("", PLAIN_NAME, format_toml_value(self.name))
        if self.shape is not None and not is_inner_path(self.shape):
            raise FieldError("shape", INNER_PATH, format_toml_value(self.shape))
        if self.shape is None and self.procedural is None:
            raise FieldError("", "shape or procedural", "neither")
        if self.nested and self.nested >= self.craters:
            raise FieldError("nested", f"less than the number of craters, {self.craters}", str(self.nested))
        for number, name in enumerate(self.crater_maps):
            if name != ANALYTIC and name not in self.height_maps:
                known = ", ".join([ANALYTIC, *self.height_maps])
                raise FieldError(join_path("crater_maps", number), f"one of {known}", format_toml_value(name))

    @property
    def relief_sources(self) -> tuple[CraterMap | None, ...]:
        """Where reliefs of craters come from; None: the analytic profile."""
        return tuple(self.height_maps.get(name) for name in self.crater_maps)

    def record(self) -> dict[str, Any]:
        """The recipe as dataset.json holds it: what it is compared with before a set grows."""
        fields = msgspec.structs.asdict(self)
        procedural, _ = fields.pop("procedural"), fields.pop("height_maps")
        fields["crater_maps"] = [source and msgspec.structs.asdict(source) for source in self.relief_sources]
        fields["procedural_kind"] = procedural and procedural.kind
        fields["procedural_axes_km"] = procedural and procedural.axes_km
        record: dict[str, Any] = as_read_back(fields)
        return record


def load_catalogue(path: Path = DEFAULT_CATALOGUE) -> dict[str, BodyRecipe]:
    """Read a catalogue: recipes by body. Raises ValueError naming file, body and field where an entry is malformed."""
    place, tables = f"{_WHAT} {path}", read_toml(_WHAT, path)
    given = tables.pop(_MAPS, {})
    if not isinstance(given, dict):
        raise ValueError(f"{place}: {_MAPS}: expected a table, got {format_toml_value(given)}")
    maps = {name: parse(place, table, CraterMap, join_path(_MAPS, name), name=name) for name, table in given.items()}
    return {name: parse(place, table, BodyRecipe, name, name=name, height_maps=maps) for name, table in tables.items()}


def without_files(recipe: BodyRecipe) -> BodyRecipe:
    """The recipe with the procedural stand-in for its shape model, and analytic craters.

    Raises ValueError when the recipe has no stand-in.
    """
    if recipe.procedural is None:
        raise ValueError(f"body {recipe.name}: has no `procedural` shape that could stand in for its shape model")
    return replace(recipe, shape=None, crater_maps=(ANALYTIC,))
