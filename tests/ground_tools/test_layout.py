"""Layout: folders import each other in one direction, and no file or function grows beyond what is read at once."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "ground_tools"
# From the bottom to the top: a folder imports from those before it alone, so that there can be no circle.
LAYERS = (
    "foundation",
    "labels",
    "metrics",
    "pages",
    "bodies",
    "datasets",
    "rendering",
    "labelling",
    "networks",
    "training",
    "evaluation",
    "monitoring",
    "export",
    "own_networks",
    "missions",
    "benchmark",
    "commands",
)
MOST_LINES_OF_A_FILE, MOST_LINES_OF_A_FUNCTION = 450, 60
# As a comment in the function or on the line above it; of a file, at the start of a line.
REASON = "# Long because "


def modules(package: Path) -> list[Path]:
    return sorted(package.rglob("*.py"))


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Line and dotted name of every import in a file, those inside functions and of type checkers among them."""
    module = path.relative_to(ROOT).with_suffix("").parts
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(module[: len(module) - node.level]) if node.level else ""
            origin = ".".join(part for part in (base, node.module) if part)
            yield from ((node.lineno, f"{origin}.{alias.name}") for alias in node.names)


def folder_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE).parts
    return parts[0] if len(parts) > 1 else ""


def test_every_module_lies_in_a_folder_of_a_layer() -> None:
    assert {folder_of(path) for path in modules(PACKAGE)} == {"", *LAYERS}
    assert sorted(path.name for path in PACKAGE.glob("*.py")) == ["__init__.py", "cli.py"]


def test_the_program_knows_the_commands_alone() -> None:
    imported = [name for _, name in imports(PACKAGE / "cli.py") if name.startswith("ground_tools.")]
    assert imported
    assert {name.split(".")[1] for name in imported} == {"commands"}


@pytest.mark.parametrize("folder", LAYERS)
def test_a_folder_imports_lower_layers_alone(folder: str) -> None:
    allowed = LAYERS[: LAYERS.index(folder) + 1]
    seen = 0
    for path in modules(PACKAGE / folder):
        for line, name in imports(path):
            parts = name.split(".")
            if parts[0] == "ground_tools":
                seen += 1
                assert len(parts) > 1, f"{path}:{line}: expected a module of ground_tools, got the whole package"
                assert parts[1] in allowed, f"{path}:{line}: expected one of {', '.join(allowed)}, got {name}"
    assert seen or folder in ("foundation", "labels", "metrics", "networks")


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


@pytest.mark.parametrize("package", ["flight", "ground_tools", "hil"])
def test_files_and_functions_can_be_read_at_once(package: str) -> None:
    too_long = []
    for path in modules(ROOT / package):
        lines = path.read_text(encoding="utf-8").splitlines()
        if len(lines) > MOST_LINES_OF_A_FILE and not any(line.startswith(REASON) for line in lines):
            too_long.append(f"{path}: {len(lines)} lines")
        for node in functions(path):
            assert node.end_lineno is not None
            length = node.end_lineno - node.lineno + 1
            first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            beside = lines[max(first - 2, 0) : node.end_lineno]
            if length > MOST_LINES_OF_A_FUNCTION and not any(line.strip().startswith(REASON) for line in beside):
                too_long.append(f"{path}:{node.lineno}: {node.name}: {length} lines")
    assert not too_long, "\n".join(too_long)
