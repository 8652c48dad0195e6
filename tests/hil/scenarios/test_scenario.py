"""Scenario files: what they may say, and what is said of those that are wrong."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from hil.faults.driver import HANDLERS
from hil.runs.judge import JUDGES
from hil.scenarios.fields import describe_table, list_kinds
from hil.scenarios.files import ScenarioError
from hil.scenarios.scenario import (
    Scenario,
    find_scenario,
    list_shipped,
    read_scenario,
    shorten,
)
from hil.sources.registry import OPENERS

MINIMAL = 'title = "t"\nduration_s = 4.0\n[[criteria]]\nkind = "lost_at_most"\n'


def read(folder: Path, text: str) -> Scenario:
    path = folder / "own.toml"
    path.write_text(text)
    return read_scenario(path)


def test_a_minimal_scenario_has_the_documented_defaults(tmp_path: Path) -> None:
    scenario = read(tmp_path, MINIMAL)
    assert (scenario.frames, scenario.source.kind, scenario.speed) == (8, "flyby", 1.0)
    assert not scenario.camera.changes_pixels
    (criterion,) = scenario.criteria
    assert (criterion.kind, criterion.frames) == ("lost_at_most", 0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"surprise = 1\n{MINIMAL}", "surprise: expected one of title, rate_hz"),
        (MINIMAL.replace("4.0", "true"), "duration_s: expected 0.5..1000000.0, got True"),
        (MINIMAL.replace("4.0", "nan"), "duration_s: expected 0.5..1000000.0, got nan"),
        (MINIMAL.replace("lost_at_most", "never_sad"), "criteria[0].kind: expected answered_within | lost_at_most"),
        (f"{MINIMAL}frames = -1\n", "criteria[0].frames: expected 0..1000000, got -1"),
        (f"{MINIMAL}[camera]\nbit_depth = 7\n", "camera.bit_depth: expected 8..16, got 7"),
        (f'{MINIMAL}[source]\nkind = "folder"\n', "source.path: expected a value, got None"),
        (
            f'{MINIMAL}[source]\nkind = "drawn"\nrange_d0 = [1.0, 0.0]\n',
            "source.range_d0: expected 0.02..10000, got 0.0",
        ),
        (
            f'{MINIMAL}[[faults]]\nkind = "worker_killed"\nat_s = 9\n',
            "faults[0].at_s: expected less than duration_s, 4",
        ),
        (f'{MINIMAL}[[faults]]\nkind = "link_cut"\nat_s = 1\nfor_s = 1\n', "target.link: expected true, as faults[0]"),
        (
            f'{MINIMAL}[[faults]]\nkind = "commander_with_wrong_key"\nat_s = 1\nfor_s = 1\n',
            "target.keys: expected true, as faults[0]",
        ),
        (
            f'{MINIMAL}[target]\nlink = true\n[[faults]]\nkind = "link_impaired"\nat_s = 1\nfor_s = 1\njitter_ms = 3\n',
            "faults[0].delay_ms: expected a delay, a loss or a rate, got 0",
        ),
        (f"{MINIMAL}[target.configuration.storage]\n", "target.configuration: expected sections but endpoints"),
        ('title = "t"\nduration_s = 4.0\ncriteria = []\n', "criteria: expected 1..100 items, got []"),
        ("title = ", "no TOML"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ScenarioError) as error:
        read(tmp_path, text)
    assert str(error.value).startswith(f"{tmp_path / 'own.toml'}: ")
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_scenario_that_is_not_there_is_told_with_those_that_are(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match=r"expected a scenario file, or one of .*nominal_flyby"):
        find_scenario("nominel")
    assert find_scenario("nominal-flyby") == find_scenario("nominal_flyby.toml") == find_scenario("nominal")
    with pytest.raises(ScenarioError):
        find_scenario("link")  # of two scenarios


def test_twelve_scenarios_or_more_are_shipped_and_can_be_read() -> None:
    names = list_shipped()
    assert len(names) >= 12
    for name in names:
        whole = read_scenario(find_scenario(name))
        short = shorten(whole)
        assert whole.title
        assert short.frames < whole.frames
        assert short.duration_s / (short.speed or 1.0) <= 40.0


def test_the_short_form_has_its_times_scaled(tmp_path: Path) -> None:
    scenario = read(
        tmp_path,
        f'short = 0.5\n{MINIMAL}from_s = 2\nto_s = 4\n[[faults]]\nkind = "camera_noise"\nat_s = 1\nfor_s = 2\n',
    )
    short = shorten(scenario)
    assert short.duration_s == 2.0
    assert (short.criteria[0].from_s, short.criteria[0].to_s) == (1.0, 2.0)
    assert (short.faults[0].at_s, short.faults[0].for_s) == (0.5, 1.0)


def test_every_kind_can_be_carried_out_and_judged() -> None:
    assert list_kinds(Scenario, "faults").keys() == HANDLERS.keys()
    assert list_kinds(Scenario, "criteria").keys() == JUDGES.keys()
    assert list_kinds(Scenario, "source").keys() == OPENERS.keys()


def test_every_field_says_what_it_means() -> None:
    tables = [Scenario]
    for field in ("faults", "criteria", "source"):
        kinds = list_kinds(Scenario, field)
        assert all(kind.__doc__ and not kind.__doc__.startswith(kind.__name__ + "(") for kind in kinds.values())
        tables += list(kinds.values())
    for table in tables:
        described = describe_table(table)
        assert len(described) >= len(fields(table))
        assert all(len(field.meaning) >= 8 for field in described), table


def test_the_page_has_the_fields_and_the_marks() -> None:
    from hil.scenarios.document import make_files

    for path, text in make_files().items():
        assert path.read_text(encoding="utf-8") == text, "run `python -m hil.scenarios.document --write`"
        assert path.name != "hil.md" or "verdicts: written by hil run --all --write docs" in text
