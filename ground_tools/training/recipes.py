"""Training recipes: what to train, on what labels, how; read from TOML."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from ground_tools.foundation.descriptions import find_file, read_structure
from ground_tools.foundation.structures import FieldError, TomlTable, only_where
from ground_tools.labels.classes import CLASS_NAMES
from ground_tools.networks.designs import Design
from ground_tools.networks.segmenter_design import Segmenter
from ground_tools.training.recipe_tables import Contrast, Crop, Guidance, Jitter, Loss, Optimizer

RECIPES = Path(__file__).with_name("recipes")

Seed = Annotated[int, Meta(ge=0, le=2**31)]

_CLASSES = len(CLASS_NAMES)
# Fields that records have where they differ from these values alone: trainings that began before go on.
_LATER: dict[str, Any] = {
    "focal": 0.0,
    "boundary": 0.0,
    "design": None,
    "defects": 0.0,
    "segmenter": None,
    "loss": None,
    "optimizer": None,
    "contrast": None,
    "labels": 1.0,
    "flips": "none",
    "jitter": None,
    "resolutions": [],
    "crop": None,
    "guidance": None,
    "film": 0,
}
# The same of `segmenter`.
_LATER_SEGMENTER: dict[str, Any] = {"encoder_dropout": 0.0, "reduction": 1, "decoder_depth": 1}
_UNET = only_where(network="unet")
_SEGMENTER = only_where(network="segmenter")
_EVERY_UNET = only_where(network="unet", required=True)
_EVERY_WINDOW = only_where(network="unet", head="windowed", required=True)


class Augmentation(TomlTable, frozen=True):
    """How training images are changed, anew each time that they are seen."""

    orientations: Annotated[bool, Meta(description="whether images are turned by right angles and flipped")]
    photometric: Annotated[
        float,
        Meta(ge=0, le=1, description="strength of the changes of brightness; 0: the paper's fixed noise alone"),
    ]
    geometric: Annotated[
        float, Meta(ge=0, le=1, description="strength of turning by any angle, scaling and shifting; 0: none")
    ] = 0.0
    farther: Annotated[
        float,
        Meta(
            ge=0,
            le=1,
            description="share of the images in which the body is shown from farther away, where it lies whole in the "
            "image",
        ),
    ] = 0.0
    defects: Annotated[
        float,
        Meta(
            ge=0,
            le=1,
            description="strength of what cameras do: smear, saturation, shot noise, uneven columns, hot and dead "
            "pixels",
        ),
    ] = 0.0
    flips: Annotated[
        Literal["none", "mirror", "both"],
        Meta(description="whether images are mirrored left to right, or turned upside down as well, half of them each"),
    ] = "none"
    jitter: Jitter | None = None
    resolutions: Annotated[
        tuple[Literal[1, 2, 4], ...],
        Meta(
            description="factors, one drawn for each image, by which it is made smaller and enlarged again: what the "
            "network sees; empty: images as they are"
        ),
    ] = ()


class Dropout(TomlTable, frozen=True):
    """Rates of dropout."""

    blocks: Annotated[float, Meta(ge=0, le=0.95, description="dropout rate of DO1 to DO4")]
    head: Annotated[float, Meta(ge=0, le=0.95, description="dropout rate of DO5 and DO6")]


class Recipe(TomlTable, frozen=True):
    """One training. Its name is its file's."""

    name: str
    network: Annotated[
        Literal["encoder_cnn", "unet", "segmenter"],
        Meta(description="what is trained: the paper's networks, or one that `segmenter` describes"),
    ]
    seed: Annotated[Seed, Meta(description="seed of weights, batches and augmentation")]
    epochs: Annotated[int, Meta(ge=1, le=100_000, description="passes over the training images")]
    batch: Annotated[int, Meta(ge=1, le=4096, description="images in each step")]
    learning_rate: Annotated[float, Meta(ge=1e-9, le=1, description="learning rate of Adam")]
    augmentation: Augmentation
    schedule: Annotated[
        Literal["constant", "cosine"],
        Meta(
            description="course of the learning rate: constant as the paper's, or a cosine that rises shortly and "
            "falls to a tenth"
        ),
    ] = "cosine"
    role: Annotated[str, Meta(description="role of the network in a bundle", extra=_UNET)] = "UNet"
    class_weights: Annotated[
        tuple[Annotated[float, Meta(ge=0)], ...],
        Meta(
            min_length=_CLASSES,
            max_length=_CLASSES,
            description="weight of a pixel in the cross-entropy, by its true class",
            extra=_EVERY_UNET,
        ),
    ] = ()
    dropout: Annotated[Dropout, Meta(extra=_EVERY_UNET)] = Dropout(0.0, 0.0)
    freeze_encoder: Annotated[
        bool, Meta(description="whether the encoder's weights stay as they are", extra=_EVERY_UNET)
    ] = True
    jaccard: Annotated[
        float, Meta(ge=0, le=100, description="weight of the soft Jaccard index in the loss", extra=_UNET)
    ] = 0.0
    focal: Annotated[
        float,
        Meta(
            ge=0,
            le=5,
            description="power of 1 - p in the cross-entropy, p that of the true class: well-known pixels count less",
            extra=_UNET,
        ),
    ] = 0.0
    boundary: Annotated[
        float,
        Meta(
            ge=0,
            le=10,
            description="weight in the loss of a further output, of training alone, that is to find where classes meet",
            extra=only_where(network="unet", head="whole"),
        ),
    ] = 0.0
    head: Annotated[
        Literal["folded", "windowed", "whole"],
        Meta(
            description="how the head is computed: as one layer without dropout, as it is in a part of the image, or "
            "as it is in the whole one",
            extra=_UNET,
        ),
    ] = "windowed"
    design: Annotated[Design | None, Meta(extra=only_where(network="unet", head="whole"))] = None
    window: Annotated[
        int,
        Meta(
            ge=16, le=4096, description="side of the part of the image for a windowed head, pixels", extra=_EVERY_WINDOW
        ),
    ] = 128
    feature_windows: Annotated[
        float,
        Meta(ge=0, le=1, description="share of the windows laid about a crater or boulder", extra=_EVERY_WINDOW),
    ] = 0.0
    minimum_boulder_pixels: Annotated[
        int,
        Meta(
            ge=1,
            le=4096,
            description="a rock is a boulder where so many of its pixels are seen",
            extra=_EVERY_UNET,
        ),
    ] = 5
    gradient_norm: Annotated[
        float,
        Meta(
            ge=0,
            le=1_000_000,
            description="norm to which the gradients of a step are scaled down where theirs is larger; 0: never, as in "
            "the paper",
            extra=_UNET,
        ),
    ] = 1.0
    beside: Annotated[
        int,
        Meta(ge=0, le=4096, description="images of another set in each batch, beside `batch` of the own", extra=_UNET),
    ] = 0
    images: Annotated[
        int, Meta(ge=0, le=2**31, description="train on so many of the training images, taken evenly from all; 0: all")
    ] = 0
    labels: Annotated[
        float,
        Meta(
            gt=0,
            le=1,
            description="share of the training images that is used, drawn by the seed, the same of each domain",
            extra=_SEGMENTER,
        ),
    ] = 1.0
    segmenter: Annotated[Segmenter | None, Meta(extra=_SEGMENTER)] = None
    loss: Annotated[Loss | None, Meta(extra=_SEGMENTER)] = None
    optimizer: Annotated[Optimizer | None, Meta(extra=_SEGMENTER)] = None
    contrast: Annotated[Contrast | None, Meta(extra=_SEGMENTER)] = None
    crop: Annotated[Crop | None, Meta(extra=_SEGMENTER)] = None
    guidance: Annotated[Guidance | None, Meta(extra=_SEGMENTER)] = None
    film: Annotated[
        int,
        Meta(
            ge=0,
            le=64,
            description="validation images whose maps are drawn after every epoch, into the folder film",
            extra=_SEGMENTER,
        ),
    ] = 0

    def __post_init__(self) -> None:
        if self.network == "segmenter" and self.segmenter is None:
            raise FieldError("segmenter", "a table that describes the network", "nothing")
        if self.resolutions and self.network != "segmenter":
            raise FieldError("augmentation.resolutions", 'none but where network = "segmenter"', str(self.resolutions))
        if self.guided and self.segmenter is not None and self.segmenter.reduction == 1 and not self.resolutions:
            raise FieldError(
                "guidance", "segmenter.reduction or augmentation.resolutions: an image to make larger", "neither"
            )
        if self.design is not None and self.freeze_encoder:
            raise FieldError("freeze_encoder", "false: the encoder of a design is not trained by itself", "true")

    @property
    def guided(self) -> bool:
        """Whether the network is trained with a second branch."""
        return self.guidance is not None and self.guidance.needed

    @property
    def resolutions(self) -> tuple[int, ...]:
        """Factors by which images are made smaller and enlarged again."""
        return self.augmentation.resolutions

    @property
    def from_second_set(self) -> int:
        """Images of another set in each batch."""
        return self.guidance.unlabelled if self.guidance is not None and self.guided else self.beside

    def record(self) -> dict[str, Any]:
        """The recipe in one level, as training.json and started.json hold it: lists in place of tuples, the fields of
        `augmentation` under their own names, those of `dropout` with "dropout_" before them; other tables as they are.
        """
        record: dict[str, Any] = {}
        for field, value in msgspec.structs.asdict(self).items():
            if field in _LATER and value == _LATER[field]:
                continue
            if isinstance(value, Augmentation):
                fields = msgspec.to_builtins(value)
                fields["resolutions"] = list(value.resolutions)
                record |= {name: of for name, of in fields.items() if name not in _LATER or of != _LATER[name]}
            elif isinstance(value, Dropout):
                record |= {f"dropout_{name}": rate for name, rate in msgspec.structs.asdict(value).items()}
            elif isinstance(value, TomlTable):
                record[field] = msgspec.to_builtins(value)
                if isinstance(value, Segmenter):
                    fields = record[field]
                    record[field] = {
                        name: of for name, of in fields.items() if of != _LATER_SEGMENTER.get(name, object())
                    }
            else:
                record[field] = list(value) if isinstance(value, tuple) else value
        if self.network == "encoder_cnn":
            # It is no part of a bundle.
            record["role"] = ""
        if self.segmenter is not None:
            record["role"] = self.segmenter.role
        return record


def load_recipe(name_or_path: str, overrides: dict[str, Any] | None = None) -> Recipe:
    """Read a recipe.

    Args:
        name_or_path: of one that is shipped with the project, or a TOML file.
        overrides: other values by field, with a dot between a table and its field ("dropout.head").

    Raises:
        ValueError: naming file and field, where it is malformed.
    """
    path = find_file(name_or_path, RECIPES)
    return read_structure("recipe", path, Recipe, RECIPES, overrides, name=path.stem)


def flatten(table: dict[str, Any], before: str = "") -> dict[str, Any]:
    """{"dropout": {"head": 0.1}} as {"dropout.head": 0.1}, as the overrides of `load_recipe` have it."""
    flat: dict[str, Any] = {}
    for name, value in table.items():
        flat |= flatten(value, f"{before}{name}.") if isinstance(value, dict) else {before + name: value}
    return flat


def override(text: str) -> tuple[str, Any]:
    """FIELD=VALUE as field and value, the value as TOML has it. Raises ValueError when it is not of that form."""
    field, equals, value = text.partition("=")
    try:
        if not equals or not field.strip():
            raise ValueError
        return field.strip(), tomllib.loads(f"value = {value}")["value"]
    except (ValueError, tomllib.TOMLDecodeError):
        raise ValueError(
            f"--set: expected FIELD=VALUE with a TOML value, as learning_rate=1e-3, got {text!r}"
        ) from None
