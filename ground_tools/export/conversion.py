"""From the flight graph to .tflite files: the int8 one that flies, and the float32 one that it is compared with."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable, Iterator

import numpy as np
import tensorflow as tf

from ground_tools.export.graph import random_masks

_SIGNATURE = "serving_default"


def convert(
    module: tf.Module,
    calibration: np.ndarray,
    shapes: list[tuple[int, int, int]],
    keep: list[float],
    seed: int = 0,
) -> bytes:
    """Convert a flight graph to int8, inputs and output included.

    calibration: (N, H, W, C) float32 images for the ranges, each run with masks drawn afresh. Representative data
    is given by input name: a list would be fed to the wrong inputs.
    """

    def representative() -> Iterator[dict[str, np.ndarray]]:
        generator = np.random.default_rng(seed)
        for image in calibration:
            yield {"image": image[None], **random_masks(shapes, keep, generator)}

    def to_int8(converter: tf.lite.TFLiteConverter) -> None:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = representative
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.int8

    return _convert(module, to_int8)


def convert_float(module: tf.Module) -> bytes:
    """Convert a flight graph as it is, in float32."""
    return _convert(module, lambda converter: None)


def _convert(module: tf.Module, set_up: Callable[[tf.lite.TFLiteConverter], None]) -> bytes:
    with tempfile.TemporaryDirectory(prefix="rubblemap_export_") as folder:
        tf.saved_model.save(module, folder, signatures={_SIGNATURE: module.forward})
        converter = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=[_SIGNATURE])
        set_up(converter)
        with warnings.catch_warnings():
            # The converter calibrates with TensorFlow's own interpreter, which announces its successor each time.
            warnings.simplefilter("ignore", UserWarning)
            content = converter.convert()
    return bytes(content)
