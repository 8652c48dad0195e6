"""Enhancement: from a base shape to the clean model and the full model with craters and boulders."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ground_tools.bodies.boulders import scatter
from ground_tools.bodies.catalogue import BodyRecipe
from ground_tools.bodies.craters import apply_craters, place_craters
from ground_tools.bodies.meshes import (
    Mesh,
    centre_on_mass,
    largest_extent,
    mean_radius,
    read_closed_mesh,
    refine,
    vertex_normals,
)
from ground_tools.bodies.noise import fractal_noise
from ground_tools.bodies.procedural import procedural_shape
from ground_tools.bodies.reliefs import Relief, analytic_relief, read_reliefs
from ground_tools.labels.classes import BOULDER_IDENTIFIERS, CRATER_IDENTIFIERS, SURFACE_IDENTIFIER

# Boulder diameters, as fractions of the largest extent of the body (at range D0 that extent fills the frame, so
# 0.01 is 1.3 pixels there).
BOULDER_SIZES = ((0.006, 0.014), (0.018, 0.035), (0.045, 0.09))
_BOULDER_SUBDIVISIONS = (1, 2, 3)
# Rim radii of craters, as fractions of the mean radius.
CRATER_RADII = (0.17, 0.5)
_CLEAN_FACES = 80_000
# A subdivision multiplies the faces by four: bodies end between this number and four times it.
_FULL_FACES = 175_000
# Standard deviations of the albedo over the ground and from rock to rock.
_MOTTLING, _ROCK_SHADES = 0.06, 0.1


@dataclass(frozen=True)
class BodyParts:
    """What a body is made from, read from files: everything that `enhance` needs, anywhere.

    base: the base shape, centred on its mass. reliefs: per entry of recipe.crater_maps the reliefs to choose from;
    empty for the analytic profile. sha256: of every file that was read, by its name.
    """

    recipe: BodyRecipe
    base: Mesh
    reliefs: tuple[tuple[Relief, ...], ...]
    sha256: dict[str, str]


@dataclass(frozen=True)
class EnhancedBody:
    """A body ready to be rendered, centred on its mass, kilometres.

    clean: the smooth base shape. ground: the refined, rough, cratered surface, with ground_identifiers (F,)
    int32. rocks: all boulders in one mesh, with rock_identifiers (F,) int32. ground_albedo, rock_albedo: (V,)
    float32 per vertex, about 1. extent: Gamma, the largest extent of the base shape.
    """

    name: str
    clean: Mesh
    ground: Mesh
    ground_identifiers: np.ndarray
    ground_albedo: np.ndarray
    rocks: Mesh
    rock_identifiers: np.ndarray
    rock_albedo: np.ndarray
    extent: float


def read_parts(recipe: BodyRecipe, shapes: Path | None, crater_maps: Path | None) -> BodyParts:
    """Read the files that a recipe names. Raises ValueError when a folder is needed and not given, or a file is unfit,
    FileNotFoundError when a file is missing.
    """
    digests: dict[str, str] = {}
    base = _base_shape(recipe, shapes, digests)
    reliefs: list[tuple[Relief, ...]] = []
    for crater_map in recipe.relief_sources:
        if crater_map is None:
            reliefs.append(())
            continue
        if crater_maps is None:
            raise ValueError(
                f"body {recipe.name}: its crater map {crater_map.file} is not part of the project; name the folder "
                "that holds it with --crater-maps DIR, or give --procedural"
            )
        reliefs.append(tuple(read_reliefs(crater_map, crater_maps)))
        for name in crater_map.files:
            digests[name] = hashlib.sha256((crater_maps / name).read_bytes()).hexdigest()
    return BodyParts(recipe, base, tuple(reliefs), digests)


def _base_shape(recipe: BodyRecipe, shapes: Path | None, digests: dict[str, str]) -> Mesh:
    if recipe.shape is not None:
        if shapes is None:
            raise ValueError(
                f"body {recipe.name}: its shape model {recipe.shape} is not part of the project; "
                "name the folder that holds it with --shapes DIR, or give --procedural"
            )
        mesh = centre_on_mass(read_closed_mesh(shapes / recipe.shape))
        digests[recipe.shape] = hashlib.sha256((shapes / recipe.shape).read_bytes()).hexdigest()
        return mesh
    assert recipe.procedural is not None
    return procedural_shape(recipe.procedural.kind, recipe.procedural.axes_km, recipe.seed)


def enhance(parts: BodyParts, faces: int = _FULL_FACES) -> EnhancedBody:
    """Roughen the base shape, lay craters on it and scatter boulders; all from the recipe's seed.

    faces: of the ground, at least.
    """
    recipe, base = parts.recipe, parts.base
    streams = np.random.SeedSequence(recipe.seed).spawn(3)
    radius = mean_radius(base)
    extent = largest_extent(base)
    fine = refine(base, faces)

    place = np.random.default_rng(streams[0])
    low, high = CRATER_RADII
    radii = radius * low * (high / low) ** place.random(recipe.craters)
    reliefs = [_choose_relief(parts, place) for _ in range(recipe.craters)]
    craters = place_craters(fine, list(radii), recipe.nested, reliefs, place)
    cratered, face_crater = apply_craters(fine, craters)

    rough = np.random.default_rng(streams[1])
    relief = fractal_noise(cratered.vertices / radius, 4.0, 6, 0.6, rough)
    ground = Mesh(
        cratered.vertices + (relief * recipe.roughness * 1e-3 * radius)[:, None] * vertex_normals(cratered),
        cratered.faces,
    )
    identifiers = np.where(face_crater > 0, CRATER_IDENTIFIERS + face_crater - 1, SURFACE_IDENTIFIER)
    mottling = fractal_noise(cratered.vertices / radius, 2.5, 4, 0.6, np.random.default_rng(streams[2]))

    rocks, rock_identifiers, rock_albedo = _rocks(recipe, ground, extent)
    return EnhancedBody(
        name=recipe.name,
        clean=refine(base, _CLEAN_FACES),
        ground=ground,
        ground_identifiers=identifiers.astype(np.int32),
        ground_albedo=np.clip(1.0 + _MOTTLING * mottling, 0.7, 1.3).astype(np.float32),
        rocks=rocks,
        rock_identifiers=rock_identifiers,
        rock_albedo=rock_albedo,
        extent=extent,
    )


def _choose_relief(parts: BodyParts, generator: np.random.Generator) -> Relief:
    choice = parts.reliefs[generator.integers(len(parts.reliefs))]
    return choice[generator.integers(len(choice))] if choice else analytic_relief(generator)


def _rocks(recipe: BodyRecipe, ground: Mesh, extent: float) -> tuple[Mesh, np.ndarray, np.ndarray]:
    """All rocks as one mesh, their identifiers per face, (F,) int32, and their albedo per vertex, (V,) float32."""
    meshes: list[Mesh] = []
    identifiers: list[np.ndarray] = []
    albedos: list[np.ndarray] = []
    offset = 0
    for size, count in enumerate(recipe.boulders):
        generator = np.random.default_rng([recipe.seed, 77, size])
        smallest, largest = (fraction * extent for fraction in BOULDER_SIZES[size])
        part, numbers = scatter(ground, count, smallest, largest, _BOULDER_SUBDIVISIONS[size], generator)
        meshes.append(Mesh(part.vertices, part.faces + offset))
        offset += len(part.vertices)
        identifiers.append(numbers + BOULDER_IDENTIFIERS[size])
        # Rocks differ in brightness, one from the other more than within.
        shade = np.clip(1.0 + _ROCK_SHADES * generator.standard_normal(max(count, 1)), 0.6, 1.4)
        owner = np.zeros(len(part.vertices), dtype=np.int64)
        owner[part.faces.ravel()] = np.repeat(numbers, 3)
        albedos.append(shade[owner].astype(np.float32))
    return (
        Mesh(np.concatenate([m.vertices for m in meshes]), np.concatenate([m.faces for m in meshes]).astype(np.int32)),
        np.concatenate(identifiers).astype(np.int32),
        np.concatenate(albedos),
    )
