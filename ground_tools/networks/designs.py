"""UNets of our own, all described by a few numbers: what blocks they are built of, how wide and how deep.

What they have in common, and why:

- Sides of 1, 1/2, 1/4, 1/8 and 1/16 of the image; an encoder, and a decoder that has the encoder's features of each.
- ReLU alone between convolutions (but in "plain", the paper's): it is fused into what is before it, accelerators that
  have no leaky one have it, and channels can be scaled before quantization.
- The head is convolutions with dropout between them and nothing else, so that it has the closed form. One of 3 x 3 and
  then 1 x 1: folded, it reaches one pixel far and has no other fold at the borders.
- The encoder's features are added to the decoder's, not laid beside them, and dropout is on the decoder's alone, where
  they are smallest. So all that is done to the encoder's is done once for a frame, and a pass is short.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from ground_tools.foundation.structures import FieldError, TomlTable
from ground_tools.networks.layers import IMAGE, Activation, Layer

LEVELS = 5
# What the inner convolution of an inverted block has times as many channels as the block.
EXPANSION = 3

_Width = Annotated[int, Meta(ge=1, le=1024)]
_Depth = Annotated[int, Meta(ge=0, le=16)]
_Side = Annotated[int, Meta(ge=1, le=7)]


class Design(TomlTable, frozen=True):
    """The numbers that describe a network of our own."""

    blocks: Annotated[
        Literal["plain", "residual", "inverted"],
        Meta(
            description="what the network is built of: the paper's layers; pairs of convolutions with a bypass; or "
            "1 x 1, depthwise and 1 x 1 convolutions with a bypass"
        ),
    ]
    widths: Annotated[
        tuple[_Width, ...],
        Meta(min_length=LEVELS, max_length=LEVELS, description="channels at a side of 1, 1/2, 1/4, 1/8 and 1/16"),
    ]
    depths: Annotated[
        tuple[_Depth, ...],
        Meta(min_length=LEVELS, max_length=LEVELS, description="blocks of the encoder at each of these sides"),
    ]
    head_channels: Annotated[
        tuple[_Width, ...], Meta(min_length=1, max_length=3, description="channels between the head's convolutions")
    ]
    head_kernels: Annotated[
        tuple[_Side, ...], Meta(min_length=2, max_length=4, description="sides of the head's convolutions, pixels")
    ]
    decoder_depths: Annotated[
        tuple[_Depth, ...],
        Meta(
            min_length=LEVELS - 1,
            max_length=LEVELS - 1,
            description="convolutions or blocks of the decoder at a side of 1, 1/2, 1/4 and 1/8; not of a plain one",
        ),
    ] = (0, 1, 1, 1)
    masked: Annotated[
        int, Meta(ge=0, le=LEVELS - 1, description="blocks of the decoder that have dropout, from the deepest on")
    ] = LEVELS - 1

    def __post_init__(self) -> None:
        expected = len(self.head_channels) + 1
        if len(self.head_kernels) != expected:
            raise FieldError("head_kernels", f"{expected} sides, one more than head_channels", str(self.head_kernels))
        if even := [side for side in self.head_kernels if side % 2 == 0]:
            raise FieldError("head_kernels", "odd sides", str(even[0]))

    def layers(self, classes: int) -> tuple[Layer, ...]:
        """The network's layers in order, the last one that of the scores."""
        return _Builder(self).build(classes)


class _Builder:
    """Appends layers one by one; each method returns the name of what was computed last."""

    def __init__(self, design: Design) -> None:
        self._design = design
        self._layers: list[Layer] = []
        self._masks = 0

    def build(self, classes: int) -> tuple[Layer, ...]:
        plain = self._design.blocks == "plain"
        skips = self._plain_encoder() if plain else self._encoder()
        x = skips.pop()
        for level in reversed(range(LEVELS - 1)):
            x = self._plain_up(x, skips.pop(), level) if plain else self._up(x, skips.pop(), level)
        channels = (*self._design.head_channels, classes)
        for index, (width, side) in enumerate(zip(channels, self._design.head_kernels, strict=True), start=1):
            x = self._add(Layer(f"head_convolution_{index}", "convolution", (x,), width, side))
            if index < len(channels):
                x = self._mask(x, "head")
        return tuple(self._layers)

    def _add(self, layer: Layer) -> str:
        self._layers.append(layer)
        return layer.name

    def _mask(self, x: str, rate: Literal["blocks", "head"]) -> str:
        self._masks += 1
        return self._add(Layer(f"dropout_{self._masks}", "mask", (x,), rate=rate))

    def _convolution(
        self, name: str, x: str, width: int, side: int = 3, stride: int = 1, act: Activation = "relu"
    ) -> str:
        return self._add(Layer(name, "convolution", (x,), width, side, stride, normalized=True, activation=act))

    def _encoder(self) -> list[str]:
        x, ends = IMAGE, []
        for level, (width, depth) in enumerate(zip(self._design.widths, self._design.depths, strict=True)):
            x = self._convolution(f"encoder_{level}_begin", x, width, stride=1 if level == 0 else 2)
            for number in range(1, depth + 1):
                x = self._block(f"encoder_{level}_{number}", x, width)
            ends.append(x)
        return ends

    def _block(self, name: str, x: str, width: int) -> str:
        if self._design.blocks == "residual":
            inner = self._convolution(f"{name}_in", x, width)
            outer = self._convolution(f"{name}_out", inner, width, act="")
            return self._add(Layer(f"{name}_sum", "sum", (x, outer), activation="relu"))
        inner = self._convolution(f"{name}_in", x, EXPANSION * width, side=1)
        inner = self._add(
            Layer(f"{name}_depthwise", "depthwise", (inner,), kernel=3, normalized=True, activation="relu")
        )
        outer = self._convolution(f"{name}_out", inner, width, side=1, act="")
        return self._add(Layer(f"{name}_sum", "sum", (x, outer)))

    def _up(self, x: str, skip: str, level: int) -> str:
        width, residual = self._design.widths[level], self._design.blocks == "residual"
        if level >= LEVELS - 1 - self._design.masked:
            x = self._mask(x, "blocks")
        # Kernels that do not overlap: a quarter of the work, and no pattern of squares.
        up = self._add(Layer(f"up_{level}", "transposed", (x,), width, 2, 2, normalized=True))
        # No mask changes what the encoder adds: it is computed once for a frame, however many passes there are.
        side = self._convolution(f"skip_{level}", skip, width, side=1, act="")
        x = self._add(Layer(f"merge_{level}", "sum", (up, side), activation="relu"))
        for number in range(1, self._design.decoder_depths[level] + 1):
            name = f"decoder_{level}_{number}"
            x = self._convolution(name, x, width) if residual else self._block(name, x, width)
        return x

    def _plain_encoder(self) -> list[str]:
        x, ends = IMAGE, []
        for level, (width, depth) in enumerate(zip(self._design.widths, self._design.depths, strict=True)):
            if level:
                x = self._add(Layer(f"encoder_pool_{level}", "pool", (x,), kernel=2, stride=2))
            for number in range(1, depth + 1):
                name = f"encoder_{level}_{number}"
                x = self._add(Layer(name, "convolution", (x,), width, activation="leaky"))
            ends.append(x)
        return ends

    def _plain_up(self, x: str, skip: str, level: int) -> str:
        width = self._design.widths[level]
        x = self._add(Layer(f"up_{level}", "transposed", (x,), width, 3, 2, normalized=True, activation="relu"))
        x = self._add(Layer(f"join_{level}", "join", (x, skip)))
        if level >= LEVELS - 1 - self._design.masked:
            x = self._mask(x, "blocks")
        return self._add(Layer(f"up_{level}_leaky", "activation", (x,), activation="leaky"))
