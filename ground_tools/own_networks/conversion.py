"""A network's file as TFLite: as it is, or converted from Keras or a SavedModel."""

from __future__ import annotations

import os
import tempfile
import warnings
from pathlib import Path

_KERAS = (".keras", ".h5", ".hdf5")


def read_network(path: Path, size: tuple[int, int] | None) -> bytes:
    """Read a network, and convert it where it is not TFLite.

    Args:
        path: a .tflite file; a .keras or .h5 file; or the folder of a SavedModel.
        size: height and width, for a Keras network that takes any.

    Returns:
        Bytes of a .tflite file.

    Raises:
        ValueError: the file is of another kind, or cannot be converted; names it.
    """
    if path.is_dir():
        if not (path / "saved_model.pb").is_file():
            raise ValueError(f"{path}: expected a SavedModel, with saved_model.pb in it, or a file")
        return _convert_saved_model(path, path)
    if path.suffix in _KERAS:
        return _convert_keras(path, size)
    content = path.read_bytes()
    if content[4:8] != b"TFL3":
        kinds = ", ".join((".tflite", *_KERAS))
        raise ValueError(f"{path}: expected a network ({kinds}, or a SavedModel's folder), got another file")
    return content


def _convert_keras(path: Path, size: tuple[int, int] | None) -> bytes:
    """Through a SavedModel for one image at a time: from a Keras 3 model alone, variables are lost."""
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import keras
    import tensorflow as tf

    try:
        model = keras.saving.load_model(path, compile=False)
    except Exception as error:  # of a class that Keras does not know, and whatever else a file of a person's holds
        raise ValueError(f"{path}: Keras cannot load it: {_first_line(error)}") from error
    if len(model.inputs) != 1:
        raise ValueError(f"{path}: expected one input, got {', '.join(tensor.name for tensor in model.inputs)}")
    _, height, width, channels = (*model.inputs[0].shape, *[None] * 4)[:4]
    if None in (height, width):
        if size is None:
            raise ValueError(f"{path}: expected --size HEIGHT WIDTH, as the network takes images of any size")
        height, width = height or size[0], width or size[1]
    signature = [tf.TensorSpec((1, height, width, channels), model.inputs[0].dtype, name="image")]
    with tempfile.TemporaryDirectory(prefix="rubblemap_bundle_") as scratch:
        try:
            model.export(scratch, verbose=False, input_signature=signature)
        except Exception as error:
            raise ValueError(f"{path}: cannot be exported: {_first_line(error)}") from error
        return _convert_saved_model(Path(scratch), path)


def _convert_saved_model(folder: Path, named: Path) -> bytes:
    """named: what a person calls it."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import tensorflow as tf

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            return bytes(tf.lite.TFLiteConverter.from_saved_model(str(folder)).convert())
    except Exception as error:  # the converter raises classes of its own
        raise ValueError(
            f"{named}: cannot be converted to TFLite with built-in operators alone: {_first_line(error)}"
        ) from error


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0][:300]}" if lines else type(error).__name__
