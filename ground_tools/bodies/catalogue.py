"""The catalogue of bodies: what each one is made of, read from TOML."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
    return {name: _recipe(path, name, table) for name, table in tables.items()}


def _recipe(path: Path, name: str, table: Any) -> BodyRecipe:
    def fail(field: str, expected: str, got: object) -> ValueError:
        return ValueError(f"body catalogue {path}: {name}.{field}: expected {expected}, got {got!r}")

    if not isinstance(table, dict):
        raise fail("", "a table", table)
    known = {"shape", "procedural", "seed", "craters", "nested", "boulders", "roughness"}
    for field in table:
        if field not in known:
            raise fail(field, f"one of {sorted(known)}", table[field])
    if ("shape" in table) == ("procedural" in table):
        raise fail("shape", "either shape or procedural", sorted(table))
    for field in ("seed", "craters"):
        if not isinstance(table.get(field), int) or table[field] < 0:
            raise fail(field, "an integer >= 0", table.get(field))
    nested = table.get("nested", 0)
    if not isinstance(nested, int) or not 0 <= nested < max(table["craters"], 1):
        raise fail("nested", "an integer below the number of craters", nested)
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
        shape=table.get("shape"),
        procedural_kind=kind,
        procedural_axes_km=axes,
    )
