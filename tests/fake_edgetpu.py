"""Stand-ins for what the project cannot have: the Coral Edge TPU's library and compiler.

`python -m tests.fake_edgetpu --out_dir DIR FILE...` compiles as edgetpu_compiler is called. Its part for the Edge TPU
copies the image, or the first feature, which the library of fake_edgetpu.c can run.
"""

from __future__ import annotations

import copy
import subprocess
import sys
from pathlib import Path

from ai_edge_litert import schema_py_generated as schema

from ground_tools.export.tflite_graph import Operators, SourceGraph

_OPERATOR = b"edgetpu-custom-op"
_LIBRARY = Path(__file__).with_suffix(".c")


def build_library(folder: Path) -> Path:
    """Compile libedgetpu.so.1 into a folder, to be put on LD_LIBRARY_PATH; returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    command = ["cc", "-shared", "-fPIC", "-o", str(folder / "libedgetpu.so.1"), str(_LIBRARY)]
    subprocess.run(command, check=True, capture_output=True)
    return folder


def compile_file(content: bytes) -> bytes:
    """The file with a custom operator before whatever reads its first input."""
    source = SourceGraph(content)
    model, graph = source.model, source.graph
    first = int(graph.inputs[0])
    copied = copy.copy(graph.tensors[first])
    copied.name = b"copied"
    graph.tensors.append(copied)
    number = len(graph.tensors) - 1
    for operator in graph.operators:
        operator.inputs = [number if int(i) == first else int(i) for i in operator.inputs]
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = Operators.CUSTOM
    code.customCode, code.version = _OPERATOR, 1
    model.operatorCodes.append(code)
    custom = schema.OperatorT()
    custom.opcodeIndex, custom.inputs, custom.outputs = len(model.operatorCodes) - 1, [first], [number]
    return source.reorder([custom, *graph.operators])


def write_compiler(folder: Path, refuse: str = "") -> Path:
    """Write the program; it fails for files in whose name `refuse` is."""
    folder.mkdir(parents=True, exist_ok=True)
    path, root = folder / "edgetpu_compiler", Path(__file__).parents[1]
    test = f'case "$*" in *{refuse}*) echo "Internal compiler error. Aborting!" >&2; exit 1;; esac\n' if refuse else ""
    path.write_text(f'#!/bin/sh\n{test}PYTHONPATH={root} exec {sys.executable} -m tests.fake_edgetpu "$@"\n')
    path.chmod(0o755)
    return path


if __name__ == "__main__":
    out = Path(sys.argv[sys.argv.index("--out_dir") + 1])
    for argument in sys.argv[sys.argv.index("--out_dir") + 2 :]:
        name = Path(argument)
        (out / f"{name.stem}_edgetpu.tflite").write_bytes(compile_file(name.read_bytes()))
