"""The shell around every command: one line of error, exit codes, signals; and the types of options."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flight import option_types as types
from flight.command_line import CommandParser, examples, run_program


def build_parser() -> CommandParser:
    parser = CommandParser(prog="program", epilog=examples({"program work": "", "program play --loud": "more"}))
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    work = commands.add_parser("work", help="do what is to be done", epilog=examples({"program work": ""}))
    work.set_defaults(extra="train")
    work.add_argument("--passes", type=types.integer(1, 100), default=20, metavar="N", help="so often")
    work.add_argument("--rate", type=types.number_above(0.0), default=2.0, help="per second")
    work.add_argument("--share", type=types.number(0, 1), help="of 100 %% (default: the set's)")
    work.add_argument("--topics", nargs="+", choices=("a", "b"), default=["a", "b"], metavar="TOPIC", help="which")
    work.add_argument("--write", type=types.output_file, metavar="FILE", help="write there")
    return parser


def run(command: Callable[[argparse.Namespace], int | None], *argv: str) -> int:
    return run_program(build_parser(), command, argv)


def fail(error: BaseException) -> Callable[[argparse.Namespace], int]:
    def command(arguments: argparse.Namespace) -> int:
        raise error

    return command


@pytest.mark.parametrize(
    ("argv", "line"),
    [
        (["work", "--passes", "0"], "program work: --passes: expected 1..100, got 0"),
        (["work", "--passes", "1.5"], "program work: --passes: expected a whole number, 1..100, got '1.5'"),
        (["work", "--rate", "inf"], "program work: --rate: expected more than 0, got inf"),
        (["work", "--topics", "a", "c"], "program work: --topics: expected a | b, got 'c'"),
        (["rest"], "program: COMMAND: expected work, got 'rest'"),
        ([], "program: the following arguments are required: COMMAND; see `program --help`"),
        (["work", "--speed"], "program: unrecognized arguments: --speed; see `program --help`"),
        (["work", "--rate"], "program work: --rate: expected one argument; see `program work --help`"),
    ],
)
def test_a_wrong_command_line_is_one_line(argv: list[str], line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(fail(AssertionError("not run")), *argv) == 2
    assert capsys.readouterr() == ("", line + "\n")


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("set a: expected 2, got 3"), "set a: expected 2, got 3"),
        (RuntimeError("two\n  lines"), "two lines"),
        (TimeoutError(), "TimeoutError"),
        (FileNotFoundError(2, "No such file or directory", "a.toml"), "a.toml: No such file or directory"),
        (ModuleNotFoundError("No module named 'x'", name="x"), "No module named 'x'; pip install 'rubblemap[train]'"),
        (BrokenPipeError(32, "Broken pipe"), "[Errno 32] Broken pipe"),
    ],
)
def test_a_failed_command_is_one_line(error: Exception, line: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(fail(error), "work") == 2
    assert capfd.readouterr() == ("", f"program work: {line}\n")


def test_a_fault_of_our_own_is_not_hidden() -> None:
    for error in (KeyError("x"), ModuleNotFoundError("No module named 'flight.x'", name="flight.x")):
        with pytest.raises(type(error)):
            run(fail(error), "work")


def test_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(lambda arguments: None, "work") == 0
    assert run(lambda arguments: 1, "work") == 1
    assert run(fail(KeyboardInterrupt()), "work") == 130
    assert run(fail(AssertionError("not run")), "work", "--help") == 0
    assert "so often (1..100; default: 20)" in capsys.readouterr().out


def test_help_shows_limits_and_defaults(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    run(fail(AssertionError("not run")), "work", "--help")
    text = capsys.readouterr().out
    for line in (
        "Do what is to be done.",
        "per second (more than 0; default: 2)",
        "of 100 % (0..1; default: the set's)",
        "which (a | b; default: a b)",
        "write there\n",
        "examples:\n  program work\n",
    ):
        assert line in text
    run(fail(AssertionError("not run")), "--help")
    assert "  program work\n  program play --loud   more\n" in capsys.readouterr().out


PROGRAM = """
import sys, time
from flight.command_line import CommandParser, run_program
def command(arguments):
    try:
        print("begun", flush=True)
        time.sleep(60)
    finally:
        print("cleaned up", flush=True)
sys.exit(run_program(CommandParser(prog="program"), command, []))
"""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_lets_the_command_clean_up(number: int, code: int) -> None:
    process = subprocess.Popen([sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"begun\n"
    process.send_signal(number)
    assert process.communicate(timeout=30) == (b"cleaned up\n", b"")
    assert process.returncode == code


def test_the_handler_of_sigterm_is_put_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    run(lambda arguments: None, "work")
    assert signal.getsignal(signal.SIGTERM) == before


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_reader_that_has_gone_is_no_failure(unbuffered: str) -> None:
    """As in `program | true`."""
    program = PROGRAM.replace("time.sleep(60)", "pass")
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            [sys.executable, "-c", program],
            stdout=writing,
            stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
            check=False,
            timeout=60,
        )
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (types.integer(0), "3", 3),
        (types.integer(-1, 1), "-1", -1),
        (types.number(0, 1), "1", 1.0),
        (types.number(2), "1e9", 1e9),
        (types.integers("X,Y,SIDE"), "1,-2,3", (1, -2, 3)),
        (types.numbers("DX,DY"), "1,.5", (1.0, 0.5)),
        (types.names(("a", "b", "c")), "c,a", ("c", "a")),
        (types.word_or("auto", types.integer(1, 16)), "auto", None),
        (types.word_or("auto", types.integer(1, 16)), "16", 16),
        (types.endpoint, "tcp://127.0.0.1:5601", "tcp://127.0.0.1:5601"),
        (types.endpoint, "tcp://[::1]:5601", "tcp://[::1]:5601"),
        (types.endpoint, "ipc:///run/frames", "ipc:///run/frames"),
    ],
)
def test_values_within_their_limits(kind: Callable[[str], Any], text: str, value: object) -> None:
    assert kind(text) == value


@pytest.mark.parametrize(
    ("kind", "text", "message"),
    [
        (types.integer(0), "-1", "expected 0 or more, got -1"),
        (types.number(0, 1), "nan", "expected 0..1, got nan"),
        (types.number(2), "inf", "expected 2 or more, got inf"),
        (types.number(1e-6, 1), "0", "expected 1e-06..1, got 0"),
        (types.number_above(0), "0", "expected more than 0, got 0"),
        (types.number_above(0), "", "expected a number, more than 0, got ''"),
        (types.integers("X,Y,SIDE"), "1,2", "expected 3 integers with commas between, X,Y,SIDE, got '1,2'"),
        (types.numbers("DX,DY"), "1", "expected 2 numbers with commas between, DX,DY, got '1'"),
        (types.names(("a", "b")), "a,c", "expected some of a,b, got a,c"),
        (types.word_or("auto", types.integer(1, 16)), "17", "expected auto or 1..16, got 17"),
        (types.word_or("auto", types.integer(1, 16)), "x", "expected auto or 1..16, got 'x'"),
        (
            types.word_or("auto", types.integers("X,Y")),
            "x",
            "expected auto or 2 integers with commas between, X,Y, got",
        ),
        (types.endpoint, "127.0.0.1:5601", "expected tcp://HOST:PORT or ipc://PATH, got '127.0.0.1:5601'"),
        (types.endpoint, "tcp://127.0.0.1", "expected tcp://HOST:PORT or ipc://PATH"),
        (types.endpoint, "inproc://x", "expected tcp://HOST:PORT or ipc://PATH"),
    ],
)
def test_values_beyond_their_limits(kind: Callable[[str], Any], text: str, message: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError) as raised:
        kind(text)
    assert message in str(raised.value)


def test_paths(tmp_path: Path) -> None:
    file, none = tmp_path / "file", tmp_path / "none"
    file.write_text("")
    for kind, right, wrong, message in (
        (types.existing_file, file, none, "expected an existing file, got '{}', which does not exist"),
        (types.existing_file, file, tmp_path, "expected an existing file, got '{}', which is a folder"),
        (types.existing_folder, tmp_path, file, "expected an existing folder, got '{}', which is a file"),
        (types.existing_path, file, none, "expected an existing file or folder, got '{}', which does not exist"),
        (types.output_file, none, tmp_path, "expected a file to write, got '{}', a folder"),
        (types.output_folder, none, file, "expected a folder to write, got '{}', a file"),
    ):
        assert kind(str(right)) == right
        with pytest.raises(argparse.ArgumentTypeError) as raised:
            kind(str(wrong))
        assert str(raised.value) == message.format(wrong)
    assert types.output_file(str(file)) == file
    assert types.output_folder(str(tmp_path)) == tmp_path
