"""The unit under a live systemd: start, restarts, hardening, limits of memory, reboot, and boots in the field."""

from __future__ import annotations

import json
import re
import time
from typing import Any

from hil.board.machine import Hardware
from tests.hil.board.campaign import CGROUP, HERE, PYTHON, READY_S, UNIT, Campaign

PROBE = "rubblemap-probe"
# As a board without a battery for its clock wakes up.
NO_CLOCK = "1970-01-01T00:00:00"
# systemd says at the console what it starts, as long as nobody can log in there.
TELLING = "systemd.show_status=1 systemd.mask=serial-getty@ttyAMA0.service"


def restarts(campaign: Campaign) -> dict[str, Any]:
    """What systemd does at a start, with a service that stands still, and with one that is killed."""
    campaign.serve(campaign.tiny)
    campaign.shell(f"sudo systemctl restart {UNIT}", timeout_s=READY_S)
    status_text, pid = campaign.show("StatusText"), campaign.show("MainPID")
    before = int(campaign.show("NRestarts"))
    started = campaign.shell(f"systemctl show -p InactiveExitTimestampMonotonic,ActiveEnterTimestampMonotonic {UNIT}")
    moments = dict(line.split("=", 1) for line in started.splitlines())
    start_s = 1e-6 * (int(moments["ActiveEnterTimestampMonotonic"]) - int(moments["InactiveExitTimestampMonotonic"]))
    campaign.shell(f"sudo kill -STOP {pid}")
    watchdog_s = campaign.wait_active(other_than=pid)
    stopped, pid = int(campaign.show("NRestarts")), campaign.show("MainPID")
    told = campaign.journal("Watchdog timeout")
    campaign.shell(f"sudo kill -KILL {pid}")
    kill_s = campaign.wait_active(other_than=pid)
    return {
        "systemd_ready": status_text.startswith("serving "),
        "systemd_start_s": round(start_s, 1),
        "systemd_watchdog_restart": stopped == before + 1 and told >= 1,
        "stopped_to_ready_s": watchdog_s,
        "systemd_restart_after_sigkill": int(campaign.show("NRestarts")) == stopped + 1,
        "killed_to_ready_s": kill_s,
        "enabled": campaign.shell(f"systemctl is-enabled {UNIT}") == "enabled",
        "journal_has_events": campaign.journal("^info +worker_ready: ") >= 1,
        "memory_unguarded": campaign.journal("memory_unguarded"),
    }


def hardening(campaign: Campaign) -> dict[str, Any]:
    """What the unit's lines keep a process from, even one of root; the same attempts outside of it succeed."""
    campaign.serve(campaign.tiny)
    campaign.send(HERE / "on_board_hardening.py")
    campaign.shell("sudo cp on_board_hardening.py /srv/rubblemap/probe.py")
    unit = campaign.shell(f"cat /etc/systemd/system/{UNIT}.service")
    text = probe_unit(unit, f"{PYTHON} /srv/rubblemap/probe.py")
    campaign.shell(f"sudo tee /run/systemd/system/{PROBE}.service", data=text.encode("utf-8"))
    # sudo itself allows no core.
    control = f"sudo sh -c 'ulimit -c unlimited; {PYTHON} /srv/rubblemap/probe.py'"
    outside = json.loads(campaign.shell(control).splitlines()[-1])
    campaign.shell(f"sudo systemctl daemon-reload; sudo systemctl start {PROBE}")
    said = campaign.shell(f"sudo journalctl -b -u {PROBE} -o cat --no-pager | grep '^{{' | tail -1")
    inside = json.loads(said)
    left = f"/srv/rubblemap/probe.py /run/systemd/system/{PROBE}.service /etc/{PROBE} /var/lib/{PROBE}"
    campaign.shell(f"sudo rm -rf {left}; sudo systemctl daemon-reload")
    security = re.search(r"(\d+\.\d+)", campaign.shell(f"systemd-analyze security {UNIT} --no-pager | tail -1"))
    verify = campaign.shell(f"systemd-analyze verify {UNIT}.service 2>&1; echo rc $?").splitlines()
    return {
        "hardening_attempts": len(inside),
        "hardening_refused": {name: result for name, result in inside.items() if result != "done"},
        "hardening_not_refused": [name for name, result in inside.items() if result == "done"],
        "refused_without_the_unit": {name: result for name, result in outside.items() if result != "done"},
        "security_exposure": float(security[1]) if security else None,
        "unit_verified": verify[-1] == "rc 0",
        "unit_verify_said": verify[:-1],
    }


def probe_unit(unit: str, command: str) -> str:
    """The unit with another command: run once, as root, with folders of its own.

    Args:
        unit: text of the service's unit.
        command: to run in its place.
    """
    dropped = ("User=", "Restart", "WatchdogSec=", "NotifyAccess=", "SuccessExitStatus=", "WantedBy=", "[Install]")
    lines = []
    for line in unit.splitlines():
        if line.startswith("Type="):
            line = "Type=oneshot"
        elif line.startswith("ExecStart="):
            line = f"ExecStart={command}"
        elif line.startswith(("StateDirectory=", "RuntimeDirectory=", "ConfigurationDirectory=")):
            line = f"{line.partition('=')[0]}={PROBE}"
        if not line.startswith(dropped):
            lines.append(line)
    return "\n".join(lines) + "\n"


def memory_limit(campaign: Campaign) -> dict[str, Any]:
    """The limit of memory set to what the service must exceed: the kernel kills in it, and the service comes back."""
    campaign.serve(campaign.tiny)
    in_force = campaign.shell(f"cat {CGROUP}/memory.max")
    pid, kills = campaign.show("MainPID"), _oom_kills(campaign)
    anonymous = int(campaign.shell(f"awk '$1 == \"anon\" {{ print $2 }}' {CGROUP}/memory.stat"))
    peak = campaign.shell(f"cat {CGROUP}/memory.peak || cat {CGROUP}/memory.current").splitlines()[0]
    campaign.shell(f"sudo systemctl set-property --runtime {UNIT} MemoryMax={int(0.7 * anonymous)}")
    deadline = time.monotonic() + READY_S
    while _oom_kills(campaign) == kills and time.monotonic() < deadline:
        time.sleep(1.0)
    killed = _oom_kills(campaign) - kills
    began = time.monotonic()
    campaign.shell(f"sudo systemctl set-property --runtime {UNIT} MemoryMax={in_force}")
    campaign.wait_active()
    with campaign.relay() as relay:
        relay.wait_ready()
    return {
        "memory_limit_in_force": in_force,
        "memory_of_the_service_mib": round(int(peak) / 2**20),
        "memory_limit_kills": killed,
        "memory_limit_service_survived": campaign.show("MainPID") == pid,
        "memory_limit_lifted_to_ready_s": round(time.monotonic() - began, 1),
        "memory_limit_survived": killed >= 1,
    }


def _oom_kills(campaign: Campaign) -> int:
    return int(campaign.shell(f"awk '$1 == \"oom_kill\" {{ print $2 }}' {CGROUP}/memory.events") or 0)


def reboot(campaign: Campaign) -> dict[str, Any]:
    """A stop, and a reboot: both in order, and the service is there afterwards without being asked."""
    campaign.serve(campaign.tiny)
    # So that the journal outlives the boot.
    campaign.shell(
        "sudo mkdir -p /var/log/journal && sudo systemctl restart systemd-journald && sudo journalctl --flush"
    )
    began = time.monotonic()
    campaign.shell(f"sudo systemctl stop {UNIT}")
    stop_s = time.monotonic() - began
    stopped = campaign.show("ActiveState") == "inactive" and campaign.show("Result") == "success"
    campaign.shell(f"sudo systemctl start {UNIT}", timeout_s=READY_S)
    boot = campaign.shell("cat /proc/sys/kernel/random/boot_id")
    began = time.monotonic()
    campaign.shell("sudo systemctl reboot")
    while campaign.shell_or_none("cat /proc/sys/kernel/random/boot_id") in (None, "", boot):
        if time.monotonic() - began > READY_S:
            raise RuntimeError("the board did not come back after a reboot")
        time.sleep(2.0)
    campaign.wait_active()
    last = campaign.shell(f"sudo journalctl -b -1 -u {UNIT} -o cat --no-pager | tail -8")
    return {
        "stop_in_order": stopped,
        "stop_s": round(stop_s, 1),
        "reboot_in_order": "service_stopped: " in last and "Deactivated successfully" in last,
        "file_system_recovered_after_reboot": campaign.shell("sudo dmesg | grep -c 'EXT4-fs.*recovery'") != "0",
        "reboot_to_ready_s": round(time.monotonic() - began, 1),
        "ready_after_reboot": int(campaign.show("NRestarts")) == 0,
        "system_after_reboot": campaign.shell("systemctl is-system-running"),
    }


def field_boots(campaign: Campaign) -> dict[str, Any]:
    """A boot without a network, seen at the console, and one with a clock that was never set."""
    if not campaign.has_deployed(campaign.tiny):
        campaign.serve(campaign.tiny)
    campaign.power_off()
    campaign.machine.power_on(Hardware(network=False, append=TELLING), None, campaign.progress, READY_S)
    began = time.monotonic()
    while not _says_started(campaign) and time.monotonic() - began < READY_S:
        time.sleep(1.0)
    no_network, no_network_s = _says_started(campaign), round(time.monotonic() - began, 1)
    campaign.machine.cut_power()
    campaign.power_on(Hardware(clock=NO_CLOCK))
    year = int(campaign.shell("date +%Y"))
    campaign.wait_active()
    answered = campaign.answer_frame()
    restarted = int(campaign.show("NRestarts"))
    doctor = campaign.shell(f"sudo {PYTHON} -m flight.cli doctor")
    campaign.power_off()
    return {
        "ready_without_network": no_network,
        "ready_without_network_s": no_network_s,
        "year_without_clock": year,
        "ready_without_clock": restarted == 0,
        "frame_without_clock": answered["status"],
        "doctor_tells_the_clock": "the clock is not set" in doctor,
    }


def _says_started(campaign: Campaign) -> bool:
    """Whether the console says that the service is ready: systemd writes it when READY has come."""
    said = campaign.board.serial_log.read_text(encoding="utf-8", errors="replace")
    return re.search(r"Started .*rubblemap-flight", said) is not None
