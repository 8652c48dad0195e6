"""A scenario: what is streamed at a service, what goes wrong meanwhile, and what must hold."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hil.camera_model import CameraModel
from hil.scenarios.criterion_tables import Criterion
from hil.scenarios.fault_tables import LINK_FAULTS, CommanderWithWrongKey, Fault
from hil.scenarios.fields import RuleError, entry
from hil.scenarios.files import find_file, list_names, read_file
from hil.scenarios.source_tables import FlybySource, Source

FOLDER = Path(__file__).parent


@dataclass(frozen=True, kw_only=True)
class Target:
    """The service that is tried."""

    bundle: str = entry("folder of the bundle; a relative one is beside the scenario file; empty: the shipped one", "")
    keys: bool = entry("the service and its clients have CURVE keys, made for the run", False)
    link: bool = entry(
        "the service runs in a network namespace of its own, behind a link; needs root, implies keys", False
    )
    configuration: dict[str, Any] = entry(
        "sections of the service's flight.toml (docs/operations.md), but endpoints, storage and security", None
    )


@dataclass(frozen=True, kw_only=True)
class Command:
    """A command that is sent during the run."""

    at_s: float = entry("when, scenario seconds from the first frame", low=0, high=1e6)
    name: str = entry("of the command (docs/icd.md)", low=1, high=64)
    arguments: dict[str, Any] = entry("of the command", None)
    expect: str = entry("what its reply must be", "completed", choices=("completed", "rejected", "failed"))


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """A scenario file."""

    title: str = entry("what it is about, in a line", low=1, high=100)
    rate_hz: float = entry("frames per scenario second", 2.0, low=0.01, high=1000)
    duration_s: float = entry("length in scenario seconds", low=0.5, high=1e6)
    speed: float = entry(
        "scenario seconds per second; 0: step by step, a frame once the one before is answered", 1.0, low=0, high=1000
    )
    short: float = entry(
        "`hil run --short` multiplies duration, times of faults and commands, and windows by this",
        0.2,
        low=0.001,
        high=1,
    )
    seed: int = entry("of everything random in the run", 1, low=0, high=2**32 - 1)
    source: Source = entry("where frames come from", FlybySource())
    camera: CameraModel = entry("what the camera makes of them", CameraModel())
    target: Target = entry("the service", Target())
    commands: tuple[Command, ...] = entry("commands at times", ())
    faults: tuple[Fault, ...] = entry("faults at times", ())
    criteria: tuple[Criterion, ...] = entry("what must hold", low=1, high=100)

    def __post_init__(self) -> None:
        for number, fault in enumerate(self.faults):
            if fault.at_s >= self.duration_s:
                raise RuleError(f"faults[{number}].at_s", f"less than duration_s, {self.duration_s:g}", fault.at_s)
            if isinstance(fault, LINK_FAULTS) and not self.target.link:
                raise RuleError("target.link", f"true, as faults[{number}] is {fault.kind}", False)
            if isinstance(fault, CommanderWithWrongKey) and not (self.target.keys or self.target.link):
                raise RuleError("target.keys", f"true, as faults[{number}] is {fault.kind}", False)
        for number, command in enumerate(self.commands):
            if command.at_s >= self.duration_s:
                raise RuleError(f"commands[{number}].at_s", f"less than duration_s, {self.duration_s:g}", command.at_s)
        for section in ("endpoints", "storage", "security"):
            if section in (self.target.configuration or {}):
                raise RuleError("target.configuration", "sections but endpoints, storage and security", section)

    @property
    def frames(self) -> int:
        """Number of frames that the camera takes."""
        return max(math.ceil(self.duration_s * self.rate_hz - 1e-9), 1)


def list_shipped() -> list[str]:
    """Names of the scenarios that are shipped."""
    return list_names(FOLDER)


def find_scenario(name_or_path: str) -> Path:
    """The file of a scenario: a path, or the name of one that is shipped, or its beginning. Raises ScenarioError."""
    return find_file(name_or_path, FOLDER, "a scenario file")


def read_scenario(path: Path) -> Scenario:
    """Read a scenario file. Raises ScenarioError."""
    return read_file(Scenario, path)


def shorten(scenario: Scenario) -> Scenario:
    """The short form of a scenario: its times multiplied by its `short`."""
    factor = scenario.short

    def scale(table: Any) -> Any:
        times = {
            field.name: getattr(table, field.name) * factor
            for field in dataclasses.fields(table)
            if field.name in ("at_s", "for_s", "from_s", "to_s") and getattr(table, field.name) is not None
        }
        return replace(table, **times)

    return replace(
        scenario,
        duration_s=scenario.duration_s * factor,
        commands=tuple(map(scale, scenario.commands)),
        faults=tuple(map(scale, scenario.faults)),
        criteria=tuple(map(scale, scenario.criteria)),
    )
