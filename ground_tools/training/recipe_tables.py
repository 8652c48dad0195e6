"""Tables of recipes: colours, loss, optimizer; carried out elsewhere, by what needs Keras or OpenCV."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from ground_tools.foundation.structures import FieldError, TomlTable

_Weight = Annotated[float, Meta(ge=0, le=100)]


class Jitter(TomlTable, frozen=True):
    """How far each of them may go; changes are drawn evenly from the range, anew for each image."""

    brightness: Annotated[float, Meta(ge=0, le=1, description="largest change of the factor on all values")] = 0.0
    contrast: Annotated[
        float, Meta(ge=0, le=1, description="largest change of the factor on differences from the mean")
    ] = 0.0
    saturation: Annotated[
        float, Meta(ge=0, le=1, description="largest change of the factor on differences from grey; colour alone")
    ] = 0.0
    hue: Annotated[float, Meta(ge=0, le=0.5, description="largest turn of the hue, in whole turns; colour alone")] = 0.0


class Loss(TomlTable, frozen=True):
    """What a training minimizes: a sum of terms."""

    cross_entropy: Annotated[_Weight, Meta(description="weight of the cross-entropy")] = 1.0
    dice: Annotated[_Weight, Meta(description="weight of 1 - Dice")] = 0.0
    jaccard: Annotated[_Weight, Meta(description="weight of 1 - Jaccard")] = 0.0
    focal: Annotated[
        float, Meta(ge=0, le=5, description="power of 1 - p in the cross-entropy: well-known pixels count less")
    ] = 0.0
    weighting: Annotated[
        Literal["none", "frequency", "recall", "both"],
        Meta(
            description="weights of the classes in the cross-entropy: 1, the inverse of their frequency in training "
            "images scaled to a mean of 1, the share of their pixels that is missed of late (Tian et al. 2022), or the "
            "product of both"
        ),
    ] = "none"
    memory: Annotated[
        float, Meta(ge=0, le=0.999, description="what is kept of that share in each step; the rest is the batch's")
    ] = 0.9

    def __post_init__(self) -> None:
        if self.cross_entropy + self.dice + self.jaccard == 0.0:
            raise FieldError("cross_entropy", "one term of the loss with a weight above 0", "none")


class Optimizer(TomlTable, frozen=True):
    """By what the weights change, and when a training slows down or ends early."""

    name: Annotated[Literal["adam", "adamw", "sgd", "rmsprop"], Meta(description="what turns gradients into steps")] = (
        "adam"
    )
    momentum: Annotated[float, Meta(ge=0, le=0.999, description="of sgd and rmsprop")] = 0.9
    weight_decay: Annotated[
        float, Meta(ge=0, le=1, description="share of each weight that a step takes away, times the learning rate")
    ] = 0.0
    accumulate: Annotated[int, Meta(ge=1, le=1024, description="batches whose mean gradient makes a step")] = 1
    reduce_after: Annotated[
        int, Meta(ge=0, le=10_000, description="epochs without a better mIoU after which the rate falls; 0: never")
    ] = 0
    reduce_to: Annotated[float, Meta(gt=0, le=0.999, description="what is left of the rate then")] = 0.3
    stop_after: Annotated[
        int, Meta(ge=0, le=10_000, description="epochs without a better mIoU after which the training ends; 0: never")
    ] = 0


class Crop(TomlTable, frozen=True):
    """Parts of larger images that a network is trained on; beside training it answers for whole images tile by tile."""

    height: Annotated[int, Meta(ge=16, le=4096, description="of the parts and of the network's input, pixels")]
    width: Annotated[int, Meta(ge=16, le=4096, description="of the parts and of the network's input, pixels")]
    about_classes: Annotated[
        float,
        Meta(
            ge=0,
            le=1,
            description="share of the parts laid about a pixel of a class that the image shows, any class as often; "
            "the others lie anywhere",
        ),
    ] = 0.0
    overlap: Annotated[
        int,
        Meta(
            ge=0,
            le=4095,
            description="pixels that neighbouring tiles of a whole image share at least; 0: a quarter of a tile",
        ),
    ] = 0
    margin: Annotated[
        int,
        Meta(ge=0, le=2047, description="pixels along a tile's edge that do not count where its neighbour has them"),
    ] = 0

    def __post_init__(self) -> None:
        if self.overlap and self.overlap <= 2 * self.margin:
            raise FieldError("overlap", f"more than twice the margin of {self.margin}", str(self.overlap))


class Guidance(TomlTable, frozen=True):
    """A second branch of training alone, which restores the image at full resolution (Wang et al. 2020)."""

    super_resolution: Annotated[
        float, Meta(ge=0, le=1000, description="weight of the restored image's mean squared error")
    ] = 1.0
    affinity: Annotated[
        float,
        Meta(
            ge=0,
            le=1000,
            description="weight of the mean difference between the two branches in how alike any two places are",
        ),
    ] = 1.0
    step: Annotated[int, Meta(ge=1, le=64, description="side of such a place, pixels")] = 8
    unlabelled: Annotated[
        int,
        Meta(
            ge=0,
            le=4096,
            description="images of another set in each batch, whose masks are not looked at: for the super-resolution "
            "alone",
        ),
    ] = 0

    @property
    def needed(self) -> bool:
        """Whether there is a second branch at all."""
        return self.super_resolution > 0.0 or self.affinity > 0.0


class Contrast(TomlTable, frozen=True):
    """Pre-training of the encoder on images without labels, by `ground-tools train --contrastive`."""

    epochs: Annotated[int, Meta(ge=1, le=100_000, description="passes over the images")] = 100
    temperature: Annotated[float, Meta(ge=0.01, le=10, description="of the similarities in the loss")] = 0.2
    channels: Annotated[int, Meta(ge=2, le=4096, description="of a projection")] = 64
    hidden: Annotated[int, Meta(ge=2, le=8192, description="channels between the encoder and the projection")] = 256
    smallest: Annotated[float, Meta(ge=0.01, le=1, description="least share of the image that a view shows")] = 0.25
