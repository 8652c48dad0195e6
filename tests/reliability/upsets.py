"""Campaign: single-event upsets, random bits flipped in the live worker's writable memory."""

from __future__ import annotations

import os
import random
import time
from collections import Counter
from pathlib import Path
from typing import Any

from tqdm import tqdm

from flight.client import Commander, CommandFailed
from flight.icd.products import Product
from hil.faults.memory import PAGE_BYTES, flip_bit, writable_pages
from hil.sources.folder import open_source
from tests.flight.service_process import RunningService, running_service
from tests.reliability.common import OfflineAnswers, product_digest

_PASSES = 2
# Upsets without effect stay in the worker; after so many it is replaced, so that they do not add up for ever.
_PER_WORKER = 20
_TOPICS = ("map.navigation", "map.hazard")
OUTCOMES = (
    "no effect",
    "crash recovered",
    "hang recovered",
    "caught before the answer",
    "caught by the self-test",
    "wrong map before",
    "wrong after",
)


def run(folder: Path, bundle: Path, upsets: int) -> dict[str, Any]:
    """Flip so many bits, one at a time; a frame before the next self-test, the self-test, a frame after it."""
    generator = random.Random(13)
    source = open_source("flyby")
    frames = [source.frame(index) for index in (12, 20, 28, 36)]
    answers = OfflineAnswers(bundle, passes=_PASSES)
    settings = f"[parameters]\npasses = {_PASSES}\nself_test_interval = 0\n[worker]\nrestart_limit = 100000\n"
    outcomes: Counter[str] = Counter()
    escaped: list[str] = []
    wrong_in: list[str] = []
    with (
        running_service(folder, bundle, settings) as service,
        service.camera(source="upsets") as camera,
        service.subscriber(*_TOPICS, newest=False) as products,
        service.telemetry("event") as events,
    ):
        upset_worker = (0, 0)
        for number in tqdm(range(upsets), desc="upsets", unit="upset"):
            status = service.wait_for(lambda s: s["state"] == "ready", 60)
            pid = status["worker_pid"]
            if upset_worker[0] == pid and upset_worker[1] >= _PER_WORKER:
                os.kill(pid, 9)
                status = service.wait_for(lambda s, old=pid: s["state"] == "ready" and s["worker_pid"] != old, 60)
                pid = status["worker_pid"]
            upset_worker = (pid, upset_worker[1] + 1 if upset_worker[0] == pid else 1)
            while events.receive(0.0) is not None:
                pass
            page, what = generator.choice(writable_pages(pid))
            flip_bit(pid, page + generator.randrange(PAGE_BYTES), generator.randrange(8))
            frame = frames[number % len(frames)]
            wrong_before = _wrong(camera, products, answers, frame)
            passed = _self_test(service)
            wrong_after = _wrong(camera, products, answers, frame)
            names = _event_names(events)
            outcome = _outcome(wrong_before, passed, wrong_after, names)
            outcomes[outcome] += 1
            if outcome == "wrong after":
                escaped.append(what)
            elif outcome == "wrong map before":
                wrong_in.append(what)
    return {
        "upsets": upsets,
        "upset_outcomes": {name: outcomes[name] for name in OUTCOMES},
        "upsets_escaped_in": escaped,
        "upsets_wrong_before_self_test": outcomes["wrong map before"],
        "upsets_wrong_before_in": wrong_in,
        "upsets_wrong_after_self_test": outcomes["wrong after"],
    }


def _wrong(camera: Any, products: Any, answers: OfflineAnswers, frame: Any) -> bool:
    """Send a frame; whether any of its products carries a map that differs from the offline answer."""
    frame_id = camera.send(frame, centered=True, capture_time_ns=time.monotonic_ns())
    wrong, waiting, deadline = False, set(_TOPICS), time.monotonic() + 30.0
    while waiting and time.monotonic() < deadline:
        product: Product | None = products.receive(1.0)
        if product is None or product.header["frame_id"] != frame_id:
            continue
        waiting.discard(product.topic)
        if product.status != "invalid":
            wrong |= product_digest(product) != answers.digest(frame, product.header["seed"], product.topic)
    if waiting:
        raise RuntimeError(f"frame {frame_id}: no product of {sorted(waiting)} within 30 s")
    return wrong


def _self_test(service: RunningService) -> bool:
    with Commander(service.endpoints["commands"], timeout_s=60.0) as commander:
        try:
            commander.send("self_test")
        except CommandFailed:
            return False
    return True


def _event_names(events: Any) -> set[str]:
    names = set()
    while (received := events.receive(0.05)) is not None:
        names.add(received[1]["name"])
    return names


def _outcome(wrong_before: bool, passed: bool, wrong_after: bool, names: set[str]) -> str:
    if wrong_after:
        return "wrong after"
    if wrong_before:
        return "wrong map before"
    if "worker_upset" in names:
        return "caught before the answer"
    if not passed or "self_test_failed" in names:
        return "caught by the self-test"
    if "worker_timeout" in names:
        return "hang recovered"
    if names & {"worker_died", "worker_refused"}:
        return "crash recovered"
    return "no effect"
