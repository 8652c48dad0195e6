"""The own cluster of a rendering command: nobody but its processes has it run code."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import psutil
import pytest
from dask.distributed import LocalCluster

pytestmark = pytest.mark.slow


def listening_ports(process: psutil.Process) -> set[int]:
    """TCP ports on which a process and those below it listen, and that they listen on loopback alone."""
    ports = set()
    for member in [process, *process.children(recursive=True)]:
        for connection in member.net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN:
                assert connection.laddr.ip in ("127.0.0.1", "::1")
                ports.add(connection.laddr.port)
    return ports


# Prints the addresses where what listens runs it: without credentials, or with those that a stranger can make.
_PROBE = """
import os, sys, threading, time
from dask.distributed import Client, Security
credentials = Security.temporary()
def probe(address):
    security = credentials if address.startswith("tls") else None
    with Client(address, security=security, timeout=5) as client:
        if client.run_on_scheduler(lambda: 6 * 7) == 42:
            print(address, flush=True)
threads = [threading.Thread(target=probe, args=(address,), daemon=True) for address in sys.argv[1:]]
for thread in threads:
    thread.start()
deadline = time.monotonic() + 60.0
for thread in threads:
    thread.join(max(deadline - time.monotonic(), 0.0))
os._exit(0)  # a client may wait without end
"""


def that_run_code(addresses: list[str]) -> list[str]:
    """The addresses where code is taken from whoever comes, all asked at once by a process of its own."""
    command = [sys.executable, "-c", _PROBE, *addresses]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True)
    return done.stdout.split()


def answers_http(port: int) -> bool:
    """Whether a page is served there to anyone."""
    for page in ("status", "info/main/workers.html", "json/identity.json", "metrics", "health"):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/{page}", timeout=2):
                return True
        except (urllib.error.URLError, OSError, ValueError):
            continue
    return False


def test_the_probes_find_a_cluster_that_takes_code_from_anyone() -> None:
    """Without credentials, as Dask's own default is: the test after this one would notice."""
    with LocalCluster(n_workers=1, processes=False, dashboard_address="127.0.0.1:0", protocol="tcp") as cluster:
        assert that_run_code([cluster.scheduler_address]) == [cluster.scheduler_address]
        assert answers_http(int(cluster.dashboard_link.split(":")[2].split("/")[0]))


def test_nobody_else_has_the_workers_of_a_rendering_run_code(tmp_path: Path) -> None:
    campaign = tmp_path / "long.toml"  # enough to be at work while it is probed
    campaign.write_text('name = "long"\nseed = 5\nsamples = 4\n[bodies]\nprocedural_top = [500, 0, 0]\n')
    words = ["render", "--campaign", campaign, "--out", tmp_path / "out", "--workers", "1"]
    command = [sys.executable, "-m", "ground_tools.cli", *map(str, words)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, text=True) as rendering:
        process = psutil.Process(rendering.pid)
        try:
            deadline = time.monotonic() + 120.0
            # Scheduler, nanny and worker, and pages of the scheduler and the worker.
            while len(ports := listening_ports(process)) < 5:
                assert time.monotonic() < deadline
                assert rendering.poll() is None
                time.sleep(0.2)
            assert that_run_code([f"{kind}://127.0.0.1:{port}" for kind in ("tcp", "tls") for port in ports]) == []
            assert not any(map(answers_http, ports))
            assert rendering.poll() is None, "the probes ended the rendering"
            # Its credentials stand in no command line and no environment, which other users may read.
            for member in [process, *process.children(recursive=True)]:
                assert not any("PRIVATE KEY" in text for text in [*member.cmdline(), *member.environ().values()])
        finally:
            for member in [*process.children(recursive=True), process]:
                with contextlib.suppress(psutil.NoSuchProcess):
                    member.kill()
