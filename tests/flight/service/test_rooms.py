"""How flight.service is built: what it loads, who owns what, who knows whom, and how large its rooms are."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

from flight.icd.catalogue import EVENTS
from flight.service.command_desk import ARGUMENTS
from flight.service.statistics import Counters

FOLDER = Path(__file__).parents[3] / "flight" / "service"
TREES = {path.stem: ast.parse(path.read_text(encoding="utf-8")) for path in FOLDER.glob("*.py")}
ROOMS = ("state", "serving_bundle", "frame_line", "worker_care", "bundle_care", "housekeeping", "command_desk")


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


def test_the_service_loads_neither_an_engine_nor_opencv() -> None:
    program = "import sys, flight.service.server; print(*sys.modules, sep='\\n')"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded = done.stdout.split()
    assert "flight.service.server" in loaded
    for name in loaded:
        assert name.split(".")[0] not in ("cv2", "ai_edge_litert", "tflite_runtime")
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


def test_no_room_and_no_function_is_too_large() -> None:
    for name, node in nodes((ast.ClassDef, ast.FunctionDef)):
        limit = 300 if isinstance(node, ast.ClassDef) else 60
        lines = node.end_lineno - node.lineno + 1
        assert lines <= limit, f"{name}.py: {node.name} has {lines} lines, at most {limit} are wanted"


def test_a_room_knows_only_rooms_that_are_built_before_it() -> None:
    for position, room in enumerate(ROOMS):
        assert not imported(room) & {*ROOMS[position:], "rooms", "server"}, room


def test_the_modules_import_each_other_in_no_circle() -> None:
    left = {name: imported(name) for name in TREES}
    while left:
        free = {name for name, needs in left.items() if not needs & set(left)}
        assert free, f"circle among {sorted(left)}"
        left = {name: needs for name, needs in left.items() if name not in free}


def called_with_text(*methods: str) -> Iterator[tuple[str, str]]:
    """(module, first argument) of every call of a method with a literal text."""
    for name, node in nodes(ast.Call):
        if isinstance(node.func, ast.Attribute) and node.func.attr in methods and node.args:
            first = node.args[0]
            if isinstance(first, ast.Constant) and isinstance(first.value, str):
                yield name, first.value


def test_every_event_and_counter_that_is_named_exists() -> None:
    """A wrong name would end the service, and only when it comes to that."""
    events = list(called_with_text("send", "_lose"))
    assert len(events) > 25
    assert {event for _, event in events} <= set(EVENTS)
    counters = {counter for _, counter in called_with_text("count")}
    assert counters == {field.name for field in fields(Counters)}


def test_every_command_has_arguments_and_a_handler() -> None:
    desk = next(node for _, node in nodes(ast.ClassDef) if node.name == "CommandDesk")
    tables = [node for node in ast.walk(desk) if isinstance(node, ast.Dict) and len(node.keys) == len(ARGUMENTS)]
    assert [[ast.literal_eval(key) for key in table.keys] for table in tables] == [list(ARGUMENTS)]
