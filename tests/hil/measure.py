"""What scenarios, recordings and reports cost: the table of docs/hil.md, by `python -m tests.hil.measure --write docs`.

--short measures for seconds what is measured for a minute otherwise, and leaves out the fresh clone.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from flight.client import FrameSender, Subscriber
from flight.command_line import CommandParser, run_program
from flight.files import write_whole
from flight.icd.generated_files import replace_between
from flight.icd.limits import TOPIC_NAVIGATION
from flight.option_types import existing_folder
from hil.report.page import make_page
from hil.sources.folder import open_source
from tests.conftest import SHIPPED_BUNDLE
from tests.flight.service_process import running_service
from tests.hil.console.browser import CHROMIUM, running_browser
from tests.hil.report.test_report import make_run
from tests.hil.runs.records import confusion, event, frame, record

ROOT = Path(__file__).parents[2]
BEGIN = "<!-- costs: written by python -m tests.hil.measure --write docs -->"
END = "<!-- end of costs -->"
_HEAD = ("what", "to be", "measured", "how")
_RATE_HZ = 2.0
# As in the demonstration and the shipped scenarios.
_PARAMETERS = "[parameters]\ndeadline_ms = 400\nminimum_passes = 2\n"
_ANSWER_S = 5.0


@dataclass(frozen=True)
class Cost:
    """A row of the table. what: it is; limit: what it is to be; measured: what it was; how: it was measured."""

    what: str
    limit: str
    measured: str
    how: str

    def as_markdown(self) -> str:
        return f"| {self.what} | {self.limit} | {self.measured} | {self.how} |"


def _run_hil(*words: str, python: str = sys.executable, folder: Path = ROOT) -> None:
    done = subprocess.run([python, "-m", "hil.cli", *words], cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode not in (0, 1):
        raise RuntimeError(f"hil {' '.join(words)}: {(done.stderr.strip().splitlines() or ['no word'])[-1]}")


def measure_runner(folder: Path, short: bool) -> Cost:
    """Processor time of the runner beside a service, at 2 frames/s."""
    _run_hil("run", "nominal_flyby", *(["--short"] if short else []), "--out", str(folder))
    result = json.loads((folder / "nominal_flyby" / "result.json").read_text())
    share = result["runner_cpu_s"] / result["streamed_s"]
    return Cost(
        "the runner, at 2 frames/s",
        "under 5 % of a core",
        f"{100.0 * share:.1f} %",
        f"`hil run nominal_flyby`: {result['runner_cpu_s']:.2f} s of processor in {result['streamed_s']:.0f} s, truth "
        "and fix of each frame looked at",
    )


def measure_recording(folder: Path, short: bool) -> Cost:
    """Frames and latencies without a recorder, and through one."""
    frames = 12 if short else 120
    with running_service(folder, SHIPPED_BUNDLE, _PARAMETERS) as service:
        socket = service.endpoints
        plain = _send_frames(socket["frames"], socket["products"], "plain", frames)
        relay = f"ipc://{folder}/relay"
        command = [sys.executable, "-m", "hil.cli", "record", str(folder / "flight.mcap"), "--relay-frames", relay]
        command += [word for name in ("frames", "products", "telemetry") for word in (f"--{name}", socket[name])]
        recorder = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            _wait_until((folder / "relay").exists)
            before = _processor_s(recorder.pid)
            began = time.monotonic()
            recorded = _send_frames(relay, socket["products"], "recorded", frames)
            share = (_processor_s(recorder.pid) - before) / (time.monotonic() - began)
        finally:
            recorder.terminate()
            recorder.wait(30)
    kept = (folder / "flight.mcap").stat().st_size
    return Cost(
        "a recording, at 2 frames/s",
        "no frame lost for it",
        f"{recorded[0]} of {frames} lost, {plain[0]} without",
        f"`hil record --relay-frames`, {frames} frames; median latency {plain[1]:.0f} ms without it, "
        f"{recorded[1]:.0f} ms with it; it takes {100.0 * share:.1f} % of a core, {kept / 1024:.0f} KiB",
    )


def _send_frames(frames: str, products: str, name: str, count: int) -> tuple[int, float]:
    """How many frames are lost, and the median time to a product, ms."""
    source, latencies = open_source("flyby"), []
    with FrameSender(frames, name) as camera, Subscriber(products, [TOPIC_NAVIGATION], newest=False) as consumer:
        time.sleep(0.5)  # a subscription takes a moment to reach the publisher
        began = time.monotonic()
        for index in range(count):
            due = began + index / _RATE_HZ
            time.sleep(max(due - time.monotonic(), 0.0))
            sent = time.monotonic()
            number = camera.send(source.frame(index))
            while (left := sent + _ANSWER_S - time.monotonic()) > 0.0:
                product = consumer.receive(left)
                if product is not None and product.header["frame_id"] == number:
                    latencies.append(1e3 * (time.monotonic() - sent))
                    break
    return count - len(latencies), float(np.median(latencies)) if latencies else float("nan")


def measure_report(folder: Path, short: bool) -> Cost:
    """The report of an hour at 2 frames/s with two events each three frames: its size, and how long a browser takes."""
    frames = [
        frame(
            i, confusion=confusion(80, 10, 5, 3, 2 + i % 7), centroid_error_px=0.1 * (i % 97), entropy=0.001 * (i % 499)
        )
        for i in range(7200)
    ]
    events = [event("frame_rejected", seconds=i * 0.75, severity="warning_low") for i in range(4800)]
    page = folder / "report.html"
    page.write_text(make_page(make_run(record(*frames, events=events), 7200)), encoding="utf-8")
    size = page.stat().st_size / 2**20
    if CHROMIUM is None:
        opened = "not opened, as there is no Chromium here"
    else:
        with running_browser(folder / "profile") as browser:
            browser.call("Page.navigate", url=page.as_uri())
            loaded = "(performance.getEntriesByType('navigation')[0] || {}).loadEventEnd"
            browser.wait_for(f"location.protocol === 'file:' && {loaded} > 0")
            opened = f"open after {browser.evaluate(loaded) / 1e3:.2f} s"
    return Cost(
        "the report of an hour",
        "under 15 MB, open within 3 s",
        f"{size:.1f} MiB, {opened}",
        "7200 frames and 4800 events drawn up by the test, twelve pictures; headless Chromium, until its load event",
    )


def measure_fresh_clone(folder: Path, short: bool) -> Cost | None:
    """From a clone to a verdict, with what pip has to fetch."""
    if short:
        return None
    began = time.monotonic()
    clone, environment = folder / "clone", folder / "environment"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
    subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True)
    python = str(environment / "bin" / "python")
    subprocess.run([python, "-m", "pip", "install", "--quiet", ".[hil]"], cwd=clone, check=True)
    installed = time.monotonic() - began
    variables = {**os.environ, "PYTHONPATH": ""}
    command = [str(environment / "bin" / "hil"), "run", "nominal", "--out", str(folder / "out")]
    done = subprocess.run(command, cwd=clone, env=variables, capture_output=True, text=True, check=False)
    verdict = (done.stdout.strip().splitlines() or ["none"])[-1].split()[0]
    return Cost(
        "`hil run nominal` from a fresh clone to the verdict",
        "under 3 minutes",
        f"{time.monotonic() - began:.0f} s",
        f"clone, environment and `pip install .[hil]`: {installed:.0f} s of it; verdict {verdict}",
    )


def _processor_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _wait_until(condition: Callable[[], bool], timeout_s: float = 60.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError(f"expected the recorder within {timeout_s:g} s")
        time.sleep(0.05)


PARTS = {
    "runner": measure_runner,
    "recording": measure_recording,
    "report": measure_report,
    "clone": measure_fresh_clone,
}


def fill_costs(text: str, costs: list[Cost], where: str) -> str:
    """A page with the table of costs between its marks; rows of what was not measured now stay.

    Args:
        text: of docs/hil.md.
        costs: measured now.
        where: on which computer.

    Raises:
        ValueError: the page lacks the marks.
    """
    old = text.partition(BEGIN)[2].partition(END)[0]
    rows = {
        match[1]: match[0] for match in re.finditer(r"^\| (.+?) \| .*\|$", old, re.M) if match[1] not in ("---", "what")
    }
    rows |= {cost.what: f"{cost.as_markdown()[:-2]}; {where} |" for cost in costs}
    head = f"| {' | '.join(_HEAD)} |\n|{'---|' * len(_HEAD)}"
    return replace_between(text, BEGIN, END, "\n".join([head, *rows.values()]))


def build_parser() -> CommandParser:
    parser = CommandParser(prog="tests.hil.measure", description=__doc__)
    parser.add_argument("--short", action="store_true", help="seconds in place of a minute; no fresh clone")
    parser.add_argument("--only", choices=tuple(PARTS), nargs="+", default=list(PARTS), help="parts to measure")
    parser.add_argument("--write", type=existing_folder, metavar="DIR", help="write the table of hil.md there")
    return parser


def run(arguments: argparse.Namespace) -> int:
    where = f"{platform.machine()}, {os.cpu_count()} cores"
    costs = []
    for name in arguments.only:
        # Short, as paths of sockets must be; a browser may still write into its folder when it has ended.
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="rmc_", ignore_cleanup_errors=True)))
            cost = PARTS[name](folder, arguments.short)
        if cost is None:
            continue
        load = os.getloadavg()[0]
        print(f"{cost.what}: {cost.measured} ({cost.limit}); {cost.how}; load {load:.1f}", flush=True)
        form = "short form, " if arguments.short else ""
        costs.append(Cost(cost.what, cost.limit, cost.measured, f"{cost.how}; {form}load {load:.1f}"))
    if arguments.write is not None:
        page = arguments.write / "hil.md"
        write_whole(page, fill_costs(page.read_text(encoding="utf-8"), costs, where).encode("utf-8"))
    return 0


if __name__ == "__main__":
    sys.exit(run_program(build_parser(), run))
