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
    best_of: Annotated[
        _Names,
        Meta(
            description="stages of which the one with the best validation is gone on with: its weights and its design"
        ),
    ] = ()
    mix: Annotated[
        dict[str, Annotated[float, Meta(gt=0)]],
        Meta(description="other sets in each batch: images of each beside one of `dataset`; all sets are validated on"),
    ] = field(default_factory=dict)
    teachers: Annotated[
        dict[str, _Names],
        Meta(
            description="by set, stages whose UNets the network is to come near on its images, those that have weights"
        ),
    ] = field(default_factory=dict)
    distillation: Annotated[
        float, Meta(ge=0, le=100, description="weight in the loss of the distance to the teachers")
    ] = 0.0
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
    trained: Annotated[
        _Names, Meta(description="UNets of an earlier run, found by `--trained`, to start from or to learn from")
    ] = ()
    unlabelled: Annotated[
        _Names, Meta(description="sets without masks, folders of images: teachers say what they show")
    ] = ()

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
        best_of: in place of both, stages of which the best gives its weights and its design.
        mix: other sets, images of each beside one of `dataset`.
        teachers: by set, the stages that teach on it.
        distillation: weight of the distance to the teachers.
        validate_every: epochs of a round, after which it is validated.
    """

    name: str
    recipe: Recipe
    dataset: str
    share: float
    encoder: tuple[str, ...]
    start_from: tuple[str, ...]
    best_of: tuple[str, ...]
    mix: dict[str, float]
    teachers: dict[str, tuple[str, ...]]
    distillation: float
    validate_every: int

    @property
    def starts(self) -> tuple[str, ...]:
        return self.encoder + self.start_from + self.best_of

    @property
    def sets(self) -> tuple[str, ...]:
        """All sets that it is trained on, its own first."""
        return (self.dataset, *self.mix)

    @property
    def all_teachers(self) -> tuple[str, ...]:
        """Each once."""
        return tuple(dict.fromkeys(name for names in self.teachers.values() for name in names))


@dataclass(frozen=True)
class Plan:
    """A training plan. minutes: from the start of the command to its end, if it is not told otherwise.

    trained: UNets of an earlier run that stages start from or learn from. unlabelled: the sets without masks.
    """

    name: str
    minutes: float
    stages: tuple[Stage, ...]
    trained: tuple[str, ...] = ()
    unlabelled: tuple[str, ...] = ()

    def wanted(self) -> dict[str, Wanted]:
        """What it needs of each set, by name."""
        names = dict.fromkeys(name for stage in self.stages for name in stage.sets)
        recipes = {name: [stage.recipe for stage in self.stages if name in stage.sets] for name in names}
        return {name: _wanted(recipes[name], name not in self.unlabelled) for name in names}

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
            known = dict.fromkeys(table.trained, "unet") | {other.name: other.recipe.network for other in read}
            _check_starts(stage, known)
            _check_mixture(stage, table.unlabelled, known)
        except ValueError as error:
            raise ValueError(f"training plan {path}: stage {fields.name}: {error}") from error
        read.append(stage)
    return Plan(table.name, table.minutes, tuple(read), table.trained, table.unlabelled)


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
        fields.best_of,
        fields.mix,
        fields.teachers,
        fields.distillation,
        fields.validate_every,
    )


def _check_starts(stage: Stage, earlier: dict[str, str]) -> None:
    """Raise ValueError when a stage does not start where its network can. earlier: networks of stages before it."""
    if stage.recipe.network == "encoder_cnn":
        if stage.starts:
            raise FieldError("", "no encoder and no start_from: an encoder starts from nothing", stage.starts[0])
        return
    given = [name for name in ("encoder", "start_from", "best_of") if getattr(stage, name)]
    if stage.recipe.design is not None:
        if given not in ([], ["start_from"]):
            raise FieldError("", "start_from or nothing, as the recipe has a design", given[0])
    elif len(given) != 1:
        raise FieldError("", "either encoder or start_from", "both" if given else "neither")
    if stage.best_of and stage.recipe.head != "whole":
        raise FieldError("head", '"whole", which every design has', format_toml_value(stage.recipe.head))
    network = "encoder_cnn" if stage.encoder else "unet"
    for name in stage.starts:
        if earlier.get(name) != network:
            raise FieldError(given[0], f"an earlier stage that trains network {network}", name)


def _check_mixture(stage: Stage, unlabelled: Sequence[str], earlier: dict[str, str]) -> None:
    """Raise ValueError for sets and teachers that do not go together."""
    if stage.recipe.network == "encoder_cnn":
        for name in ("mix", "teachers"):
            if getattr(stage, name):
                raise FieldError(name, "none for an encoder", ", ".join(getattr(stage, name)))
        return
    if stage.dataset in stage.mix or stage.dataset in unlabelled:
        raise FieldError("dataset", "a labelled set that is not in mix", stage.dataset)
    for name in stage.teachers:
        if name not in stage.sets:
            raise FieldError("teachers", f"sets of the stage, {' and '.join(stage.sets)}", name)
    for name in stage.all_teachers:
        if earlier.get(name) != "unet":
            raise FieldError("teachers", "earlier stages that train network unet, or such as are in trained", name)
    for name in stage.mix:
        if name in unlabelled and not stage.teachers.get(name):
            raise FieldError("teachers", f"some for {name}, which has no masks", "none")
    if bool(stage.teachers) != bool(stage.distillation):
        raise FieldError("distillation", "more than 0 where there are teachers, else 0", f"{stage.distillation:g}")


def _wanted(recipes: list[Recipe], labelled: bool) -> Wanted:
    rules = sorted({recipe.minimum_boulder_pixels for recipe in recipes if recipe.network == "unet"})
    return Wanted(tuple(rules), any(recipe.network == "encoder_cnn" for recipe in recipes), labelled)
