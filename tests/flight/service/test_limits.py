"""Limits of what clients can make the service do: paths of bundles, rates, sizes; with real processes and sockets."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import zmq

from flight.client import CommandFailed
from flight.icd.limits import COMMAND_BYTES, MESSAGE_BYTES
from flight.keys import SOCKET_ROLES, load_client_keys
from tests.flight.service.peers import (
    FRAME,
    Keys,
    command,
    every_role_works,
    peer,
)
from tests.flight.service.scenarios import wait_for_storage
from tests.flight.service_process import RunningService, running_service

# Bundle paths


@pytest.fixture(scope="module")
def storage(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RunningService, Path]]:
    """A service with a bundle folder and a state folder, and their parent."""
    folder = tmp_path_factory.mktemp("storage")
    (folder / "uplink").mkdir()
    shutil.copytree(tiny_bundle, folder / "outside")
    shutil.copytree(tiny_bundle, folder / "uplink" / "inside")
    (folder / "uplink_2").mkdir()
    shutil.copytree(tiny_bundle, folder / "uplink_2" / "neighbour")
    (folder / "uplink" / "link").symlink_to(folder / "outside")
    (folder / "uplink" / "loop").symlink_to(folder / "uplink" / "loop")
    settings = f"[storage]\nstate = '{folder}/state'\nbundles = '{folder}/uplink'\n"
    with running_service(folder, tiny_bundle, settings) as service:
        wait_for_storage(service)
        yield service, folder


@pytest.mark.parametrize(
    "path",
    [
        *("", ".", "..", "../outside", "inside/../../outside", "/ABSOLUTE", "link", "../uplink_2/neighbour", "./", "/"),
        *("a\0b", "inside\0", "x" * 256, "loop", "loop/x", None, 7, 1.5, True, ["inside"], {"a": "inside"}),
    ],
)
def test_load_bundle_reads_only_inside_its_folder(storage: tuple[RunningService, Path], path: object) -> None:
    service, folder = storage
    if path == "/ABSOLUTE":
        path = str(folder / "outside")
    before = sorted((folder / "state").rglob("*"))
    with pytest.raises(CommandFailed) as caught:
        service.command("load_bundle", path=path)
    assert caught.value.code == "invalid_argument"
    assert "load_bundle.path: expected" in str(caught.value)
    assert sorted((folder / "state").rglob("*")) == before
    assert service.command("get_status")["staged_bundle"] is None


def test_load_bundle_copies_what_is_listed_and_nothing_else(storage: tuple[RunningService, Path]) -> None:
    service, folder = storage
    bundle = Path(shutil.copytree(folder / "outside", folder / "uplink" / "more"))
    (bundle / "extra.py").write_text("never listed")
    sha256 = service.command("load_bundle", path="more")["sha256"]
    copied = {path.name for path in (folder / "state" / "bundles" / sha256).iterdir()}
    assert copied == {path.name for path in (folder / "outside").iterdir()}


@pytest.mark.parametrize("name", ["SHA256SUMS", "manifest.json"])
def test_a_pipe_in_a_bundle_holds_nothing_up(storage: tuple[RunningService, Path], name: str) -> None:
    service, folder = storage
    bundle = Path(shutil.copytree(folder / "outside", folder / "uplink" / f"pipe_{name}"))
    (bundle / name).unlink()
    os.mkfifo(bundle / name)
    with pytest.raises(CommandFailed, match=f"{name}: expected a regular file") as caught:
        service.command("load_bundle", path=bundle.name)
    assert caught.value.code == "not_valid"


@pytest.mark.parametrize("name", ["../evil", "/evil", ".hidden", "a/b", "a\0b"])
def test_a_name_in_the_sums_that_leads_elsewhere_is_refused(
    storage: tuple[RunningService, Path], tmp_path: Path, name: str
) -> None:
    service, folder = storage
    bundle = folder / "uplink" / tmp_path.name
    shutil.copytree(folder / "outside", bundle)
    with (bundle / "SHA256SUMS").open("a") as file:
        file.write(f"{'0' * 64}  {name}\n")
    with pytest.raises(CommandFailed, match="SHA256SUMS: line") as caught:
        service.command("load_bundle", path=bundle.name)
    assert caught.value.code == "not_valid"


# Rates and sizes


@pytest.fixture(scope="module")
def limited(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    settings = "[limits]\nframes_per_second = 5\ncommands_per_second = 5\n"
    with running_service(tmp_path_factory.mktemp("limited"), tiny_bundle, settings) as service:
        yield service


def test_frames_beyond_the_rate_are_not_looked_at(limited: RunningService) -> None:
    before = limited.command("get_status")["counters"]
    with limited.subscriber("map.navigation", newest=False) as products, limited.camera(source="burst") as camera:
        for _ in range(40):
            camera.send(FRAME, centered=True)
        after = limited.wait_for(lambda s: s["counters"]["frames_received"] == before["frames_received"] + 40)[
            "counters"
        ]
        assert products.receive(10).status != "invalid"
    rejected = after["frames_rejected"]["rate_limited"] - before["frames_rejected"]["rate_limited"]
    accepted = after["frames_accepted"] - before["frames_accepted"]
    assert accepted >= 2  # half a second's worth at once
    assert rejected + accepted == 40
    assert rejected >= 20


def test_commands_beyond_the_rate_wait_and_none_is_lost(limited: RunningService) -> None:
    time.sleep(0.5)
    with peer(limited, "commands") as socket:
        began, used = time.monotonic(), _processor_time(limited.process.pid)
        for identifier in range(15):
            socket.send_multipart([b"", command(identifier)])
        replies = []
        while len(replies) < 15:
            assert socket.poll(30_000), f"{len(replies)} of 15 replies"
            replies.append(socket.recv_multipart())
        took, used = time.monotonic() - began, _processor_time(limited.process.pid) - used
    assert took >= 1.5
    assert took < 30
    # Waiting costs next to nothing: the loop must not spin while commands wait in the socket.
    assert used < 0.5 * took


def _processor_time(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _resident(pid: int, which: str = "VmRSS") -> int:
    """Resident memory in bytes; which: VmRSS, at present, or VmHWM, at most since the peak was forgotten."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(f"{which}:"))


def _forget_peak(pid: int) -> None:
    Path(f"/proc/{pid}/clear_refs").write_text("5")


@pytest.mark.parametrize(
    ("name", "size"),
    [("frames", MESSAGE_BYTES + 1), ("commands", COMMAND_BYTES + 1), ("products", 1025), ("telemetry", 1025)],
)
@pytest.mark.parametrize("with_keys", [False, True])
def test_a_part_over_the_limit_ends_that_connection_only(
    tiny_bundle: Path, tmp_path: Path, keys: Keys, name: str, size: int, with_keys: bool
) -> None:
    settings, clients = (keys.settings, keys.clients) if with_keys else ("", {})
    with running_service(tmp_path, tiny_bundle, settings, keys=clients) as service:
        pair = load_client_keys(keys.clients[SOCKET_ROLES[name]]) if with_keys else None
        before = service.command("get_status")["counters"]
        _forget_peak(service.process.pid)
        resident = _resident(service.process.pid)
        with peer(service, name, pair) as socket:
            monitor = socket.get_monitor_socket(zmq.EVENT_DISCONNECTED)
            if socket.type == zmq.SUB:
                socket.setsockopt(zmq.SUBSCRIBE, b"x" * size)
            else:
                socket.send(b"x" * size)
            assert monitor.poll(10_000), "the connection was left open"
            socket.disable_monitor()
        after = service.command("get_status")["counters"]
        assert after["frames_received"] == before["frames_received"]
        assert after["commands_rejected"] == before["commands_rejected"]
        assert _resident(service.process.pid, "VmHWM") - resident < 20e6
        every_role_works(service, "after")


@pytest.mark.parametrize("with_keys", [False, True])
def test_a_command_of_the_greatest_size_is_still_read(
    tiny_bundle: Path, tmp_path: Path, keys: Keys, with_keys: bool
) -> None:
    settings, clients = (keys.settings, keys.clients) if with_keys else ("", {})
    with running_service(tmp_path, tiny_bundle, settings, keys=clients) as service:
        pair = load_client_keys(keys.clients["commander"]) if with_keys else None
        with peer(service, "commands", pair) as socket:
            socket.send_multipart([b"", b"\xc1" * COMMAND_BYTES])
            assert socket.poll(30_000), "the connection was closed"
            assert b"malformed" in socket.recv_multipart()[-1]
