"""Networks as other recipes make them, and bundles around them, for tests. Their class follows brightness."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from flight.bundle import write_sums
from flight.inference.interpreter import make_interpreter, name_tensors

HEIGHT, WIDTH = 32, 48
_LEVELS = np.array([0.0, 0.33, 0.67, 1.0], np.float32)
_CLASSES = [("sky", "background"), ("ground", "safe"), ("crater", "hazard"), ("rock", "hazard")]


def scene() -> np.ndarray:
    """(H, W) uint8: a grey body with a brighter and a white spot, on black."""
    image = np.full((HEIGHT, WIDTH), 4, np.uint8)
    cv2.circle(image, (24, 16), 13, 90, cv2.FILLED)
    cv2.circle(image, (19, 14), 4, 172, cv2.FILLED)
    cv2.circle(image, (30, 19), 4, 250, cv2.FILLED)
    return image


def logits(brightness: Any, classes: int = 4, sharpness: float = 60.0) -> Any:
    """-sharpness (brightness - level)^2 per class, less what all have in common. brightness: (..., 1) in [0, 1]."""
    levels = _LEVELS[:: 3 if classes == 2 else 1][:classes]
    return brightness * (2 * sharpness * levels) - sharpness * levels**2


def softmax(scores: np.ndarray) -> np.ndarray:
    """Over the last axis."""
    powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def convert(
    forward: Callable[[Any], Any],
    shape: tuple[int | None, ...] = (1, HEIGHT, WIDTH, 1),
    dtype: str = "float32",
    integers: str = "",
    largest: float = 1.0,
) -> bytes:
    """A .tflite file.

    Args:
        forward: from the input tensor to the output, or to several by name.
        shape: of the input, None for a side that stays open.
        dtype: of the input before quantization.
        integers: "int8" or "uint8" to quantize all of it; "" leaves it float32.
        largest: of the values with which it is quantized, which begin at 0.
    """
    import tensorflow as tf

    module = tf.Module()
    module.forward = tf.function(forward, input_signature=[tf.TensorSpec(shape, getattr(tf, dtype), name="image")])
    converter = tf.lite.TFLiteConverter.from_concrete_functions([module.forward.get_concrete_function()], module)
    if integers:
        values = np.linspace(0.0, largest, int(np.prod(shape)), dtype=np.float32).reshape(shape)
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: iter([[values]])
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = getattr(tf, integers)
    return bytes(converter.convert())


@cache
def softmax_network() -> bytes:
    """float32, four classes, softmax at the end."""
    import tensorflow as tf

    return convert(lambda image: tf.nn.softmax(logits(image)))


@cache
def logits_network() -> bytes:
    """float32, four classes, the same without the softmax."""
    return convert(logits)


def write_other_bundle(folder: Path, content: bytes, *, classes: int = 4, channels: int = 1, **network: Any) -> Path:
    """Write a bundle around a network, by hand.

    Args:
        folder: to be made.
        content: the .tflite file.
        classes: number of classes.
        channels: of the input.
        network: further fields of the manifest's entry, such as output="probabilities".
    """
    interpreter = make_interpreter(content, 1)
    inputs, outputs = (
        list(name_tensors(d)) for d in (interpreter.get_input_details(), interpreter.get_output_details())
    )
    image = scene()
    brightness = image[..., None] / np.float32(255)
    files = {
        "net.tflite": content,
        "test.png": cv2.imencode(".png", image)[1].tobytes(),
        "map.png": cv2.imencode(".png", logits(brightness, classes).argmax(-1).astype(np.uint8))[1].tobytes(),
    }
    digest = {name: hashlib.sha256(raw).hexdigest() for name, raw in files.items()}
    entry = {"role": "net", "file": "net.tflite", "sha256": digest["net.tflite"], "quantization": "float32"}
    entry |= {"image_input": inputs[0], "scores_output": outputs[0], "dropout_masks": [], **network}
    manifest = {
        "schema": 1,
        "name": "other",
        "version": "1.0",
        "description": "for tests",
        "classes": [
            {"index": i, "name": name, "color": [60 * i] * 3, "role": role}
            for i, (name, role) in enumerate(_CLASSES[:: 3 if classes == 2 else 1][:classes])
        ],
        "input": {"height": HEIGHT, "width": WIDTH, "channels": channels},
        "networks": [entry],
        "defaults": {"passes": 1, "gamma": 1.0, "uncertainty_threshold": 0.5},
        "self_test": {"image": "test.png", "image_sha256": digest["test.png"], "class_map": "map.png"}
        | {"class_map_sha256": digest["map.png"], "seed": 1, "passes": 2, "minimum_agreement": 0.95},
        "training": {},
        "metrics": {},
        "parity": {},
    }
    folder.mkdir(parents=True)
    for name, raw in {**files, "manifest.json": json.dumps(manifest).encode()}.items():
        (folder / name).write_bytes(raw)
    write_sums(folder)
    return folder
