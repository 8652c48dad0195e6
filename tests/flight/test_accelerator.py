"""An accelerator: it runs what was compiled for it, or nothing runs, and one line says why."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ground_tools.export.edgetpu_bundle import write_edgetpu_bundle
from tests.fake_edgetpu import build_library, write_compiler
from tests.flight.service.scenarios import answer, command, journaled_service

CONFIGURED = '[worker]\nrestart_limit = 1\naccelerator = "edgetpu"\n'
NO_DEVICE = "accelerator edgetpu: libedgetpu.so.1: expected a device that it can open, got none (no device)"


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a stand-in for the Edge TPU's library."""
    return build_library(tmp_path_factory.mktemp("library"))


@pytest.fixture(scope="module")
def compiled_bundle(tmp_path_factory: pytest.TempPathFactory, closed_form_bundle: Path) -> Path:
    """A bundle that a stand-in for the compiler went over; it did not take the networks' whole passes."""
    folder = tmp_path_factory.mktemp("compiled")
    write_edgetpu_bundle(closed_form_bundle, folder / "edgetpu", None, str(write_compiler(folder, "First.tflite")))
    return folder / "edgetpu"


def environment_with(library: Path, **variables: str) -> dict[str, str]:
    return {**os.environ, "LD_LIBRARY_PATH": str(library), **variables}


def check(bundle: Path, accelerator: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    arguments = ["check", "--bundle", str(bundle), "--accelerator", accelerator]
    command = [sys.executable, "-m", "flight.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


def write_broken(kind: str, folder: Path, library: Path) -> dict[str, str]:
    """An environment with a library of a kind, in a folder."""
    folder.mkdir()
    if kind == "no library":
        (folder / "libedgetpu.so.1").write_bytes(b"\x7fELF and no more")
    elif kind == "no delegate":
        (folder / "empty.c").write_text("int nothing;\n")
        command = ["cc", "-shared", "-fPIC", "-o", str(folder / "libedgetpu.so.1"), str(folder / "empty.c")]
        subprocess.run(command, check=True, capture_output=True)
    elif kind == "no device":
        shutil.copy(library / "libedgetpu.so.1", folder)
    return environment_with(folder, FAKE_EDGETPU="none")


BROKEN = {
    "absent": "libedgetpu.so.1: cannot open shared object file: No such file or directory",
    "no library": "libedgetpu.so.1: OSError: ",
    "no delegate": "undefined symbol: tflite_plugin_create_delegate",
    "no device": NO_DEVICE,
}


@pytest.mark.parametrize("kind", BROKEN)
def test_an_accelerator_that_does_not_work_is_told_in_one_line(
    compiled_bundle: Path, library: Path, tmp_path: Path, kind: str
) -> None:
    done = check(compiled_bundle, "edgetpu", write_broken(kind, tmp_path / "library", library))
    assert done.returncode == 2, done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith("flight check: accelerator edgetpu: libedgetpu.so.1: ")
    assert BROKEN[kind] in line


def test_a_bundle_that_was_not_compiled_is_refused(closed_form_bundle: Path, tiny_bundle: Path, library: Path) -> None:
    for bundle in (closed_form_bundle, tiny_bundle):
        done = check(bundle, "edgetpu", environment_with(library))
        assert done.returncode == 2
        (line,) = done.stderr.splitlines()[-1:]
        assert "expected a file compiled for edgetpu, got one that runs on the processor alone" in line


def test_what_is_compiled_runs_there_and_nowhere_else(compiled_bundle: Path, library: Path) -> None:
    """The self-test gives the class map that was recorded without the accelerator."""
    done = check(compiled_bundle, "edgetpu", environment_with(library))
    assert done.returncode == 0, done.stderr
    assert "self-test passed" in done.stdout
    without = check(compiled_bundle, "none", environment_with(library))
    assert without.returncode == 2
    assert "edgetpu-custom-op" in without.stderr.splitlines()[-1]


def test_the_service_does_not_run_on_the_cpu_instead(closed_form_bundle: Path, tmp_path: Path) -> None:
    with journaled_service(tmp_path, closed_form_bundle, CONFIGURED, "safe", dict(os.environ)) as (_, journal):
        cause = "accelerator edgetpu: libedgetpu.so.1: OSError: libedgetpu.so.1: cannot open shared object file"
        assert cause in journal.wait_for("worker_died")
        assert cause in journal.wait_for("safe_state_entered")


def test_the_service_serves_from_the_accelerator(compiled_bundle: Path, library: Path, tmp_path: Path) -> None:
    """Self-tests and the memory guard as ever."""
    with journaled_service(tmp_path, compiled_bundle, CONFIGURED, environment=environment_with(library)) as (
        service,
        journal,
    ):
        (product,) = answer(service, "accelerated")
        assert product.status != "invalid"
        assert product.header["engine"] == "closed_form"
        assert command(service, "self_test") == {"passed": True}
        assert not journal.messages("memory_unguarded")
        assert not journal.messages("worker_died")
