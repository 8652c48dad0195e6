"""The engines that are compared: ours, and what else somebody would run the networks with."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from flight.bundle import Bundle, NetworkFile
from ground_tools.benchmark.peers import runners
from ground_tools.benchmark.workload import FlightEngine, FrameEngine, Runner, WholePasses
from ground_tools.foundation.machine import Machine

# Mean difference of the probabilities of one pass from those in float32, with the same image and masks.
EXACT, ROUNDED = 0.001, 0.04
# The engine that all others are set beside.
OURS = "closed_form"

_MakeRunner = Callable[[NetworkFile, int], Runner]


@dataclass(frozen=True)
class EngineKind:
    """An engine.

    Attributes:
        name: in performance.json and on the command line.
        label: in the table.
        runner: makes a network of it; None for what flies, which has other passes.
        packages: that it imports.
        bound: of the mean difference of a pass's probabilities from those in float32.
        bfloat16: whether it needs a processor with products of bfloat16.
        batched: whether it compiles anew for each number of passes.
    """

    name: str
    label: str
    runner: _MakeRunner | None
    packages: tuple[str, ...] = ()
    bound: float = EXACT
    bfloat16: bool = False
    batched: bool = False

    def missing(self, machine: Machine) -> str | None:
        """Why it cannot run here; None if it can."""
        if self.bfloat16 and not machine.has_bfloat16:
            return "not run: this processor has no products of bfloat16"
        if any(importlib.util.find_spec(package) is None for package in self.packages):
            return "not installed: pip install rubblemap[peers]"
        return None

    def make(self, bundle: Bundle, threads: int) -> FrameEngine:
        """Load it."""
        if self.runner is None:
            return FlightEngine(bundle, "auto" if self.name == OURS else "passes", threads)
        return WholePasses(bundle, [self.runner(network, threads) for network in bundle.networks])


def _onnx(quantized: bool) -> _MakeRunner:
    return partial(runners.OnnxRunner, quantized=quantized)


def _openvino(precision: str) -> _MakeRunner:
    return partial(runners.OpenvinoRunner, precision=precision)


def _torch(precision: str, compiled: bool = False) -> _MakeRunner:
    return partial(runners.TorchRunner, precision=precision, compiled=compiled)


_TENSORFLOW = ("tensorflow", "keras")
ENGINES = (
    EngineKind(OURS, "**closed form (default)**", None),
    EngineKind("passes", "**whole int8 passes, balanced masks**", None, bound=ROUNDED),
    EngineKind("keras_loop", "Keras, called pass by pass", partial(runners.KerasRunner, batch=1), _TENSORFLOW),
    EngineKind(
        "keras_batch",
        "Keras, passes as a batch",
        partial(runners.KerasRunner, batch=runners.KERAS_BATCH),
        _TENSORFLOW,
        batched=True,
    ),
    EngineKind("tflite_naive", "TFLite as converted, float32", runners.naive_runner, _TENSORFLOW),
    EngineKind(
        "tflite_runtime_int8",
        "tflite-runtime 2.14, int8",
        partial(runners.stored_runner, package="tflite_runtime"),
        ("tflite_runtime",),
        ROUNDED,
    ),
    EngineKind("litert_float32", "ai-edge-litert, float32", runners.float_runner),
    EngineKind("litert_int8", "ai-edge-litert, int8", runners.stored_runner, bound=ROUNDED),
    EngineKind("onnxruntime_float32", "ONNX Runtime, float32", _onnx(False), ("onnx", "onnxruntime")),
    EngineKind("onnxruntime_int8", "ONNX Runtime, int8", _onnx(True), ("onnx", "onnxruntime"), ROUNDED),
    EngineKind("openvino_float32", "OpenVINO, float32", _openvino("f32"), ("onnx", "openvino")),
    EngineKind("openvino_bfloat16", "OpenVINO, bfloat16", _openvino("bf16"), ("onnx", "openvino"), ROUNDED, True),
    EngineKind("openvino_int8", "OpenVINO, int8", _openvino("int8"), ("onnx", "openvino"), ROUNDED),
    EngineKind("torch_float32", "PyTorch, float32", _torch("f32"), ("torch",)),
    EngineKind("torch_bfloat16", "PyTorch, bfloat16", _torch("bf16"), ("torch",), ROUNDED, True),
    EngineKind("torch_compiled", "PyTorch, compiled, float32", _torch("f32", True), ("torch",)),
)
