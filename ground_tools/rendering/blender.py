"""Blender as a module, which leaves Python's search path as it was but for its end.

Blender puts the folders of its own scripts first. A process that is started with this search path, as multiprocessing
does, would find Blender's scripts under the name bpy, and no Blender.
"""

from __future__ import annotations

import sys

_before = list(sys.path)

import bpy  # noqa: E402
import mathutils  # noqa: E402

sys.path[:] = [*_before, *(folder for folder in sys.path if folder not in _before)]

__all__ = ["bpy", "mathutils"]
