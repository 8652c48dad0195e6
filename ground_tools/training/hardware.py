"""On what a training runs: the precision of its arithmetic, and over how many devices it is spread."""

from __future__ import annotations

import os
import platform

import keras


def set_precision(precision: str) -> None:
    """Set Keras's policy for layers that are built from now on; weights stay float32.

    precision: float32, mixed_bfloat16 or mixed_float16.
    """
    keras.config.set_dtype_policy(precision)


def spread_over_devices(count: int, batch: int) -> int:
    """Split every batch over so many devices, each with all weights (Keras's DataParallel); 0: over all there are.

    Returns how many that is. Raises ValueError when the backend cannot, there are fewer, or the batch does not divide.
    """
    if keras.backend.backend() != "jax":
        raise ValueError(
            f"--devices: expected the backend jax, which Keras spreads over devices, got {keras.backend.backend()}"
        )
    devices = keras.distribution.list_devices()
    chosen = devices if count == 0 else devices[: max(count, 0)]
    if not chosen or len(chosen) < count:
        raise ValueError(f"--devices: expected 1..{len(devices)}, the devices that there are, got {count}")
    if batch % len(chosen):
        raise ValueError(f"recipe: batch: expected a multiple of {len(chosen)} devices, got {batch}")
    keras.distribution.set_distribution(keras.distribution.DataParallel(devices=chosen, auto_shard_dataset=False))
    return len(chosen)


def devices() -> int:
    """Over how many devices batches are split; 1 without a distribution."""
    distribution = keras.distribution.distribution()
    return 1 if distribution is None else int(distribution.device_mesh.devices.size)


def compilation() -> bool | str:
    """Keras's `jit_compile` for a training step: "auto", but off for TensorFlow without an accelerator.

    On two AVX2 cores a step of 16 images takes 1.13 s with TensorFlow's own kernels and 1.50 s compiled by XLA (the
    quickest of 12 each, folded head).
    """
    return "auto" if keras.backend.backend() != "tensorflow" or accelerators() else False


def hardware() -> str:
    """What a training runs on, for its record: processor cores, and accelerators by name where the backend tells."""
    names = accelerators()
    cores = f"{os.cpu_count()} CPU cores, {platform.machine()}"
    return ", ".join([*(f"{names.count(name)} x {name}" for name in dict.fromkeys(names)), cores])


def accelerators() -> list[str]:
    """The name of each accelerator that the backend sees."""
    if keras.backend.backend() == "jax":
        import jax

        return [device.device_kind for device in jax.devices() if device.platform != "cpu"]
    if keras.backend.backend() == "torch":
        import torch

        return [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    return [tf.config.experimental.get_device_details(gpu)["device_name"] for gpu in gpus]
