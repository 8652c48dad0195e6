"""flight stands alone: neither ground_tools nor hil nor TensorFlow is needed to import any of it."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BLOCKED = (
    "ground_tools",
    "hil",
    "tensorflow",
    "keras",
    "bpy",
    "PIL",
    "scipy",
    "pyarrow",
    "jsonschema",
    "tifffile",
    "astropy",
    "pdr",
)
HIL_PARTS = sorted(
    {path.stem for path in (ROOT / "hil").iterdir()} - {"__init__", "__pycache__", "images", "py", "typed"}
)
PROGRAM = f"""
import importlib, pkgutil, sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {BLOCKED}:
            raise ImportError("blocked: " + name)
sys.meta_path.insert(0, Blocker())
import flight
names = [m.name for m in pkgutil.walk_packages(flight.__path__, "flight.")]
for name in names:
    importlib.import_module(name)
print(len(names))
"""


def test_every_module_of_flight_imports_alone() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 20


@pytest.mark.parametrize(
    ("package", "forbidden"),
    [
        ("flight", ("ground_tools", "hil", "tensorflow", "keras")),
        ("flight/inference", ("zmq", "flight.service", "flight.client")),
        ("flight/icd", ("zmq", "flight.service", "flight.client", "flight.inference")),
        ("flight/client", ("flight.service", "flight.inference")),
        # The reader of images is all that they share with the kit.
        ("ground_tools", ("flight.service", *(f"hil.{part}" for part in HIL_PARTS))),
        ("hil", ("flight.service", "flight.inference", "ground_tools")),
        ("hil/images", ("flight.service", "flight.inference", *(f"hil.{part}" for part in HIL_PARTS))),
    ],
)
def test_imports_go_one_way(package: str, forbidden: tuple[str, ...]) -> None:
    for path in (ROOT / package).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            modules = []
            if isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                modules = [node.module or ""]
            for module in modules:
                for name in forbidden:
                    assert module != name, f"{path} imports {module}"
                    assert not module.startswith(name + "."), f"{path} imports {module}"
