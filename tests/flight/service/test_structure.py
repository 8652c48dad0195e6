"""How flight.service is built: what it loads, who owns what, who knows whom, and how large its parts are."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import get_type_hints
from unittest.mock import Mock, create_autospec

import pytest

from flight.icd.catalogue import COMMANDS, EVENTS, REPLY_CODES
from flight.service.command_desk import CommandDesk
from flight.service.commands import Handler
from flight.service.statistics import Counters

FOLDER = Path(__file__).parents[3] / "flight" / "service"
TREES = {path.stem: ast.parse(path.read_text(encoding="utf-8")) for path in FOLDER.glob("*.py")}
# Commands that wait for the record to be written, beside those that take time.
STORED = ("set_parameter", "set_parameters", "set_mode")
PARTS = ("state", "serving_bundle", "frame_line", "worker_care", "bundle_care", "housekeeping", "command_desk")


def nodes(kind: type[ast.AST] | tuple[type[ast.AST], ...]) -> Iterator[tuple[str, ast.AST]]:
    for name, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, kind):
                yield name, node


def imported(name: str) -> set[str]:
    """The modules of flight.service that one of them imports."""
    found = set()
    for node in ast.walk(TREES[name]):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("flight.service."):
            found.add(str(node.module).removeprefix("flight.service."))
    return found


def test_the_service_loads_neither_an_engine_nor_opencv_nor_numpy() -> None:
    program = "import sys, flight.service.server; print(*sys.modules, sep='\\n')"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded = done.stdout.split()
    assert "flight.service.server" in loaded
    for name in loaded:
        assert name.split(".")[0] not in ("cv2", "numpy", "ai_edge_litert", "tflite_runtime")
        assert not name.startswith("flight.inference"), name


def test_nobody_assigns_an_attribute_of_another_object() -> None:
    count = 0
    for name, node in nodes((ast.Assign, ast.AugAssign, ast.AnnAssign)):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        for target in ast.walk(ast.Tuple(targets)):
            if isinstance(target, ast.Attribute) and isinstance(target.ctx, ast.Store):
                count += 1
                owner = ast.unparse(target.value)
                assert owner == "self", f"{name}.py line {node.lineno}: {owner} has an owner of its own"
    assert count > 100


def test_no_class_and_no_function_is_too_large() -> None:
    for name, node in nodes((ast.ClassDef, ast.FunctionDef)):
        limit = 300 if isinstance(node, ast.ClassDef) else 60
        lines = node.end_lineno - node.lineno + 1
        assert lines <= limit, f"{name}.py: {node.name} has {lines} lines, at most {limit} are wanted"


def test_a_part_knows_only_parts_that_are_built_before_it() -> None:
    for position, part in enumerate(PARTS):
        assert not imported(part) & {*PARTS[position:], "assembly", "server"}, part


def test_the_modules_import_each_other_in_no_circle() -> None:
    left = {name: imported(name) for name in TREES}
    while left:
        free = {name for name, needs in left.items() if not needs & set(left)}
        assert free, f"circle among {sorted(left)}"
        left = {name: needs for name, needs in left.items() if name not in free}


def calls(*names: str) -> Iterator[tuple[str, ast.Call]]:
    """(module and line, call) of every call of a function, class or method of one of these names."""
    for module, node in nodes(ast.Call):
        called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", None)
        if called in names and node.args:
            yield f"{module}.py line {node.lineno}", node


def event_calls() -> list[tuple[str, ast.Call]]:
    """Every place where an event is sent or made; other sockets and the sink itself have a `send` too."""
    return [
        (place, call)
        for place, call in calls("send", "Event")
        if not place.startswith("events.py")
        and ("events" in ast.unparse(call.func) or ast.unparse(call.func) == "Event")
    ]


def test_every_event_is_sent_with_the_arguments_of_the_catalogue() -> None:
    """A wrong name or argument would end the service, and only when it comes to that."""
    sent = set()
    for place, call in event_calls():
        assert len(call.args) == 1, f"{place}: expected the event's name and arguments by name"
        assert isinstance(call.args[0], ast.Constant), f"{place}: expected a literal name"
        definition = EVENTS[call.args[0].value]
        given = {keyword.arg for keyword in call.keywords}
        declared = {argument.name for argument in definition.arguments}
        assert None not in given, f"{place}: expected the arguments by name"
        assert declared - definition.optional <= given <= declared, f"{place}: {definition.name}: {given}"
        # One that may be None is left out then: a format must do without it.
        certain = {keyword.arg for keyword in call.keywords if "None" not in ast.unparse(keyword.value)}
        assert definition.choose_format(certain), f"{place}: {definition.name}: no format for {certain}"
        sent.add(definition.name)
    assert sent == set(EVENTS)


def test_every_counter_that_is_named_exists() -> None:
    counters = {ast.literal_eval(call.args[0]) for _, call in calls("count") if "counters" in ast.unparse(call.func)}
    assert counters == {field.name for field in fields(Counters)}


def test_every_reply_code_that_is_named_exists() -> None:
    codes = {
        ast.literal_eval(call.args[0])
        for _, call in calls("CommandError", "Outcome")
        if isinstance(call.args[0], ast.Constant)
    }
    assert codes == set(REPLY_CODES) - {"ok"}


@pytest.fixture(scope="module")
def handlers() -> Mapping[str, Handler]:
    """The handlers of a desk whose neighbours have their methods' signatures, and nothing behind them."""
    parts = {
        name: create_autospec(kind, instance=True)
        for name, kind in get_type_hints(CommandDesk.__init__).items()
        if isinstance(kind, type) and name != "return"
    }
    return CommandDesk(commands=Mock(), shutdown=Mock(), **parts).handlers


def test_every_command_has_a_handler(handlers: Mapping[str, Handler]) -> None:
    assert list(handlers) == list(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_handler_takes_the_arguments_of_its_command(handlers: Mapping[str, Handler], name: str) -> None:
    signature = inspect.signature(handlers[name])
    assert list(signature.parameters) == [argument.name for argument in COMMANDS[name].arguments]
    waits = COMMANDS[name].takes_time or name in STORED
    assert signature.return_annotation == ("Procedure" if waits else "dict[str, Any]")
