"""The deployment as the ground sees it, by the test interface of fprime-gds. Run by integration.py, in order.

pytest runs it in the environment of F Prime's tools, which has nothing of this project; what is needed of that are
processes of the Python that RUBBLEMAP_CHECKS names.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

# python, root, bundle, deployment, folder, port
CHECKS = json.loads(os.environ["RUBBLEMAP_CHECKS"])
FOLDER = Path(CHECKS["folder"])
ENDPOINTS = {name: f"ipc://{FOLDER}/{name}" for name in ("frames", "products", "telemetry", "commands")}
MAPS = "MapDeployment.maps"
# Of a computer that does something else besides.
PATIENCE_S = 300
RADIUS = "4"


class Service:
    """The real service, started and ended at will."""

    def __init__(self) -> None:
        lines = [f'{name} = "{endpoint}"' for name, endpoint in ENDPOINTS.items()]
        state = FOLDER / "state"
        self._configuration = FOLDER / "flight.toml"
        # Frames may be answered late on a slow computer: passes are few, and no deadline cuts them short.
        sections = ["[endpoints]", *lines, "[parameters]", "passes = 4", "[storage]", f'state = "{state}"']
        self._configuration.write_text("\n".join(sections) + "\n", encoding="utf-8")
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [CHECKS["python"], "-m", "flight.cli", "serve", "--bundle", CHECKS["bundle"]]
        with (FOLDER / "service.log").open("ab") as log:
            self.process = subprocess.Popen(
                [*command, "--config", str(self._configuration)], cwd=CHECKS["root"], stdout=log, stderr=log
            )

    def kill(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()


@pytest.fixture(scope="session")
def service() -> Iterator[Service]:
    running = Service()
    yield running
    running.kill()


@pytest.fixture(scope="session", autouse=True)
def deployment(fprime_test_api_session: Any) -> Iterator[None]:
    """The deployment, connected to the ground system, which is there already."""
    command = [CHECKS["deployment"], "-a", "127.0.0.1", "-p", str(CHECKS["port"])]
    command += ["-m", ENDPOINTS["products"], "-c", ENDPOINTS["commands"]]
    with (FOLDER / "deployment.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=FOLDER, stdout=log, stderr=log)
    yield
    # Nothing here has made it end before, and it ends when it is told to.
    assert process.poll() is None, "the deployment ended by itself"
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE_S) == 0


def events(api: Any, name: str) -> list[list[str]]:
    """The arguments of the events of a name since the test began."""
    return [
        [str(argument.val) for argument in event.get_args()]
        for event in api.get_event_test_history().retrieve()
        if event.template.get_full_name() == f"{MAPS}.{name}"
    ]


def channel(api: Any, name: str) -> list[Any]:
    """The values of a channel since the test began."""
    return [
        update.get_val()
        for update in api.get_telemetry_test_history().retrieve()
        if update.template.get_full_name() == f"{MAPS}.{name}"
    ]


def wait_for(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"not so in {PATIENCE_S} s: {what}"
        time.sleep(0.1)


def fails(api: Any, command: str, arguments: Sequence[str], response: str) -> None:
    """A command ends with this response."""
    code = api.translate_command_name(f"{MAPS}.{command}")
    expected = [api.get_event_pred("MapDeployment.cmdDisp.OpCodeError", [code, response])]
    api.send_and_assert_event(f"{MAPS}.{command}", list(arguments), expected, timeout=PATIENCE_S)


def completes(api: Any, command: str, *arguments: str) -> None:
    api.send_and_assert_command(f"{MAPS}.{command}", list(arguments), timeout=PATIENCE_S)


def stream(*options: str) -> None:
    """Send frames to the service as a camera."""
    command = [CHECKS["python"], "-m", "hil.cli", "stream", "--endpoint", ENDPOINTS["frames"], "--rate", "1", *options]
    done = subprocess.run(command, cwd=CHECKS["root"], capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def near() -> str:
    """A folder of flyby frames in which the body is near enough for landing circles."""
    folder = FOLDER / "near"
    folder.mkdir(exist_ok=True)
    for number in range(24, 28):
        shutil.copy(Path(CHECKS["root"]) / "hil" / "flyby" / "frames" / f"{number:03}.png", folder)
    return str(folder)


@contextmanager
def expecting(last_frame_id: int) -> Iterator[list[dict[str, Any]]]:
    """What Python makes of the next products, up to those of a frame; filled in when the block ends."""
    module = "tests.flight.gnc.fprime.expected_products"
    command = [CHECKS["python"], "-m", module, ENDPOINTS["products"], str(last_frame_id), RADIUS]
    expected: list[dict[str, Any]] = []
    with subprocess.Popen(command, cwd=CHECKS["root"], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "subscribed\n"
            time.sleep(0.5)  # a subscription takes a moment to reach the publisher
            yield expected
            output, _ = process.communicate(timeout=PATIENCE_S)
            expected += [json.loads(line) for line in output.splitlines()]
        finally:
            process.kill()


def test_without_a_service_it_says_so(fprime_test_api: Any) -> None:
    wait_for(lambda: bool(channel(fprime_test_api, "ServiceState")), "state told")
    assert channel(fprime_test_api, "ServiceState")[-1] == "UNKNOWN"
    fails(fprime_test_api, "NO_OP", [], "EXECUTION_ERROR")
    assert events(fprime_test_api, "CommandNotSent") == [["no_op", "no service is there"]]


def test_it_finds_the_service(fprime_test_api: Any, service: Service) -> None:
    service.start()
    wait_for(lambda: channel(fprime_test_api, "ServiceState")[-1:] == ["READY"], "the service is ready")
    assert len(events(fprime_test_api, "ServiceAnswers")) == 1
    completes(fprime_test_api, "NO_OP")
    assert ["no_op", "ok"] in events(fprime_test_api, "CommandAnswered")


def test_maps_become_the_fixes_and_circles_that_python_makes_of_them(
    fprime_test_api: Any, service: Service, near: str
) -> None:
    newest = 3
    with expecting(newest) as expected:
        stream("--source", near)
    fixes = {line["frame_id"]: line["values"] for line in expected if line["topic"] == "map.navigation"}
    sites = {line["frame_id"]: line["values"] for line in expected if line["topic"] == "map.hazard"}
    # On a slow computer a frame may give way to the next one, but never the last.
    assert fixes.keys() == sites.keys()
    assert all(sites.values()), "circles in every frame"

    def last(name: str) -> int:
        return max((value["frame"]["frame_id"] for value in channel(fprime_test_api, name)), default=-1)

    wait_for(lambda: last("Fix") == newest and last("Sites") == newest, "the newest products")
    for value in channel(fprime_test_api, "Fix"):
        centroid = value["centroid"]
        found = [centroid["x"], centroid["y"], *(centroid["covariance"][name] for name in ("xx", "xy", "yy"))]
        assert found == pytest.approx(fixes[value["frame"]["frame_id"]], rel=1e-12)
    for value in channel(fprime_test_api, "Sites"):
        circles = value["circles"][: value["count"]]
        found = [[circle["x"], circle["y"], circle["radius"]] for circle in circles]
        assert found == [pytest.approx(circle, rel=1e-12) for circle in sites[value["frame"]["frame_id"]]]
    assert channel(fprime_test_api, "Received")[-1] == len(expected)
    assert not events(fprime_test_api, "ProductsLost")
    assert not events(fprime_test_api, "ProductsMalformed")
    wait_for(lambda: channel(fprime_test_api, "FramesProcessed")[-1:] == [len(fixes)], "the service's counter")


def test_commands_are_passed_on_and_told_of(fprime_test_api: Any, service: Service) -> None:
    completes(fprime_test_api, "SET_PARAMETER", "passes", "3")
    completes(fprime_test_api, "TELL_PARAMETER", "passes")
    assert events(fprime_test_api, "ParameterTold") == [["passes", "3"]]
    fails(fprime_test_api, "SET_PARAMETER", ["passes", "0"], "VALIDATION_ERROR")
    fails(fprime_test_api, "SET_PARAMETER", ["none_such", "1"], "VALIDATION_ERROR")
    fails(fprime_test_api, "SET_MODE", ["NoSuchMode"], "VALIDATION_ERROR")
    fails(fprime_test_api, "TELL_PARAMETER", ["none_such"], "VALIDATION_ERROR")
    codes = [code for _, code, _ in events(fprime_test_api, "CommandFailed")]
    assert codes == ["invalid_argument", "unknown_parameter", "invalid_argument", "unknown_parameter"]
    completes(fprime_test_api, "SELF_TEST")
    completes(fprime_test_api, "RESET_COUNTERS")
    completes(fprime_test_api, "GET_STATUS")
    wait_for(lambda: channel(fprime_test_api, "FramesProcessed")[-1:] == [0], "counters are reset")


def test_a_parameter_of_the_component_is_heeded(fprime_test_api: Any, service: Service) -> None:
    """No room for so large a circle."""
    completes(fprime_test_api, "MINIMUM_RADIUS_PX_PARAM_SET", "400.0")
    stream("--source", "flyby", "--count", "1")
    wait_for(lambda: bool(channel(fprime_test_api, "Sites")), "landing sites")
    assert channel(fprime_test_api, "Sites")[-1]["count"] == 0
    completes(fprime_test_api, "MINIMUM_RADIUS_PX_PARAM_SET", RADIUS)


def test_refused_maps_and_usable_ones_are_told_once(fprime_test_api: Any, service: Service) -> None:
    stream("--source", CHECKS["dark"], "--count", "2")
    wait_for(lambda: bool(events(fprime_test_api, "FixRefused")), "a refusal")
    wait_for(lambda: bool(events(fprime_test_api, "SitesRefused")), "a refusal")
    stream("--source", "flyby", "--count", "1")
    wait_for(lambda: bool(events(fprime_test_api, "FixUsable")), "a usable map")
    wait_for(lambda: channel(fprime_test_api, "FixRefusal")[-1] == "NONE", "no refusal any more")
    assert len(events(fprime_test_api, "FixRefused")) == 1


def test_a_killed_service_is_missed_and_found_again(fprime_test_api: Any, service: Service) -> None:
    service.kill()
    wait_for(lambda: len(events(fprime_test_api, "ServiceSilent")) == 1, "silence")
    fails(fprime_test_api, "NO_OP", [], "EXECUTION_ERROR")
    service.start()
    wait_for(lambda: channel(fprime_test_api, "ServiceState")[-1:] == ["READY"], "the service is ready again")
    assert len(events(fprime_test_api, "ServiceSilent")) == 1
    stream("--source", "flyby", "--count", "1")
    wait_for(lambda: len(events(fprime_test_api, "ServiceRestarted")) == 1, "the restart")
    wait_for(lambda: bool(channel(fprime_test_api, "Fix")), "a fix")


def test_the_service_is_stopped_from_the_ground(fprime_test_api: Any, service: Service) -> None:
    completes(fprime_test_api, "SHUTDOWN")
    assert service.process is not None
    assert service.process.wait(PATIENCE_S) == 0
    wait_for(lambda: channel(fprime_test_api, "ServiceState")[-1:] == ["UNKNOWN"], "silence")
