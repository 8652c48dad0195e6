"""Campaign: random bit flips in a bundle's files and in the copies of the record."""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from pathlib import Path
from typing import Any

from tqdm import tqdm

from flight.bundle import BundleError, load_bundle
from flight.service.record import COPIES, Record, RecordStore
from tests.flight.service.scenarios import RecordingSink
from tests.flight.service_process import running_service
from tests.reliability.common import OfflineAnswers, product_digest
from tests.tiny_bundle import body_frame

_FRAME = body_frame(40, 60, 14)
_LIVE_FLIPS_AT_MOST = 20


def run(folder: Path, bundle: Path, flips: int) -> dict[str, Any]:
    """Half of the flips in bundle files, half in record copies; one in fifty also under a running service."""
    generator = random.Random(11)
    bundle_flips = flips // 2
    detected = served = 0
    copy = Path(shutil.copytree(bundle, folder / "bundle"))
    for _ in tqdm(range(bundle_flips), desc="bundle flips", unit="flip"):
        path = generator.choice(sorted(copy.iterdir()))
        before = path.read_bytes()
        _flip(path, generator)
        try:
            load_bundle(copy)
            served += 1
        except BundleError:
            detected += 1
        path.write_bytes(before)
    state = folder / "state"
    for number in tqdm(range(flips - bundle_flips), desc="record flips", unit="flip"):
        shutil.rmtree(state, ignore_errors=True)
        record = Record(parameters={"passes": 1 + number % 100, "gamma": 2.5, "mode": "UNetH"})
        RecordStore(state, RecordingSink()).save(record)
        _flip(state / generator.choice(COPIES), generator)
        events = RecordingSink()
        store = RecordStore(state, events)
        right = store.record == record and [event for event, _ in events.sent] == ["record_copy_damaged"]
        events = RecordingSink()
        whole = RecordStore(state, events)
        detected += right and whole.record == record and events.sent == []
        served += store.record != record
    live = _live(folder / "live", bundle, min(max(flips // 50, 1), _LIVE_FLIPS_AT_MOST), generator)
    return {
        "flips": flips,
        "flips_detected": detected,
        "flips_served": served + live["wrong"],
        "live_flips": live["flips"],
        "live_flips_detected": live["detected"],
    }


def _flip(path: Path, generator: random.Random) -> None:
    content = bytearray(path.read_bytes())
    content[generator.randrange(len(content))] ^= 1 << generator.randrange(8)
    path.write_bytes(bytes(content))


def _live(folder: Path, bundle: Path, flips: int, generator: random.Random) -> dict[str, int]:
    """Flip bits in the serving bundle's files and kill the worker at once, so that it must load them."""
    folder.mkdir()
    copy = Path(shutil.copytree(bundle, folder / "bundle"))
    answers = OfflineAnswers(bundle)
    counts = {"flips": 0, "detected": 0, "wrong": 0}
    settings = "[integrity]\nfile_check_interval_s = 0.1\n[worker]\nrestart_limit = 100000\n"
    settings += f'[storage]\nstate = "{folder}/state"\n'
    with (
        running_service(folder, copy, settings) as service,
        service.camera(source="flips") as camera,
        service.telemetry("event") as events,
    ):
        for _ in tqdm(range(flips), desc="live flips", unit="flip"):
            status = service.wait_for(lambda s: s["state"] == "ready", 60)
            watched = [path for path in (copy, *(folder / "state" / "bundles").iterdir()) if path.is_dir()]
            while events.receive(0.0) is not None:
                pass
            for where in watched:
                _flip(where / generator.choice(["First.tflite", "manifest.json", "SHA256SUMS"]), generator)
            os.kill(status["worker_pid"], signal.SIGKILL)
            with service.subscriber("map.navigation") as products:
                camera.send(_FRAME, centered=True, capture_time_ns=time.monotonic_ns())
                product = products.receive(30)
            counts["flips"] += 1
            if product is not None and product.status != "invalid":
                expected = answers.digest(_FRAME, product.header["seed"], "map.navigation")
                counts["wrong"] += product_digest(product) != expected
            counts["detected"] += _told(events)
            # No faster than the throttle of these events, ten a minute, lets through.
            time.sleep(6.5)
            shutil.rmtree(copy)
            shutil.copytree(bundle, copy)
    return counts


def _told(events: Any) -> bool:
    """Whether an event says that the bundle is damaged, or was refused by the worker."""
    deadline = time.monotonic() + 10.0
    while time.monotonic() < deadline:
        received = events.receive(1.0)
        if received is not None and received[1]["name"] in ("bundle_damaged", "bundle_refused"):
            return True
    return False
