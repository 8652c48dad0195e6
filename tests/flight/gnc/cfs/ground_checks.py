"""The app as the ground sees it, by CCSDS packets. Run by integration.py, in order."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import cv2
import numpy as np
import pytest

from flight.client import LandingCircles, NavigationFix, landing_circles, navigation_fix
from flight.icd.limits import TOPIC_HAZARD, TOPIC_NAVIGATION
from tests.flight.gnc.cfs.ground import PATIENCE_S, Ground, write_table
from tests.flight.service_process import SOCKETS, RunningService, running_service

ROOT = Path(__file__).parents[4]
# Each check goes on from the last one. program: core-cpu1; folder: for sockets, state and logs
CHECKS = json.loads(os.environ["RUBBLEMAP_CHECKS"])
PROGRAM, FOLDER = Path(CHECKS["program"]), Path(CHECKS["folder"])
NONVOLATILE = PROGRAM.parent / "cf"
# As root it would take real-time priorities, and queues that are larger than a container lets it have.
COMMAND = (["unshare", "--user"] if os.geteuid() == 0 else []) + [str(PROGRAM)]
ENDPOINTS = {name: f"ipc://{FOLDER}/{name}" for name in SOCKETS}
# Frames may be answered late on a slow computer: passes are few, and no deadline cuts them short.
SETTINGS = f'[parameters]\npasses = 4\n[storage]\nstate = "{FOLDER}/state"'
UNKNOWN, READY = 0, 2
RADIUS_PX = 4.0
# For so long nothing has come: nothing more will.
QUIET_S = 10.0


class Service:
    """The real service, started and killed at will."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self.running: RunningService | None = None

    def start(self) -> RunningService:
        started = running_service(FOLDER, ROOT / "models" / "unet_h", SETTINGS, endpoints=ENDPOINTS)
        self.running = self._stack.enter_context(started)
        return self.running

    def kill(self) -> None:
        assert self.running is not None
        self.running.process.kill()
        self.running.process.wait()

    def close(self) -> None:
        self._stack.close()


@pytest.fixture(scope="module")
def near() -> str:
    """A folder of flyby frames in which the body is near enough for landing circles."""
    folder = FOLDER / "near"
    folder.mkdir()
    for number in range(24, 28):
        shutil.copy(ROOT / "hil" / "flyby" / "frames" / f"{number:03}.png", folder)
    return str(folder)


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    service = Service()
    yield service
    service.close()


@pytest.fixture(scope="module")
def ground() -> Iterator[Ground]:
    """The ground's side of the flight software, which runs as long as the checks."""
    for table in NONVOLATILE.glob("*.tbl"):
        table.unlink()
    with Ground() as ground, (FOLDER / "core-cpu1.log").open("wb") as log:
        ports = {"GROUND_LINK_COMMANDS": str(ground.command_port), "GROUND_LINK_TELEMETRY": str(ground.telemetry_port)}
        process = subprocess.Popen(
            COMMAND, cwd=PROGRAM.parent, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env={**os.environ, **ports}
        )
        ground.is_flying = lambda: process.poll() is None
        try:
            yield ground
            assert process.poll() is None, "core-cpu1 ended by itself"
            process.send_signal(signal.SIGTERM)
            process.wait(PATIENCE_S)
        finally:
            process.kill()


def load_table(ground: Ground, name: str = "rubblemap_new.tbl", **values: object) -> None:
    endpoints = {"products_endpoint": ENDPOINTS["products"], "commands_endpoint": ENDPOINTS["commands"]}
    write_table(NONVOLATILE / name, **{**endpoints, "minimum_radius_px": RADIUS_PX, **values})
    ground.load_table(f"/cf/{name}")


@contextmanager
def streaming(source: str, count: int) -> Iterator[subprocess.Popen[str]]:
    """Frames that go to the service as a camera's, all of them when the block ends."""
    command = [sys.executable, "-m", "hil.cli", "stream", "--source", source, "--count", str(count), "--rate", "1"]
    command += ["--endpoint", ENDPOINTS["frames"]]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            yield process
            output, _ = process.communicate(timeout=PATIENCE_S)
            assert process.returncode == 0, output
        finally:
            process.kill()


def stream(source: str, count: int) -> None:
    """Send frames to the service as a camera."""
    with streaming(source, count):
        pass


def test_without_a_table_it_waits_for_one(ground: Ground) -> None:
    ground.wait_for(lambda: bool(ground.hk), "housekeeping")
    assert ground.hk[-1]["sockets_open"] == 0
    ground.command("NOOP")
    ground.wait_for_event("NOOP")
    ground.command("SERVICE_NO_OP")
    assert ground.wait_for_event("COMMAND_NOT_SENT") == "no_op was not sent: the sockets are not open"
    ground.wait_for(lambda: ground.hk[-1]["command_error_count"] == 1, "the error is counted")
    assert ground.hk[-1]["command_count"] == 1


def test_a_table_that_breaks_its_limits_is_not_taken(ground: Ground) -> None:
    load_table(ground, "rubblemap_bad.tbl", minimum_radius_px=float("nan"))
    message = ground.wait_for_event("CONFIG_INVALID")
    assert message == "Table RUBBLEMAP.Config, minimum_radius_px: expected above 0 to 10000"
    assert ground.hk[-1]["sockets_open"] == 0
    ground.abort_table()


def test_a_table_from_the_ground_opens_the_sockets(ground: Ground) -> None:
    load_table(ground)
    assert ground.wait_for_event("OPENED") == f"Subscribed to maps at {ENDPOINTS['products']}"
    ground.wait_for_event("SERVICE_SILENT")
    assert ground.hk[-1]["service_state"] == UNKNOWN
    ground.command("SERVICE_NO_OP")
    ground.wait_for(
        lambda: ("COMMAND_NOT_SENT", "no_op was not sent: no service is there") in ground.events, "the reason"
    )


def test_it_finds_the_service(ground: Ground, service: Service) -> None:
    service.start()
    ground.wait_for(lambda: ground.hk[-1]["service_state"] == READY, "the service is ready")
    assert sum(name == "SERVICE_ANSWERS" for name, _ in ground.events) == 1
    ground.command("SERVICE_NO_OP")
    assert ground.wait_for_event("COMMAND_ANSWERED") == "no_op: ok"
    ground.wait_for(lambda: ground.hk[-1]["replies_completed"] == 1, "the reply is counted")


def test_maps_become_the_fixes_and_circles_that_python_makes_of_them(
    ground: Ground, service: Service, near: str
) -> None:
    assert service.running is not None
    fixes: dict[int, list[float]] = {}
    sites: dict[int, list[list[float]]] = {}
    with (
        service.running.subscriber(TOPIC_NAVIGATION, TOPIC_HAZARD, newest=False) as products,
        streaming(near, 4) as camera,
    ):
        # On a slow computer a frame may be superseded, and has no product then.
        while (product := products.receive(QUIET_S)) is not None or camera.poll() is None:
            if product is None:
                continue
            number = product.header["frame_id"]
            if product.topic == TOPIC_NAVIGATION:
                fix = navigation_fix(product)
                assert isinstance(fix, NavigationFix)
                covariance = [fix.covariance_xx, fix.covariance_xy, fix.covariance_yy]
                fixes[number] = [fix.x, fix.y, *covariance, fix.diameter]
            else:
                found = landing_circles(product, RADIUS_PX, 3)
                assert isinstance(found, LandingCircles)
                circles = found.circles
                sites[number] = [[c.x, c.y, c.radius, c.worst_probability] for c in circles]
    assert len(fixes) == len(sites) >= 1
    assert all(sites.values())
    newest = max(fixes)
    ground.wait_for(lambda: any(fix["frame_id"] == newest for fix in ground.fixes), "the newest fix")
    ground.wait_for(lambda: any(found["frame_id"] == newest for found in ground.sites), "the newest circles")
    for fix_packet in ground.fixes:
        names = ("x", "y", "covariance_xx", "covariance_xy", "covariance_yy", "diameter")
        assert [fix_packet[name] for name in names] == pytest.approx(fixes[fix_packet["frame_id"]], rel=1e-12)
    for sites_packet in ground.sites:
        expected = sites[sites_packet["frame_id"]]
        assert sites_packet["count"] == len(expected)
        assert sites_packet["complete"] == 1
        for circle, other in zip(sites_packet["sites"], expected, strict=False):
            assert circle == pytest.approx(other, rel=1e-12)
    ground.wait_for(lambda: ground.hk[-1]["frames_processed"] == len(fixes), "the service's counter")
    counts = ground.hk[-1]
    assert counts["products_received"] == 2 * len(fixes)
    assert counts["products_lost"] == counts["products_malformed"] == counts["service_restarts"] == 0
    assert counts["latency_p99_ms"] > 0.0


def test_commands_are_passed_on_and_told_of(ground: Ground, service: Service) -> None:
    since = len(ground.events)
    ground.words("SERVICE_SET_PARAMETER", "passes", "3")
    assert ground.wait_for_event("COMMAND_ANSWERED", since) == "set_parameter: ok"
    ground.words("TELL_PARAMETER", "passes")
    assert ground.wait_for_event("PARAMETER_TOLD") == "passes is 3"
    failing = {
        ("SERVICE_SET_PARAMETER", "passes", "0"): "set_parameter: invalid_argument: ",
        ("SERVICE_SET_PARAMETER", "none_such", "1"): "set_parameter: unknown_parameter: ",
        ("SERVICE_SET_MODE", "NoSuchMode"): "set_mode: invalid_argument: ",
        ("TELL_PARAMETER", "none_such"): "get_parameters: unknown_parameter: none_such",
    }
    for words, expected in failing.items():
        since = len(ground.events)
        ground.words(*words)
        assert ground.wait_for_event("COMMAND_FAILED", since).startswith(expected)
    for name in ("SERVICE_SELF_TEST", "SERVICE_RESET_COUNTERS", "SERVICE_GET_STATUS"):
        since = len(ground.events)
        ground.command(name)
        answer = name.removeprefix("SERVICE_").lower()
        assert ground.wait_for_event("COMMAND_ANSWERED", since) == f"{answer}: ok"
    ground.wait_for(lambda: ground.hk[-1]["frames_processed"] == 0, "the service's counters are reset")
    ground.wait_for(lambda: ground.hk[-1]["replies_failed"] == 4, "failures are counted")


def test_commands_that_break_the_interface_are_counted_and_told(ground: Ground) -> None:
    errors = ground.hk[-1]["command_error_count"]
    ground.command("NONE_SUCH")
    assert ground.wait_for_event("UNKNOWN_COMMAND") == "Unknown function code 99"
    ground.command("SERVICE_SET_MODE", b"UNetH")
    assert ground.wait_for_event("WRONG_LENGTH").endswith("function code 13: expected 48 bytes, got 13")
    ground.wait_for(lambda: ground.hk[-1]["command_error_count"] == errors + 2, "errors are counted")
    ground.command("RESET_COUNTERS")
    ground.wait_for_event("COUNTERS_RESET")
    ground.wait_for(lambda: ground.hk[-1]["command_error_count"] == 0, "counters are reset")


def test_a_new_table_is_heeded(ground: Ground, service: Service, near: str) -> None:
    """No room for so large a circle."""
    since, sites = len(ground.events), len(ground.sites)
    load_table(ground, minimum_radius_px=400.0)
    ground.wait_for_event("OPENED", since)
    ground.wait_for(lambda: ground.hk[-1]["service_state"] == READY, "the service answers again")
    stream(near, 1)
    ground.wait_for(lambda: len(ground.sites) > sites, "landing circles")
    assert ground.sites[-1]["count"] == 0
    load_table(ground)
    ground.wait_for(lambda: sum(name == "OPENED" for name, _ in ground.events[since:]) == 2, "the sockets are open")
    ground.wait_for(lambda: ground.hk[-1]["service_state"] == READY, "the service answers again")


def test_refused_maps_and_usable_ones_are_told_once(ground: Ground, service: Service) -> None:
    dark = FOLDER / "dark"
    dark.mkdir()
    for number in range(2):
        cv2.imwrite(str(dark / f"{number}.png"), np.zeros((256, 256), np.uint8))
    stream(str(dark), 2)
    ground.wait_for_event("FIX_REFUSED")
    ground.wait_for_event("SITES_REFUSED")
    fixes = len(ground.fixes)
    ground.wait_for(lambda: ground.hk[-1]["fix_refusal"] != 0, "the refusal in housekeeping")
    stream("flyby", 1)
    ground.wait_for_event("FIX_USABLE")
    ground.wait_for_event("SITES_USABLE")
    assert sum(name == "FIX_REFUSED" for name, _ in ground.events) == 1
    assert len(ground.fixes) == fixes + 1


def test_a_killed_service_is_missed_and_found_again(ground: Ground, service: Service) -> None:
    since, fixes = len(ground.events), len(ground.fixes)
    service.kill()
    ground.wait_for_event("SERVICE_SILENT", since)
    ground.wait_for(lambda: ground.hk[-1]["service_state"] == UNKNOWN, "nothing is known of it")
    service.start()
    ground.wait_for(lambda: ground.hk[-1]["service_state"] == READY, "the service is ready again")
    stream("flyby", 1)
    ground.wait_for_event("SERVICE_RESTARTED", since)
    ground.wait_for(lambda: len(ground.fixes) > fixes, "a fix")
    ground.wait_for(lambda: ground.hk[-1]["service_restarts"] >= 1, "the restart is counted")


def test_the_service_is_stopped_from_the_ground(ground: Ground, service: Service) -> None:
    since = len(ground.events)
    ground.command("SERVICE_SHUTDOWN")
    assert ground.wait_for_event("COMMAND_ANSWERED", since) == "shutdown: ok"
    assert service.running is not None
    assert service.running.process.wait(PATIENCE_S) == 0
    ground.wait_for_event("SERVICE_SILENT", since)
