"""The five classes of the synthetic sets, and the identifiers that tell surface, craters and single rocks apart."""

from __future__ import annotations

BACKGROUND, SURFACE, CRATERS, BOULDERS, TERMINATOR = range(5)
CLASS_NAMES = ("background", "surface", "craters", "boulders", "terminator")
# What a class means to a consumer of the maps.
CLASS_ROLES = {
    "background": "background",
    "surface": "safe",
    "craters": "hazard",
    "boulders": "hazard",
    "terminator": "terminator",
}
# Red, green, blue, 0..255.
COLORS = {
    "background": (16, 18, 30),
    "surface": (150, 150, 150),
    "craters": (66, 135, 245),
    "boulders": (245, 150, 40),
    "terminator": (200, 70, 190),
}
# Pixels that the uncertainty threshold marks after inference; they are of no class.
UNCERTAIN_COLOR = (255, 240, 90)

# Identifiers carried by every face of a full model, and found again in each pixel of a picture; 0 is off the body.
SURFACE_IDENTIFIER = 1
GRAVEL_IDENTIFIER = 2  # given in the picture: a rock of which too little is seen to be told apart
CRATER_IDENTIFIERS = 100  # 100 + k: crater k
BOULDER_IDENTIFIERS = (1_000, 11_000, 12_000)  # + j: rock j of the small, medium, large size
