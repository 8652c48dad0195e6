"""Flight scenarios: the shipped ones are sound, wrong ones are told by file and field."""

from __future__ import annotations

from pathlib import Path

import pytest

from hil.fly.scenario import Flyby, find_flight, list_flights, read_flight
from hil.scenarios.files import ScenarioError

MINIMAL = 'title = "t"\nduration_s = 100\n'


def test_the_shipped_ones_are_sound() -> None:
    assert list_flights() == ["descent", "drawn", "faults", "flyby"]
    for name in list_flights():
        assert read_flight(find_flight(name)).exposures >= 2


def test_defaults_are_a_flyby_of_a_drawn_sphere(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(MINIMAL)
    scenario = read_flight(find_flight(str(path)))
    assert isinstance(scenario.trajectory, Flyby)
    assert scenario.exposures == 11


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("duration_s = 100", "title: expected a value"),
        ('title = "t"\nduration_s = 10\nevery_s = 9', "duration_s: expected at least two exposures, 18, got 10"),
        (MINIMAL + "[body]\nkind = 'mesh'", "body.kind: expected"),
        (
            MINIMAL + "[trajectory]\nkind = 'flyby'\nclosest_d0 = 5",
            "trajectory.closest_d0: expected less than farthest_d0, 4, got 5",
        ),
        (MINIMAL + "[trajectory]\nkind = 'flyby'\nlast_phase_deg = 170", "trajectory.last_phase_deg: expected between"),
        (
            MINIMAL + "[trajectory]\nkind = 'descent'",
            "body.kind: expected catalogue for a descent, whose hazards must be known",
        ),
        (
            MINIMAL + "[[faults]]\nkind = 'worker_killed'\nat_s = 1",
            "speed: expected more than 0 with faults, which take their time, got 0",
        ),
        (
            MINIMAL + "speed = 1\n[[faults]]\nkind = 'link_cut'\nat_s = 1\nfor_s = 2",
            "target.link: expected true, as faults[0] is link_cut, got False",
        ),
        (
            MINIMAL + "speed = 1\n[[faults]]\nkind = 'camera_noise'\nat_s = 1\nfor_s = 2",
            "faults[0].kind: expected a fault of the service or its link",
        ),
    ],
)
def test_wrong_ones_are_told_by_field(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "wrong.toml"
    path.write_text(text)
    with pytest.raises(ScenarioError) as told:
        read_flight(path)
    assert str(told.value).startswith(f"{path}: {problem}")


def test_one_that_is_not_there_is_told_with_those_that_are() -> None:
    with pytest.raises(ScenarioError, match="expected a flight scenario, or one of descent, drawn, faults, flyby"):
        find_flight("nowhere")
