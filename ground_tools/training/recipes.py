"""Training recipes: what to train, on what labels, how; read from TOML."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ground_tools.foundation.descriptions import find_file, read_toml
from ground_tools.labels.classes import CLASS_NAMES

RECIPES = Path(__file__).with_name("recipes")


@dataclass(frozen=True)
class Recipe:
    """One training.

    network: "encoder_cnn" or "unet". role: what the trained UNet is in a bundle. epochs: over all training images.
    batch: images a step. learning_rate: Adam's. schedule: of the learning rate, "constant" as the paper's, or "cosine",
    which rises shortly and falls to a tenth. orientations: whether images are turned by right angles and flipped.
    photometric: strength of the photometric augmentation, 0 (the paper's fixed noise) to 1. geometric: strength of
    turning by any angle, scaling and shifting, 0 (none) to 1. farther: share of the images in which the body is shown
    from farther away, where it lies whole in the image. class_weights: in the cross-entropy, of a pixel by its
    true class. dropout_blocks, dropout_head: rates of DO1 to DO4 and of DO5 and DO6. freeze_encoder: whether the
    encoder's weights stay as they are. jaccard: weight of the soft Jaccard index in the loss. head: "folded" computes
    the head as one layer, without dropout; "windowed" computes it as it is, in a part of the image. window: side of
    that part. feature_windows: share of the windows that are laid about a crater or boulder. minimum_boulder_pixels: a
    rock is a boulder where so many of its pixels are seen. gradient_norm: to which the gradients of a step are scaled
    down where they are larger; 0: never, as the paper's. beside: so many images of another set in each batch, beside
    `batch` of the own. images: so many of the training images, evenly through them; 0: all.
    """

    name: str
    network: str
    seed: int
    epochs: int
    batch: int
    learning_rate: float
    orientations: bool
    photometric: float
    geometric: float = 0.0
    farther: float = 0.0
    schedule: str = "cosine"
    role: str = ""
    class_weights: tuple[float, ...] = ()
    dropout_blocks: float = 0.0
    dropout_head: float = 0.0
    freeze_encoder: bool = True
    jaccard: float = 0.0
    head: str = "windowed"
    window: int = 128
    feature_windows: float = 0.0
    minimum_boulder_pixels: int = 5
    gradient_norm: float = 1.0
    beside: int = 0
    images: int = 0


def load_recipe(name_or_path: str, overrides: dict[str, Any] | None = None) -> Recipe:
    """Read a recipe: the name of one that is shipped with the project, or a TOML file; then apply overrides.

    overrides: by field, with a dot between a table and its field ("dropout.head"). Raises ValueError naming the file
    and field where it is malformed.
    """
    path = find_file(name_or_path, RECIPES)
    table = read_toml("recipe", path, RECIPES)
    for field, value in (overrides or {}).items():
        *tables, last = field.split(".")
        at = table
        for name in tables:
            at = at.setdefault(name, {})
            if not isinstance(at, dict):
                raise ValueError(f"recipe {path}: {field}: {name} is no table")
        at[last] = value
    return _recipe(path, table)


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


# Long because it checks one field after the other, in the order of the file.
def _recipe(path: Path, table: dict[str, Any]) -> Recipe:
    def take(source: dict[str, Any], field: str, kinds: Any, low: float, high: float) -> Any:
        value: Any = source.pop(field, None)
        if isinstance(value, bool) != (kinds is bool) or not isinstance(value, kinds) or not low <= value <= high:
            raise ValueError(f"recipe {path}: {field}: expected {low:g}..{high:g}, got {value!r}")
        return value

    def table_of(field: str) -> dict[str, Any]:
        value = rest.pop(field, {})
        if not isinstance(value, dict):
            raise ValueError(f"recipe {path}: {field}: expected a table, got {value!r}")
        return dict(value)

    number = (int, float)
    rest = dict(table)
    network = rest.pop("network", None)
    if network not in ("encoder_cnn", "unet"):
        raise ValueError(f'recipe {path}: network: expected "encoder_cnn" or "unet", got {network!r}')
    schedule = rest.pop("schedule", "cosine")
    if schedule not in ("constant", "cosine"):
        raise ValueError(f'recipe {path}: schedule: expected "constant" or "cosine", got {schedule!r}')
    augmentation = table_of("augmentation")
    fields: dict[str, Any] = {
        "seed": take(rest, "seed", int, 0, 2**31),
        "epochs": take(rest, "epochs", int, 1, 100_000),
        "batch": take(rest, "batch", int, 1, 4096),
        "learning_rate": take(rest, "learning_rate", number, 1e-9, 1.0),
        "schedule": schedule,
        "orientations": take(augmentation, "orientations", bool, 0, 1),
        "photometric": take(augmentation, "photometric", number, 0.0, 1.0),
        "geometric": take(augmentation, "geometric", number, 0.0, 1.0) if "geometric" in augmentation else 0.0,
        "farther": take(augmentation, "farther", number, 0.0, 1.0) if "farther" in augmentation else 0.0,
        "images": take(rest, "images", int, 0, 2**31) if "images" in rest else 0,
    }
    if network == "unet":
        dropout = table_of("dropout")
        weights = rest.pop("class_weights", None)
        count = len(CLASS_NAMES)
        if (
            not isinstance(weights, list)
            or len(weights) != count
            or not all(isinstance(w, number) and w >= 0 for w in weights)
        ):
            raise ValueError(f"recipe {path}: class_weights: expected {count} numbers >= 0, got {weights!r}")
        fields |= {
            "role": str(rest.pop("role", "UNet")),
            "class_weights": tuple(float(weight) for weight in weights),
            "dropout_blocks": take(dropout, "blocks", number, 0.0, 0.95),
            "dropout_head": take(dropout, "head", number, 0.0, 0.95),
            "jaccard": take(rest, "jaccard", number, 0.0, 100.0) if "jaccard" in rest else 0.0,
            "gradient_norm": take(rest, "gradient_norm", number, 0.0, 1e6) if "gradient_norm" in rest else 1.0,
            "beside": take(rest, "beside", int, 0, 4096) if "beside" in rest else 0,
            "freeze_encoder": take(rest, "freeze_encoder", bool, 0, 1),
            **_head_fields(path, rest, take),
            "minimum_boulder_pixels": take(rest, "minimum_boulder_pixels", int, 1, 4096),
        }
        rest.update(dropout)
    unknown = {**rest, **augmentation}
    if unknown:
        raise ValueError(f"recipe {path}: unknown field {sorted(unknown)[0]}")
    return Recipe(name=path.stem, network=network, **fields)


def _head_fields(path: Path, rest: dict[str, Any], take: Any) -> dict[str, Any]:
    """How the head is computed; only a windowed one has windows."""
    head = rest.pop("head", "windowed")
    if head == "folded":
        return {"head": head}
    if head != "windowed":
        raise ValueError(f'recipe {path}: head: expected "folded" or "windowed", got {head!r}')
    return {
        "head": head,
        "window": take(rest, "window", int, 16, 4096),
        "feature_windows": take(rest, "feature_windows", (int, float), 0.0, 1.0),
    }
