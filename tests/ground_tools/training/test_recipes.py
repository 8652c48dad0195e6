"""Recipes: overrides, and what is malformed."""

from __future__ import annotations

from pathlib import Path

import pytest

from ground_tools.training.recipes import load_recipe, override


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('network = "gan"\n', "network: expected"),
        ('network = "unet"\naugmentation = 3\n', "augmentation: expected a table, got 3"),
        ('network = "encoder_cnn"\nseed = 1\nepochs = 0\n', "epochs: expected 1..100000, got 0"),
        (
            'network = "encoder_cnn"\nseed = 1\nepochs = 1\nbatch = 2\nlearning_rate = 0.1\nmood = 1\n'
            "[augmentation]\norientations = true\nphotometric = 0.0\n",
            "unknown field mood",
        ),
    ],
)
def test_a_malformed_recipe_is_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "r.toml"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"r\.toml") as caught:
        load_recipe(str(path))
    assert message in str(caught.value)


def test_a_recipe_can_be_overridden() -> None:
    overrides = dict(override(text) for text in ("dropout.head=0.3", "batch = 4", "schedule='constant'"))
    recipe = load_recipe("best-cpu-unet-as", overrides)
    assert (recipe.dropout_head, recipe.batch, recipe.schedule) == (0.3, 4, "constant")
    assert recipe.dropout_blocks == load_recipe("best-cpu-unet-as").dropout_blocks
    with pytest.raises(ValueError, match=r"batch\.size: batch is no table"):
        load_recipe("best-cpu-unet-as", {"batch.size": 3})
    for text in ("batch", "=3", "batch=", "batch=[3"):
        with pytest.raises(ValueError, match="expected FIELD=VALUE with a TOML value"):
            override(text)
