"""How flight.service is built: what it loads, who owns what, and how large its rooms are."""

from __future__ import annotations

import subprocess
import sys


def test_the_service_loads_neither_an_engine_nor_opencv() -> None:
    program = "import sys, flight.service.server; print(*sys.modules, sep='\\n')"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded = done.stdout.split()
    assert "flight.service.server" in loaded
    for name in loaded:
        assert name.split(".")[0] not in ("cv2", "ai_edge_litert", "tflite_runtime")
        assert not name.startswith("flight.inference"), name
