"""Draws of a scenario: each with a service and a body of its own, here or on workers of Dask."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from flight.icd.limits import TOPIC_NAVIGATION
from hil.faults.driver import Driver
from hil.faults.scene import Clock, Scene
from hil.fly.film import make_film
from hil.fly.measurement import KINDS
from hil.fly.plan import plan_flyby
from hil.fly.record import DrawRecord, FlightRecord
from hil.fly.scenario import FlightScenario, Flyby
from hil.fly.scenery import Scenery, open_scenery
from hil.runs.record import RunRecord
from hil.runs.target import LocalTarget, Target, open_target
from hil.scenarios.scenario import Scenario
from hil.sources.frames import Frame

Tell = Callable[[str], None]
MAP_KINDS = ("class_map", "weighted")


@dataclass(frozen=True)
class Job:
    """One draw, as it goes to a worker.

    Attributes:
        scenario: to fly.
        beside: folder that relative paths begin in.
        draw: its number.
        kinds: of measurements, or of choosing a site.
        shapes: folder of shape models; None: stand-ins.
        where: "local", or the host of a service that runs.
        film: whether to make one.
    """

    scenario: FlightScenario
    beside: Path
    draw: int
    kinds: tuple[str, ...]
    shapes: Path | None
    where: str
    film: bool = False


@dataclass(frozen=True)
class Outcome:
    """A draw that was flown. film: GIF; picture: PNG; empty without them."""

    record: DrawRecord
    film: bytes = b""
    picture: bytes = b""


def run_job(job: Job, tell: Tell = lambda line: None) -> Outcome:
    """Fly one draw.

    Raises:
        RendererError, TargetError, LinkError: what it needs could not be started.
    """
    needs_service = any(kind in (*MAP_KINDS, "maps") for kind in job.kinds)
    service = Scenario(title=job.scenario.title, duration_s=1.0, target=job.scenario.target, criteria=())
    with ExitStack() as stack:
        scenery = stack.enter_context(open_scenery(job.scenario, job.draw, job.shapes))
        target = stack.enter_context(open_target(service, job.beside, job.where) if needs_service else nullcontext())
        record = DrawRecord(job.draw, scenery.name, scenery.extent_km, bundle=_describe_bundle(target))
        shape = stack.enter_context(_shape_file(job.scenario, scenery))
        if isinstance(job.scenario.trajectory, Flyby):
            for kind in job.kinds:
                _fly(job, kind, scenery, target, record, shape, tell)
            film, picture = make_film(scenery, record) if job.film else (b"", b"")
            return Outcome(record, film, picture)
        from hil.fly.descent import descend

        for kind in job.kinds:
            tell(f"draw {job.draw}: {kind}")
            record.touchdowns.append(descend(job.scenario, scenery, job.draw, kind, target, shape))
    return Outcome(record)


def _fly(
    job: Job, kind: str, scenery: Scenery, target: Target | None, record: DrawRecord, shape: str | None, tell: Tell
) -> None:
    from hil.fly.flight import Flight
    from hil.fly.wire import Wire

    scenario = job.scenario
    assert isinstance(scenario.trajectory, Flyby)
    plan = plan_flyby(scenario, scenario.trajectory, scenery, job.draw)
    flown = FlightRecord(scenery.name, job.draw, kind)
    record.flights.append(flown)
    with ExitStack() as stack:
        wire = None
        if kind in MAP_KINDS:
            assert target is not None
            wire = stack.enter_context(Wire(target, TOPIC_NAVIGATION))
            stack.enter_context(_faults(scenario, target, record))
        flight = Flight(scenario, plan, scenery, flown, wire, shape, job.film and kind in ("weighted", "brightness"))
        flight.fly(lambda line: tell(f"draw {job.draw}, {scenery.name}, {line}"))


@contextmanager
def _faults(scenario: FlightScenario, target: Target, record: DrawRecord) -> Iterator[None]:
    """Carry out the faults of a flight at their times, and note them."""
    if not scenario.faults:
        yield
        return
    link = target.link if isinstance(target, LocalTarget) else None
    clock, noted = Clock(scenario.speed), RunRecord("fly", scenario.title, False)
    driver = Driver(Scene(target, link, scenario.seed, clock, _no_picture), noted, clock.now)
    clock.start()
    driver.start(scenario.faults, ())
    try:
        yield
    finally:
        driver.stop()
        record.faults += [
            {"kind": f.kind, "began_s": f.began_s, "ended_s": f.ended_s, "note": f.note}
            for f in noted.faults
            if f.began_s is not None and not f.failed
        ]


def _no_picture() -> Frame:
    raise ValueError("faults: expected one without a second camera in a flight")


@contextmanager
def _shape_file(scenario: FlightScenario, scenery: Scenery) -> Iterator[str | None]:
    """The body's polyhedron as a file, where its gravity is one's."""
    if scenario.gravity != "polyhedron":
        yield None
        return
    from hil.fly.polyhedron import write_polyhedron

    with TemporaryDirectory(prefix="rubblemap_fly_") as folder:
        path = Path(folder) / "body.obj"
        write_polyhedron(scenery, path)
        yield str(path)


def _describe_bundle(target: Target | None) -> str:
    if target is None:
        return ""
    bundle: dict[str, Any] = target.status().get("bundle") or {}
    return f"{bundle.get('name', 'unknown')} {bundle.get('version', '')}".strip()


def run_jobs(jobs: list[Job], workers: int, scheduler: str | None, tell: Tell) -> Iterator[Outcome]:
    """Fly draws, over Dask's workers where there is more than one.

    Args:
        jobs: the draws.
        workers: processes on this computer; 1: this one.
        scheduler: address of a Dask scheduler whose workers are taken; None: none.
        tell: is given a line about how far it is, in this process.

    Yields:
        Draws as they are finished.
    """
    if workers <= 1 and scheduler is None:
        for job in jobs:
            yield run_job(job, tell)
        return
    from dask.distributed import Client, LocalCluster, as_completed

    with ExitStack() as stack:
        if scheduler is not None:
            client = stack.enter_context(Client(scheduler, timeout="20s"))
        else:
            cluster = stack.enter_context(LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=None))
            client = stack.enter_context(Client(cluster))
        futures = [client.submit(run_job, job, pure=False) for job in jobs]
        for number, future in enumerate(as_completed(futures), 1):
            tell(f"draw {number} of {len(jobs)} is done")
            yield future.result()


def choose_kinds(scenario: FlightScenario) -> tuple[str, ...]:
    """What the flights of a draw are compared by."""
    if scenario.faults:
        return ("weighted",)
    return KINDS if isinstance(scenario.trajectory, Flyby) else ("maps", "variance")
