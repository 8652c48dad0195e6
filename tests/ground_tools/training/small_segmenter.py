"""The recipe of a segmentation network that is trained in moments."""

from __future__ import annotations

SMALL = """
network = "segmenter"
seed = 1
epochs = 4
batch = 4
learning_rate = 1e-2
segmenter = { role = "Test", encoder = "plain", filters = 4, depth = 3, head_channels = 8 }
loss = { jaccard = 1.0, weighting = "recall" }
augmentation = { orientations = false, photometric = 0.0, flips = "mirror", jitter = { brightness = 0.2 } }
"""
