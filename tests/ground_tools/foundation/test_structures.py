"""Structures of TOML tables: the words for what a value must be, and faults that no file of the project has."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import pytest
from msgspec import Meta

from ground_tools.foundation.descriptions import parse
from ground_tools.foundation.expectations import expected_value, format_toml_value
from ground_tools.foundation.structures import FieldError, TomlTable, describe_fields, only_where


class Wheel(TomlTable, frozen=True):
    """A table in a table."""

    spokes: Annotated[int, Meta(ge=3, description="number of spokes")]

    def __post_init__(self) -> None:
        if self.spokes == 13:
            raise FieldError("spokes", "no unlucky number", "13")


class Cart(TomlTable, frozen=True):
    """A table with all that tables have."""

    name: str
    kind: Annotated[Literal["hand", "ox"], Meta(description="what pulls it")]
    wheels: Annotated[dict[str, Wheel], Meta(description="wheels by place")]
    spare: Wheel | None = None
    oxen: Annotated[int, Meta(description="number of oxen", extra=only_where(kind="ox", required=True))] = 0


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (Annotated[float, Meta(gt=0, le=1)], "a number > 0 and <= 1"),
        (Annotated[float, Meta(lt=3)], "a number < 3"),
        (tuple[Annotated[str, Meta(min_length=1)], ...], "a list of strings that are not empty"),
        (Literal["a", "b", "c"], '"a", "b" or "c"'),
        (Literal["a"], '"a"'),
        (int | None, "a whole number"),
        (dict[str, dict[str, Any]], "a table of tables"),
        (dict[str, Wheel], "a table of tables"),
    ],
)
def test_types_in_words(kind: Any, expected: str) -> None:
    assert expected_value(kind) == expected


def test_a_type_that_no_toml_value_has_is_refused() -> None:
    with pytest.raises(TypeError, match="expected the type of a value in a TOML file"):
        expected_value(bytes)


def test_a_long_value_is_cut() -> None:
    assert format_toml_value({"a": True, "b": [1, 2.5, "ä"]}) == '{"a": true, "b": [1, 2.5, "ä"]}'
    assert len(format_toml_value(list(range(1000)))) < 120


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ([], "expected a table, got []"),
        ({"kind": "ox", "wheels": {"left": {"spokes": 2}}}, "wheels.left.spokes: expected a whole number >= 3, got 2"),
        ({"kind": "ox", "wheels": {"left": {}}}, "wheels.left.spokes: expected a whole number >= 3, got nothing"),
        ({"kind": "ox", "wheels": {"a": {"rim": 1}}}, "wheels.a.rim: expected one of spokes, got an unknown field"),
        ({"kind": "ox", "wheels": {"left": {"spokes": 13}}}, "wheels.left.spokes: expected no unlucky number, got 13"),
        ({"kind": "ox", "wheels": {}, "spare": 3}, "spare: expected a table, got 3"),
        ({"kind": "ox", "wheels": {}, "spare": {"spokes": 13}}, "spare.spokes: expected no unlucky number, got 13"),
        ({"kind": "ox", "wheels": {}}, "oxen: expected a whole number, got nothing"),
        ({"kind": "hand", "wheels": {}, "oxen": 2}, 'oxen: expected only where kind = "ox", got 2'),
        ({"kind": "hand"}, "wheels: expected a table of tables, got nothing"),
    ],
)  # fmt: skip
def test_the_place_of_a_fault_is_told(table: Any, message: str) -> None:
    with pytest.raises(ValueError, match="cart ") as caught:
        parse("cart c.toml", table, Cart, name="c")
    assert str(caught.value) == f"cart c.toml: {message}"


def test_fields_are_described_with_those_of_their_tables() -> None:
    described = {field.path: field for field in describe_fields(Cart, {"name"})}
    assert list(described) == ["kind", "wheels", "spare.spokes", "oxen"]
    assert described["kind"].meaning == "what pulls it"
    assert (described["spare.spokes"].required, described["spare.spokes"].table) == (True, "spare")
    assert (described["oxen"].required, described["oxen"].only_where) == (True, {"kind": "ox"})
