"""The demonstration: the service, a camera and a consumer as three processes, as anyone would start them."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from flight.client import Commander, CommandFailed

_SOCKETS = ("frames", "products", "telemetry", "commands")
# A slow computer answers late rather than with all passes; the products say how many there were.
_DEADLINE_MS = 1500
_MINIMUM_PASSES = 4
_START_TIMEOUT_S = 60.0
_IDLE_S = 15.0


def demonstrate(bundle: Path, source: str, rate_hz: float, out: Path) -> int:
    """Run the demonstration; returns the exit code. Pictures and logs go to `out`."""
    out.mkdir(parents=True, exist_ok=True)
    for old in [*out.glob("frame_*.png"), *out.glob("demo.gif")]:
        old.unlink()
    with tempfile.TemporaryDirectory(prefix="rubblemap_demo_") as folder:
        endpoints = {name: f"ipc://{folder}/{name}" for name in _SOCKETS}
        configuration = Path(folder) / "flight.toml"
        lines = [f'{name} = "{endpoint}"' for name, endpoint in endpoints.items()]
        parameters = [f"deadline_ms = {_DEADLINE_MS}", f"minimum_passes = {_MINIMUM_PASSES}"]
        text = "\n".join(["[endpoints]", *lines, "[parameters]", *parameters, ""])
        configuration.write_text(text, encoding="utf-8")
        python = [sys.executable, "-m"]
        serve = [*python, "flight.cli", "serve", "--bundle", str(bundle), "--config", str(configuration)]
        watch = [*python, "hil.cli", "watch", "--endpoint", endpoints["products"], "--save", str(out)]
        watch += ["--source", source, "--until-idle", str(_IDLE_S), "--every"]
        stream = [*python, "hil.cli", "stream", "--endpoint", endpoints["frames"], "--source", source]
        stream += ["--rate", str(rate_hz)]
        with (out / "service.log").open("w") as log:
            service = subprocess.Popen(serve, stderr=log)
            consumer: subprocess.Popen[bytes] | None = None
            try:
                _wait_until_ready(service, endpoints["commands"], out / "service.log")
                print(f"service ready; streaming {source} at {rate_hz:g} frames/s", flush=True)
                print(
                    f"deadline {_DEADLINE_MS} ms: where not all passes fit into it, the products say how many did, and "
                    "are marked degraded",
                    flush=True,
                )
                consumer = subprocess.Popen(watch)
                time.sleep(1.0)  # a subscription takes a moment to reach the publisher
                sent = subprocess.run(stream, check=False).returncode
                watched = consumer.wait()
                if service.poll() is not None:
                    raise RuntimeError(f"the service ended on the way; see {out / 'service.log'}")
                with Commander(endpoints["commands"]) as commander:
                    counters = commander.send("get_status")["counters"]
                    commander.send("shutdown")
                stopped = service.wait()
            finally:
                for process in (consumer, service):
                    if process is not None and process.poll() is None:
                        process.kill()
    print(
        f"frames sent {counters['frames_received']}, answered {counters['frames_processed']}, "
        f"superseded by a newer one {counters['frames_superseded']}, "
        f"rejected {sum(counters['frames_rejected'].values())}"
    )
    if sent or watched or stopped:
        print(f"exit codes: stream {sent}, watch {watched}, service {stopped}", file=sys.stderr)
        return 1
    if not (out / "demo.gif").is_file():
        print("no product with maps arrived; see service.log", file=sys.stderr)
        return 1
    print(f"Look at {out / 'demo.gif'}, and at {out}/frame_*.png for single frames.")
    return 0


def _wait_until_ready(service: subprocess.Popen[bytes], endpoint: str, log: Path) -> None:
    """Poll the service's state. Raises RuntimeError when it ends or is not ready in time."""
    deadline = time.monotonic() + _START_TIMEOUT_S
    with Commander(endpoint, timeout_s=0.5) as commander:
        while time.monotonic() < deadline:
            if service.poll() is not None:
                last = [line for line in log.read_text().splitlines() if line.strip()][-1:]
                raise RuntimeError(f"the service ended: {''.join(last) or 'without a word'}")
            try:
                if commander.send("get_status")["state"] == "ready":
                    return
            except (TimeoutError, CommandFailed):
                pass
            time.sleep(0.1)
    raise RuntimeError(f"the service was not ready within {_START_TIMEOUT_S:g} s; see {log}")
