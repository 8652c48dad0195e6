"""What surfaces of craft are finished with: names, colours and how they reflect."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

Color = tuple[float, float, float]


@dataclass(frozen=True)
class Finish:
    """A kind of surface.

    Attributes:
        color: of its reflection: red, green, blue, linear, 0..1.
        metallic, roughness: of Blender's Principled BSDF, 0..1.
        wrinkles: strength of the bumps of foil, 0 for none.
        cells: whether it has the lines of solar cells.
    """

    color: Color
    metallic: float
    roughness: float
    wrinkles: float = 0.0
    cells: bool = False


FINISHES = {
    "foil_gold": Finish((0.78, 0.47, 0.12), 0.9, 0.35, 0.7),
    "foil_amber": Finish((0.42, 0.22, 0.05), 0.7, 0.4, 0.6),
    "foil_silver": Finish((0.72, 0.73, 0.75), 0.9, 0.35, 0.7),
    "foil_black": Finish((0.03, 0.03, 0.035), 0.1, 0.45, 0.5),
    "paint_white": Finish((0.78, 0.77, 0.74), 0.0, 0.6),
    "paint_grey": Finish((0.3, 0.31, 0.32), 0.0, 0.6),
    "paint_black": Finish((0.035, 0.035, 0.04), 0.0, 0.55),
    "metal": Finish((0.55, 0.56, 0.58), 0.8, 0.45),
    "substrate": Finish((0.22, 0.22, 0.23), 0.0, 0.6),
    "kapton": Finish((0.42, 0.24, 0.08), 0.0, 0.5),
    "cells_blue": Finish((0.02, 0.035, 0.14), 0.2, 0.25, cells=True),
    "cells_dark": Finish((0.015, 0.016, 0.03), 0.2, 0.25, cells=True),
    "cells_violet": Finish((0.07, 0.025, 0.09), 0.2, 0.3, cells=True),
}
# Which finish may stand in the place of another, so that a network learns shapes and not one craft's colours.
_ALIKE = (
    ("foil_gold", "foil_amber", "foil_silver", "foil_black", "paint_white", "paint_grey"),
    ("paint_black",),
    ("metal",),
    ("substrate", "kapton"),
    ("cells_blue", "cells_dark", "cells_violet"),
)
# How often one does.
_EXCHANGED = 0.4


@dataclass(frozen=True)
class Look:
    """A finish as one image shows it. cell_side: in the extent of the craft, 0 without cells. Others: see Finish."""

    color: Color
    metallic: float
    roughness: float
    wrinkles: float
    cell_side: float


def draw_look(name: str, generator: np.random.Generator) -> Look:
    """How a finish looks in one image: sometimes like another of its kind, always a little of its own."""
    alike = next(names for names in _ALIKE if name in names)
    exchanged, chosen = generator.random() < _EXCHANGED, alike[int(generator.integers(len(alike)))]
    finish = FINISHES[chosen if exchanged else name]
    level, tint = generator.uniform(0.75, 1.25), generator.normal(1.0, 0.06, 3)
    red, green, blue = np.clip(np.array(finish.color) * level * tint, 0.0, 0.95).tolist()
    roughness, wrinkles, side = generator.uniform(0.8, 1.3), generator.uniform(0.5, 1.4), generator.uniform(0.006, 0.03)
    return Look(
        (red, green, blue),
        finish.metallic,
        float(np.clip(finish.roughness * roughness, 0.05, 1.0)),
        finish.wrinkles * float(wrinkles),
        float(side) if finish.cells else 0.0,
    )
