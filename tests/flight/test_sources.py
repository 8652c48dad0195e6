"""The sources of flight run no text as code, and unpickle nothing."""

from __future__ import annotations

import ast
import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

FLIGHT = Path(__file__).parents[2] / "flight"


_MODULES = {"pickle", "marshal", "shelve", "yaml", "dill", "cloudpickle", "joblib"}
_FUNCTIONS = {"eval", "exec", "compile", "__import__"}
_OS_FUNCTIONS = {"system", "popen"}


def _violations(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """(line, what) for whatever runs text as code or builds objects out of bytes."""
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
            if node.module == "os":
                names += [f"os.{alias.name}" for alias in node.names]
        for name in names:
            if name.split(".")[0] in _MODULES or name in {f"os.{function}" for function in _OS_FUNCTIONS}:
                yield node.lineno, f"import of {name}"
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        keywords = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
        if called in _FUNCTIONS or called in {f"os.{function}" for function in _OS_FUNCTIONS}:
            yield node.lineno, f"call of {called}"
        if keywords.get("shell", "False") != "False":
            yield node.lineno, f"shell=True in {called}"
        if called in ("np.load", "numpy.load") and keywords.get("allow_pickle") != "False":
            yield node.lineno, f"{called} without allow_pickle=False"


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from marshal import loads",
        "import yaml.loader",
        "eval('1')",
        "exec(x)",
        "compile(x, '', 'exec')",
        "os.system('ls')",
        "from os import system",
        "subprocess.run(x, shell=True)",
        "Popen(x, shell=flag)",
        "np.load(p)",
        "numpy.load(p, allow_pickle=True)",
    ],
)
def test_the_check_of_the_sources_sees_what_it_is_for(source: str) -> None:
    assert list(_violations(ast.parse(source)))


def test_nothing_in_flight_runs_text_or_unpickles() -> None:
    paths = list(FLIGHT.rglob("*.py"))
    assert len(paths) > 40
    found = itertools.chain.from_iterable(
        ((path, *violation) for violation in _violations(ast.parse(path.read_text(encoding="utf-8")))) for path in paths
    )
    assert list(found) == []
