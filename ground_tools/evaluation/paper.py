"""The reference paper's figures (Pugliatti & Maestrini), to stand beside ours; and what this project set itself.

All in per cent, as printed there: IoU per class, the mean over the images that show it; its Tables 6 and 7.
"""

from __future__ import annotations

_ROWS = ("background", "surface", "craters", "boulders", "terminator", "mean")
_COLUMNS: dict[tuple[str, str], tuple[float, ...]] = {
    ("d1", "unet_s"): (88.16, 91.57, 14.09, 28.34, 57.52, 55.93),
    ("d2a", "unet_s"): (95.91, 91.63, 10.68, 19.97, 44.67, 52.57),
    ("d2b", "unet_s"): (88.05, 91.60, 9.20, 23.35, 60.50, 54.54),
    ("d3", "unet_s"): (94.08, 73.63, 11.91, 16.53, 58.19, 50.87),
    ("d4", "unet_s"): (69.84, 82.00, 12.63, 4.59, 24.64, 38.74),
    ("d4", "unet_as"): (76.79, 88.33, 56.94, 67.42, 55.68, 69.03),
    ("d4", "unet_r"): (74.00, 83.58, 49.47, 65.31, 52.68, 65.01),
}
# (set, mode) -> class or "mean" -> per cent.
PAPER_IOU = {key: dict(zip(_ROWS, values, strict=True)) for key, values in _COLUMNS.items()}
# Thresholds with the best validation mIoU there; masks enhanced with them changed the mIoU by at most 1.4 points.
PAPER_THRESHOLDS = {("d1", "unet_s"): 0.91, ("d4", "unet_s"): 0.54, ("d4", "unet_as"): 0.48, ("d4", "unet_r"): 0.23}
PAPER_LARGEST_CHANGE = 1.4

# The mode by which a set is compared with the paper and with the targets; of other sets, the bundle's default mode.
REFERENCE_MODES = {
    "d1": "unet_s",
    "d2a": "unet_s",
    "d2b": "unet_s",
    "d3": "unet_s",
    "d4": "unet_as",
    "d4_unseen_bodies": "unet_as",
}
# What, set, least (or with "at most", largest) value as a fraction; "class/NAME" for a class's IoU.
TARGETS: tuple[tuple[str, str, str, float], ...] = (
    ("miou", "d1", "at least", 0.65),
    ("miou", "d2a", "at least", 0.60),
    ("miou", "d2b", "at least", 0.60),
    ("miou", "d3", "at least", 0.57),
    ("class/craters", "d1", "at least", 0.30),
    ("class/boulders", "d1", "at least", 0.40),
    ("miou", "d4", "at least", 0.70),
    ("ece", "d1", "at most", 0.03),
    ("auroc", "d1", "at least", 0.90),
)
# Set, mode, and the mode that its mIoU is to exceed.
BETTER_MODES = (("d4", "unet_as", "unet_r"), ("d4", "unet_as", "unet_s"))
