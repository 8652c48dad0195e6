"""The catalogue of bodies: what each one is made of, read from TOML."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ground_tools.bodies.reliefs import ANALYTIC, CraterMap

DEFAULT_CATALOGUE = Path(__file__).with_name("catalogue.toml")


@dataclass(frozen=True)
class BodyRecipe:
    """How a body is enhanced; the fields are explained in catalogue.toml."""

    name: str
    seed: int
    craters: int
    boulders: tuple[int, int, int]
    roughness: float
    nested: int = 0
    crater_maps: tuple[CraterMap | None, ...] = (None,)
    """Where reliefs of craters come from; None: the analytic profile."""
    shape: str | None = None
    procedural_kind: str | None = None
    procedural_axes_km: tuple[float, float, float] | None = None


def load_catalogue(path: Path = DEFAULT_CATALOGUE) -> dict[str, BodyRecipe]:
    """Read a catalogue. Raises ValueError naming file, body and field where an entry is malformed."""
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"body catalogue {path}: {error.strerror}") from error
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"body catalogue {path}: {error}") from error
    maps: dict[str, CraterMap | None] = {ANALYTIC: None}
    for name, table in _table(path, "crater_maps", tables.pop("crater_maps", {})).items():
        maps[name] = _crater_map(path, name, _table(path, f"crater_maps.{name}", table))
    return {name: _recipe(path, name, table, maps) for name, table in tables.items()}


def without_files(recipe: BodyRecipe) -> BodyRecipe:
    """The recipe with the procedural stand-in for its shape model, and analytic craters.

    Raises ValueError when the recipe has no stand-in.
    """
    if recipe.procedural_kind is None:
        raise ValueError(f"body {recipe.name}: has no `procedural` shape that could stand in for its shape model")
    return replace(recipe, shape=None, crater_maps=(None,))


def _table(path: Path, name: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"body catalogue {path}: {name}: expected a table, got {value!r}")
    return value


def _crater_map(path: Path, name: str, table: dict[str, Any]) -> CraterMap:
    def fail(field: str, expected: str) -> ValueError:
        return ValueError(f"body catalogue {path}: crater_maps.{name}.{field}: expected {expected}")

    unknown = sorted(set(table) - {"file", "labels", "centre", "rim_radius"})
    if unknown:
        raise fail(unknown[0], "one of file, labels, centre, rim_radius")
    if not isinstance(table.get("file"), str):
        raise fail("file", f"a file name, got {table.get('file')!r}")
    if "labels" in table:
        if not isinstance(table["labels"], str) or "centre" in table or "rim_radius" in table:
            raise fail("labels", "a file name, and neither centre nor rim_radius beside it")
        return CraterMap(name, table["file"], labels=table["labels"])
    centre, radius = table.get("centre"), table.get("rim_radius")
    if not isinstance(centre, list) or len(centre) != 2 or not all(isinstance(c, (int, float)) for c in centre):
        raise fail("centre", f"[row, column], got {centre!r}")
    if not isinstance(radius, (int, float)) or radius <= 0:
        raise fail("rim_radius", f"pixels > 0, got {radius!r}")
    return CraterMap(name, table["file"], centre=(float(centre[0]), float(centre[1])), rim_radius=float(radius))


# Long because it checks one field after the other, in the order of the file.
def _recipe(path: Path, name: str, table: Any, maps: dict[str, CraterMap | None]) -> BodyRecipe:
    def fail(field: str, expected: str, got: object) -> ValueError:
        return ValueError(f"body catalogue {path}: {name}.{field}: expected {expected}, got {got!r}")

    if not isinstance(table, dict):
        raise fail("", "a table", table)
    known = {"shape", "procedural", "seed", "craters", "nested", "crater_maps", "boulders", "roughness"}
    for field in table:
        if field not in known:
            raise fail(field, f"one of {sorted(known)}", table[field])
    if "shape" not in table and "procedural" not in table:
        raise fail("shape", "shape or procedural", sorted(table))
    if not isinstance(table.get("shape", ""), str):
        raise fail("shape", "a file name", table["shape"])
    for field in ("seed", "craters"):
        if not isinstance(table.get(field), int) or table[field] < 0:
            raise fail(field, "an integer >= 0", table.get(field))
    nested = table.get("nested", 0)
    if not isinstance(nested, int) or not 0 <= nested < max(table["craters"], 1):
        raise fail("nested", "an integer below the number of craters", nested)
    names = table.get("crater_maps", [ANALYTIC])
    if not isinstance(names, list) or not names or not all(isinstance(n, str) and n in maps for n in names):
        raise fail("crater_maps", f"a list of {', '.join(maps)}", names)
    boulders = table.get("boulders")
    if (
        not isinstance(boulders, list)
        or len(boulders) != 3
        or not all(isinstance(count, int) and count >= 0 for count in boulders)
    ):
        raise fail("boulders", "[small, medium, large], integers >= 0", boulders)
    for count, limit, size in zip(boulders, (10_000, 1_000, 1_000), ("small", "medium", "large"), strict=True):
        if count > limit:
            raise fail("boulders", f"at most {limit} {size} ones", count)
    if table["craters"] > 500:
        raise fail("craters", "at most 500", table["craters"])
    roughness = table.get("roughness")
    if not isinstance(roughness, (int, float)) or not 0.0 <= roughness <= 50.0:
        raise fail("roughness", "0..50", roughness)
    kind, axes = None, None
    if "procedural" in table:
        procedural = table["procedural"]
        if not isinstance(procedural, dict) or set(procedural) != {"kind", "axes_km"}:
            raise fail("procedural", "{kind, axes_km}", procedural)
        kind = procedural["kind"]
        lengths = procedural["axes_km"]
        if (
            not isinstance(lengths, list)
            or len(lengths) != 3
            or not all(isinstance(length, (int, float)) and length > 0 for length in lengths)
        ):
            raise fail("procedural.axes_km", "three lengths > 0", lengths)
        axes = (float(lengths[0]), float(lengths[1]), float(lengths[2]))
    return BodyRecipe(
        name=name,
        seed=table["seed"],
        craters=table["craters"],
        boulders=(boulders[0], boulders[1], boulders[2]),
        roughness=float(roughness),
        nested=nested,
        crater_maps=tuple(maps[n] for n in names),
        shape=table.get("shape"),
        procedural_kind=kind,
        procedural_axes_km=axes,
    )
