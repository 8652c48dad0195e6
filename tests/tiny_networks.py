"""The networks of tests.tiny_bundle, converted: `python -m tests.tiny_networks FOLDER` writes their files."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np

HEIGHT, WIDTH, CHANNELS, CLASSES = 32, 48, 3, 4
# File by the network's number and whether it has dropout.
NETWORK_FILES = {
    (number, dropout): f"{number}_{'dropout' if dropout else 'plain'}.tflite"
    for number in range(2)
    for dropout in (True, False)
}


def convert_network(seed: int, dropout: bool) -> bytes:
    """A network with random kernels from `seed`, as a TFLite file."""
    import tensorflow as tf

    generator = np.random.default_rng(seed)
    first = generator.normal(0.0, 0.5, (3, 3, CHANNELS, 8)).astype(np.float32)
    second = generator.normal(0.0, 1.0, (1, 1, 8, CLASSES)).astype(np.float32)
    image = tf.TensorSpec((1, HEIGHT, WIDTH, CHANNELS), tf.float32, name="image")
    mask = tf.TensorSpec((1, HEIGHT, WIDTH, 8), tf.float32, name="mask_1")

    def with_mask(image, mask_1):  # type: ignore[no-untyped-def]
        x = tf.nn.relu(tf.nn.conv2d(image, first, 1, "SAME"))
        return {"scores": tf.nn.conv2d(x * mask_1, second, 1, "SAME")}

    def without_mask(image):  # type: ignore[no-untyped-def]
        x = tf.nn.relu(tf.nn.conv2d(image, first, 1, "SAME"))
        return {"scores": tf.nn.conv2d(x, second, 1, "SAME")}

    module = tf.Module()
    module.forward = tf.function(
        with_mask if dropout else without_mask, input_signature=[image, mask] if dropout else [image]
    )
    with tempfile.TemporaryDirectory() as folder:
        tf.saved_model.save(module, folder, signatures={"serving_default": module.forward})
        return bytes(tf.lite.TFLiteConverter.from_saved_model(folder).convert())


if __name__ == "__main__":
    for (number, with_dropout), name in NETWORK_FILES.items():
        (Path(sys.argv[1]) / name).write_bytes(convert_network(number, with_dropout))
