"""Campaign: the worker killed again and again under a stream of frames."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from pathlib import Path
from typing import Any

from tqdm import tqdm

from flight.client import Commander
from flight.icd.products import Product
from tests.flight.service_process import RunningService, running_service
from tests.reliability.common import OfflineAnswers, product_digest
from tests.tiny_bundle import body_frame

_RATE_HZ = 5.0
_SIGNALS = (signal.SIGKILL, signal.SIGSEGV, signal.SIGSTOP)
_LIMIT_S = 3.0
_FRAMES = [body_frame(40, 60, 14, seed) for seed in range(20)]
_TOPICS = ("map.navigation", "map.hazard")


def run(folder: Path, bundle: Path, kills: int) -> dict[str, Any]:
    """Kill the worker so many times; every kill must be followed by a valid product within three seconds."""
    settings = "[worker]\nrestart_limit = 100000\n[parameters]\nentropy_factor = 100\n"
    products: list[tuple[float, Product]] = []
    stop = threading.Event()
    commands = {"sent": 0, "answered": 0}
    with running_service(folder, bundle, settings) as service:
        threads = [
            threading.Thread(target=_stream, args=(service, stop)),
            threading.Thread(target=_collect, args=(service, stop, products)),
            threading.Thread(target=_command, args=(service, stop, commands)),
        ]
        for thread in threads:
            thread.start()
        waits = _kill(service, kills, products)
        stop.set()
        for thread in threads:
            thread.join()
    answers = OfflineAnswers(bundle)
    wrong = 0
    for _, product in tqdm(products, desc="offline answers", unit="product"):
        if product.status == "invalid":
            wrong += product.planes != {}
            continue
        frame = _FRAMES[product.header["frame_id"] % len(_FRAMES)]
        expected = answers.digest(frame, product.header["seed"], product.topic)
        wrong += product_digest(product) != expected
    ordered = sorted(waits)
    return {
        "kills": kills,
        "kills_recovered": sum(wait <= _LIMIT_S for wait in waits),
        "kill_recovery_s": {"median": round(ordered[len(ordered) // 2], 2), "longest": round(ordered[-1], 2)},
        "products_compared": len(products),
        "wrong_maps": wrong,
        "commands_sent": commands["sent"],
        "commands_lost": commands["sent"] - commands["answered"],
    }


def _kill(service: RunningService, kills: int, products: list[tuple[float, Product]]) -> list[float]:
    generator = random.Random(7)
    waits = []
    for number in tqdm(range(kills), desc="kills", unit="kill"):
        status = service.wait_for(lambda s: s["state"] == "ready" and s["worker_pid"] is not None, 30)
        killed = time.monotonic()
        os.kill(status["worker_pid"], _SIGNALS[number % len(_SIGNALS)])
        deadline = killed + 30.0
        while time.monotonic() < deadline:
            after = [came for came, product in products[-40:] if _answered_after(came, product, killed)]
            if after:
                break
            time.sleep(0.02)
        waits.append((min(after) if after else deadline) - killed)
        time.sleep(generator.uniform(0.0, 0.4))
    return waits


def _answered_after(came: float, product: Product, killed: float) -> bool:
    """Whether a valid product was made after the kill: its frame was sent after it."""
    return came > killed and product.status == "valid" and product.header["capture_time_ns"] > killed * 1e9


def _stream(service: RunningService, stop: threading.Event) -> None:
    with service.camera(source="kills") as camera:
        while not stop.wait(1.0 / _RATE_HZ):
            frame = _FRAMES[camera.next_frame_id % len(_FRAMES)]
            camera.send(frame, centered=True, capture_time_ns=time.monotonic_ns())


def _collect(service: RunningService, stop: threading.Event, products: list[tuple[float, Product]]) -> None:
    with service.subscriber(*_TOPICS, newest=False, queue=0) as subscriber:
        while not stop.is_set():
            product = subscriber.receive(0.2)
            if product is not None:
                products.append((time.monotonic(), product))


def _command(service: RunningService, stop: threading.Event, commands: dict[str, int]) -> None:
    with Commander(service.endpoints["commands"], timeout_s=5.0) as commander:
        while not stop.wait(0.2):
            commands["sent"] += 1
            try:
                commander.send("no_op")
            except TimeoutError:
                continue
            commands["answered"] += 1
