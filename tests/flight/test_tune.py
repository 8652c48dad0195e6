"""`flight tune`: what is measured, and what is proposed for a rate or a deadline."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from flight import tune
from flight.bundle import load_bundle
from flight.cli import main
from flight.service.configuration import load_configuration
from flight.tune import Choice, Figures, choose_threads, measure, propose
from tests.flight.service_process import running_service


def figures(kind: str, threads: int, first_ms: float, pass_ms: float, feature_ms: float = 0.0) -> Figures:
    """Of a board on which the first 8 passes cost features, too."""
    engine = "auto" if kind == "closed_form" else "passes"
    times = {
        number: [first_ms + number * pass_ms + min(number, 8) * feature_ms + noise for noise in (-1.0, 0.0, 1.0)]
        for number in (1, 8, 12)
    }
    return Figures(Choice(engine, kind, threads), 10.0, times)


CLOSED = [figures("closed_form", 1, 100.0, 30.0, 5.0), figures("closed_form", 4, 60.0, 15.0, 5.0)]
WHOLE = [figures("passes", 1, 20.0, 300.0), figures("passes", 4, 20.0, 100.0)]


def test_the_time_of_a_frame_lies_on_the_measured_lines() -> None:
    board = figures("closed_form", 1, 100.0, 30.0, 5.0)
    for passes in (1, 3, 8, 10, 12, 20):
        assert board.frame_ms(passes) == pytest.approx(100.0 + 30.0 * passes + 5.0 * min(passes, 8))
    assert board.pass_ms == pytest.approx(30.0)


def test_noise_makes_no_pass_cheaper_than_nothing() -> None:
    board = Figures(Choice("auto", "closed_form", 1), 1.0, {1: [10.0], 8: [12.0], 12: [11.0]})
    assert board.pass_ms == 0.0
    assert board.frame_ms(20) == 11.0


def test_most_passes_within_the_time_are_proposed() -> None:
    # 500 ms a frame, of which 15 % are left free: 60 + 15 P + 40 <= 425 for P = 20.
    proposal = propose([*CLOSED, *WHOLE], 20, rate_hz=2.0)
    assert (proposal.choice.kind, proposal.choice.threads, proposal.passes) == ("closed_form", 4, 20)
    assert proposal.reached
    assert proposal.deadline_ms == 425
    # 60 + 15 P + 5 P <= 170 for P = 5.
    proposal = propose([*CLOSED, *WHOLE], 20, rate_hz=5.0)
    assert (proposal.choice.threads, proposal.passes) == (4, 5)
    assert proposal.rate_hz >= 5.0
    assert propose(WHOLE, 20, deadline_ms=1000.0).passes == 8
    assert propose([*CLOSED, *WHOLE], 20, rate_hz=2.0, deadline_ms=200.0).passes == 5


def test_threads_that_gain_nothing_are_not_proposed() -> None:
    boards = [figures("closed_form", threads, 100.0 / gain, 20.0 / gain) for threads, gain in ((1, 1.0), (2, 1.02))]
    assert propose(boards, 20).choice.threads == 1
    boards.append(figures("closed_form", 4, 50.0, 10.0))
    assert propose(boards, 20).choice.threads == 4


def test_without_a_wish_the_passes_of_the_bundle_are_proposed() -> None:
    proposal = propose([*CLOSED, *WHOLE], 20)
    assert (proposal.choice.kind, proposal.passes, proposal.deadline_ms, proposal.reached) == (
        "closed_form",
        20,
        0,
        True,
    )


def test_what_is_out_of_reach_is_said() -> None:
    proposal = propose([*CLOSED, *WHOLE], 20, rate_hz=20.0)
    assert not proposal.reached
    assert (proposal.choice.threads, proposal.passes) == (4, 1)
    assert proposal.deadline_ms == 0
    text = "\n".join(tune.describe(proposal, "20 frames/s"))
    assert text.startswith("20 frames/s: out of reach of this board")


def test_a_proposal_is_a_configuration_that_is_taken(tmp_path: Path) -> None:
    for rate in (0.001, 2.0, 1000.0):
        path = tmp_path / "flight.toml"
        path.write_text(propose([*CLOSED, *WHOLE], 20, rate_hz=rate).snippet())
        assert load_configuration(path).inference.threads in (1, 4)


def test_threads_are_tried_up_to_the_cores() -> None:
    assert choose_threads(1) == [1]
    assert choose_threads(4) == [1, 2, 4]
    assert choose_threads(6) == [1, 2, 4, 6]
    assert choose_threads(1000)[-1] == 64


def test_both_engines_are_measured_in_turn(closed_form_bundle: Path) -> None:
    told: list[str] = []
    bundle = load_bundle(closed_form_bundle)
    found = measure(bundle, bundle.modes[0], [1, 2], 2, told.append)
    assert [(each.choice.kind, each.choice.threads) for each in found] == [
        *(("closed_form", 1), ("passes", 1)),
        *(("closed_form", 2), ("passes", 2)),
    ]
    for each in found:
        assert sorted(each.times) == sorted({1, bundle.orientations, bundle.orientations + 4})
        assert {len(times) for times in each.times.values()} == {2}
        assert each.frame_ms(bundle.passes) > 0
    assert told[-1] == "round 2 of 2, 0 s left"


def test_with_little_memory_engines_are_loaded_one_after_the_other(
    tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tune, "read_memory_mib", lambda: {"MemAvailable": 1})
    told: list[str] = []
    bundle = load_bundle(tiny_bundle)
    found = measure(bundle, bundle.modes[0], [1, 2], 1, told.append)
    assert [each.choice.threads for each in found] == [1, 2]
    assert told.index("loading for 2 threads") > told.index("round 1 of 1, 0 s left")


def test_a_network_without_dropout_has_one_pass(plain_bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tune", "--bundle", str(plain_bundle), "--rounds", "1", "--threads", "1", "--json", "-"]) == 0
    (engine,) = json.loads(capsys.readouterr().out)["engines"]
    assert engine["pass_ms"] == 0.0
    assert engine["frame_ms"] == engine["one_pass_ms"]


def test_the_command_writes_tables_a_configuration_and_figures(tiny_bundle: Path, tmp_path: Path) -> None:
    report = tmp_path / "tune.json"
    options = ["--bundle", str(tiny_bundle), "--rounds", "2", "--rate", "2", "--json", str(report)]
    command = [sys.executable, "-m", "flight.cli", "tune", *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "round 2 of 2" in done.stderr
    assert "proposed for 2 frames/s" in done.stdout
    snippet = done.stdout.partition("in flight.toml:\n")[2].partition("or, but")[0]
    plain = json.loads(report.read_text())
    proposed = tomllib.loads(snippet.replace("\n  ", "\n"))
    assert proposed["parameters"] == plain["proposal"]["parameters"]
    assert proposed["inference"] == plain["proposal"]["inference"]
    assert plain["machine"]["cores"] >= 1
    assert plain["wish"] == {"rate_hz": 2.0, "deadline_ms": None}


def test_out_of_reach_is_exit_code_1_and_errors_are_one_line(
    tiny_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    quick = ["tune", "--bundle", str(tiny_bundle), "--rounds", "1", "--threads", "1"]
    assert main([*quick, "--rate", "1e9"]) == 1
    assert "out of reach" in capsys.readouterr().out
    (tmp_path / "empty").mkdir()
    for arguments, problem in [
        ([*quick, "--mode", "Nobody"], "flight tune: --mode: expected Fused | First | Second, got 'Nobody'"),
        (["tune", "--bundle", str(tmp_path / "empty")], "flight tune: "),
        ([*quick, "--rate", "0"], "flight tune: --rate: expected more than 0"),
    ]:
        assert main(arguments) == 2
        error = capsys.readouterr().err
        assert problem in error
        assert error.count("\n") == 1


def test_other_programs_that_compute_are_told_of(
    tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    quick = ["tune", "--bundle", str(tiny_bundle), "--rounds", "1", "--threads", "1", "--json", "-"]
    for load, said in ((0.0, False), (64.0, True)):
        monkeypatch.setattr(tune.os, "getloadavg", lambda load=load: (load, 0.0, 0.0))
        assert main(quick) == 0
        written = capsys.readouterr()
        assert ("programs have used 64.0 of" in written.err) is said
        assert json.loads(written.out)["load"] == load


def test_a_service_that_runs_is_named_and_left_alone(
    tiny_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with running_service(tmp_path, tiny_bundle) as service:
        before = service.command("get_status")
        assert main(["tune", "--bundle", str(tiny_bundle), "--rounds", "1", "--threads", "1", "--json", "-"]) == 0
        written = capsys.readouterr()
        assert "a flight service is running" in written.err
        assert json.loads(written.out)["service_running"] is True
        after = service.command("get_status")
        assert after["worker_pid"] == before["worker_pid"]
        assert after["counters"]["frames_received"] == 0
