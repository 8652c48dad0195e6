"""`hil run` with real services: verdicts, faults, and that nothing is left of a run, however it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from flight.icd.limits import DEFAULT_ENDPOINTS
from hil.cli import main
from hil.runs import runner, target
from hil.runs.feed import Feed, Shot
from hil.runs.runner import Run, run_scenario
from hil.scenarios.scenario import read_scenario
from tests.flight.service.peers import free_endpoints
from tests.flight.service_process import running_service

ROOT = Path(__file__).parents[3]
HEAD = 'title = "a test\'s"\nrate_hz = 10.0\nduration_s = 4.0\n'
# No frame is superseded, however busy the computer is.
STEP_BY_STEP = f"{HEAD.replace('4.0', '1.0')}speed = 0.0\n"
DRAWN = '[source]\nkind = "drawn"\nsensor_px = 96\nrange_d0 = [1.6, 1.4]\ncraters = 9\nboulders = 9\n'
LOST = '[[criteria]]\nkind = "lost_at_most"\nframes = 0\n'
MAY_MAKE_NAMESPACES = os.geteuid() == 0 and Path("/usr/sbin/ip").exists()


@pytest.fixture(autouse=True)
def nothing_is_left(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Each test has a temporary folder of its own, so that runs of other test processes do not count."""
    folder = tempfile.mkdtemp(prefix="rmt_", dir="/tmp")
    monkeypatch.setenv("TMPDIR", folder)
    monkeypatch.setattr(tempfile, "tempdir", None)
    yield
    deadline = time.monotonic() + 5.0
    while (left := list(Path(folder).iterdir())) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert left == []
    Path(folder).rmdir()
    assert not Path(f"/run/netns/rmhil{os.getpid()}").exists()
    assert not running_in(folder)


def running_in(folder: str) -> list[str]:
    """Processes whose command line names a folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes()
        except OSError:
            continue
        if folder.encode() in words:
            found.append(path.parent.name)
    return found


def write(folder: Path, text: str) -> Path:
    path = folder / "own.toml"
    path.write_text(text)
    return path


def run(path: Path, out: Path, bundle: Path, *options: str) -> tuple[int, dict]:
    code = main(["run", str(path), "--out", str(out), "--bundle", str(bundle), *options])
    return code, json.loads((out / path.stem / "result.json").read_text())


@pytest.fixture(scope="module")
def finished(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run with a killed worker, noise, a command that changes passes, and a deadline that ends some passes early."""
    folder = tmp_path_factory.mktemp("finished")
    text = (
        f"{HEAD}[target]\nbundle = '{tiny_bundle}'\n[target.configuration.parameters]\nentropy_factor = 100\n{DRAWN}"
        '[camera]\nread_noise_e = 50.0\nepoch_every = 15\n[[faults]]\nkind = "worker_killed"\nat_s = 1.0\n'
        '[[faults]]\nkind = "camera_noise"\nat_s = 2.0\nfor_s = 1.0\nsigma = 0.3\n'
        '[[commands]]\nat_s = 0.5\nname = "set_parameter"\narguments = { name = "passes", value = 3 }\n'
        '[[criteria]]\nkind = "no_wrong_map"\n[[criteria]]\nkind = "recovered_within"\nseconds = 20\n'
        '[[criteria]]\nkind = "commands_answered"\n[[criteria]]\nkind = "miou_at_least"\nvalue = 0.05\nof = "roles"\n'
        '[[criteria]]\nkind = "event_seen"\nevent = "worker_died"\n[[criteria]]\nkind = "entropy_rises"\n'
    )
    scenario = read_scenario(write(folder, text))
    return run_scenario("own", scenario, folder)


def test_a_run_sees_what_happens_and_judges_it(finished: Run) -> None:
    outcomes = {outcome.criterion.split(" ")[0]: outcome for outcome in finished.outcomes}
    for name in ("no_wrong_map", "recovered_within", "commands_answered", "miou_at_least", "event_seen"):
        assert outcomes[name].passed, outcomes[name]
    assert outcomes["faults_carried_out"].passed
    record = finished.record
    assert len(record.frames) == 40
    assert {frame.epoch - record.frames[0].epoch for frame in record.frames} == {0, 1, 2}
    assert record.service_starts == 1
    assert record.comparisons is not None
    assert len(record.comparisons) > 30
    assert any(state == "ready" for _, state in record.states)
    # 4 passes until the command, 3 from then on.
    assert {frame.passes_used for frame in record.frames if frame.has_map} == {4, 3}


def test_a_wrong_map_is_found(finished: Run, tiny_bundle: Path) -> None:
    """Products that came, against the offline answers of other frames and of other parameters."""

    class OtherFeed(Feed):
        def shoot(self, index: int) -> Shot:
            shot = super().shoot(index)
            shot.frame.pixels[40:50, 40:50] = 200
            return shot

    parameters = [{**finished_parameters(tiny_bundle)}]
    feeds = {True: finished.feed, False: OtherFeed(finished.scenario, finished.feed._stream)}
    for right, feed in feeds.items():
        compared = runner.compare_products(
            finished.observer, feed, finished.record, [tiny_bundle], parameters, 2, 4, lambda line: None
        )
        assert len(compared) == 8
        assert all(entry.equal for entry in compared) == right
    # A bundle that nobody has cannot have given the right answer.
    unknown = runner.compare_products(
        finished.observer, finished.feed, finished.record, [], parameters, 2, 4, lambda line: None
    )
    assert not any(entry.equal for entry in unknown)


def finished_parameters(bundle: Path) -> dict:
    from flight.bundle import load_bundle
    from flight.settings import default_parameters

    return {**default_parameters(load_bundle(bundle)), "entropy_factor": 100}


def test_a_scenario_that_passes_and_one_that_fails(tiny_bundle: Path, tmp_path: Path, capsys) -> None:
    good = STEP_BY_STEP + DRAWN + LOST + '[[criteria]]\nkind = "safe_state"\n'
    code, result = run(write(tmp_path, good), tmp_path / "a", tiny_bundle)
    assert (code, result["verdict"]) == (0, "passed")
    assert "PASSED  own" in capsys.readouterr().out
    assert (tmp_path / "a" / "own" / "report.html").stat().st_size > 10_000
    assert (tmp_path / "a" / "own" / "junit.xml").is_file()
    bad = good + '[[criteria]]\nkind = "event_seen"\nevent = "worker_died"\n'
    code, result = run(write(tmp_path, bad), tmp_path / "b", tiny_bundle, "--short")
    assert (code, result["verdict"]) == (1, "failed")
    assert [entry["passed"] for entry in result["criteria"]] == [True, True, False]
    assert main(["compare", str(tmp_path / "a" / "own"), str(tmp_path / "b" / "own")]) == 1
    assert "-  event_seen" in capsys.readouterr().out


def test_service_storage_bundle_and_peers_go_wrong(tiny_bundle: Path, tmp_path: Path) -> None:
    """One service, every fault that is its own, its storage's, its bundle's and its other clients'."""
    text = HEAD.replace("4.0", "12.0") + DRAWN + "[target]\nkeys = true\n[target.configuration.integrity]\n"
    text += "file_check_interval_s = 1\n[target.configuration.parameters]\nentropy_factor = 100\n"
    for kind, at, more in (
        ("service_killed", 0.5, ""),
        ("storage_full", 4.5, "for_s = 1.0\n"),
        ("bundle_updated", 5.8, "broken = true\n"),
        ("bundle_damaged", 6.2, ""),
        ("second_camera_floods", 7.0, "for_s = 1.0\nrate_hz = 100\n"),
        ("second_camera_babbles", 8.0, "for_s = 1.0\n"),
        ("commander_floods", 9.0, "for_s = 1.0\nrate_hz = 200\n"),
        ("commander_babbles", 10.0, "for_s = 0.7\n"),
        ("commander_with_wrong_key", 9.0, "for_s = 1.0\n"),
        ("worker_corrupted", 10.5, "bits = 5\n"),
    ):
        text += f'[[faults]]\nkind = "{kind}"\nat_s = {at}\n{more}'
    text += '[[commands]]\nat_s = 5.0\nname = "set_parameter"\nexpect = "failed"\n'
    text += 'arguments = { name = "passes", value = 2 }\n'
    for event in ("bundle_damaged", "handshake_failed", "command_rejected"):
        text += f'[[criteria]]\nkind = "event_seen"\nevent = "{event}"\n'
    for reason in ("not_increasing", "size_mismatch", "malformed_header"):
        text += f'[[criteria]]\nkind = "frames_rejected"\nreason = "{reason}"\n'
    text += '[[criteria]]\nkind = "commands_answered"\n[[criteria]]\nkind = "no_wrong_map"\nframes = 10\n'
    code, result = run(write(tmp_path, text), tmp_path, tiny_bundle)
    failed = [entry for entry in result["criteria"] if not entry["passed"]]
    assert failed == []
    assert code == 0
    assert result["service_starts"] == 2
    notes = {fault["kind"]: fault["note"] for fault in result["faults"]}
    assert notes["bundle_updated"].startswith("rejected: load_bundle: not_valid: ")
    assert notes["commander_with_wrong_key"].startswith("turned away ")


@pytest.mark.skipif(not MAY_MAKE_NAMESPACES, reason="network namespaces need root and iproute2")
def test_a_cut_link_costs_frames_and_is_recovered_from(tiny_bundle: Path, tmp_path: Path) -> None:
    text = HEAD.replace("4.0", "14.0").replace("10.0", "4.0") + DRAWN + "[target]\nlink = true\n"
    text += '[[faults]]\nkind = "link_cut"\nat_s = 1.0\nfor_s = 4.0\n' + LOST
    text += '[[criteria]]\nkind = "recovered_within"\nseconds = 15\n'
    code, result = run(write(tmp_path, text), tmp_path, tiny_bundle)
    passed = [entry["passed"] for entry in result["criteria"]]
    assert passed == [False, True, True]
    assert code == 1
    assert result["criteria"][0]["evidence"]["count"] >= 12


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        (f'{HEAD}[source]\nkind = "folder"\npath = "none"\n{LOST}', [], "none: no such folder"),
        (f"{HEAD}surprise = 1\n{LOST}", [], "surprise: expected one of title"),
        (
            f'{HEAD}[source]\nkind = "folder"\npath = "."\n[[criteria]]\nkind = "miou_at_least"\nvalue = 0.5\n',
            [],
            "criteria[0]: miou_at_least: expected a source with truth, got folder",
        ),
        (f'{HEAD}{DRAWN}[[criteria]]\nkind = "entropy_rises"\n', [], "expected a fault that degrades the image"),
        (f'{HEAD}{DRAWN}[[criteria]]\nkind = "recovered_within"\nseconds = 1\n', [], "expected faults, got none"),
        (f'{HEAD}{DRAWN}[[criteria]]\nkind = "commands_answered"\n', [], "expected commands, got none"),
        (
            f'{HEAD}{DRAWN}[[criteria]]\nkind = "miou_at_least"\nvalue = 0.5\n',
            [],
            'criteria[0].of: expected "roles", as the classes of the bundle',
        ),
        (
            f'{HEAD}{DRAWN}{LOST}[[faults]]\nkind = "worker_killed"\nat_s = 1\n',
            ["--target", "127.0.0.1"],
            "faults[0]: worker_killed: expected a service on this computer, got 127.0.0.1",
        ),
        (
            f'{HEAD}{DRAWN}[[criteria]]\nkind = "no_wrong_map"\n',
            ["--target", "127.0.0.1"],
            "no_wrong_map: expected a service on this computer",
        ),
        (f"{HEAD}{DRAWN}{LOST}", ["--target", "127.0.0.1"], "--target: expected a service at 127.0.0.1, got none"),
        (f"{HEAD}{DRAWN}{LOST}[target.configuration.worker]\nlimit = 3\n", [], "the service did not start: "),
    ],
)
def test_what_cannot_be_run_is_one_line_and_exit_code_2(
    tiny_bundle: Path,
    tmp_path: Path,
    capsys,
    monkeypatch: pytest.MonkeyPatch,
    text: str,
    options: list[str],
    message: str,
) -> None:
    from PIL import Image

    # No service of somebody else's at the default ports, and no long wait for one.
    ports = {name: int(endpoint.rpartition(":")[2]) + 20_000 for name, endpoint in DEFAULT_ENDPOINTS.items()}
    monkeypatch.setattr(target, "_PORTS", ports)
    monkeypatch.setattr(target.Target.status, "__defaults__", (0.3,))
    Image.new("L", (64, 64), 9).save(tmp_path / "a.png")
    code = main(
        ["run", str(write(tmp_path, text)), "--bundle", str(tiny_bundle), "--out", str(tmp_path / "o"), *options]
    )
    lines = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("own: not finished")]
    assert code == 2
    assert len(lines) == 1, lines
    assert lines[0].startswith("hil run: ")
    assert message in lines[0]
    assert not (tmp_path / "o").exists()


def test_a_service_that_runs_already_is_tried(
    tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoints = free_endpoints("127.0.0.1")
    ports = {name: int(endpoint.rpartition(":")[2]) for name, endpoint in endpoints.items()}
    monkeypatch.setattr(target, "_PORTS", ports)
    path = write(tmp_path, STEP_BY_STEP + DRAWN + LOST)
    with running_service(tmp_path, tiny_bundle, endpoints=endpoints) as service:
        assert main(["run", str(path), "--target", "127.0.0.1", "--out", str(tmp_path / "o")]) == 0
        # It goes on after the run.
        assert service.command("get_status")["counters"]["frames_received"] == 10
    result = json.loads((tmp_path / "o" / "own" / "result.json").read_text())
    assert result["environment"]["target"] == "running service at 127.0.0.1"
    assert result["service_starts"] == 0


def test_a_bundle_that_is_none_is_told(tmp_path: Path, capsys) -> None:
    path = write(tmp_path, f'{HEAD}{DRAWN}{LOST}[target]\nbundle = "."\n')
    assert main(["run", str(path), "--out", str(tmp_path / "o")]) == 2
    assert "target.bundle: " in capsys.readouterr().err


def test_nothing_is_left_of_a_run_that_is_ended(tiny_bundle: Path, tmp_path: Path) -> None:
    """SIGTERM in the middle, with a worker stopped that would never end by itself."""
    text = HEAD.replace("4.0", "60.0") + DRAWN + LOST + '[[faults]]\nkind = "worker_stopped"\nat_s = 0.1\n'
    command = [sys.executable, "-m", "hil.cli", "run", str(write(tmp_path, text)), "--bundle", str(tiny_bundle)]
    process = subprocess.Popen([*command, "--out", str(tmp_path / "o")], stderr=subprocess.DEVNULL, cwd=ROOT)
    folder = Path(os.environ["TMPDIR"])
    deadline = time.monotonic() + 60
    while not list(folder.glob("rubblemap_run_*/frames")) and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(2.0)
    assert running_in(str(folder))
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 143


def test_scenarios_are_listed_and_several_are_run(tiny_bundle: Path, tmp_path: Path, capsys) -> None:
    assert main(["run", "--list"]) == 0
    assert "nominal_flyby" in capsys.readouterr().out
    assert main(["run"]) == 2
    assert "SCENARIO: expected one or more, or --all, got none" in capsys.readouterr().err
    docs = tmp_path / "docs"
    docs.mkdir()
    kept = "| `kept` | x | short | passed | 2 of 2 |"
    marks = f"<!-- verdicts: written by hil run --all --write docs -->\nold\n{kept}\n<!-- end of verdicts -->"
    (docs / "hil.md").write_text(f"before\n{marks}\nafter\n")
    text = STEP_BY_STEP + DRAWN + LOST
    paths = [tmp_path / "one.toml", tmp_path / "other.toml"]
    paths[0].write_text(text)
    paths[1].write_text(f'{HEAD}[source]\nkind = "folder"\npath = "none"\n{LOST}')
    code = main(["run", *map(str, paths), "--bundle", str(tiny_bundle), "--out", str(tmp_path), "--write", str(docs)])
    assert code == 2
    page = (docs / "hil.md").read_text()
    assert "| `one` | a test's | whole | passed | 1 of 1 |" in page
    assert "| `other` | " in page
    assert "not run" in page
    assert f"{kept}\n| `one`" in page
    assert page.startswith("before\n")
    assert page.endswith("after\n")
    assert "-->\nold" not in page


# Those that go step by step: latencies of the others are those of what a computer does besides (`make test-hil`).
@pytest.mark.parametrize("name", ["approach", "descent", "night_side", "two_bodies"])
def test_shipped_scenarios_pass_in_short(name: str, tmp_path: Path) -> None:
    assert main(["run", name, "--short", "--out", str(tmp_path)]) == 0
    result = json.loads((tmp_path / name / "result.json").read_text())
    assert all(entry["passed"] for entry in result["criteria"])
    assert np.isfinite(result["runner_cpu_s"])
