"""`hil run` and `hil compare`."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flight.command_line import FAILED, examples
from flight.option_types import existing_folder, existing_path, output_folder

if TYPE_CHECKING:
    from hil.runs.runner import Run

_RUN_EXAMPLES = {
    "hil run nominal_flyby": "a shipped scenario",
    "hil run my_scenario.toml --out out/mine": "one of your own",
    "hil run --all --short": "all shipped ones, in short",
    "hil run nominal_flyby --target 127.0.0.1": "a service that runs already, at its default ports",
    "hil run nominal_flyby --target ssh:pi@raspberrypi.local": "on a board, through an ssh tunnel",
    "hil run --list": "what is shipped",
}
_RUN_NOTE = """Ends with a verdict; writes NAME/report.html, result.json and junit.xml into the folder of --out.
Exit code 0: every criterion holds; 1: one does not; 2: it could not be run or judged."""
_COMPARE_EXAMPLES = {"hil compare out/before/nominal_flyby out/run/nominal_flyby": "which criterion moved"}


def add_run(commands: Any) -> None:
    """Add `run` to the commands of `hil`."""
    run = commands.add_parser(
        "run", help="run scenarios at a service, with a verdict", epilog=examples(_RUN_EXAMPLES, _RUN_NOTE)
    )
    run.add_argument("scenarios", nargs="*", metavar="SCENARIO", help="name of a shipped scenario, or a TOML file")
    run.add_argument("--all", action="store_true", help="run all shipped scenarios")
    run.add_argument("--list", action="store_true", help="list the shipped scenarios")
    run.add_argument(
        "--short", action="store_true", help="run the short form: duration and times multiplied by `short`"
    )
    run.add_argument(
        "--target",
        default="local",
        metavar="WHERE",
        help="local, to start a service; the host of one that runs; or ssh:BOARD, with BOARD as `hil deploy` takes it",
    )
    run.add_argument(
        "--keys",
        type=existing_folder,
        metavar="DIR",
        help="keys with the roles camera, consumer and commander, if the service at --target has keys (default: none)",
    )
    run.add_argument(
        "--bundle", type=existing_folder, metavar="DIR", help="bundle to serve (default: as the scenario says)"
    )
    run.add_argument("--out", type=output_folder, default=Path("out/run"), metavar="DIR", help="folder of the results")
    run.add_argument(
        "--write",
        type=existing_folder,
        metavar="DIR",
        help="write verdicts into the table of hil.md there (default: no)",
    )


def add_compare(commands: Any) -> None:
    """Add `compare` to the commands of `hil`."""
    compare = commands.add_parser(
        "compare", help="two results of `hil run` side by side", epilog=examples(_COMPARE_EXAMPLES)
    )
    compare.add_argument("before", type=existing_path, metavar="A", help="a result.json, or the folder with it")
    compare.add_argument("after", type=existing_path, metavar="B", help="another one; exit code 1 if it fails more")


def run_run(arguments: argparse.Namespace) -> int:
    """Carry out `hil run`; returns the exit code."""
    from hil.scenarios.files import ScenarioError
    from hil.scenarios.scenario import find_scenario, list_shipped, read_scenario

    if arguments.list:
        for name in list_shipped():
            print(f"{name:26} {read_scenario(find_scenario(name)).title}")
        return 0
    if arguments.keys is not None and arguments.target == "local":
        raise ScenarioError("--keys: expected with --target, as a service that is started here gets its own")
    names = list_shipped() if arguments.all else arguments.scenarios
    if not names:
        raise ScenarioError("SCENARIO: expected one or more, or --all, got none")
    paths = [find_scenario(name) for name in names]
    for path in paths:
        read_scenario(path)  # a mistake in the last one is told before the first one is run
    if len(paths) == 1 and not arguments.write:
        return _run_one(paths[0], arguments)[1]
    return _run_many(paths, arguments)


def _run_many(paths: list[Path], arguments: argparse.Namespace) -> int:
    """Run scenarios one after the other; one that cannot be run does not keep the others from it."""
    from hil.scenarios.scenario import read_scenario
    from hil.scenarios.table import VerdictRow, write_verdicts

    rows: list[VerdictRow] = []
    worst = 0
    for path in paths:
        try:
            run, code = _run_one(path, arguments)
            broken = [f"{outcome.criterion}: {outcome.got}" for outcome in run.outcomes if not outcome.passed]
            # Latencies are to be read with it.
            told = [*broken, f"load {run.record.environment['load'].split()[0]}"] if broken else []
            detail = "; ".join([f"{len(run.outcomes) - len(broken)} of {len(run.outcomes)}", *told])
            verdict = "passed" if run.passed else "failed"
        except (ValueError, OSError, RuntimeError) as error:
            print(f"{path.stem}: not run: {error}", file=sys.stderr, flush=True)
            verdict, detail, code = "not run", " ".join(str(error).split()), FAILED
        rows.append(VerdictRow(path.stem, read_scenario(path).title, arguments.short, verdict, detail))
        if arguments.write:  # at once: the next one may be interrupted
            write_verdicts(arguments.write / "hil.md", rows[-1:])
        worst = max(worst, code)
    for row in rows:
        print(f"{row.verdict:8} {row.name:26} {row.detail}")
    return worst


def _run_one(path: Path, arguments: argparse.Namespace) -> tuple[Run, int]:
    """Run a scenario, write its results, and say how it went."""
    from flight.files import write_whole
    from hil.board.progress import Progress
    from hil.report.page import make_page
    from hil.report.results import junit_xml, make_result, write_result
    from hil.runs.runner import run_scenario
    from hil.scenarios.scenario import read_scenario, shorten

    scenario = read_scenario(path)
    if arguments.short:
        scenario = shorten(scenario)
    if arguments.bundle is not None:
        scenario = replace(scenario, target=replace(scenario.target, bundle=str(arguments.bundle.resolve())))
    progress = Progress()
    progress.begin(path.stem)
    try:
        run = run_scenario(
            path.stem,
            scenario,
            path.parent.resolve(),
            arguments.target,
            arguments.short,
            progress.update,
            arguments.keys,
        )
    except BaseException:
        progress.end("not finished")
        raise
    progress.end("passed" if run.passed else "FAILED")
    folder = arguments.out / path.stem
    folder.mkdir(parents=True, exist_ok=True)
    result = make_result(run)
    write_result(folder / "result.json", result)
    write_whole(folder / "junit.xml", junit_xml(result))
    write_whole(folder / "report.html", make_page(run).encode("utf-8"))
    for outcome in run.outcomes:
        sign = "passed" if outcome.passed else "FAILED"
        print(f"  {sign}  {outcome.criterion}: expected {outcome.expected}; got {outcome.got}")
    print(f"{'PASSED' if run.passed else 'FAILED'}  {path.stem}: {folder / 'report.html'}", flush=True)
    return run, 0 if run.passed else 1


def run_compare(arguments: argparse.Namespace) -> int:
    """Carry out `hil compare`; returns the exit code."""
    from hil.report.comparison import compare_results
    from hil.report.results import read_result

    lines, worse = compare_results(read_result(arguments.before), read_result(arguments.after))
    print("\n".join(lines))
    return int(worse)
