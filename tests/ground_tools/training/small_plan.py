"""A plan of three short trainings on a drawn set of 32 px images."""

from __future__ import annotations

# Samples of the set, by split.
COUNTS = {"train": 8, "validation": 6, "test": 4}
STAGE = """[[stage]]
name = "{name}"
recipe = "{recipe}"
dataset = "{dataset}"
share = {share}
"""
SMALL = (
    'changes = { window = 32, batch = 4, epochs = 2, "augmentation.photometric" = 0.0, minimum_boulder_pixels = 5 }\n'
)
PLAN = (
    "minutes = 15\n"
    + STAGE.format(name="encoder", recipe="best-encoder", dataset="drawn", share=1)
    + "changes = { batch = 4, epochs = 2 }\n"
    + STAGE.format(name="unet_s", recipe="best-unet-s", dataset="drawn", share=2)
    + 'encoder = ["encoder"]\n'
    + SMALL
    + STAGE.format(name="unet_as", recipe="best-unet-s", dataset="drawn", share=2)
    + 'start_from = ["unet_s"]\n'
    + SMALL.replace("changes = {", "changes = { role = 'UNetAS', seed = 2, learning_rate = 1e-4,")
)
