"""Campaign: everything killed while parameters and bundles are being written, then started again."""

from __future__ import annotations

import os
import random
import shutil
import threading
import time
from pathlib import Path
from typing import Any

from tqdm import tqdm

from flight.bundle import load_bundle
from flight.client import Commander, CommandFailed
from tests.flight.service.scenarios import variant
from tests.flight.service_process import RunningService, running_service


def run(folder: Path, bundle: Path, cuts: int) -> dict[str, Any]:
    """Cut so often. Two parameters are always set together, so that a mixture would show."""
    generator = random.Random(17)
    uplink = folder / "uplink"
    names = {load_bundle(variant(bundle, uplink / name, name)).sha256: name for name in ("one", "two")}
    factory = load_bundle(bundle).sha256
    settings = f'[storage]\nstate = "{folder}/state"\nbundles = "{uplink}"\n[worker]\nrestart_limit = 100000\n'
    mixtures = 0
    possible_pairs, possible_bundles = {(None, None)}, {factory}
    written = activated = 0
    for number in tqdm(range(cuts), desc="power cuts", unit="cut"):
        life = folder / f"life_{number}"
        life.mkdir()
        with running_service(life, bundle, settings) as service:
            status = service.command("get_status")
            parameters = status["parameters"]
            pair = (parameters["passes"], parameters["deadline_ms"])
            pair = (None, None) if pair == (load_bundle(bundle).passes, 0) and written == 0 else pair
            if pair not in possible_pairs or status["bundle"]["sha256"] not in possible_bundles:
                mixtures += 1
            confirmed = _ConfirmedCommands(pair, status["bundle"]["sha256"])
            threads = [
                threading.Thread(target=_set, args=(service, confirmed), daemon=True),
                threading.Thread(target=_activate, args=(service, confirmed, names), daemon=True),
            ]
            for thread in threads:
                thread.start()
            time.sleep(generator.uniform(0.05, 2.5))
            worker = service.command("get_status")["worker_pid"]
            for pid in (service.process.pid, worker):
                if pid is not None:
                    os.kill(pid, 9)
            service.process.wait()
            confirmed.stop.set()
            for thread in threads:
                thread.join()
        possible_pairs = {confirmed.pair, confirmed.next_pair}
        possible_bundles = {confirmed.bundle, confirmed.next_bundle}
        written += confirmed.written
        activated += confirmed.activated
        shutil.rmtree(life)
    return {"power_cuts": cuts, "mixtures": mixtures, "power_cut_writes": written, "power_cut_activations": activated}


class _ConfirmedCommands:
    """What the service has confirmed, and what it was last asked for."""

    def __init__(self, pair: Any, bundle: str) -> None:
        self.stop = threading.Event()
        self.pair = self.next_pair = pair
        self.bundle = self.next_bundle = bundle
        self.written = self.activated = 0


def _set(service: RunningService, confirmed: _ConfirmedCommands) -> None:
    value = 0
    with Commander(service.endpoints["commands"], timeout_s=2.0) as commander:
        while not confirmed.stop.is_set():
            value = value % 90 + 1
            confirmed.next_pair = (value, 100 * value)
            try:
                commander.send("set_parameters", values={"passes": value, "deadline_ms": 100 * value})
            except (TimeoutError, CommandFailed):
                return
            confirmed.pair = confirmed.next_pair
            confirmed.written += 1


def _activate(service: RunningService, confirmed: _ConfirmedCommands, names: dict[str, str]) -> None:
    with Commander(service.endpoints["commands"], timeout_s=2.0) as commander:
        while not confirmed.stop.is_set():
            other = next(sha256 for sha256 in names if sha256 != confirmed.bundle)
            try:
                commander.send("load_bundle", path=names[other])
                commander.send("validate_bundle")
                confirmed.next_bundle = other
                commander.send("activate_bundle")
            except (TimeoutError, CommandFailed):
                return
            confirmed.bundle = other
            confirmed.activated += 1
