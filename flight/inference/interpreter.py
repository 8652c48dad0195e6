"""The only place that imports the TFLite runtime: ai-edge-litert, or tflite-runtime on boards whose image has it.

An accelerator is a library that the runtime loads as a delegate. It runs the parts of a file that its compiler has put
into custom operators, and nothing else: a file without one would run on the processor, slowly and unnoticed. So where
an accelerator is asked for, its library must load, its device must be there, and the file must be compiled for it.
"""

from __future__ import annotations

import ctypes
import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from flight.inference.model_file import read_graph
from flight.libraries import LibraryError, explain_failure

# Their names as packages of Python and as people install them, in the order of preference.
_RUNTIMES = {"ai_edge_litert": "ai-edge-litert", "tflite_runtime": "tflite-runtime"}


@dataclass(frozen=True)
class _Accelerator:
    """library: as the system's loader finds it. operator: what the accelerator's compiler puts into a file."""

    library: str
    operator: str


_ACCELERATORS = {"edgetpu": _Accelerator("libedgetpu.so.1", "edgetpu-custom-op")}
# What every library that is a delegate has (TensorFlow's external_delegate_interface.h).
_DELEGATE_FUNCTIONS = ("tflite_plugin_create_delegate", "tflite_plugin_destroy_delegate")


def make_interpreter(
    content: bytes,
    threads: int,
    shapes: Mapping[str, tuple[int, ...]] | None = None,
    accelerator: str | None = None,
) -> Any:
    """Load a .tflite file and allocate its tensors.

    Args:
        content: bytes of the .tflite file.
        threads: for the operators of this interpreter.
        shapes: by the inputs' names, as name_tensors gives them, what a shape without the batch axis shall be. Sides
            that the file leaves open are set, and the batch to 1; what does not fit is left as it is.
        accelerator: "edgetpu" to run the file there; None for the processor.

    Returns:
        A tflite Interpreter.

    Raises:
        LibraryError: there is no runtime or no accelerator that works here; says why.
        ValueError: the bytes are not a usable model, or not compiled for the accelerator.
    """
    runtime = _load_runtime()
    delegates = {} if accelerator is None else {"experimental_delegates": [_load_delegate(runtime, accelerator)]}
    if accelerator is not None and not is_compiled(content, accelerator):
        raise ValueError(f"expected a file compiled for {accelerator}, got one that runs on the processor alone")
    with explain_failure("TFLite runtime"):
        try:
            interpreter = runtime.Interpreter(model_content=content, num_threads=threads, **delegates)
            resized = False
            for name, detail in name_tensors(interpreter.get_input_details()).items():
                shape = _fit_shape(detail, (shapes or {}).get(name))
                if shape is not None:
                    interpreter.resize_tensor_input(detail["index"], shape)
                    resized = True
            interpreter.allocate_tensors()
            if resized:
                # Of some networks only a run tells how large the output is then.
                for detail in interpreter.get_input_details():
                    interpreter.set_tensor(detail["index"], np.zeros(detail["shape"], detail["dtype"]))
                interpreter.invoke()
        except (ValueError, RuntimeError) as error:
            # Not of the runtime, but of the file.
            problem = " ".join(str(error).split())
        else:
            return interpreter
    raise ValueError(problem)


def describe_inputs(content: bytes) -> dict[str, dict[str, Any]]:
    """The runtime's details of a file's inputs, as the file has them, by the names that manifests have.

    Raises:
        LibraryError: there is no runtime that works here; says why.
        ValueError: the bytes are not a usable model.
    """
    runtime = _load_runtime()
    with explain_failure("TFLite runtime"):
        try:
            return name_tensors(runtime.Interpreter(model_content=content, num_threads=1).get_input_details())
        except (ValueError, RuntimeError) as error:
            problem = " ".join(str(error).split())
    raise ValueError(problem)


def is_compiled(content: bytes, accelerator: str) -> bool:
    """Whether a .tflite file has a part that runs on an accelerator.

    Args:
        content: bytes of the file.
        accelerator: "edgetpu".

    Raises:
        ValueError: the bytes are no such file.
    """
    return any(operator.name == _ACCELERATORS[accelerator].operator for operator in read_graph(content).operators)


def name_tensors(details: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """An interpreter's details of tensors, by the names that manifests have, see strip_decorations."""
    return dict(zip(strip_decorations([detail["name"] for detail in details]), details, strict=True))


def strip_decorations(names: list[str]) -> list[str]:
    """Tensors' names without what converters add to them: serving_default_image:0 -> image.

    Where two would then be the same, as of StatefulPartitionedCall:0 and :1, the whole names are kept.
    """
    short = [name.removeprefix("serving_default_").split(":")[0] for name in names]
    return [one if short.count(one) == 1 else name for one, name in zip(short, names, strict=True)]


def _fit_shape(detail: dict[str, Any], wanted: tuple[int, ...] | None) -> list[int] | None:
    """The shape that an input must be set to; None where nothing is to be set or it cannot be the wanted one."""
    now = [int(side) for side in detail["shape"]]
    signature = [int(side) for side in detail.get("shape_signature", now)]
    if wanted is None or len(now) != len(wanted) + 1 or len(signature) != len(now):
        return None
    shape = [1, *wanted]
    open_sides = [side < 0 or index == 0 for index, side in enumerate(signature)]
    fits = all(free or side == fixed for free, side, fixed in zip(open_sides, shape, now, strict=True))
    return shape if fits and shape != now else None


def _load_runtime() -> Any:
    """The first runtime that works, a module. Raises LibraryError with what is wrong with each that is installed."""
    problems = []
    for package, name in _RUNTIMES.items():
        try:
            with explain_failure(name):
                runtime = importlib.import_module(f"{package}.interpreter")
                _ = runtime.Interpreter
                return runtime
        except ModuleNotFoundError as error:
            if error.name != package:
                problems.append(f"{name}: {error}")
        except LibraryError as error:
            problems.append(str(error))
    wanted = "install ai-edge-litert (or tflite-runtime)"
    raise LibraryError(f"no TFLite runtime: {'; '.join(problems) or wanted}")


def _load_delegate(runtime: Any, accelerator: str) -> Any:
    """The accelerator's delegate. Raises LibraryError: its library or its device is not there, or does not work."""
    library = _ACCELERATORS[accelerator].library
    place = f"accelerator {accelerator}: {library}"
    with explain_failure(place):
        # The runtime looks for nothing before it uses it, and complains once more when what it made is thrown away.
        functions = ctypes.PyDLL(library)
        for name in _DELEGATE_FUNCTIONS:
            getattr(functions, name)
        try:
            return runtime.load_delegate(library)
        except ValueError as error:
            # The library is there; the text, if there is any, is its own.
            said = " ".join(str(error).removeprefix(f"Failed to load delegate from {library}").split())
            raise LibraryError(
                f"{place}: expected a device that it can open, got none{said and f' ({said})'}"
            ) from error
