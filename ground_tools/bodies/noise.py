"""Fractal value noise in space, for the roughness of bodies and the shapes of rocks."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

_LATTICE = 32


def fractal_noise(
    points: np.ndarray,
    base_frequency: float,
    octaves: int,
    persistence: float,
    generator: np.random.Generator,
    order: int = 3,
) -> np.ndarray:
    """Sum of band-limited noise octaves at `points`, scaled to unit standard deviation.

    points: (N, 3) float64. base_frequency: lattice cells per unit length of the first octave; each further
    octave doubles the frequency and multiplies the amplitude by `persistence`. Returns (N,) float64.
    """
    total = np.zeros(len(points))
    amplitude, frequency = 1.0, base_frequency
    for _ in range(octaves):
        lattice = generator.standard_normal((_LATTICE, _LATTICE, _LATTICE))
        shift = generator.random(3) * _LATTICE
        coordinates = (points * frequency + shift).T
        total += amplitude * ndimage.map_coordinates(lattice, coordinates, order=order, mode="grid-wrap")
        amplitude *= persistence
        frequency *= 2.0
    return total / max(float(total.std()), 1e-12)
