"""A network as a PyTorch module, in memory that holds the channels of a pixel together, as its inputs do."""

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
        self._graph = graph
        for layer in graph.layers:
            if layer.kernel is not None:
                # (out, rows, columns, in) -> (out, in, ...), transposed (in, out, ...).
                order = (3, 0, 1, 2) if layer.kind == "transposed_convolution" else (0, 3, 1, 2)
                kernel = np.ascontiguousarray(layer.float_kernel().transpose(order))
                self.register_buffer(f"kernel_{layer.output}", torch.from_numpy(kernel))
                self.register_buffer(f"bias_{layer.output}", torch.from_numpy(layer.float_bias(graph.steps).copy()))

    def forward(self, *inputs: Any) -> Any:
        """The scores of one pass."""
        known = dict(zip(self._graph.inputs, inputs, strict=True))
        for layer in self._graph.layers:
            found = self._compute(layer, [known[tensor] for tensor in layer.inputs])
            known[layer.output] = functional.relu(found) if layer.relu else found
        return known[self._graph.scores]

    def _compute(self, layer: Layer, inputs: list[Any]) -> Any:
        x = inputs[0]
        if layer.kernel is not None:
            kernel, bias = getattr(self, f"kernel_{layer.output}"), getattr(self, f"bias_{layer.output}")
            top, bottom, left, right = layer.padding
            if layer.kind == "transposed_convolution":
                y = functional.conv_transpose2d(x, kernel, bias, stride=layer.stride)
                return y[:, :, top : y.shape[2] - bottom, left : y.shape[3] - right]
            if (top, left) == (bottom, right):
                return functional.conv2d(x, kernel, bias, layer.stride, (top, left))
            return functional.conv2d(functional.pad(x, (left, right, top, bottom)), kernel, bias, layer.stride)
        if layer.kind == "max_pool":
            return functional.max_pool2d(x, layer.stride)
        if layer.kind == "leaky_relu":
            return functional.leaky_relu(x, layer.slope)
        if layer.kind == "relu":
            return functional.relu(x)
        if layer.kind == "concatenation":
            return torch.cat(inputs, dim=1)
        return inputs[0] * inputs[1] if layer.kind == "product" else inputs[0] + inputs[1]
