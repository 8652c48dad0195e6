"""The campaign on the virtual board without the board: its verdicts, its line for commands, and how it goes on."""

from __future__ import annotations

import argparse
import errno
import json
import os
import stat
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.hil.board import __main__ as campaign_program
from tests.hil.board.campaign import ROOT, Campaign, Extent, Relay
from tests.hil.board.equality import compare
from tests.hil.board.flyby import FRAMES
from tests.hil.board.flyby import judge as judge_flight
from tests.hil.board.live_systemd import probe_unit
from tests.hil.board.native_client import count_tests, missing_packages
from tests.hil.board.power_cuts import KINDS, judge, summarise

BEFORE = {"pair": [3, 1.2], "active": "a"}
WHOLE = {"whole": ["a"], "unfinished": [], "damaged": []}


def found(**changes: Any) -> dict[str, Any]:
    return {**BEFORE, "bundles": WHOLE, "record_copies": 2, **changes}


@pytest.mark.parametrize(
    ("cut", "after", "mixture", "lost", "took_effect"),
    [
        ({"asked": {"pair": [4, 1.3]}, "confirmed": False}, found(), False, False, False),
        ({"asked": {"pair": [4, 1.3]}, "confirmed": False}, found(pair=[4, 1.3]), False, False, True),
        ({"asked": {"pair": [4, 1.3]}, "confirmed": True}, found(pair=[4, 1.3]), False, False, False),
        ({"asked": {"pair": [4, 1.3]}, "confirmed": True}, found(), False, True, False),
        ({"asked": {"pair": [4, 1.3]}, "confirmed": False}, found(pair=[4, 1.2]), True, False, True),
        ({"asked": {"pair": [4, 1.3]}, "confirmed": False}, found(pair=[2, 1.1]), True, False, True),
        ({"asked": {"active": "b"}, "confirmed": True}, found(), False, True, False),
        ({"asked": {"active": "b"}, "confirmed": False}, found(active="c"), True, False, True),
        ({"asked": {"active": "b"}, "confirmed": False}, found(active="b", pair=[4, 1.2]), True, False, True),
        ({"asked": {}, "confirmed": False}, found(bundles={**WHOLE, "damaged": ["b"]}), True, False, False),
    ],
)
def test_what_a_power_cut_may_leave(
    cut: dict[str, Any], after: dict[str, Any], mixture: bool, lost: bool, took_effect: bool
) -> None:
    assert judge(cut, BEFORE, after) == {"mixture": mixture, "lost_write": lost, "took_effect": took_effect}


def test_the_figures_of_power_cuts() -> None:
    common = {"mixture": False, "took_effect": False, "restarts": 0, "damage_told": [], "bundles": WHOLE}
    common |= {"record_copies": 2, "file_system_recovered": True}
    cuts = [
        {**common, "kind": kind, "confirmed": False, "lost_write": False, "power_on_to_ready_s": 60.0} for kind in KINDS
    ]
    cuts.append({**cuts[0], "confirmed": True, "lost_write": True, "power_on_to_ready_s": 90.0, "restarts": 1})
    figures = summarise(cuts)
    assert figures["power_cuts"] == 4
    assert figures["power_cuts_by_command"] == {"set_parameters": 2, "load_bundle": 1, "activate_bundle": 1}
    assert (figures["mixtures"], figures["lost_confirmed_writes"], figures["ready_after_every_cut"]) == (0, 1, False)
    assert figures["power_on_to_ready_s"] == {"median": 60.0, "longest": 90.0}


def test_the_verdict_on_a_flight() -> None:
    answers = [
        {"frame": number, "status": "valid", "sha256": str(number), "as_truth": 0.95, "seconds": 1.0}
        for number in range(FRAMES)
    ]
    undisturbed = judge_flight(answers, None)
    assert undisturbed["passed"]
    assert judge_flight(answers, undisturbed["maps"])["passed"]
    other = [*answers[:-1], {**answers[-1], "sha256": "other"}]
    assert not judge_flight(other, undisturbed["maps"])["passed"]
    assert not judge_flight(answers[:-1], undisturbed["maps"])["passed"]
    assert not judge_flight([*answers[:-1], {"frame": FRAMES - 1, "status": "invalid"}], None)["passed"]
    assert judge_flight(answers, None)["as_truth"] == 0.95
    assert judge_flight([{**answer, "status": "invalid"} for answer in answers], None)["as_truth"] is None


def test_maps_of_two_processors_are_compared() -> None:
    classes = np.zeros((2, 4, 4), np.uint8)
    classes[:, 1:3, 1:3] = 1
    other = classes.copy()
    other[0, 1, 1] = 2
    entropy = np.full((2, 4, 4), 0.5, np.float32)
    here = {"class_map": classes, "entropy": entropy, "seconds": np.array([1.0, 3.0])}
    figures = compare({**here, "class_map": other, "entropy": entropy - np.float32(0.25)}, here)
    assert figures["class_agreement"] == round(31 / 32, 5)
    assert figures["class_agreement_worst_frame"] == round(15 / 16, 5)
    assert figures["class_agreement_of_the_body"] == round(7 / 8, 5)
    assert figures["entropy_difference_nat"] == -0.25


def test_the_probe_runs_under_the_units_own_lines() -> None:
    unit = (ROOT / "flight/systemd/rubblemap-flight.service").read_text(encoding="utf-8")
    lines = probe_unit(unit, "/bin/true").splitlines()
    kept = [line for line in unit.split("# Hardening")[1].split("[Install]")[0].splitlines() if line.strip()]
    assert set(kept) <= set(lines)
    assert "ExecStart=/bin/true" in lines
    assert "Type=oneshot" in lines
    for name in ("User=", "Restart=", "WatchdogSec=", "StateDirectory=rubblemap\n", "RuntimeDirectory=rubblemap\n"):
        assert not [line for line in lines if f"{line}\n".startswith(name)]


def test_every_hardening_line_is_attempted() -> None:
    attempts = (ROOT / "tests/hil/board/on_board_hardening.py").read_text(encoding="utf-8")
    unit = (ROOT / "flight/systemd/rubblemap-flight.service").read_text(encoding="utf-8")
    names = {line.split("=")[0] for line in unit.split("# Hardening")[1].splitlines() if line[:1].isupper()}
    # Of another kind: what they keep away does not exist on this board, or comes with a line that is attempted.
    beside = {"AmbientCapabilities", "DevicePolicy", "RemoveIPC", "KeyringMode", "SystemCallArchitectures", "WantedBy"}
    beside |= {"SystemCallErrorNumber", "IPAddressAllow"}
    assert not [name for name in names - beside if f'"{name}' not in attempts]


@pytest.fixture
def answering(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An `ssh` that answers commands as on_board_commands.py does, after a while for the one called slow."""
    program = tmp_path / "ssh"
    program.write_text(
        f"#!{sys.executable}\nimport json, sys, time\n"
        "for line in sys.stdin:\n"
        "    name = json.loads(line)['name']\n"
        "    if name == 'end': break\n"
        "    if name == 'slow': time.sleep(30)\n"
        "    state = {'state': 'ready'} if name == 'get_status' else json.loads(line)['arguments']\n"
        "    print(json.dumps({'error': 'rejected'} if name == 'wrong' else {'ok': state}), flush=True)\n"
    )
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")


def test_commands_go_to_the_board_one_at_a_time(answering: None) -> None:
    with Relay(["ssh", "board"]) as relay:
        assert relay.ask("set_parameters", values={"passes": 3}) == {"values": {"passes": 3}}
        assert relay.wait_ready() == {"state": "ready"}
        with pytest.raises(RuntimeError, match=r"^wrong: rejected$"):
            relay.ask("wrong")
        relay.begin("slow")
        assert relay.answer(0.1) is None
    with Relay(["ssh", "board"]) as relay:
        relay.begin("end")
        assert relay.answer(10.0) is None


@pytest.fixture
def parts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, int]:
    """Parts that count how often they ran, and a computer with QEMU."""
    ran = {"first": 0, "second": 0}

    def part(name: str) -> Any:
        def run(campaign: Campaign) -> dict[str, Any]:
            ran[name] += 1
            if name == "second" and ran[name] == 1:
                raise OSError(errno.EIO, "interrupted")
            return {f"figure_of_{name}": campaign.extent.cuts}

        return run

    (tmp_path / "qemu-system-aarch64").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "qemu-system-aarch64").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("RUBBLEMAP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(campaign_program, "PARTS", {name: part(name) for name in ran})
    return ran


def arguments(out: Path, **changes: Any) -> argparse.Namespace:
    values = {
        "cuts": 20,
        "frames": 8,
        "real": None,
        "flight_bundle": None,
        "only": None,
        "again": False,
        "out": out,
        "write": out.parent,
    }
    return argparse.Namespace(**{**values, **changes})


def test_a_campaign_goes_on_where_it_ended(parts: dict[str, int], tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(OSError, match="interrupted"):
        campaign_program.run(arguments(out))
    figures = json.loads((tmp_path / "board.json").read_text())
    assert figures["figure_of_first"] == 20
    assert "figure_of_second" not in figures
    assert campaign_program.run(arguments(out)) == 0
    assert parts == {"first": 1, "second": 2}
    figures = json.loads((tmp_path / "board.json").read_text())
    assert figures["figure_of_second"] == 20
    assert {"board", "disk_cache_mode", "first_took_s", "second_took_s"} <= set(figures)
    assert campaign_program.run(arguments(out, only=["first"], cuts=2)) == 0
    assert parts == {"first": 2, "second": 2}
    assert campaign_program.run(arguments(out, again=True)) == 0
    assert parts == {"first": 3, "second": 3}


def test_without_qemu_nothing_is_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert campaign_program.run(arguments(tmp_path / "out")) == 0
    assert capsys.readouterr().out.startswith("skipped: qemu-system-aarch64 is not installed")
    assert not (tmp_path / "out").exists()


def test_bundles_of_the_campaign_are_made_once(parts: dict[str, int], tmp_path: Path) -> None:
    from hil.board.folders import Board

    board = Board(tmp_path / "state", tmp_path / "cache")
    first = Campaign(board, tmp_path / "work", Extent(1, 1))
    made = (first.tiny / "SHA256SUMS").stat().st_mtime_ns
    assert Campaign(board, tmp_path / "work", Extent(1, 1)).tiny == first.tiny
    assert (first.tiny / "SHA256SUMS").stat().st_mtime_ns == made


def test_a_compiler_brings_only_what_the_board_lacks() -> None:
    names = (
        "zlib1g_1%3a1.2.13-1_arm64.deb",
        "g++_4%3a12.2-3_arm64.deb",
        "make_4.3-4_arm64.deb",
        "libc6_2.36-9_arm64.deb",
    )
    installed = "zlib1g 1:1.2.13-1\nmake 4.2-1\nlibc6 2.36-9"
    missing = missing_packages([Path("archives") / name for name in names], installed)
    assert [path.name for path in missing] == ["g++_4%3a12.2-3_arm64.deb", "make_4.3-4_arm64.deb"]


def test_what_ctest_says_is_counted() -> None:
    assert count_tests("100% tests passed, 0 tests failed out of 9\n\nTotal Test time") == {"failed": 0, "run": 9}
    assert count_tests("78% tests passed, 2 tests failed out of 9\n") == {"failed": 2, "run": 9}
    with pytest.raises(RuntimeError, match="expected a count of tests, got 'No tests were found'"):
        count_tests("\nNo tests were found")
