"""A second branch on a segmentation network's encoder, of training alone: the image at full resolution.

After dual super-resolution learning (Wang et al. 2020, doi:10.1109/CVPR42600.2020.00383). The branch has a decoder like
the segmentation's, and shares nothing with it but the encoder; the network itself is not changed by it.
"""

from __future__ import annotations

import keras
from keras import layers

from ground_tools.networks.encoders import convolve
from ground_tools.networks.segmenter_design import Segmenter
from ground_tools.networks.segmenters import HEAD, Masks, SegmenterModel, decode

_PREFIX = "super_"


def add_super_resolution(made: SegmenterModel, design: Segmenter) -> keras.Model:
    """A network together with a branch that restores the image; it shares every layer of the network.

    Args:
        made: the network.
        design: of it.

    Returns:
        From the image (N, H, W, C) to four maps of its sides: scores (N, H, W, K), the restored image (N, H, W, C),
        both float32; and what the two branches know of each pixel, (N, H, W, F) each: that of the segmentation through
        a 1 x 1 convolution, since the two are not to be the same.
    """
    features = made.network.get_layer(HEAD).input
    _, height, _, channels = made.network.input.shape
    restored = decode(list(made.encoder.outputs), design, height, Masks(as_inputs=False, none=True), _PREFIX)
    image = layers.Conv2D(channels, 3, padding="same", dtype="float32", name=f"{_PREFIX}image")(restored)
    matched = convolve(features, int(restored.shape[-1]), 1, f"{_PREFIX}match")
    return keras.Model(made.network.input, [made.network.output, image, matched, restored], name="guided")
