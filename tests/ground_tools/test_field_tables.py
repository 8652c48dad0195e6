"""The tables of fields in docs/ are those of the structures.

`python -m tests.ground_tools.test_field_tables` writes them.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ground_tools.bodies.catalogue import BodyRecipe
from ground_tools.bodies.reliefs import CraterMap
from ground_tools.foundation.expectations import format_toml_value
from ground_tools.foundation.structures import FieldDescription, describe_fields
from ground_tools.labelling.collection import Rules
from ground_tools.pages.blocks import Table
from ground_tools.pages.markdown import markdown_table
from ground_tools.rendering.campaign import Campaign
from ground_tools.training.chain.plan import PlanTable, StageTable
from ground_tools.training.compare import Comparison
from ground_tools.training.recipes import Recipe

DOCS = Path(__file__).parents[2] / "docs"
# What a table is of: the page, and the fields. Names of bodies, and of files, are no fields.
TABLES = {
    "fields of a recipe": ("training.md", describe_fields(Recipe, {"name"})),
    "fields of a comparison": ("training.md", describe_fields(Comparison, {"name"})),
    "fields of a training plan": (
        "gpu_training.md",
        describe_fields(PlanTable, {"name"}) + describe_fields(StageTable, (), "stage"),
    ),
    "fields of a body": (
        "datasets.md",
        describe_fields(BodyRecipe, {"name", "height_maps"}, "NAME")
        + describe_fields(CraterMap, {"name"}, "crater_maps.NAME"),
    ),
    "fields of a campaign": ("datasets.md", describe_fields(Campaign)),
    "fields of set.toml": ("datasets.md", describe_fields(Rules)),
}


def default_of(field: FieldDescription) -> str:
    conditions = " and ".join(f"`{name} = {format_toml_value(value)}`" for name, value in field.only_where.items())
    if field.required:
        place = f"in `{field.table}`" if field.table else f"where {conditions}" if conditions else ""
        return f"required {place}".rstrip()
    default = "none" if field.default is None else f"`{format_toml_value(field.default)}`"
    return f"{default}; only where {conditions}" if conditions else default


def table_of(fields: list[FieldDescription]) -> str:
    rows = [[f"`{field.path}`", field.expected, default_of(field), field.meaning] for field in fields]
    return markdown_table(Table(["field", "value", "default", "meaning"], rows)) + "\n"


def section(page: str, name: str) -> re.Match[str]:
    found = re.search(rf"(?<=<!-- {name}: begin -->\n).*?(?=<!-- {name}: end -->)", page, re.DOTALL)
    assert found, f"expected the marks of {name}"
    return found


@pytest.mark.parametrize("name", TABLES)
def test_docs_have_the_fields_of_the_structures(name: str) -> None:
    page, fields = TABLES[name]
    assert section((DOCS / page).read_text(encoding="utf-8"), name)[0] == table_of(fields)


@pytest.mark.parametrize("name", TABLES)
def test_every_field_says_what_it_means(name: str) -> None:
    for field in TABLES[name][1]:
        assert len(field.meaning) > 5, field.path


def write() -> None:
    for name, (page, fields) in TABLES.items():
        text = (DOCS / page).read_text(encoding="utf-8")
        found = section(text, name)
        (DOCS / page).write_text(text[: found.start()] + table_of(fields) + text[found.end() :], encoding="utf-8")


if __name__ == "__main__":
    write()
