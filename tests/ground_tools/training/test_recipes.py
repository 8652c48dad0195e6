"""Recipes: what is read, overrides, what is malformed, and the record that trainings are known by."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from hypothesis import given

from ground_tools.foundation.descriptions import parse
from ground_tools.training.recipes import RECIPES, Recipe, load_recipe, override
from tests.ground_tools.foundation.structure_strategy import as_read, structures

ENCODER = """
network = "encoder_cnn"
seed = 1
epochs = 5
batch = 64
learning_rate = 1e-3
[augmentation]
orientations = true
photometric = 0.5
"""
UNET = """
network = "unet"
seed = 1
epochs = 5
batch = 64
learning_rate = 1e-3
class_weights = [0.09, 0.09, 0.45, 0.23, 0.14]
freeze_encoder = false
window = 64
feature_windows = 0.5
minimum_boulder_pixels = 5
dropout = { blocks = 0.2, head = 0.4 }
augmentation = { orientations = true, photometric = 0.5 }
"""


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ('"unet"', '"gan"', 'network: expected "encoder_cnn", "segmenter" or "unet", got "gan"'),
        ("seed = 1", "seed = true", "seed: expected a whole number 0..2147483648, got true"),
        ("seed = 1", "seed = 1.0", "seed: expected a whole number 0..2147483648, got 1.0"),
        ("seed = 1", 'seed = "1"', 'seed: expected a whole number 0..2147483648, got "1"'),
        ("seed = 1", "seed = 1979-05-27", 'seed: expected a whole number 0..2147483648, got "1979-05-27"'),
        ("seed = 1\n", "", "seed: expected a whole number 0..2147483648, got nothing"),
        ("epochs = 5", "epochs = 0", "epochs: expected a whole number 1..100000, got 0"),
        ("= 1e-3", "= true", "learning_rate: expected a number 1e-09..1, got true"),
        ("= 1e-3", "= nan", "learning_rate: expected a finite number, got NaN"),
        ("0.09, 0.09, ", "", "class_weights: expected a list of 5 numbers >= 0, got [0.45, 0.23, 0.14]"),
        ("0.45", "-0.45", "class_weights[2]: expected a number >= 0, got -0.45"),
        ("0.45", "inf", "class_weights[2]: expected a finite number, got Infinity"),
        ("freeze_encoder = false\n", "", "freeze_encoder: expected true or false, got nothing"),
        ("= false", "= 0", "freeze_encoder: expected true or false, got 0"),
        ("head = 0.4", "head = 1", "dropout.head: expected a number 0..0.95, got 1"),
        (", head = 0.4", "", "dropout.head: expected a number 0..0.95, got nothing"),
        ("head = 0.4", "heads = 0.4", "dropout.heads: expected one of blocks, head, got an unknown field"),
        ("{ orientations = true, photometric = 0.5 }", "3", "augmentation: expected a table, got 3"),
        ("photometric = 0.5", 'photometric = "much"', 'augmentation.photometric: expected a number 0..1, got "much"'),
        ("window = 64\n", "", "window: expected a whole number 16..4096, got nothing"),
        ("window = 64", 'window = 64\nhead = "folded"', 'window: expected only where head = "windowed", got 64'),
        ("seed = 1", "seed = 1\nhead = 1", 'head: expected "folded", "whole" or "windowed", got 1'),
    ],
)
def test_a_malformed_recipe_is_named(tmp_path: Path, before: str, after: str, message: str) -> None:
    assert before in UNET
    path = tmp_path / "r.toml"
    path.write_text(UNET.replace(before, after, 1))
    with pytest.raises(ValueError, match="recipe ") as caught:
        load_recipe(str(path))
    assert str(caught.value) == f"recipe {path}: {message}"


@pytest.mark.parametrize("field", ["jaccard = 0.5", "dropout = { blocks = 0.2, head = 0.4 }", 'role = "UNetS"'])
def test_an_encoder_has_nothing_of_a_unet(tmp_path: Path, field: str) -> None:
    path = tmp_path / "r.toml"
    path.write_text(f"{field}\n{ENCODER}")
    with pytest.raises(ValueError, match=f'r.toml: {field.split()[0]}: expected only where network = "unet", got '):
        load_recipe(str(path))


def test_an_unknown_field_is_told_with_those_that_are_known(tmp_path: Path) -> None:
    path = tmp_path / "r.toml"
    path.write_text(f"mood = 1\n{UNET}")
    with pytest.raises(ValueError, match=r"r\.toml: mood: expected one of network, seed, .*, got an unknown field"):
        load_recipe(str(path))
    # A recipe's name is its file's.
    path.write_text(f'name = "r"\n{UNET}')
    with pytest.raises(ValueError, match=r"r\.toml: name: expected one of network, seed, .*, got an unknown field"):
        load_recipe(str(path))


def test_a_recipe_is_found_by_name_or_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shipped = load_recipe(str(RECIPES / "best_encoder.toml"))
    # A folder of that name, as of a training, is no recipe.
    (tmp_path / "best-encoder").mkdir()
    assert load_recipe("best-encoder") == load_recipe("best_encoder.toml") == shipped
    (tmp_path / "own.toml").write_text(ENCODER)
    assert load_recipe("own.toml").name == "own"
    with pytest.raises(ValueError, match=r"No such file or directory \(shipped with the project: aerial-half, "):
        load_recipe("other")
    (tmp_path / "own.toml").write_bytes(b"\xff")
    with pytest.raises(ValueError, match=r"recipe own\.toml: 'utf-8' codec"):
        load_recipe("own.toml")


def test_a_recipe_can_be_overridden() -> None:
    overrides = dict(override(text) for text in ("dropout.head=0.3", "batch = 4", "schedule='constant'"))
    recipe = load_recipe("best-cpu-unet-as", overrides)
    assert (recipe.dropout.head, recipe.batch, recipe.schedule) == (0.3, 4, "constant")
    assert recipe.dropout.blocks == load_recipe("best-cpu-unet-as").dropout.blocks
    for text in ("batch", "=3", "batch=", "batch=[3"):
        with pytest.raises(ValueError, match="expected FIELD=VALUE with a TOML value"):
            override(text)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ({"batch.size": 3}, "batch.size: expected batch to be a table, got 8"),
        ({"batch": True}, "batch: expected a whole number 1..4096, got true"),
        ({"dropout.head": "0.3"}, 'dropout.head: expected a number 0..0.95, got "0.3"'),
        ({"dropout.heads": 0.3}, "dropout.heads: expected one of blocks, head, got an unknown field"),
        ({"schedule": "fast"}, 'schedule: expected "constant" or "cosine", got "fast"'),
    ],
)
def test_an_override_has_the_type_of_its_field(override: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match="recipe ") as caught:
        load_recipe("best-cpu-unet-as", override)
    assert str(caught.value) == f"recipe {RECIPES / 'best_cpu_unet_as.toml'}: {message}"


@given(structures(Recipe))
def test_what_is_written_is_read_back(recipe: Recipe) -> None:
    assert parse("recipe", as_read(recipe, "name"), Recipe, name=recipe.name) == recipe


def test_the_records_of_trainings_stay_as_they_are() -> None:
    """What `started.json` is compared with: a training that was stopped goes on."""
    augmentation = {"orientations": True, "photometric": 0.5, "geometric": 0.0, "farther": 0.0}
    common = {"seed": 1, "epochs": 5, "batch": 64, "learning_rate": 1e-3, **augmentation, "schedule": "cosine"}
    rest = {"jaccard": 0.0, "head": "windowed"}
    last = {"minimum_boulder_pixels": 5, "gradient_norm": 1.0, "beside": 0, "images": 0}
    encoder = {"role": "", "class_weights": [], "dropout_blocks": 0.0, "dropout_head": 0.0, "freeze_encoder": True}
    windows = {"window": 128, "feature_windows": 0.0}
    record = parse("recipe", tomllib.loads(ENCODER), Recipe, name="e").record()
    expected = {"name": "e", "network": "encoder_cnn", **common, **encoder, **rest, **windows, **last}
    assert list(record.items()) == list(expected.items())
    unet = {"role": "UNet", "class_weights": [0.09, 0.09, 0.45, 0.23, 0.14], "dropout_blocks": 0.2}
    unet |= {"dropout_head": 0.4, "freeze_encoder": False}
    windows = {"window": 64, "feature_windows": 0.5}
    record = parse("recipe", tomllib.loads(UNET), Recipe, name="u").record()
    expected = {"name": "u", "network": "unet", **common, **unet, **rest, **windows, **last}
    assert list(record.items()) == list(expected.items())
