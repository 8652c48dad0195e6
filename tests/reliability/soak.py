"""Campaign: many frames, one after another, while subscribers come and go."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tqdm import tqdm

from flight.client import Subscriber
from tests.flight.service_process import running_service
from tests.reliability.common import open_descriptors, resident_bytes
from tests.tiny_bundle import body_frame

_FRAME = body_frame(40, 60, 14)
_CHURN = 100


def run(folder: Path, bundle: Path, frames: int) -> dict[str, Any]:
    """Answer so many frames. Memory and descriptors: median of the last tenth against that of the second tenth."""
    memory, descriptors = [], []
    with (
        running_service(folder, bundle, "[parameters]\npasses = 1\n") as service,
        service.camera(source="soak") as camera,
        service.subscriber("map.navigation", "map.hazard", newest=False) as products,
    ):
        status = service.command("get_status")
        pids = (service.process.pid, status["worker_pid"])
        visitor = None
        for number in tqdm(range(frames), desc="soak", unit="frame"):
            camera.send(_FRAME, centered=True)
            for _ in range(2):
                product = products.receive(10)
                if product is None:
                    raise RuntimeError(f"frame {number}: no product within 10 s")
            if number % _CHURN == 0:
                if visitor is not None:
                    visitor.close()
                visitor = Subscriber(service.endpoints["products"], ("map.hazard",), newest=bool(number % 200))
            if number % max(frames // 200, 1) == 0:
                memory.append(resident_bytes(*pids))
                descriptors.append(open_descriptors(*pids))
        if visitor is not None:
            visitor.close()
        after = service.command("get_status")
        tenth = max(len(memory) // 10, 1)
        return {
            "frames_soaked": frames,
            "rss_growth": round(_median(memory[-tenth:]) / _median(memory[tenth : 2 * tenth]) - 1.0, 5),
            "descriptor_growth": int(_median(descriptors[-tenth:]) - _median(descriptors[tenth : 2 * tenth])),
            "sequence_gaps": products.statistics.lost,
            "soak_worker_restarts": after["counters"]["worker_restarts"],
        }


def _median(values: list[int]) -> float:
    return float(sorted(values)[len(values) // 2])
