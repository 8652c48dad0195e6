"""A network in each library: given images and masks, it gives scores. A module is imported where it is used alone."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np

from flight.bundle import NetworkFile
from flight.inference.interpreter import name_tensors
from flight.inference.network import quantize
from ground_tools.benchmark.peers.layers import LayerGraph, read_layers
from ground_tools.export.recalibration import float_twin

# As many passes at once as a frame has by default; of more the memory would grow to gigabytes.
KERAS_BATCH = 20


class TfliteRunner:
    """A .tflite file in ai-edge-litert or tflite-runtime. names: of the inputs of image and masks."""

    batch = 1

    def __init__(self, content: bytes, names: list[str], threads: int, package: str = "ai_edge_litert") -> None:
        make = importlib.import_module(f"{package}.interpreter").Interpreter
        self._interpreter = make(model_content=content, num_threads=threads)
        self._interpreter.allocate_tensors()
        details = name_tensors(self._interpreter.get_input_details())
        self._inputs = [details[name] for name in names]
        (self._output,) = self._interpreter.get_output_details()

    def set(self, images: np.ndarray, masks: list[np.ndarray]) -> None:
        """See Runner."""
        for detail, values in zip(self._inputs, (images, *masks), strict=True):
            self._interpreter.set_tensor(detail["index"], quantize(values, detail))

    def run(self) -> np.ndarray:
        """See Runner."""
        self._interpreter.invoke()
        values = self._interpreter.get_tensor(self._output["index"])
        if values.dtype == np.float32:
            return values
        scale, zero_point = self._output["quantization"]
        dequantized: np.ndarray = (values.astype(np.float32) - np.float32(zero_point)) * np.float32(scale)
        return dequantized


def float_runner(network: NetworkFile, threads: int) -> TfliteRunner:
    """The network in float32, with the values that its int8 weights stand for: what all others are compared with."""
    content = network.content
    if network.quantization != "float32":
        content = float_twin(content, [read_layers(network).scores])
    return TfliteRunner(content, _input_names(network), threads)


def stored_runner(network: NetworkFile, threads: int, package: str = "ai_edge_litert") -> TfliteRunner:
    """The bundle's own file, pass after pass."""
    return TfliteRunner(network.content, _input_names(network), threads, package)


def naive_runner(network: NetworkFile, threads: int) -> TfliteRunner:
    """What TensorFlow's converter makes of the Keras model with no options set."""
    from ground_tools.benchmark.peers.keras_model import convert_naively

    graph = read_layers(network)
    return TfliteRunner(convert_naively(graph), [f"input_{tensor}" for tensor in graph.inputs], threads)


class KerasRunner:
    """The Keras model with TensorFlow: called pass by pass, or with all passes of a frame as one batch."""

    def __init__(self, network: NetworkFile, threads: int, batch: int) -> None:
        from ground_tools.benchmark.peers.keras_model import build_keras

        del threads  # TensorFlow takes them from the environment, see child.py
        self.batch = batch
        self._model = build_keras(read_layers(network))
        self._inputs: list[np.ndarray] = []

    def set(self, images: np.ndarray, masks: list[np.ndarray]) -> None:
        """See Runner."""
        self._inputs = [images, *masks]

    def run(self) -> np.ndarray:
        """See Runner."""
        model = self._model
        scores = model(self._inputs) if self.batch == 1 else model.predict_on_batch(self._inputs)
        return np.asarray(scores)


class OnnxRunner:
    """ONNX Runtime. quantized: with the int8 steps of the bundle."""

    batch = 1

    def __init__(self, network: NetworkFile, threads: int, quantized: bool) -> None:
        import onnxruntime

        from ground_tools.benchmark.peers.onnx_graph import build_onnx, input_names

        self._graph, self._quantized = read_layers(network), quantized
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        # Waiting threads would take time from the engines whose turn it is.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = onnxruntime.InferenceSession(
            build_onnx(self._graph, quantized), options, providers=["CPUExecutionProvider"]
        )
        self._names = input_names(self._graph)
        self._inputs: dict[str, np.ndarray] = {}

    def set(self, images: np.ndarray, masks: list[np.ndarray]) -> None:
        """See Runner."""
        values = _channels_first(self._graph, [images, *masks], self._quantized)
        self._inputs = dict(zip(self._names, values, strict=True))

    def run(self) -> np.ndarray:
        """See Runner."""
        scores: np.ndarray = self._session.run(None, self._inputs)[0].transpose(0, 2, 3, 1)
        return scores


class OpenvinoRunner:
    """OpenVINO. precision: "f32", "bf16" or "int8", the last with the steps of the bundle."""

    batch = 1

    def __init__(self, network: NetworkFile, threads: int, precision: str) -> None:
        import openvino

        from ground_tools.benchmark.peers.onnx_graph import build_onnx, input_names

        self._graph, self._quantized = read_layers(network), precision == "int8"
        core = openvino.Core()
        properties = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": threads,
            "INFERENCE_PRECISION_HINT": "bf16" if precision == "bf16" else "f32",
        }
        model = core.read_model(build_onnx(self._graph, self._quantized))
        self._request = core.compile_model(model, "CPU", properties).create_infer_request()
        self._names, self._openvino = input_names(self._graph), openvino
        self._held: list[np.ndarray] = []

    def set(self, images: np.ndarray, masks: list[np.ndarray]) -> None:
        """See Runner. The request reads the arrays themselves, without a copy."""
        self._held = _channels_first(self._graph, [images, *masks], self._quantized)
        for name, values in zip(self._names, self._held, strict=True):
            self._request.set_tensor(name, self._openvino.Tensor(values, shared_memory=True))

    def run(self) -> np.ndarray:
        """See Runner."""
        self._request.infer()
        scores: np.ndarray = self._request.get_output_tensor(0).data.transpose(0, 2, 3, 1)
        return scores


class TorchRunner:
    """PyTorch. precision: "f32" or "bf16"; compiled: by torch.compile."""

    batch = 1

    def __init__(self, network: NetworkFile, threads: int, precision: str, compiled: bool = False) -> None:
        import torch

        from ground_tools.benchmark.peers.torch_module import TorchNetwork

        torch.set_num_threads(threads)
        self._torch = torch
        self._kind = torch.bfloat16 if precision == "bf16" else torch.float32
        module = TorchNetwork(read_layers(network)).eval().to(self._kind).to(memory_format=torch.channels_last)
        self._module: Any = torch.compile(module) if compiled else module
        self._inputs: list[Any] = []

    def set(self, images: np.ndarray, masks: list[np.ndarray]) -> None:
        """See Runner. What is (N, H, W, C) in memory is what PyTorch calls channels_last."""
        self._inputs = [self._torch.from_numpy(each).permute(0, 3, 1, 2).to(self._kind) for each in (images, *masks)]

    def run(self) -> np.ndarray:
        """See Runner."""
        with self._torch.inference_mode():
            scores: np.ndarray = self._module(*self._inputs).permute(0, 2, 3, 1).float().numpy()
        return scores


def _input_names(network: NetworkFile) -> list[str]:
    return [network.image_input, *(mask.input for mask in network.dropout_masks)]


def _channels_first(graph: LayerGraph, values: list[np.ndarray], quantized: bool) -> list[np.ndarray]:
    """(N, C, H, W), float32 or the steps of the int8 file."""
    found = []
    for tensor, each in zip(graph.inputs, values, strict=True):
        if quantized:
            steps = graph.steps[tensor]
            detail = {"dtype": np.int8, "quantization": (steps.scales[0], steps.zero_point)}
            each = quantize(each, detail)
        found.append(np.ascontiguousarray(each.transpose(0, 3, 1, 2)))
    return found
