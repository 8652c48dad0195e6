"""The only place that imports the TFLite runtime: ai-edge-litert, or tflite-runtime on boards whose image has it."""

from __future__ import annotations

from typing import Any


def make_interpreter(content: bytes, threads: int) -> Any:
    """Load a .tflite file and allocate its tensors.

    Args:
        content: bytes of the .tflite file.
        threads: for the operators of this interpreter.

    Returns:
        A tflite Interpreter.

    Raises:
        RuntimeError: neither runtime is installed.
        ValueError: the bytes are not a usable model.
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
