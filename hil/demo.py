"""The demonstration: service, camera and consumer as three processes, started from their command lines."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from flight.client import Commander, CommandFailed
from flight.endpoints import make_socket_folder

# A link to models/unet_h in a checkout; a copy of it where the package was installed.
SHIPPED_BUNDLE = Path(__file__).parent / "bundle"
_SOCKETS = ("frames", "products", "telemetry", "commands")
# On a slow computer a frame gets fewer passes, so that it is answered before the next one comes; the products state
# how many. The rest of the time is for whoever draws the pictures.
_LONGEST_DEADLINE_MS = 1500
_SHARE_OF_PERIOD = 0.8
_MINIMUM_PASSES = 2
_START_TIMEOUT_S = 60.0
# A subscription takes a moment to reach the publisher, and the first frame is not to wait for a program's start.
_CONSUMER_START_S = 3.0
_IDLE_S = 15.0


def run_demo(bundle: Path, source: list[str], rate_hz: float, out: Path) -> int:
    """Run a service, stream a source to it, and write pictures of its maps.

    Args:
        bundle: folder of the bundle.
        source: the options of `hil stream` and `hil watch` that say which frames.
        rate_hz: frames per second.
        out: folder for the pictures, demo.gif and service.log; pictures of an earlier demonstration are deleted.

    Returns:
        Exit code: 0, or 1 if a process failed or no map arrived.

    Raises:
        RuntimeError: the service did not start, or ended too early.
    """
    out.mkdir(parents=True, exist_ok=True)
    for old in [*out.glob("frame_*.png"), *out.glob("demo.gif")]:
        old.unlink()
    with make_socket_folder("rubblemap_demo_", max(map(len, _SOCKETS))) as folder:
        endpoints = {name: f"ipc://{folder}/{name}" for name in _SOCKETS}
        configuration = Path(folder) / "flight.toml"
        _write_configuration(configuration, endpoints, choose_deadline(rate_hz))
        counters, codes = _run_processes(bundle, configuration, endpoints, source, rate_hz, out)
    print(
        f"frames sent {counters['frames_received']}, answered {counters['frames_processed']}, "
        f"superseded by a newer one {counters['frames_superseded']}, "
        f"rejected {sum(counters['frames_rejected'].values())}"
    )
    failed = any(codes.values())
    if failed:
        print(f"exit codes: {', '.join(f'{name} {code}' for name, code in codes.items())}", file=sys.stderr)
    if not (out / "demo.gif").is_file():
        print("no product with maps arrived; see service.log", file=sys.stderr)
        return 1
    # When some images could not be read, too.
    print(f"Look at {out / 'demo.gif'}, and at {out}/frame_*.png for single frames.")
    return 1 if failed else 0


def choose_deadline(rate_hz: float) -> int:
    """How long a frame may take, ms, so that all are answered that come at a rate (frames per second)."""
    return max(min(_LONGEST_DEADLINE_MS, round(1e3 * _SHARE_OF_PERIOD / rate_hz)), 1)


def _write_configuration(path: Path, endpoints: dict[str, str], deadline_ms: int) -> None:
    lines = [f'{name} = "{endpoint}"' for name, endpoint in endpoints.items()]
    # A self-test takes longer than frames wait for, and the worker has passed one a moment ago.
    parameters = [f"deadline_ms = {deadline_ms}", f"minimum_passes = {_MINIMUM_PASSES}", "self_test_interval = 0"]
    path.write_text("\n".join(["[endpoints]", *lines, "[parameters]", *parameters, ""]), encoding="utf-8")


def _run_processes(
    bundle: Path, configuration: Path, endpoints: dict[str, str], source: list[str], rate_hz: float, out: Path
) -> tuple[dict[str, Any], dict[str, int]]:
    """Run service, consumer and camera to their ends; returns the service's counters and the exit codes."""
    python = [sys.executable, "-m"]
    serve = [*python, "flight.cli", "serve", "--bundle", str(bundle), "--config", str(configuration)]
    watch = [*python, "hil.cli", "watch", "--endpoint", endpoints["products"], "--save", str(out)]
    watch += [*source, "--until-idle", str(_IDLE_S), "--every"]
    stream = [*python, "hil.cli", "stream", "--endpoint", endpoints["frames"], *source]
    stream += ["--rate", str(rate_hz)]
    log = out / "service.log"
    codes: dict[str, int] = {}
    with log.open("w") as file:
        service = subprocess.Popen(serve, stderr=file)
    consumer: subprocess.Popen[bytes] | None = None
    try:
        _wait_until_ready(service, endpoints["commands"], log)
        print(f"service ready; streaming {source[1]} at {rate_hz:g} frames/s", flush=True)
        print(
            f"deadline {choose_deadline(rate_hz)} ms: a product with fewer passes than requested states how many, "
            "and is degraded",
            flush=True,
        )
        consumer = subprocess.Popen(watch)
        time.sleep(_CONSUMER_START_S)
        codes["stream"] = subprocess.run(stream, check=False).returncode
        codes["watch"] = consumer.wait()
        if service.poll() is not None:
            raise RuntimeError(f"the service ended too early; see {log}")
        with Commander(endpoints["commands"]) as commander:
            counters = commander.send("get_status")["counters"]
            commander.send("shutdown")
        codes["service"] = service.wait()
    finally:
        for process in (consumer, service):
            if process is not None and process.poll() is None:
                process.kill()
    return counters, codes


def _wait_until_ready(service: subprocess.Popen[bytes], endpoint: str, log: Path) -> None:
    """Poll the service's state. Raises RuntimeError if it ends or is not ready in time."""
    deadline = time.monotonic() + _START_TIMEOUT_S
    with Commander(endpoint, timeout_s=0.5) as commander:
        while time.monotonic() < deadline:
            if service.poll() is not None:
                last = [line for line in log.read_text().splitlines() if line.strip()][-1:]
                raise RuntimeError(f"the service ended: {''.join(last) or 'without a message'}")
            try:
                if commander.send("get_status")["state"] == "ready":
                    return
            except (TimeoutError, CommandFailed):
                pass
            time.sleep(0.1)
    raise RuntimeError(f"the service was not ready within {_START_TIMEOUT_S:g} s; see {log}")
