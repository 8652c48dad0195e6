"""Runs a scenario: opens everything, streams the frames, lets things go wrong, and judges."""

from __future__ import annotations

import os
import platform
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from flight.bundle import Bundle, load_bundle
from flight.client import CommandFailed, FrameSender
from flight.recomputation import Recomputer
from hil.faults.driver import Driver
from hil.faults.scene import Clock, Scene
from hil.runs.feed import Feed
from hil.runs.judge import judge, judge_faults
from hil.runs.link import check_impairment
from hil.runs.observer import Observer
from hil.runs.record import Comparison, FrameRecord, Outcome, RunRecord
from hil.runs.target import LocalTarget, Target, TargetError, load_local_bundle, open_target
from hil.scenarios import criterion_tables as tables
from hil.scenarios.fault_tables import BOARD_FAULTS, DEGRADING_FAULTS, LOCAL_FAULTS, LinkImpaired, PowerCut
from hil.scenarios.files import ScenarioError
from hil.scenarios.scenario import Scenario
from hil.sources.frames import FrameStream, Tell
from hil.sources.registry import open_frames

CAMERA_NAME = "hil-run"
# A frame that no service takes is given up after this long, or when the next one is due.
_SEND_TIMEOUT_S = 0.5
_STEP_TIMEOUT_S = 30.0
# After the last frame: how long to wait for products while none come.
_DRAIN_S = 5.0
_SUBSCRIPTION_S = 0.4
_SETTLE_S = 10.0


@dataclass
class Run:
    """A scenario that was run.

    Attributes:
        scenario: in the form that was run.
        record: what was seen.
        outcomes: of the criteria.
        observer: with the pictures.
        feed: makes the frames again, for the pictures.
    """

    scenario: Scenario
    record: RunRecord
    outcomes: list[Outcome]
    observer: Observer
    feed: Feed

    @property
    def passed(self) -> bool:
        """Whether every criterion holds."""
        return all(outcome.passed for outcome in self.outcomes)


def run_scenario(
    name: str,
    scenario: Scenario,
    beside: Path,
    where: str = "local",
    short: bool = False,
    tell: Tell = lambda line: None,
    keys: Path | None = None,
) -> Run:
    """Run a scenario and judge it.

    Args:
        name: of the scenario.
        scenario: in the form to run.
        beside: folder that relative paths begin in.
        where: "local", the host of a running service, or "ssh:" and the name of a board.
        short: whether it is the short form, for the record.
        tell: is given a line about how far it is, again and again.
        keys: folder of keys for a running service; None if it has none.

    Raises:
        ScenarioError, SourceError, TargetError, LinkError: it cannot be run or judged; nothing is left of it. So do the
            errors of a source's prepare(), and of a board.
    """
    stream = _open_stream(scenario, beside, where, tell)
    feed, record = Feed(scenario, stream), RunRecord(name, scenario.title, short)
    record.truth_classes = [entry.name for entry in stream.classes]
    record.truth_roles = [entry.role for entry in stream.classes]
    tell("starting the service")
    with open_target(scenario, beside, where, keys) as target:
        link = target.link if isinstance(target, LocalTarget) else None
        for fault in scenario.faults:
            if isinstance(fault, LinkImpaired) and link is not None:
                check_impairment(fault, link)
        parameters = [_read_parameters(target)]
        clock = Clock(scenario.speed)
        scene = Scene(target, link, scenario.seed, clock, lambda: feed_frame(scenario, stream))
        observer = Observer(target, record, CAMERA_NAME, stream.classes, _circles_radius(scenario))
        driver = Driver(scene, record, observer.seconds)
        try:
            observer.start()
            time.sleep(_SUBSCRIPTION_S)
            _stream_frames(scenario, feed, target, observer, driver, clock, tell)
            _settle(target, observer, tell)
        finally:
            driver.stop()
            observer.stop()
        record.service_starts = target.starts
        record.environment = _describe_environment(target, scenario)
        parameters += _commanded_parameters(parameters[0], scenario)
        if isinstance(target, LocalTarget):
            target.stop()
        bundles = [Path(str(folder)) for folder in (target.bundle, *scene.bundles) if folder is not None]
        _compare(scenario, observer, feed, bundles, parameters, tell)
    outcomes = [judge(criterion, record) for criterion in scenario.criteria]
    if scenario.faults:
        outcomes.append(judge_faults(record))
    return Run(scenario, record, outcomes, observer, feed)


def _open_stream(scenario: Scenario, beside: Path, where: str, tell: Tell) -> FrameStream:
    """The frames, ready to be sent. What cannot be read, run or judged is told before anything is started."""
    stream = open_frames(scenario.source, beside, scenario.frames)
    check_judgeable(scenario, stream, where)
    if where == "local":
        _check_classes(scenario, stream, load_local_bundle(scenario, beside))
    stream.prepare(tell)
    _check_truth(scenario, stream)
    return stream


def _compare(
    scenario: Scenario,
    observer: Observer,
    feed: Feed,
    bundles: list[Path],
    parameters: list[dict[str, Any]],
    tell: Tell,
) -> None:
    """Compare products with the offline answers, if the scenario asks for it."""
    most = [c.frames for c in scenario.criteria if isinstance(c, tables.NoWrongMap)]
    if most and bundles:
        threads = int((scenario.target.configuration or {}).get("inference", {}).get("threads", 2))
        record = observer.record
        record.comparisons = compare_products(observer, feed, record, bundles, parameters, threads, max(most), tell)


def feed_frame(scenario: Scenario, stream: FrameStream) -> Any:
    """The frame that other cameras than the run's own send."""
    return stream.frame(len(stream) // 2)


def check_judgeable(scenario: Scenario, stream: FrameStream, where: str) -> None:
    """Check that the criteria can be judged and the faults carried out, before anything is started.

    Raises:
        ScenarioError: names the field.
    """
    for number, criterion in enumerate(scenario.criteria):
        place = f"criteria[{number}]"
        if isinstance(criterion, tables.NEED_TRUTH) and not stream.classes:
            raise ScenarioError(f"{place}: {criterion.kind}: expected a source with truth, got {scenario.source.kind}")
        if isinstance(criterion, tables.EntropyRises) and not any(
            isinstance(fault, DEGRADING_FAULTS) for fault in scenario.faults
        ):
            kinds = ", ".join(kind.kind for kind in DEGRADING_FAULTS)
            raise ScenarioError(
                f"{place}: {criterion.kind}: expected a fault that degrades the image ({kinds}), got none"
            )
        if isinstance(criterion, tables.RecoveredWithin) and not scenario.faults:
            raise ScenarioError(f"{place}: {criterion.kind}: expected faults, got none")
        if isinstance(criterion, tables.CommandsAnswered) and not scenario.commands:
            raise ScenarioError(f"{place}: {criterion.kind}: expected commands, got none")
        if isinstance(criterion, tables.NoWrongMap) and where != "local":
            raise ScenarioError(f"{place}: {criterion.kind}: expected a service on this computer, got {where}")
    on_board = where.startswith("ssh:")
    for number, fault in enumerate(scenario.faults):
        if isinstance(fault, PowerCut) and where != "ssh:virtual":
            raise ScenarioError(
                f"faults[{number}]: {fault.kind}: expected the virtual board (ssh:virtual), got {where}"
            )
        if isinstance(fault, LOCAL_FAULTS) and where != "local" and not (on_board and isinstance(fault, BOARD_FAULTS)):
            raise ScenarioError(f"faults[{number}]: {fault.kind}: expected a service on this computer, got {where}")
    if where == "local":
        return
    if scenario.target.keys or scenario.target.link:
        raise ScenarioError(f"target: keys and link: expected a service on this computer, got {where}")


def _check_truth(scenario: Scenario, stream: FrameStream) -> None:
    first = stream.frame(0)
    for number, criterion in enumerate(scenario.criteria):
        if isinstance(criterion, tables.NEED_TRUTH) and first.truth is None:
            raise ScenarioError(
                f"criteria[{number}]: {criterion.kind}: expected a truth mask of each frame, got none of the first"
            )


def _check_classes(scenario: Scenario, stream: FrameStream, bundle: Bundle) -> None:
    names = [entry.name for entry in bundle.classes]
    truth = [entry.name for entry in stream.classes]
    for number, criterion in enumerate(scenario.criteria):
        if isinstance(criterion, tables.MiouAtLeast) and criterion.of == "classes" and names != truth:
            raise ScenarioError(
                f'criteria[{number}].of: expected "roles", as the classes of the bundle are {", ".join(names)} and '
                f'those of the truth {", ".join(truth)}, got "classes"'
            )


def _circles_radius(scenario: Scenario) -> float | None:
    radii = [c.radius_px for c in scenario.criteria if isinstance(c, tables.LandingCirclesClear)]
    return min(radii) if radii else None


def _read_parameters(target: Target) -> dict[str, Any]:
    try:
        return dict(target.status()["parameters"])
    except (TimeoutError, CommandFailed) as error:
        raise TargetError(f"the service does not answer: {error}") from error


def _commanded_parameters(parameters: dict[str, Any], scenario: Scenario) -> list[dict[str, Any]]:
    """The parameters after each command of the scenario that sets some."""
    found, now = [], dict(parameters)
    for command in sorted(scenario.commands, key=lambda command: command.at_s):
        arguments = command.arguments or {}
        if command.name == "set_parameter" and "name" in arguments:
            now = {**now, arguments["name"]: arguments.get("value")}
        elif command.name == "set_parameters":
            now = {**now, **arguments.get("values", {})}
        else:
            continue
        found.append(now)
    return found


def _stream_frames(
    scenario: Scenario, feed: Feed, target: Target, observer: Observer, driver: Driver, clock: Clock, tell: Tell
) -> None:
    """Send all frames at their times, faults and commands going on beside."""
    record = observer.record
    with target.camera(CAMERA_NAME) as sender:
        first_epoch = sender.epoch
        frames = [feed.make_record(index, first_epoch) for index in range(scenario.frames)]
        feed.shoot(0)
        observer.begin()
        clock.start()
        cpu = time.process_time()
        driver.start(scenario.faults, scenario.commands)
        previous: FrameRecord | None = None
        for frame in frames:
            shot = feed.shoot(frame.index)
            record.frames.append(frame)
            if scenario.speed == 0.0:
                clock.pass_frame(frame.time_s)
                if previous is not None and previous.sent_s is not None:
                    observer.wait_for(previous, _STEP_TIMEOUT_S)
                frame.acquired_s = observer.seconds()
            else:
                frame.acquired_s = frame.time_s / scenario.speed
                time.sleep(max(frame.acquired_s + shot.late_s - observer.seconds(), 0.0))
            frame.dropped = shot.dropped
            if not shot.dropped:
                observer.expect(frame, shot.frame.truth)
                _send(scenario, sender, frame, shot, observer)
                previous = frame
            tell(_describe_progress(len(record.frames), scenario.frames, observer))
        record.streamed_s = observer.seconds()
        record.runner_cpu_s = time.process_time() - cpu
        clock.pass_frame(scenario.duration_s)
        _drain(frames, observer)


def _send(scenario: Scenario, sender: FrameSender, frame: FrameRecord, shot: Any, observer: Observer) -> None:
    # Long enough for a service that is only busy; a camera does not wait for one that is gone.
    period = 1.0 / (scenario.rate_hz * scenario.speed) if scenario.speed else _SEND_TIMEOUT_S
    sender.epoch, sender.next_frame_id = frame.epoch, frame.frame_id
    try:
        sender.send(
            shot.frame.pixels,
            centered=False,
            bit_depth=shot.frame.bit_depth,
            capture_time_ns=max(time.time_ns() + int(1e9 * shot.clock_s), 0),
            timeout_s=max(min(_SEND_TIMEOUT_S, period), 0.02),
            **shot.frame.geometry,
        )
        frame.sent_s = observer.seconds()
    except TimeoutError:
        frame.sent_s = None


def _drain(frames: list[FrameRecord], observer: Observer) -> None:
    """Wait for the products of the last frames, until none have come for some seconds."""
    sent = [frame for frame in frames if frame.sent_s is not None]
    if not sent:
        return
    answered, quiet = observer.answered, time.monotonic()
    while time.monotonic() - quiet < _DRAIN_S and not observer.wait_for(sent[-1], 0.1):
        if observer.answered != answered:
            answered, quiet = observer.answered, time.monotonic()
    observer.wait_for_hazards()


def _settle(target: Target, observer: Observer, tell: Tell) -> None:
    """Wait for the service's last counters; faults that ended with the frames may still be recovered from."""
    tell("waiting for the last counters")
    deadline = time.monotonic() + _SETTLE_S
    while time.monotonic() < deadline:
        try:
            observer.take_status(target.status(1.0))
            return
        except (TimeoutError, CommandFailed):
            continue


def compare_products(
    observer: Observer,
    feed: Feed,
    record: RunRecord,
    bundles: list[Path],
    parameters: list[dict[str, Any]],
    threads: int,
    most: int,
    tell: Tell,
) -> list[Comparison]:
    """Make products again offline, and compare them bit for bit.

    Args:
        observer: with the digests of what came.
        feed: makes the frames again.
        record: of the run.
        bundles: folders of those that served.
        parameters: the service's, at the start and after each command; a product must be as under one of them.
        threads: of the service's networks.
        most: frames to compare, evenly spread.
        tell: is told how far it is.
    """
    answered = sorted(observer.digests)
    if len(answered) > most:
        answered = [answered[round(i * (len(answered) - 1) / max(most - 1, 1))] for i in range(most)]
    compared: list[Comparison] = []
    engines: dict[str, Recomputer] = {}
    for bundle in bundles:
        engine = Recomputer(bundle, threads)
        engines[engine.sha256] = engine
    for number, index in enumerate(answered):
        tell(f"comparing with the offline answer {number + 1}/{len(answered)}")
        shot = feed.shoot(index)
        for topic, (digest, header) in sorted(observer.digests[index].items()):
            engine_of = engines.get(header["bundle"]["sha256"])
            equal = engine_of is not None and any(
                engine_of.digest(shot.frame.pixels, shot.frame.bit_depth, False, header, values) == digest
                for values in parameters
            )
            compared.append(Comparison(index, topic, equal))
    for engine in engines.values():
        engine.close()
    return compared


def _describe_progress(done: int, frames: int, observer: Observer) -> str:
    latest = next((f.latency_s for f in reversed(observer.record.frames) if f.latency_s is not None), None)
    latency = f", latency {1e3 * latest:.0f} ms" if latest is not None else ""
    events = sum(event.severity not in ("diagnostic", "info") for event in observer.record.events)
    warned = f", {events} warnings" if events else ""
    return f"frame {done}/{frames}, answered {observer.answered}{latency}, {observer.state or 'no telemetry'}{warned}"


def _describe_environment(target: Target, scenario: Scenario) -> dict[str, str]:
    bundle = load_bundle(target.bundle) if target.bundle is not None else None
    named = (
        {}
        if bundle is None
        else {"bundle": f"{bundle.identity['name']} {bundle.identity['version']}, {bundle.sha256[:16]}..."}
    )
    return {
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "target": target.describe(),
        **named,
        "source": scenario.source.kind,
        "frames": f"{scenario.frames} at {scenario.rate_hz:g} Hz of scenario time, speed {scenario.speed:g}",
        "processor": f"{platform.machine()}, {os.cpu_count()} cores",
        # Of other programs too: what a latency is to be read with.
        "load": f"{os.getloadavg()[0]:.1f} processes at the end, mean over a minute",
        "system": platform.platform(),
        "Python": platform.python_version(),
    }
