"""From the flight graph to a .tflite file, int8 or float32."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from ground_tools.export.graph import random_masks

_SIGNATURE = "serving_default"


def convert(
    module: tf.Module,
    calibration: np.ndarray | None,
    shapes: list[tuple[int, int, int]],
    keep: list[float],
    seed: int = 0,
) -> bytes:
    """Convert a flight graph.

    calibration: (N, H, W, C) float32 images for the int8 ranges, each run with masks drawn afresh; None gives a
    float32 file. Inputs and output of an int8 file are int8. Representative data is given by input name: a
    list would be fed to the wrong inputs.
    """

    def representative() -> Iterator[dict[str, np.ndarray]]:
        generator = np.random.default_rng(seed)
        assert calibration is not None
        for image in calibration:
            yield {"image": image[None], **random_masks(shapes, keep, generator)}

    with tempfile.TemporaryDirectory(prefix="rubblemap_export_") as folder:
        tf.saved_model.save(module, folder, signatures={_SIGNATURE: module.forward})
        converter = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=[_SIGNATURE])
        if calibration is not None:
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            converter.representative_dataset = representative
            converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
            converter.inference_input_type = converter.inference_output_type = tf.int8
        content = converter.convert()
    return bytes(content)
