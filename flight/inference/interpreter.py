"""The one seam to the TFLite runtime: ai-edge-litert, or its predecessor tflite-runtime on boards that carry it."""

from __future__ import annotations

from typing import Any


def make_interpreter(content: bytes, threads: int) -> Any:
    """An allocated interpreter over a .tflite file's bytes.

    Raises RuntimeError when neither runtime is installed, ValueError when the bytes are no usable model.
    """
    interpreter = _interpreter_class()(model_content=content, num_threads=threads)
    try:
        interpreter.allocate_tensors()
    except RuntimeError as error:
        raise ValueError(f"tensors could not be allocated: {error}") from error
    return interpreter


def _interpreter_class() -> Any:
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError:
        try:
            from tflite_runtime.interpreter import Interpreter
        except ImportError as error:
            raise RuntimeError("no TFLite runtime: install ai-edge-litert (or tflite-runtime)") from error
    return Interpreter
