"""set.toml: what is read, and what is malformed."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ground_tools.foundation.descriptions import parse
from ground_tools.labelling.collection import Rules, SplitByCopy, SplitByImage, read_rules
from tests.ground_tools.foundation.structure_strategy import NAMES, as_read, structures

SPLITS = "split_by_image, split_by_body, split_by_copy"
FIELDS = f"name, edition, seed, minimum_across, margin, {SPLITS}, excluded, groups, wanted"


def test_rules_without_a_file_are_the_defaults(tmp_path: Path) -> None:
    rules = read_rules(tmp_path)
    assert rules == Rules(tmp_path.name)
    assert rules.minimum_across == {"crater": 6.0, "boulder": 6.0}
    assert rules.split_by_image.shares == (0.7, 0.2, 0.1)


def test_what_is_not_said_is_the_default(tmp_path: Path) -> None:
    (tmp_path / "set.toml").write_text("margin = 2\n[minimum_across]\ncrater = 4\n")
    rules = read_rules(tmp_path)
    assert (rules.name, rules.margin) == (tmp_path.name, 2.0)
    assert rules.minimum_across == {"crater": 4.0, "boulder": 6.0}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('colour = "red"', f"colour: expected one of {FIELDS}, got an unknown field"),
        ("seed = true", "seed: expected a whole number 0..4294967296, got true"),
        ("seed = 1.5", "seed: expected a whole number 0..4294967296, got 1.5"),
        ("name = 3", "name: expected a string, got 3"),
        ("margin = 0.5", "margin: expected a number 1..4, got 0.5"),
        ("minimum_across = 6", "minimum_across: expected a table, got 6"),
        ("[minimum_across]\ncrater = 0", "minimum_across.crater: expected a number 1..128, got 0"),
        (
            "[minimum_across]\nrock = 1",
            "minimum_across.rock: expected one of crater, boulder, close_up_boulder, got an unknown field",
        ),
        ("[split_by_image]\ntrain = 0.9", "split_by_image: expected shares that sum to 1, got 1.2"),
        ("[split_by_image]\ntrain = 2", "split_by_image.train: expected a number 0..1, got 2"),
        ('[split_by_body]\ntrain = "a"', 'split_by_body.train: expected a list of strings, got "a"'),
        (
            "[split_by_body]\ntrain = ['a']\ntest = ['b', 'a']",
            'split_by_body.test: expected bodies not in train, got "a"',
        ),
        (
            "[split_by_image]\ntested = ['a']\nnever_tested = ['b', 'a']",
            'split_by_image.never_tested: expected images not in tested, got "a"',
        ),
        (
            "groups = [['a', 'b']]\n[split_by_image]\ntested = ['a']\nnever_tested = ['b']",
            'split_by_image.never_tested: expected images in no group with one of tested, got "b"',
        ),
        ("[split_by_copy]\nimages = -1", "split_by_copy.images: expected a whole number >= 0, got -1"),
        ('groups = [["a", 1]]', "groups[0][1]: expected a string, got 1"),
        ('groups = ["a"]', 'groups[0]: expected a list of strings, got "a"'),
        ('groups = [["a"], ["a"]]', 'groups: expected images that are in one group alone, got "a"'),
        ("[excluded]\na = 1", "excluded.a: expected a string, got 1"),
        ("wanted = [1]", "wanted[0]: expected a string, got 1"),
        ("margin", "Expected '=' after a key in a key/value pair (at end of document)"),
    ],
)
def test_malformed_rules_are_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "set.toml"
    path.write_text(text)
    with pytest.raises(ValueError, match="rules ") as caught:
        read_rules(tmp_path)
    assert str(caught.value) == f"rules {path}: {message}"


@st.composite
def shares(draw: st.DrawFn) -> SplitByImage:
    train = draw(st.floats(0, 1))
    validation = draw(st.floats(0, 1 - train))
    return SplitByImage(train, validation, 1 - train - validation)


@given(
    structures(
        Rules,
        name=st.just("") | NAMES,
        split_by_image=shares(),
        split_by_copy=st.builds(SplitByCopy, images=st.integers(0)),
    )
)
def test_what_is_written_is_read_back(rules: Rules) -> None:
    assert parse("rules", as_read(rules), Rules) == rules
