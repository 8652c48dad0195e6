"""Campaign: everything killed while parameters and bundles are being written, then started again."""

from __future__ import annotations

import json
import os
import random
import shutil
import threading
import time
from pathlib import Path
from typing import Any

from tqdm import tqdm

from flight.bundle import load_bundle, write_sums
from flight.client import Commander, CommandFailed
from tests.flight.service_process import RunningService, running_service


def run(folder: Path, bundle: Path, cuts: int) -> dict[str, Any]:
    """Cut so often. Two parameters are always set together, so that a mixture would show."""
    generator = random.Random(17)
    uplink = folder / "uplink"
    names = {_variant(bundle, uplink / name, name): name for name in ("one", "two")}
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
            said = _Said(pair, status["bundle"]["sha256"])
            threads = [
                threading.Thread(target=_set, args=(service, said), daemon=True),
                threading.Thread(target=_activate, args=(service, said, names), daemon=True),
            ]
            for thread in threads:
                thread.start()
            time.sleep(generator.uniform(0.05, 2.5))
            worker = service.command("get_status")["worker_pid"]
            for pid in (service.process.pid, worker):
                if pid is not None:
                    os.kill(pid, 9)
            service.process.wait()
            said.stop.set()
            for thread in threads:
                thread.join()
        possible_pairs = {said.pair, said.next_pair}
        possible_bundles = {said.bundle, said.next_bundle}
        written += said.written
        activated += said.activated
        shutil.rmtree(life)
    return {"power_cuts": cuts, "mixtures": mixtures, "power_cut_writes": written, "power_cut_activations": activated}


class _Said:
    """What the service has confirmed, and what it was last asked for."""

    def __init__(self, pair: Any, bundle: str) -> None:
        self.stop = threading.Event()
        self.pair = self.next_pair = pair
        self.bundle = self.next_bundle = bundle
        self.written = self.activated = 0


def _variant(bundle: Path, folder: Path, version: str) -> str:
    shutil.copytree(bundle, folder)
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    manifest["version"] = version
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    write_sums(folder)
    return load_bundle(folder).sha256


def _set(service: RunningService, said: _Said) -> None:
    value = 0
    with Commander(service.endpoints["commands"], timeout_s=2.0) as commander:
        while not said.stop.is_set():
            value = value % 90 + 1
            said.next_pair = (value, 100 * value)
            try:
                commander.send("set_parameters", values={"passes": value, "deadline_ms": 100 * value})
            except (TimeoutError, CommandFailed):
                return
            said.pair = said.next_pair
            said.written += 1


def _activate(service: RunningService, said: _Said, names: dict[str, str]) -> None:
    with Commander(service.endpoints["commands"], timeout_s=2.0) as commander:
        while not said.stop.is_set():
            other = next(sha256 for sha256 in names if sha256 != said.bundle)
            try:
                commander.send("load_bundle", path=names[other])
                commander.send("validate_bundle")
                said.next_bundle = other
                commander.send("activate_bundle")
            except (TimeoutError, CommandFailed):
                return
            said.bundle = other
            said.activated += 1
