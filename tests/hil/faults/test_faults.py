"""Faults that can be looked at without a service: of the camera, of the link, of memory."""

from __future__ import annotations

import ctypes
import ipaddress
import os
import subprocess
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from hil.faults.camera import active_at, clock_error_s, spoil
from hil.faults.memory import flip_bit, flip_random_bits
from hil.faults.scene import Clock
from hil.runs.link import LinkError, choose_addresses, describe_discipline, open_link, remove_abandoned
from hil.scenarios.fault_tables import CameraClockSteps, CameraNoise, CameraSaturated, LinkImpaired

NOISE = CameraNoise(at_s=2.0, for_s=3.0, sigma=0.1)
BRIGHT = CameraSaturated(at_s=4.0, for_s=3.0, factor=4.0)
STEP = CameraClockSteps(at_s=0.0, for_s=1.0, step_s=-60.0)
FRAME = np.full((100, 100), 100, dtype=np.uint8)
MAY_MAKE_NAMESPACES = os.geteuid() == 0 and Path("/usr/sbin/ip").exists()


def namespaces() -> list[str]:
    return [path.name for path in Path("/run/netns").iterdir()]


def test_the_cameras_faults_are_active_in_their_time() -> None:
    faults = [NOISE, BRIGHT, STEP]
    assert active_at(faults, 0.5) == [STEP]
    assert active_at(faults, 1.5) == []
    assert active_at(faults, 4.5) == [NOISE, BRIGHT]
    assert active_at(faults, 7.0) == []
    assert clock_error_s([STEP, NOISE]) == -60.0


def test_spoiled_frames_are_noisy_bright_and_the_same_again() -> None:
    noisy = spoil(FRAME, 8, [NOISE], 3, 1)
    assert noisy.astype(float).std() == pytest.approx(25.5, rel=0.05)
    assert np.array_equal(noisy, spoil(FRAME, 8, [NOISE], 3, 1))
    assert not np.array_equal(noisy, spoil(FRAME, 8, [NOISE], 4, 1))
    assert (spoil(FRAME, 8, [BRIGHT], 3, 1) == 255).all()
    deep = spoil(FRAME.astype(np.uint16), 12, [BRIGHT], 3, 1)
    assert (deep == 400).all()
    assert deep.dtype == np.uint16
    assert spoil(FRAME, 8, [STEP], 3, 1) is FRAME


def test_a_clock_goes_at_its_speed_or_step_by_step() -> None:
    ending = threading.Event()
    fast = Clock(100.0)
    fast.start()
    began = time.monotonic()
    assert fast.wait_until(10.0, ending)
    assert 0.09 < time.monotonic() - began < 2.0
    steps = Clock(0.0)
    steps.pass_frame(1.0)
    assert steps.wait_until(1.0, ending)
    threading.Timer(0.1, ending.set).start()
    assert not steps.wait_until(2.0, ending)


def test_bits_flip_in_another_processs_memory() -> None:
    value = ctypes.c_uint8(0b100)
    flip_bit(os.getpid(), ctypes.addressof(value), 0)
    assert value.value == 0b101
    with subprocess.Popen(["sleep", "30"]) as process:
        try:
            time.sleep(0.1)
            assert flip_random_bits(process.pid, 3, 1) == 3
        finally:
            process.kill()
    with pytest.raises(OSError, match=str(process.pid)):
        flip_random_bits(process.pid, 3, 1)


def test_impairments_are_tcs_words() -> None:
    def words(**values: float) -> str:
        return " ".join(describe_discipline(LinkImpaired(at_s=0.0, for_s=1.0, **values)))

    assert words(delay_ms=80, jitter_ms=20) == "netem delay 80ms 20ms"
    assert words(delay_ms=10, loss=0.05, reordered=0.25, rate_kbit=500) == (
        "netem delay 10ms loss 5% reorder 25% rate 500kbit"
    )
    assert words(loss=0.001) == "netem loss 0.1%"
    # Kernels without netem have this.
    assert words(rate_kbit=256) == "tbf rate 256kbit burst 32kbit latency 400ms"


@pytest.mark.skipif(not MAY_MAKE_NAMESPACES, reason="network namespaces need root and iproute2")
def test_a_link_is_made_cut_restored_and_removed() -> None:
    def up() -> bool:
        return "state UP" in subprocess.run(["ip", "link", "show", link.device], capture_output=True, text=True).stdout

    with open_link() as link:
        assert link.namespace in namespaces()
        assert up()
        link.cut()
        assert not up()
        link.restore()
        assert up()
        link.impair(LinkImpaired(at_s=0.0, for_s=1.0, rate_kbit=100))
        shown = subprocess.run(["tc", "qdisc", "show", "dev", link.device], capture_output=True, text=True).stdout
        assert "tbf" in shown
        link.restore()
    assert link.namespace not in namespaces()
    assert not Path("/sys/class/net", link.device).exists()


def test_a_link_takes_no_address_that_leads_elsewhere() -> None:
    free = choose_addresses([], 0)
    assert free == ("198.18.0.1", "198.18.0.2")
    assert choose_addresses([], 1) == ("198.18.0.5", "198.18.0.6")
    routed = [ipaddress.IPv4Network("198.18.0.0/24"), ipaddress.IPv4Network("198.18.1.1/32")]
    assert choose_addresses(routed, 0) == ("198.18.1.5", "198.18.1.6")
    with pytest.raises(LinkError, match="expected free addresses"):
        choose_addresses([ipaddress.IPv4Network("198.18.0.0/15")], 7)


@pytest.mark.skipif(not MAY_MAKE_NAMESPACES, reason="network namespaces need root and iproute2")
def test_what_a_killed_run_left_is_removed_by_the_next() -> None:
    subprocess.run(["ip", "netns", "add", "rmhil9999999"], check=True)
    try:
        remove_abandoned()
        assert "rmhil9999999" not in namespaces()
    finally:
        subprocess.run(["ip", "netns", "del", "rmhil9999999"], capture_output=True, check=False)


def test_rights_and_parts_of_the_system_that_are_missing_are_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def put(name: str, text: str) -> None:
        path = tmp_path / name
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)

    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(LinkError, match=r"^link: expected the program ip \(iproute2\), got none$"), open_link():
        pass
    put("ip", 'echo "mkdir /run/netns failed: Operation not permitted" >&2; exit 1')
    with (
        pytest.raises(
            LinkError, match=r"^link: expected the right to make network namespaces \(root, or CAP_NET_ADMIN"
        ),
        open_link(),
    ):
        pass
    put("ip", "exit 0")
    put("tc", 'echo "Error: Specified qdisc kind is unknown." >&2; exit 2')
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    with (
        open_link() as link,
        pytest.raises(LinkError, match=r"queueing discipline netem \(module sch_netem\), got none"),
    ):
        link.impair(LinkImpaired(at_s=0.0, for_s=1.0, delay_ms=50))
