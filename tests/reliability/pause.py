"""Campaign: the machine stands still again and again, as a paused virtual machine does, idle and under frames."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from pathlib import Path
from typing import Any

from tqdm import tqdm

from flight.icd.products import Product
from tests.flight.service_process import RunningService, running_service
from tests.reliability.common import OfflineAnswers, product_digest
from tests.tiny_bundle import body_frame

_HANG_TIMEOUT_S = 1.0
# Longer than any limit on a worker's silence.
_LENGTHS_S = (1.5, 3.0)
# From one process going on to the next: one of them is always the first.
_STAGGER_S = 0.05
_FRAME = body_frame(40, 60, 14)


def run(folder: Path, bundle: Path, pauses: int) -> dict[str, Any]:
    """Stop service and worker together so many times, half of them under frames; every product is compared."""
    settings = f"[worker]\nhang_timeout_s = {_HANG_TIMEOUT_S}\n[parameters]\nentropy_factor = 100\n"
    generator, products = random.Random(5), []
    lost, stop = 0, threading.Event()
    with running_service(folder, bundle, settings) as service:
        camera = threading.Thread(target=_feed, args=(service, stop, products))
        for number in tqdm(range(pauses), desc="pauses", unit="pause"):
            if number == pauses // 2:
                camera.start()
            before = service.wait_for(lambda status: status["state"] == "ready")
            time.sleep(generator.uniform(0.0, 0.3))
            pids = [service.process.pid, before["worker_pid"]]
            generator.shuffle(pids)
            _stand_still(pids, generator.uniform(*_LENGTHS_S))
            # Time to notice, and to come back.
            time.sleep(_HANG_TIMEOUT_S)
            after = service.command("get_status")
            lost += after["counters"]["worker_restarts"] - before["counters"]["worker_restarts"]
        stop.set()
        camera.join()
    answers = OfflineAnswers(bundle, entropy_factor=100.0)
    wrong = sum(
        product.status == "invalid"
        or product_digest(product) != answers.digest(_FRAME, product.header["seed"], product.topic)
        for product in products
    )
    return {"pauses": pauses, "pause_workers_lost": lost, "pause_products": len(products), "pause_wrong_maps": wrong}


def _stand_still(pids: list[int], seconds: float) -> None:
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    time.sleep(seconds)
    for pid in pids:
        os.kill(pid, signal.SIGCONT)
        time.sleep(_STAGGER_S)


def _feed(service: RunningService, stop: threading.Event, products: list[Product]) -> None:
    """One frame after another."""
    with service.camera(source="pause") as camera, service.subscriber("map.navigation") as subscriber:
        while not stop.is_set():
            camera.send(_FRAME, centered=True, timeout_s=10)
            product = subscriber.receive(20)
            if product is not None:
                products.append(product)
