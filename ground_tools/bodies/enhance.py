"""Enhancement: from a base shape to the clean model and the full model with craters and boulders."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ground_tools.bodies.boulders import scatter
from ground_tools.bodies.catalogue import BodyRecipe
from ground_tools.bodies.craters import apply_craters, place_craters
from ground_tools.bodies.meshes import (
    Mesh,
    centred_on_mass,
    largest_extent,
    mean_radius,
    read_closed_mesh,
    refine,
    vertex_normals,
)
from ground_tools.bodies.noise import fractal_noise
from ground_tools.bodies.procedural import procedural_shape

# Identifiers carried by every face of the full model, and found again in each pixel of the label rendering.
SURFACE_IDENTIFIER = 1
CRATER_IDENTIFIERS = 100  # 100 + k: crater k
BOULDER_IDENTIFIERS = (1_000, 11_000, 12_000)  # + j: rock j of the small, medium, large size

# Boulder diameters, as fractions of the largest extent of the body (at range D0 that extent fills the frame, so
# 0.01 is 1.3 pixels there).
BOULDER_SIZES = ((0.006, 0.014), (0.018, 0.035), (0.045, 0.09))
_BOULDER_SUBDIVISIONS = (1, 2, 3)
# Rim radii of craters, as fractions of the mean radius.
CRATER_RADII = (0.14, 0.42)
_CLEAN_FACES = 80_000
_FULL_FACES = 250_000


@dataclass(frozen=True)
class EnhancedBody:
    """A body ready to be rendered, centred on its mass, kilometres.

    clean: the smooth base shape. ground: the refined, rough, cratered surface, with ground_identifiers (F,)
    int32. rocks: all boulders in one mesh, with rock_identifiers (F,) int32. extent: Gamma, the largest extent
    of the base shape.
    """

    name: str
    clean: Mesh
    ground: Mesh
    ground_identifiers: np.ndarray
    rocks: Mesh
    rock_identifiers: np.ndarray
    extent: float


def base_shape(recipe: BodyRecipe, shapes: Path | None) -> Mesh:
    """The base mesh of a body. Raises ValueError when the recipe needs a shape model and no folder is given."""
    if recipe.shape is not None:
        if shapes is None:
            raise ValueError(
                f"body {recipe.name}: its shape model {recipe.shape} is not part of the project; "
                "name the folder that holds it with --shapes DIR, or choose a procedural body"
            )
        return centred_on_mass(read_closed_mesh(shapes / recipe.shape))
    assert recipe.procedural_kind is not None
    assert recipe.procedural_axes_km is not None
    return procedural_shape(recipe.procedural_kind, recipe.procedural_axes_km, recipe.seed)


def enhance(recipe: BodyRecipe, base: Mesh) -> EnhancedBody:
    """Roughen the base shape, lay craters on it and scatter boulders; all from the recipe's seed."""
    streams = np.random.SeedSequence(recipe.seed).spawn(2)
    radius = mean_radius(base)
    extent = largest_extent(base)
    fine = refine(base, _FULL_FACES)

    place = np.random.default_rng(streams[0])
    low, high = CRATER_RADII
    radii = radius * low * (high / low) ** place.random(recipe.craters)
    craters = place_craters(base, list(radii), recipe.nested, place)
    cratered, face_crater = apply_craters(fine, craters)

    rough = np.random.default_rng(streams[1])
    relief = fractal_noise(cratered.vertices / radius, 4.0, 6, 0.55, rough)
    ground = Mesh(
        cratered.vertices + (relief * recipe.roughness * 1e-3 * radius)[:, None] * vertex_normals(cratered),
        cratered.faces,
    )
    identifiers = np.where(face_crater > 0, CRATER_IDENTIFIERS + face_crater - 1, SURFACE_IDENTIFIER)

    rock_parts: list[Mesh] = []
    rock_ids: list[np.ndarray] = []
    for size, count in enumerate(recipe.boulders):
        generator = np.random.default_rng([recipe.seed, 77, size])
        smallest, largest = (fraction * extent for fraction in BOULDER_SIZES[size])
        part, numbers = scatter(ground, count, smallest, largest, _BOULDER_SUBDIVISIONS[size], generator)
        rock_parts.append(part)
        rock_ids.append(numbers + BOULDER_IDENTIFIERS[size])
    offsets = np.cumsum([0] + [len(part.vertices) for part in rock_parts[:-1]])
    rocks = Mesh(
        np.concatenate([part.vertices for part in rock_parts]),
        np.concatenate([part.faces + offset for part, offset in zip(rock_parts, offsets, strict=True)]).astype(
            np.int32
        ),
    )
    return EnhancedBody(
        name=recipe.name,
        clean=refine(base, _CLEAN_FACES),
        ground=ground,
        ground_identifiers=identifiers.astype(np.int32),
        rocks=rocks,
        rock_identifiers=np.concatenate(rock_ids).astype(np.int32),
        extent=extent,
    )
