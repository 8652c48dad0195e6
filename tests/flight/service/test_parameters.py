"""Parameters: their ranges, and that they survive restarts and a storage that forgets."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flight.client import CommandFailed
from flight.service.record import COPIES
from flight.settings import PARAMETER_SCHEMAS
from tests.flight.service.scenarios import damage, journaled_service, storage, wait_for_storage
from tests.flight.service_process import RunningService, running_service


@pytest.fixture(scope="module")
def service(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    folder = tmp_path_factory.mktemp("parameters")
    with running_service(folder, tiny_bundle, storage(folder)) as running:
        yield running


def allowed(schema: dict[str, Any]) -> list[Any]:
    """The extremes of a parameter's range."""
    if "enum" in schema:
        return list(schema["enum"])
    return [False, True] if schema["type"] == "boolean" else [schema["minimum"], schema["maximum"]]


def forbidden(schema: dict[str, Any]) -> list[Any]:
    """What lies just outside, and what is of another type."""
    if "enum" in schema:
        return ["", "AUTO", 1, True, None]
    if schema["type"] == "boolean":
        return [0, 1, "true", None]
    step = 1 if schema["type"] == "integer" else 1e-9
    outside = [schema["minimum"] - step, schema["maximum"] + step * schema["maximum"]]
    wrong = [1.5] if schema["type"] == "integer" else []
    return [*outside, *wrong, math.nan, math.inf, -math.inf, True, "1", None, [1], {}]


@pytest.mark.parametrize("name", PARAMETER_SCHEMAS)
def test_a_parameter_takes_its_range_and_nothing_else(service: RunningService, name: str) -> None:
    schema = PARAMETER_SCHEMAS[name]
    before = service.command("get_parameters")
    with service.commander() as commander:
        for value in allowed(schema):
            assert commander.send("set_parameter", name=name, value=value) == {"name": name, "value": value}
            assert commander.send("get_parameters") == {**before, name: value}
        for value in forbidden(schema):
            with pytest.raises(CommandFailed) as caught:
                commander.send("set_parameter", name=name, value=value)
            assert caught.value.code == "invalid_argument"
        assert commander.send("get_parameters") == {**before, name: allowed(schema)[-1]}
        commander.send("set_parameter", name=name, value=before[name])


def test_every_parameter_is_listed_and_in_housekeeping(service: RunningService) -> None:
    parameters = service.command("get_parameters")
    assert set(parameters) == {"mode", *PARAMETER_SCHEMAS}
    assert service.command("get_status")["parameters"] == parameters
    assert service.command("get_status")["record_copies"] == 2


def test_several_parameters_are_set_together(service: RunningService) -> None:
    values = {"passes": 7, "gamma": 2.0, "mode": "First"}
    assert service.command("set_parameters", values=values) == values
    after = service.command("get_parameters")
    assert {name: after[name] for name in values} == values
    service.command("set_parameters", values={"passes": 4, "gamma": 3.0, "mode": "Fused"})


@pytest.mark.parametrize(
    ("values", "code"),
    [
        ({"passes": 9, "gamma": 99}, "invalid_argument"),
        ({"passes": 9, "colour": 1}, "unknown_parameter"),
        ({"passes": 9, "mode": "Third"}, "invalid_argument"),
        ({}, "invalid_argument"),
        ("passes", "invalid_argument"),
    ],
)
def test_one_bad_value_and_none_is_set(service: RunningService, values: Any, code: str) -> None:
    before = service.command("get_parameters")
    with pytest.raises(CommandFailed) as caught:
        service.command("set_parameters", values=values)
    assert caught.value.code == code
    assert service.command("get_parameters") == before


def test_without_a_state_folder_parameters_are_set_until_the_end(tiny_bundle: Path, tmp_path: Path) -> None:
    with running_service(tmp_path, tiny_bundle) as service:
        service.command("set_parameter", name="passes", value=9)
        assert service.command("get_status")["record_copies"] is None
        assert service.command("get_parameters")["passes"] == 9


def test_parameters_survive_restarts_and_a_damaged_copy_but_not_two(tiny_bundle: Path, tmp_path: Path) -> None:
    settings = storage(tmp_path) + "[parameters]\npasses = 8\n"
    with journaled_service(tmp_path, tiny_bundle, settings) as (service, journal):
        assert service.command("get_parameters")["passes"] == 8
        service.command("set_parameter", name="passes", value=9)
        service.command("set_mode", mode="Second")
        assert journal.wait_for("parameter_changed", 2) == "mode = Second"
        service.process.kill()
        service.process.wait()

    def kept() -> None:
        parameters = service.command("get_parameters")
        assert (parameters["passes"], parameters["mode"]) == (9, "Second")
        assert service.command("get_status")["record_copies"] == 2

    for number, name in enumerate(COPIES):
        copy = tmp_path / "state" / name
        if number == 0:
            damage(copy)
        else:
            copy.unlink()
        with journaled_service(tmp_path, tiny_bundle, settings) as (service, journal):
            kept()
            assert str(copy) in journal.wait_for("record_copy_damaged")
    for name in COPIES:
        damage(tmp_path / "state" / name)
    with journaled_service(tmp_path, tiny_bundle, settings) as (service, journal):
        assert all(name in journal.wait_for("record_lost") for name in COPIES)
        assert service.command("get_parameters")["passes"] == 8
        assert service.command("get_parameters")["mode"] == "Fused"
        service.command("set_parameter", name="passes", value=10)
        assert service.command("get_status")["record_copies"] == 2


def test_a_recorded_value_that_the_bundle_does_not_take_is_told(
    tiny_bundle: Path, plain_bundle: Path, tmp_path: Path
) -> None:
    with running_service(tmp_path, tiny_bundle, storage(tmp_path)) as service:
        service.command("set_parameters", values={"mode": "Second", "passes": 9})
    with journaled_service(tmp_path, plain_bundle, storage(tmp_path)) as (service, journal):
        assert "mode: expected Only" in journal.wait_for("record_not_applicable")
        assert service.command("get_parameters")["mode"] == "Only"
        assert service.command("get_parameters")["passes"] == 9


def test_a_record_that_cannot_be_written_fails_the_command_and_nothing_changes(
    tiny_bundle: Path, tmp_path: Path
) -> None:
    with journaled_service(tmp_path, tiny_bundle, storage(tmp_path)) as (service, journal):
        before = service.command("get_parameters")
        wait_for_storage(service)
        for name in COPIES:
            (tmp_path / "state" / f".{name}.part").mkdir()
        for name, arguments in (
            ("set_parameter", {"name": "passes", "value": 9}),
            ("set_parameters", {"values": {"passes": 9}}),
            ("set_mode", {"mode": "First"}),
        ):
            with pytest.raises(CommandFailed, match="not changed") as caught:
                service.command(name, **arguments)
            assert caught.value.code == "storage_failed"
            assert service.command("get_parameters") == before
        (tmp_path / "state" / f".{COPIES[1]}.part").rmdir()
        service.command("set_parameter", name="passes", value=9)
        assert COPIES[0] in journal.wait_for("record_not_written")
        assert service.command("get_status")["record_copies"] == 1
    with running_service(tmp_path, tiny_bundle, storage(tmp_path)) as service:
        assert service.command("get_parameters")["passes"] == 9
