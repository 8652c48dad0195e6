"""Training plans: trainings one after the other, and what share of the time each has; read from TOML."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta, field

from ground_tools.foundation.descriptions import find_file, read_structure
from ground_tools.foundation.expectations import format_toml_value
from ground_tools.foundation.names import PLAIN_NAME, is_plain_name
from ground_tools.foundation.structures import FieldError, TomlTable
from ground_tools.training.chain.archive import Wanted
from ground_tools.training.recipes import Recipe, flatten, load_recipe

PLANS = Path(__file__).with_name("plans")

_Names = tuple[Annotated[str, Meta(min_length=1)], ...]


class StageTable(TomlTable, frozen=True):
    """One training, as it stands in a plan's file."""

    name: Annotated[str, Meta(min_length=1, description="name of the stage, and of the folder of what it trains")]
    recipe: Annotated[
        str, Meta(description="recipe of the training, a name or a TOML file; its epochs are an upper limit")
    ]
    dataset: Annotated[str, Meta(min_length=1, description="name of the set, as `train-chain pack` is told it")]
    share: Annotated[
        float, Meta(gt=0, description="share of the time that is left, beside those of the stages still to come")
    ]
    encoder: Annotated[
        _Names, Meta(description="stages whose encoder a UNet starts from: the first one that has weights")
    ] = ()
    start_from: Annotated[
        _Names, Meta(description="stages whose UNet a UNet starts from: the first one that has weights")
    ] = ()
    validate_every: Annotated[int, Meta(ge=1, le=100_000, description="epochs between two validations")] = 1
    changes: Annotated[dict[str, Any], Meta(description="other values for fields of the recipe")] = field(
        default_factory=dict
    )


class PlanTable(TomlTable, frozen=True):
    """A plan's file. Its name is its file's."""

    name: str
    minutes: Annotated[
        float,
        Meta(
            gt=0, le=1440, description="minutes from the start of a run to its end, unless `--minutes` says otherwise"
        ),
    ]
    stages: Annotated[
        tuple[StageTable, ...], Meta(min_length=1, description="the trainings, in order: a table `[[stage]]` each")
    ] = field(name="stage")

    def __post_init__(self) -> None:
        names = [stage.name for stage in self.stages]
        for number, name in enumerate(names):
            if not is_plain_name(name):
                raise FieldError(f"stage[{number}].name", PLAIN_NAME, format_toml_value(name))
        for number, name in enumerate(names):
            if name in names[:number]:
                raise FieldError(f"stage[{number}].name", "another name than those of earlier stages", f'"{name}"')


@dataclass(frozen=True)
class Stage:
    """One training of a plan.

    Attributes:
        name: of the stage.
        recipe: with what the plan changes; its epochs are an upper limit.
        dataset: the set's name.
        share: of the time, beside those of the other stages.
        encoder: stages from which it takes the encoder's weights, by preference: the first that has any.
        start_from: in place of `encoder`, stages from which it takes all weights.
        validate_every: epochs of a round, after which it is validated.
    """

    name: str
    recipe: Recipe
    dataset: str
    share: float
    encoder: tuple[str, ...]
    start_from: tuple[str, ...]
    validate_every: int

    @property
    def starts(self) -> tuple[str, ...]:
        return self.encoder + self.start_from


@dataclass(frozen=True)
class Plan:
    """A training plan. minutes: from the start of the command to its end, if it is not told otherwise."""

    name: str
    minutes: float
    stages: tuple[Stage, ...]

    def wanted(self) -> dict[str, Wanted]:
        """What it needs of each set, by name."""
        names = dict.fromkeys(stage.dataset for stage in self.stages)
        return {name: _wanted([stage.recipe for stage in self.stages if stage.dataset == name]) for name in names}

    def only(self, names: Sequence[str]) -> Plan:
        """Some of its stages. Raises ValueError for one that it has not."""
        unknown = sorted(set(names) - {stage.name for stage in self.stages})
        if unknown:
            known = ", ".join(stage.name for stage in self.stages)
            raise ValueError(f"--stages: expected some of {known}, got {unknown[0]}")
        return replace(self, stages=tuple(stage for stage in self.stages if stage.name in names))

    def limit_batch(self, largest: int) -> Plan:
        """The plan with batches of so many images at most."""

        def limit(stage: Stage) -> Stage:
            batch = min(stage.recipe.batch, largest)
            return replace(stage, recipe=msgspec.structs.replace(stage.recipe, batch=batch))

        return replace(self, stages=tuple(map(limit, self.stages)))


def load_plan(name_or_path: str) -> Plan:
    """Read a training plan: the name of one that is shipped with the project, or a TOML file.

    Raises ValueError naming the file and what is wrong in it, also for a recipe that a chain cannot train.
    """
    path = find_file(name_or_path, PLANS)
    table = read_structure("training plan", path, PlanTable, PLANS, name=path.stem)
    read: list[Stage] = []
    for fields in table.stages:
        try:
            stage = _read_stage(fields)
            _check_starts(stage, {other.name: other.recipe.network for other in read})
        except ValueError as error:
            raise ValueError(f"training plan {path}: stage {fields.name}: {error}") from error
        read.append(stage)
    return Plan(table.name, table.minutes, tuple(read))


def _read_stage(fields: StageTable) -> Stage:
    recipe = load_recipe(fields.recipe, flatten(fields.changes))
    if recipe.network == "segmenter":
        raise FieldError("network", "encoder_cnn or unet: a chain trains no other", recipe.network)
    # What a chain does not do: windows that are less than the image, a second set, a part of one.
    if recipe.feature_windows > 0:
        raise FieldError("feature_windows", "0 and the whole image", f"{recipe.feature_windows:g}")
    for name in ("beside", "images"):
        if getattr(recipe, name):
            raise FieldError(name, "0, all images of one set", str(getattr(recipe, name)))
    return Stage(
        fields.name,
        recipe,
        fields.dataset,
        fields.share,
        fields.encoder,
        fields.start_from,
        fields.validate_every,
    )


def _check_starts(stage: Stage, earlier: dict[str, str]) -> None:
    """Raise ValueError when a stage does not start where its network can. earlier: networks of stages before it."""
    if stage.recipe.network == "encoder_cnn":
        if stage.starts:
            raise FieldError("", "no encoder and no start_from: an encoder starts from nothing", stage.starts[0])
        return
    if bool(stage.encoder) == bool(stage.start_from):
        raise FieldError("", "either encoder or start_from", "both" if stage.encoder else "neither")
    network = "encoder_cnn" if stage.encoder else "unet"
    for name in stage.starts:
        if earlier.get(name) != network:
            where = "encoder" if stage.encoder else "start_from"
            raise FieldError(where, f"an earlier stage that trains network {network}", name)


def _wanted(recipes: list[Recipe]) -> Wanted:
    rules = sorted({recipe.minimum_boulder_pixels for recipe in recipes if recipe.network == "unet"})
    return Wanted(tuple(rules), any(recipe.network == "encoder_cnn" for recipe in recipes))
