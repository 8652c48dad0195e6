"""The numbers that describe a segmentation network, as recipes state them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from msgspec import Meta

from ground_tools.foundation.structures import FieldError, TomlTable, only_where

_PLAIN = only_where(encoder="plain")
_Rate = Annotated[float, Meta(ge=0, le=0.95)]


@dataclass(frozen=True)
class Plain:
    """A plain encoder: pairs of convolutions, and a pool between its levels.

    Attributes:
        filters: channels at a side of 1; twice as many at each further one, up to `most_filters`.
        depth: levels.
        kernel: side of the kernels of the first level, pixels; smaller by 2 at each further one, down to 3.
        dilation: of the second convolution of each level.
        normalized: whether batch normalization follows each convolution.
        most_filters: limit of the channels.
        dropout: rate between the convolutions of the second level, twice as high at the third and so on; in training
            alone.
    """

    filters: int
    depth: int
    kernel: int
    dilation: int
    normalized: bool
    most_filters: int
    dropout: float = 0.0

    def width(self, level: int) -> int:
        """Channels of a level, the first one being 0."""
        return int(min(self.filters * 2**level, self.most_filters))

    def side(self, level: int) -> int:
        """Side of the kernels of a level, pixels."""
        return max(self.kernel - 2 * level, min(self.kernel, 3))


class Segmenter(TomlTable, frozen=True):
    """The numbers that describe a segmentation network."""

    encoder: Annotated[
        Literal["plain", "vgg11", "resnet18", "resnet50", "mobilenet_v2", "mobilenet_v3_large"],
        Meta(description="what the image goes through first"),
    ]
    role: Annotated[str, Meta(description="role of the network in a bundle")] = "Network"
    decoder: Annotated[
        Literal["unet", "deeplab"],
        Meta(description="how features become a map: step by step with all sides joined, or by a pyramid of dilations"),
    ] = "unet"
    filters: Annotated[int, Meta(ge=1, le=512, description="channels at full side", extra=_PLAIN)] = 16
    most_filters: Annotated[int, Meta(ge=1, le=4096, description="limit of the channels", extra=_PLAIN)] = 512
    depth: Annotated[int, Meta(ge=2, le=9, description="levels of the encoder", extra=_PLAIN)] = 5
    kernel: Annotated[
        Literal[1, 3, 5, 7, 9, 11, 13, 15],
        Meta(description="side of the first level's kernels; 2 less a level, down to 3", extra=_PLAIN),
    ] = 3
    dilation: Annotated[int, Meta(ge=1, le=8, description="of the second convolution of each level", extra=_PLAIN)] = 1
    normalization: Annotated[
        Literal["batch", "none"], Meta(description="what follows convolutions of encoder and decoder", extra=_PLAIN)
    ] = "batch"
    encoder_dropout: Annotated[
        float,
        Meta(
            ge=0,
            le=0.1,
            description="rate of dropout within a level of the encoder, times the level's number from 0; of training "
            "alone",
            extra=_PLAIN,
        ),
    ] = 0.0
    reduction: Annotated[
        Literal[1, 2, 4],
        Meta(description="factor by which the image is made smaller first; the map is as large as the image"),
    ] = 1
    decoder_depth: Annotated[int, Meta(ge=1, le=4, description="convolutions of each block of a U-Net's decoder")] = 1
    alpha: Annotated[float, Meta(ge=0.25, le=1.4, description="factor on the channels of MobileNets")] = 1.0
    head_channels: Annotated[int, Meta(ge=1, le=512, description="channels between the head's convolutions")] = 16
    masked: Annotated[
        int, Meta(ge=0, le=8, description="blocks of the decoder that have dropout, from the deepest on")
    ] = 1
    block_dropout: Annotated[_Rate, Meta(description="rate of dropout in these blocks")] = 0.2
    head_dropout: Annotated[_Rate, Meta(description="rate of dropout in the head")] = 0.2
    frozen: Annotated[
        bool, Meta(description="whether the encoder's weights stay as they are, its normalization too")
    ] = False

    def __post_init__(self) -> None:
        if self.decoder == "deeplab" and self.encoder in ("plain", "vgg11"):
            raise FieldError("decoder", f"unet behind the encoder {self.encoder}", "'deeplab'")

    @property
    def plain(self) -> Plain:
        """Of the plain encoder."""
        return Plain(
            self.filters,
            self.depth,
            self.kernel,
            self.dilation,
            self.normalization == "batch",
            self.most_filters,
            self.encoder_dropout,
        )

    @property
    def shrinks(self) -> int:
        """Image sides must be multiples of this."""
        deepest = int(2 ** (self.depth - 1)) if self.encoder == "plain" else 16 if self.encoder == "vgg11" else 32
        return int(self.reduction * deepest)
