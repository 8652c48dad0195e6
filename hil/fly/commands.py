"""`hil fly`."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flight.command_line import examples
from flight.option_types import existing_folder, integer, output_folder

if TYPE_CHECKING:
    from hil.fly.campaign import Job, Outcome
    from hil.fly.scenario import FlightScenario

_EXAMPLES = {
    "hil fly drawn": "past a drawn sphere: no files, no renderer",
    "hil fly flyby": "one draw: film and report",
    "hil fly flyby --shapes DIR --draws 12 --workers 2": "twelve, past real shapes, two at a time",
    "hil fly flyby --draws 50 --scheduler tcp://10.0.0.1:8786": "on a Dask cluster",
    "hil fly descent --draws 10": "down to the ground, and where it ends",
    "hil fly faults": "with faults on the way; its link needs root",
    "hil fly --list": "what is shipped",
}
_NOTE = """Writes NAME/report.html, film.gif, picture.png and a file for each draw into the folder of --out.
Draws that are there already are not flown again. Needs the extra `simulate`; docs/closed_loop.md."""


def add_fly(commands: Any) -> None:
    """Add `fly` to the commands of `hil`."""
    fly = commands.add_parser(
        "fly", help="fly past a small body by the maps of its frames", epilog=examples(_EXAMPLES, _NOTE)
    )
    fly.set_defaults(extra="simulate")
    fly.add_argument("scenario", nargs="?", metavar="SCENARIO", help="name of a shipped flight, or a TOML file")
    fly.add_argument("--list", action="store_true", help="list the shipped flights")
    fly.add_argument(
        "--draws", type=integer(1, 100_000), default=1, metavar="N", help="Monte-Carlo draws, from number 0 on"
    )
    fly.add_argument(
        "--shapes",
        type=existing_folder,
        metavar="DIR",
        help="folder of shape models, closed PLY meshes (default: none; stand-ins that the project makes itself)",
    )
    fly.add_argument(
        "--measurements",
        nargs="+",
        metavar="KIND",
        help="fly these only, of class_map, weighted, brightness, none (default: all)",
    )
    fly.add_argument(
        "--target",
        default="local",
        metavar="WHERE",
        help="local, to start a service; the host of one that runs; or ssh:BOARD, with BOARD as `hil deploy` takes it",
    )
    fly.add_argument(
        "--bundle", type=existing_folder, metavar="DIR", help="bundle to serve (default: as the scenario says)"
    )
    fly.add_argument("--workers", type=integer(1, 256), default=1, metavar="N", help="draws at a time on this computer")
    fly.add_argument(
        "--scheduler",
        metavar="ADDRESS",
        help="fly on the Dask cluster whose scheduler answers there, as tcp://HOST:PORT (default: on this computer)",
    )
    fly.add_argument("--out", type=output_folder, default=Path("out/fly"), metavar="DIR", help="folder of the results")
    fly.add_argument(
        "--write", type=existing_folder, metavar="DIR", help="write the figures into closed_loop.md there (default: no)"
    )


def run_fly(arguments: argparse.Namespace) -> int:
    """Carry out `hil fly`; returns the exit code."""
    from hil.fly.scenario import find_flight, list_flights, read_flight
    from hil.scenarios.files import ScenarioError

    if arguments.list:
        for name in list_flights():
            print(f"{name:12} {read_flight(find_flight(name)).title}")
        return 0
    if arguments.scenario is None:
        raise ScenarioError(f"SCENARIO: expected one, as {', '.join(list_flights())}, got none")
    path = find_flight(arguments.scenario)
    scenario = read_flight(path)
    if arguments.bundle is not None:
        scenario = replace(scenario, target=replace(scenario.target, bundle=str(arguments.bundle.resolve())))
    return _fly_draws(path, scenario, arguments)


def _fly_draws(path: Path, scenario: FlightScenario, arguments: argparse.Namespace) -> int:
    """Fly the draws that are missing, and make the report of all."""
    from importlib import import_module

    from flight.files import write_whole
    from hil.board.progress import Progress
    from hil.fly.campaign import run_jobs
    from hil.fly.documents import write_documents
    from hil.fly.page import make_page
    from hil.fly.record import read_draw, write_draw

    import_module("hil.fly.simulation")  # that Basilisk is missing is told before anything is started
    folder = arguments.out / path.stem
    folder.mkdir(parents=True, exist_ok=True)
    files = {draw: folder / f"draw_{draw:05}.json" for draw in range(arguments.draws)}
    jobs = _make_jobs(path, scenario, arguments, [draw for draw, file in files.items() if not file.is_file()])
    progress = Progress()
    progress.begin(path.stem)
    try:
        for outcome in run_jobs(jobs, arguments.workers, arguments.scheduler, progress.update):
            _keep(outcome, folder)
            write_draw(files[outcome.record.draw], outcome.record)
    except BaseException:
        progress.end("not finished")
        raise
    progress.end(f"{arguments.draws} draws")
    draws = [read_draw(file) for file in files.values()]
    film, picture = ((folder / name).read_bytes() if (folder / name).is_file() else b"" for name in _PICTURES)
    write_whole(folder / "report.html", make_page(path.stem, scenario, draws, film).encode("utf-8"))
    if arguments.write is not None:
        write_documents(arguments.write, scenario, draws, film, picture)
    _say(draws)
    print(f"{folder / 'report.html'}", flush=True)
    return 0


_PICTURES = ("film.gif", "picture.png")


def _keep(outcome: Outcome, folder: Path) -> None:
    from flight.files import write_whole

    for name, data in zip(_PICTURES, (outcome.film, outcome.picture), strict=True):
        if data:
            write_whole(folder / name, data)


def _make_jobs(path: Path, scenario: FlightScenario, arguments: argparse.Namespace, missing: list[int]) -> list[Job]:
    from hil.fly.campaign import Job, choose_kinds
    from hil.scenarios.files import ScenarioError

    known = choose_kinds(scenario)
    kinds = tuple(arguments.measurements or known)
    for kind in kinds:
        if kind not in known:
            raise ScenarioError(f"--measurements: expected some of {', '.join(known)}, got {kind}")
    shapes = arguments.shapes.resolve() if arguments.shapes is not None else None
    beside = path.parent.resolve()
    return [
        Job(scenario, beside, draw, kinds, shapes, arguments.target, film=draw == 0 and not scenario.faults)
        for draw in missing
    ]


def _say(draws: Any) -> None:
    """Print the figures in a few lines."""
    from hil.fly.figures import RANGE_NAMES, descent_figures, flights_of, pointing_figures
    from hil.fly.measurement import KINDS
    from hil.fly.page import number

    touchdowns = [entry for draw in draws for entry in draw.touchdowns]
    for kind in sorted({entry.kind for entry in touchdowns}):
        figures = descent_figures([entry for entry in touchdowns if entry.kind == kind])
        counts = f"{figures['count']} descents, {figures['on_hazard']} on a hazard"
        print(f"  {kind}: {counts}, miss {number(figures['miss_m'])} m")
    pointing = pointing_figures(draws)
    for kind in [kind for kind in KINDS if flights_of(draws, kind)]:
        cells = [f"{RANGE_NAMES[name]}: {number(pointing[name][f'{kind}_deg'])}" for name in pointing]
        print(f"  {kind}: pointing error, degrees, at phase angles {'; '.join(cells)}")
