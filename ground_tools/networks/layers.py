"""Networks as lists of layers: Keras models, files that fly and counts of work are all made from the same list."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Activation = Literal["", "relu", "leaky"]
# Slope of a leaky ReLU below 0, as the reference paper's.
LEAKY_SLOPE = 0.3
IMAGE = "image"


@dataclass(frozen=True)
class Layer:
    """One layer. Its padding is such that a side becomes side / stride, or side * stride of a transposed convolution.

    Attributes:
        name: of the layer, and of what it computes.
        kind: a mask is dropout, in flight a product with an input; a join lays channels behind each other.
        inputs: layers that it reads, or IMAGE; several for a join and a sum.
        channels: that a convolution writes; those of other layers follow from what they read.
        kernel, stride: of convolutions and pools, pixels.
        normalized: a convolution without bias, followed by batch normalization, which flies as a bias.
        activation: at its end.
        rate: which of the two rates of dropout a mask has.
    """

    name: str
    kind: Literal["convolution", "depthwise", "transposed", "pool", "join", "sum", "mask", "activation"]
    inputs: tuple[str, ...]
    channels: int = 0
    kernel: int = 3
    stride: int = 1
    normalized: bool = False
    activation: Activation = ""
    rate: Literal["blocks", "head"] = "blocks"

    @property
    def has_weights(self) -> bool:
        return self.kind in ("convolution", "depthwise", "transposed")

    @property
    def last_keras_layer(self) -> str:
        """Name of the Keras layer that computes its output."""
        if self.activation and self.kind != "activation":
            return f"{self.name}_activation"
        return f"{self.name}_normalization" if self.normalized else self.name


def trace_shapes(layers: Sequence[Layer], size: int = 128, channels: int = 1) -> dict[str, tuple[int, int]]:
    """Side in pixels and channels of what each layer computes, and of the image."""
    shapes = {IMAGE: (size, channels)}
    for layer in layers:
        side, read = shapes[layer.inputs[0]]
        if layer.kind == "join":
            read = sum(shapes[name][1] for name in layer.inputs)
        elif layer.kind in ("convolution", "transposed"):
            read = layer.channels
        side = side * layer.stride if layer.kind == "transposed" else side // layer.stride
        shapes[layer.name] = (side, read)
    return shapes


@dataclass(frozen=True)
class Work:
    """What a network costs. parameters: as it flies, normalization folded in. macs: of a whole pass."""

    parameters: int
    macs: int


def count_work(layers: Sequence[Layer], size: int = 128, channels: int = 1) -> Work:
    """Parameters and multiply-accumulate operations of a pass through all layers."""
    shapes = trace_shapes(layers, size, channels)
    parameters = macs = 0
    for layer in layers:
        if not layer.has_weights:
            continue
        (read_side, read), (side, written) = shapes[layer.inputs[0]], shapes[layer.name]
        kernel = layer.kernel**2 * written * (1 if layer.kind == "depthwise" else read)
        parameters += kernel + written
        # Each value that a transposed convolution reads goes through the whole kernel.
        macs += kernel * (read_side if layer.kind == "transposed" else side) ** 2
    return Work(parameters, macs)
