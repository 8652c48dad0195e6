"""The C++ library: builds without warnings, decodes the golden vectors, and hears the real service."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import numpy as np
import pytest

from tests.flight.service_process import running_service

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A build with warnings as errors, and the sanitizers on."""
    folder = tmp_path_factory.mktemp("build")
    flags = "-DCMAKE_CXX_FLAGS=-fsanitize=address,undefined -fno-sanitize-recover=all"
    for command in (
        ["cmake", "-S", str(ROOT), "-B", str(folder), "-DRUBBLEMAP_WARNINGS_AS_ERRORS=ON", flags],
        ["cmake", "--build", str(folder), "--parallel", "2"],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_ctest_passes(build: Path) -> None:
    done = subprocess.run(
        ["ctest", "--test-dir", str(build), "--output-on-failure"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "100% tests passed" in done.stdout


def test_the_cpp_consumer_agrees_with_the_python_one(build: Path, tiny_bundle: Path, tmp_path: Path) -> None:
    frame = np.random.default_rng(7).integers(0, 255, (64, 96), dtype=np.uint8)
    with running_service(tmp_path, tiny_bundle) as service:
        consumer = subprocess.Popen(
            [str(build / "rubblemap_watch"), service.endpoints["products"], "3"], stdout=subprocess.PIPE, text=True
        )
        expected = []
        with service.subscriber("map.hazard") as products, service.camera() as camera:
            time.sleep(0.5)
            for _ in range(3):
                camera.send(frame, centered=True)
                product = products.receive(20)
                clearance = product.planes["clearance"].astype(np.float64)
                v, u = divmod(int(clearance.argmax()), clearance.shape[1])
                a, b, c, d, e, f = product.header["map_to_sensor"]
                expected.append(
                    f"frame {product.header['frame_id']}: clearance {clearance.max():.1f} map px at sensor pixel "
                    f"{a * u + b * v + c:.1f} {d * u + e * v + f:.1f}"
                )
        output, _ = consumer.communicate(timeout=30)
    assert consumer.returncode == 0
    assert output.splitlines() == expected
