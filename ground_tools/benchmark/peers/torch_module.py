"""A network as a PyTorch module."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from ground_tools.benchmark.peers.layers import Layer, LayerGraph


class TorchNetwork(nn.Module):
    """The network. `forward(image, *masks)`: (1, C, H, W) each; returns the scores."""

    def __init__(self, graph: LayerGraph) -> None:
        super().__init__()
        self._inputs, self._scores = graph.inputs, graph.scores
        self._places = [(layer.inputs, layer.output) for layer in graph.layers]
        self._layers = nn.ModuleList([_make_module(layer, graph) for layer in graph.layers])

    def forward(self, *inputs: Any) -> Any:
        """The scores of one pass."""
        known = dict(zip(self._inputs, inputs, strict=True))
        for layer, (read, output) in zip(self._layers, self._places, strict=True):
            known[output] = layer(*[known[tensor] for tensor in read])
        return known[self._scores]


def _make_module(layer: Layer, graph: LayerGraph) -> nn.Module:
    if layer.kernel is not None:
        module: nn.Module = _Convolution(layer, graph)
    elif layer.kind == "max_pool":
        module = nn.MaxPool2d(layer.stride)
    elif layer.kind == "leaky_relu":
        module = nn.LeakyReLU(layer.slope)
    else:
        module = _Elementwise(layer.kind)
    return nn.Sequential(module, nn.ReLU()) if layer.relu and layer.kind != "relu" else module


class _Convolution(nn.Module):
    """Plain or transposed. No array of NumPy is kept: torch.compile takes none."""

    def __init__(self, layer: Layer, graph: LayerGraph) -> None:
        super().__init__()
        self._transposed, self._stride, self._padding = "transposed" in layer.kind, layer.stride, layer.padding
        # (out, rows, columns, in) -> (out, in, ...), transposed (in, out, ...).
        order = (3, 0, 1, 2) if self._transposed else (0, 3, 1, 2)
        self.kernel = nn.Buffer(torch.from_numpy(np.ascontiguousarray(layer.float_kernel().transpose(order))))
        self.bias = nn.Buffer(torch.from_numpy(layer.float_bias(graph.steps).copy()))

    def forward(self, x: Any) -> Any:
        top, bottom, left, right = self._padding
        if self._transposed:
            y = functional.conv_transpose2d(x, self.kernel, self.bias, stride=self._stride)
            return y[:, :, top : y.shape[2] - bottom, left : y.shape[3] - right]
        if (top, left) == (bottom, right):
            return functional.conv2d(x, self.kernel, self.bias, self._stride, (top, left))
        return functional.conv2d(functional.pad(x, (left, right, top, bottom)), self.kernel, self.bias, self._stride)


class _Elementwise(nn.Module):
    """kind: see Layer."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self._kind = kind

    def forward(self, *inputs: Any) -> Any:
        if self._kind == "concatenation":
            return torch.cat(inputs, dim=1)
        if self._kind == "relu":
            return functional.relu(inputs[0])
        return inputs[0] * inputs[1] if self._kind == "product" else inputs[0] + inputs[1]
