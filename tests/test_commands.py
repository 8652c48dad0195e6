"""The command lines of the three programs: every option explained, every command with examples that it takes."""

from __future__ import annotations

import argparse
import ast
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import flight.cli
import ground_tools.cli
import hil.cli
from flight.command_line import CommandParser

ROOT = Path(__file__).parents[1]
PROGRAMS = {module.build_parser().prog: module for module in (flight.cli, ground_tools.cli, hil.cli)}
# Started otherwise than by one of the three programs, with the reason.
OTHER_ENTRIES = {
    "flight/service/worker.py": "a process of the service, which starts it",
    "flight/icd/document.py": "writes generated files of the source tree, after a change of the code",
    "hil/bridge/document.py": "writes generated files of the source tree, after a change of the code",
    "hil/scenarios/document.py": "writes generated files of the source tree, after a change of the code",
    "flight/service/document.py": "writes generated files of the source tree, after a change of the code",
}
# Parsers that a command or an entry takes from elsewhere: options that commands share, and the one of both documents.
SHARED_PARSERS = ("ground_tools/commands/label.py", "flight/icd/generated_files.py")
# With these words a help text begins that only its neighbour makes understandable.
UNREADABLE_ALONE = ("as", "of", "for", "which", "whose", "with", "its", "their", "over", "only", "in", "these", "this")
# The packages of the extras: a program says what it is without them.
EXTRAS = ("bpy", "dask", "distributed", "embreex", "h5py", "keras", "matplotlib", "PIL", "prometheus_client")
EXTRAS += ("pyarrow", "scipy", "tensorflow", "tqdm", "trimesh", "msgspec", "tifffile", "astropy", "pdr")
EXTRAS += ("mcap", "mcap_protobuf", "foxglove_schemas_protobuf", "google", "zstandard", "tornado", "rerun", "Basilisk")
EXTRAS += ("spacepackets", "space_packet_parser", "rosbags", "mcap_ros2")


def parsers(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """A parser and all below it."""
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for child in action.choices.values():
                yield from parsers(child)


ALL = {parser.prog: parser for module in PROGRAMS.values() for parser in parsers(module.build_parser())}


def examples(parser: argparse.ArgumentParser) -> list[str]:
    """The command lines in the epilog, each in one line, without what goes to a file and what is said of it."""
    text = re.sub(r"\s*\\\n\s*", " ", parser.epilog or "")
    lines = re.findall(rf"^  ({parser.prog.split()[0]} .*)$", text, re.MULTILINE)
    return [re.split(r" {3,}| > ", line)[0] for line in lines]


@pytest.mark.parametrize("name", ALL)
def test_every_option_is_explained(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "10000")
    parser = ALL[name]
    # A long option has its help on the line below.
    text = re.sub(r"\n {20,}", "  ", parser.format_help())
    assert isinstance(parser, CommandParser)
    assert parser.description
    either = {action for group in parser._mutually_exclusive_groups for action in group._group_actions}
    for action in parser._actions:
        shown = "/".join(action.option_strings) or action.metavar or action.dest
        if isinstance(action, argparse._SubParsersAction):
            assert [choice.dest for choice in action._choices_actions if choice.help] == list(action.choices)
            continue
        assert action.help, f"{name}: {shown}: no help"
        if action.nargs == 0:
            continue
        first = action.help.split()[0]
        assert first not in UNREADABLE_ALONE, f"{name}: {shown}: begins with {first!r}, as if it went on from elsewhere"
        said = action.help.partition(" (default")[0].replace("%%", "%")
        begin = f"  {action.option_strings[0]} " if action.option_strings else "  "
        (line,) = [line for line in text.splitlines() if line.startswith(begin) and said in line]
        limits = getattr(action.type, "limits", "")
        assert limits in line, f"{name}: {shown}: limits not shown"
        # An option without a value of its own says in words what happens without it.
        if action.option_strings and not action.required and action not in either:
            assert re.search(r"[(;] ?default: \S", line), f"{name}: {shown}: no default shown"


@pytest.mark.parametrize("name", ALL)
def test_every_command_has_examples_that_it_takes(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for check in ("exists", "is_file"):
        monkeypatch.setattr(Path, check, lambda path: True)
    monkeypatch.setattr(Path, "is_dir", lambda path: "." not in path.name)
    lines = examples(ALL[name])
    assert lines, f"{name}: no examples"
    for line in lines:
        program, *arguments = shlex.split(line)
        assert line.startswith(name), f"{name}: {line}: an example of another command"
        PROGRAMS[program].build_parser().parse_args(arguments)


@pytest.mark.parametrize("module", [module.__name__ for module in PROGRAMS.values()])
def test_help_needs_no_extra(module: str) -> None:
    program = f"""
import runpy, sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {EXTRAS}:
            raise ModuleNotFoundError("blocked: " + name, name=name)
sys.meta_path.insert(0, Blocker())
sys.argv = ["program", "--help"]
runpy.run_module({module!r}, run_name="__main__")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert "examples:" in done.stdout


def test_a_missing_extra_is_named(tmp_path: Path) -> None:
    program = f"""
import runpy, sys
sys.modules["pyarrow"] = None
sys.argv = ["program", "dataset", "info", {str(tmp_path)!r}]
runpy.run_module("ground_tools.cli", run_name="__main__")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 2
    assert done.stderr.startswith("ground-tools dataset info: ")
    assert done.stderr.endswith("pip install 'rubblemap[render]'\n")
    assert done.stderr.count("\n") == 1


def test_every_program_is_reachable_from_the_three() -> None:
    entries = {f"{name}/cli.py" for name in ("flight", "ground_tools", "hil")} | set(OTHER_ENTRIES)
    found = set()
    for package in ("flight", "ground_tools", "hil"):
        for path in (ROOT / package).rglob("*.py"):
            name = path.relative_to(ROOT).as_posix()
            tree = ast.parse(path.read_text(encoding="utf-8"))
            guarded = any(isinstance(node, ast.If) and "__main__" in ast.unparse(node.test) for node in tree.body)
            makes_parser = any(
                isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("ArgumentParser", "CommandParser"))
                for node in ast.walk(tree)
            )
            if guarded:
                found.add(name)
            if guarded or path.name == "__main__.py":
                assert name in entries, f"{name}: a program of its own; make it a command of one of the three"
            if makes_parser:
                assert name in entries or name in SHARED_PARSERS, f"{name}: a parser of its own"
    assert found == entries
