"""A TFLite runtime or another library that fails in whatever way: one line with the cause, everywhere."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.flight.service.scenarios import journaled_service

# What `import` meets: package, its source, and what has to be told.
_NUMPY_SAYS = (
    "A module that was compiled using NumPy 1.x cannot be run in NumPy 2.0.1\\nTraceback (most recent call last):"
)
IMPORTS = {
    "a missing shared library": (
        "ai_edge_litert",
        "raise ImportError('libusb-1.0.so.0: cannot open shared object file: No such file or directory')",
        "ai-edge-litert: ImportError: libusb-1.0.so.0: cannot open shared object file",
    ),
    "compiled for NumPy 1": (
        "ai_edge_litert",
        f"import sys\nsys.stderr.write('{_NUMPY_SAYS}')\nraise AttributeError('_ARRAY_API not found')",
        "AttributeError: _ARRAY_API not found (compiled for another NumPy than ",
    ),
    "the same, told otherwise": (
        "ai_edge_litert",
        f"import sys\nsys.stderr.write('{_NUMPY_SAYS}')\nraise ImportError('initialization failed')",
        "pip install 'numpy<2')",
    ),
    "a library that dlopen refuses": (
        "ai_edge_litert",
        'raise OSError("/lib/libc.so.6: version `GLIBC_2.34\' not found")',
        "OSError: /lib/libc.so.6: version `GLIBC_2.34' not found",
    ),
    "no exception set": (
        "ai_edge_litert",
        "raise SystemError('initialization of _pywrap_tensorflow_interpreter_wrapper\\nraised unreported exception')",
        "SystemError: initialization of _pywrap_tensorflow_interpreter_wrapper raised unreported exception",
    ),
    "an exit": ("ai_edge_litert", "raise SystemExit(3)", "ai-edge-litert: SystemExit: 3"),
    "without an interpreter": ("ai_edge_litert", "", "ai-edge-litert: AttributeError: "),
    "a package of its own missing": (
        "ai_edge_litert",
        "import not_there",
        "ai-edge-litert: No module named 'not_there'",
    ),
    "a constructor that takes nothing": (
        "ai_edge_litert",
        "class Interpreter:\n    pass",
        "TFLite runtime: TypeError: Interpreter() takes no arguments",
    ),
    "an OpenCV with a screen": (
        "cv2",
        "raise ImportError('libGL.so.1: cannot open shared object file: No such file or directory')",
        "libraries of the engine: ImportError: libGL.so.1: cannot open shared object file",
    ),
}


def environment_with(folder: Path, package: str, source: str) -> dict[str, str]:
    """An environment in which a package is ours."""
    (folder / package).mkdir(parents=True)
    (folder / package / "__init__.py").write_text("" if package == "ai_edge_litert" else source)
    if package == "ai_edge_litert":
        (folder / package / "interpreter.py").write_text(source)
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])}


@pytest.mark.parametrize("kind", IMPORTS)
@pytest.mark.parametrize("command", ["check", "segment"])
def test_a_library_that_fails_is_told_in_one_line(plain_bundle: Path, tmp_path: Path, kind: str, command: str) -> None:
    package, source, cause = IMPORTS[kind]
    image = str(plain_bundle / "image.png")
    extra = ["--out", str(tmp_path / "out"), image] if command == "segment" else []
    done = subprocess.run(
        [sys.executable, "-m", "flight.cli", command, "--bundle", str(plain_bundle), *extra],
        capture_output=True,
        text=True,
        env=environment_with(tmp_path / "packages", package, source),
        check=False,
    )
    assert done.returncode == 2, done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"flight {command}: ")
    assert cause in line


def test_each_runtime_that_is_there_is_told(plain_bundle: Path, tmp_path: Path) -> None:
    environment_with(tmp_path, "ai_edge_litert", "raise ImportError('one')")
    (tmp_path / "tflite_runtime").mkdir()
    (tmp_path / "tflite_runtime" / "interpreter.py").write_text("raise OSError('other')")
    program = f"""
import sys
sys.path.insert(0, {str(tmp_path)!r})
from flight.inference.interpreter import make_interpreter
make_interpreter(b"", 1)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    wanted = "LibraryError: no TFLite runtime: ai-edge-litert: ImportError: one; tflite-runtime: OSError: other"
    assert done.stderr.splitlines()[-1].endswith(wanted)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["compiled for NumPy 1", "no exception set", "an OpenCV with a screen"])
def test_the_service_tells_why_no_worker_starts(plain_bundle: Path, tmp_path: Path, kind: str) -> None:
    package, source, cause = IMPORTS[kind]
    environment = environment_with(tmp_path / "packages", package, source)
    settings = "[worker]\nrestart_limit = 1\n"
    with journaled_service(tmp_path, plain_bundle, settings, "safe", environment) as (_, journal):
        assert cause in journal.wait_for("worker_died")
        assert cause in journal.wait_for("safe_state_entered")
        assert not journal.messages("bundle_refused")


def test_a_worker_that_a_library_kills_is_told_with_the_signal(plain_bundle: Path, tmp_path: Path) -> None:
    source = "import os, signal\nos.kill(os.getpid(), signal.SIGILL)"
    environment = environment_with(tmp_path / "packages", "ai_edge_litert", source)
    settings = "[worker]\nrestart_limit = 1\n"
    with journaled_service(tmp_path, plain_bundle, settings, "safe", environment) as (_, journal):
        assert "signal SIGILL: a library was built for another processor" in journal.wait_for("safe_state_entered")


def test_a_bundle_that_no_worker_takes_is_the_reason_for_the_safe_state(plain_bundle: Path, tmp_path: Path) -> None:
    """Whatever the first worker said, and not the status that it ended with."""
    change = tmp_path / "python"
    change.mkdir()
    (change / "sitecustomize.py").write_text(
        "import sys\nif 'flight.service.worker' in sys.orig_argv:\n"
        "    import flight.bundle as bundle\n"
        "    def refuse(*_):\n        raise bundle.BundleError('network Only: refused')\n"
        "    bundle.parse_bundle = refuse\n"
    )
    with journaled_service(
        tmp_path, plain_bundle, "[worker]\nrestart_limit = 1\n", "safe", {"PYTHONPATH": f"{change}:{Path.cwd()}"}
    ) as (_, journal):
        assert "network Only: refused" in journal.wait_for("bundle_refused")
        assert "the last one: network Only: refused" in journal.wait_for("safe_state_entered")
