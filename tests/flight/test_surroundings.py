"""The service in surroundings that are not the usual: folders, masks, environment."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.flight.service_process import running_service
from tests.tiny_bundle import body_frame


@contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


@pytest.mark.parametrize(
    ("mask", "environment"),
    [
        (0o077, {"PYTHONOPTIMIZE": "1", "HOME": "/nonexistent", "TMPDIR": "long"}),
        (0o000, {"PYTHONOPTIMIZE": "2", "HOME": "", "LC_ALL": "C", "TZ": "nowhere", "PATH": ""}),
    ],
)
def test_the_service_serves_in_odd_surroundings(
    tiny_bundle: Path, tmp_path: Path, mask: int, environment: dict[str, str]
) -> None:
    if environment.get("TMPDIR"):
        long = tmp_path / ("x" * (130 - len(str(tmp_path))))
        long.mkdir()
        environment = {**environment, "TMPDIR": str(long)}
    state = tmp_path / "state"
    with umask(mask):
        service_of = running_service(tmp_path, tiny_bundle, f'[storage]\nstate = "{state}"\n', environment=environment)
        with service_of as service, service.subscriber("map.navigation") as products, service.camera() as camera:
            camera.send(body_frame(40, 60, 14), centered=True)
            product = products.receive(30.0)
            assert product is not None
            assert product.status != "invalid"
            # Nobody else may write what the service keeps, whatever the mask: its folders are its own.
            kept = [state, *(path for path in state.rglob("*") if path.is_dir()), *state.glob("*")]
            assert {"record.a", "identity", "bundles"} <= {path.name for path in kept}
            for path in kept:
                assert path.stat().st_mode & 0o022 == 0, path
    assert service.process.returncode == 0


def test_without_a_temporary_folder_it_is_one_line(tiny_bundle: Path) -> None:
    program = (
        "import sys, tempfile\n"
        "from flight.cli import main\n"
        "tempfile._candidate_tempdir_list = lambda: ['/proc/none']\n"
        "sys.exit(main(sys.argv[1:]))"
    )
    command = [sys.executable, "-c", program, "serve", "--bundle", str(tiny_bundle)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2
    assert done.stderr.startswith("flight serve: ")
    assert "No usable temporary directory found" in done.stderr
    assert done.stderr.count("\n") == 1
    assert tempfile.gettempdir()
