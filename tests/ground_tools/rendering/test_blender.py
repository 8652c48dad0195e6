"""Blender in a process that starts others."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PROGRAM = """
import multiprocessing, sys

def has_blender() -> bool:
    from ground_tools.rendering.blender import bpy
    return hasattr(bpy.app, "version")

if __name__ == "__main__":
    first = sys.path[0]
    assert has_blender() and sys.path[0] == first
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        print(pool.apply(has_blender))
"""


def test_a_process_that_has_blender_starts_others_that_have_it(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(PROGRAM)
    done = subprocess.run([sys.executable, tmp_path / "program.py"], capture_output=True, text=True, check=False)
    assert done.stdout == "True\n", done.stderr
