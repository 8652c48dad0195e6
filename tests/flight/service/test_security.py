"""Who may do what to the service: keys and roles; with real processes and sockets."""

from __future__ import annotations

import contextlib
import resource
import shutil
import socket as socketlib
import stat
import struct
import time
from dataclasses import replace
from pathlib import Path

import pytest
import zmq

from flight.client import Commander, FrameSender
from flight.keys import ROLES, SOCKET_ROLES, ClientKeys, load_client_keys
from tests.flight.service.peers import (
    FRAME,
    Keys,
    command,
    every_role_works,
    flight,
    frame_parts,
    free_endpoints,
    make_keys,
    peer,
)
from tests.flight.service_process import SOCKETS, running_service


def refused(message: str, *arguments: object) -> None:
    """The command line ends with exit code 2 and one line that has the message in it."""
    done = flight(*arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr


# Keys and roles


@pytest.mark.parametrize("host", ["ipc", "127.0.0.1", "0.0.0.0"])
def test_each_role_works_on_its_sockets(tiny_bundle: Path, tmp_path: Path, keys: Keys, host: str) -> None:
    endpoints = None if host == "ipc" else free_endpoints(host)
    with running_service(tmp_path, tiny_bundle, keys.settings, endpoints=endpoints, keys=keys.clients) as service:
        every_role_works(service, "navcam")


def test_the_command_line_commands_with_keys(tiny_bundle: Path, tmp_path: Path, keys: Keys) -> None:
    with running_service(tmp_path, tiny_bundle, keys.settings, keys=keys.clients) as service:
        arguments = ("command", "no_op", "--endpoint", service.endpoints["commands"], "--timeout", 5)
        done = flight(*arguments, "--keys", keys.clients["commander"])
        assert (done.returncode, done.stdout.strip()) == (0, "{}")
        refused("no service within", *arguments[:-1], 1, "--keys", keys.clients["camera"])


def intruders(keys: Keys, name: str) -> dict[str, ClientKeys | None]:
    """Peers with no business on a socket, by who they are."""
    role = SOCKET_ROLES[name]
    known = load_client_keys(keys.clients[role])
    others = {who: load_client_keys(keys.clients[who]) for who in (*ROLES, "unknown") if who != role}
    return {**others, "no key": None, "wrong service key": replace(known, service=known.public)}


@pytest.mark.parametrize("name", SOCKETS)
def test_nobody_else_gets_through(tiny_bundle: Path, tmp_path: Path, keys: Keys, name: str) -> None:
    with (
        running_service(tmp_path, tiny_bundle, keys.settings, keys=keys.clients) as service,
        service.telemetry("event") as events,
    ):
        for who, pair in intruders(keys, name).items():
            before = service.command("get_status")["counters"]
            with peer(service, name, pair) as socket:
                if name == "frames":
                    _send_if_possible(socket, frame_parts("intruder"))
                elif name == "commands":
                    _send_if_possible(socket, [command(1, "shutdown")])
                after = service.wait_for(
                    lambda s, b=before: s["counters"]["handshakes_failed"] > b["handshakes_failed"], 30
                )["counters"]
                # Housekeeping comes every second: a subscriber that was let in would have heard something.
                assert name == "frames" or not socket.poll(1200), who
            assert after["frames_received"] == before["frames_received"], who
            assert (after["frames_rejected"], service.process.poll()) == (before["frames_rejected"], None), who
            _, event = events.receive(30)
            assert (event["name"], event["severity"]) == ("handshake_failed", "warning_low"), who
            assert event["message"].startswith(f"{name}: "), who
            if who in ROLES or who == "unknown":
                assert f"is not allowed as {SOCKET_ROLES[name]}" in event["message"]
                assert pair.public.decode() in event["message"]
        assert service.command("get_status")["counters"]["frames_received"] == 0
        every_role_works(service, "after")


def _send_if_possible(socket: zmq.Socket[bytes], parts: list[bytes]) -> None:
    """A DEALER or PUSH that is connecting takes messages in; they leave once the handshake has succeeded."""
    if socket.poll(200, zmq.POLLOUT):
        with contextlib.suppress(zmq.Again):  # The handshake may fail, and its queue go, after the poll.
            socket.send_multipart(parts, flags=zmq.NOBLOCK)


def test_a_client_whose_service_goes_away_after_the_poll_does_not_wait_for_ever(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(zmq.Socket, "poll", lambda *_: zmq.POLLOUT)
    endpoint = f"ipc://{tmp_path}/nobody"
    with FrameSender(endpoint) as camera, pytest.raises(TimeoutError, match="no service took frame 0 within"):
        camera.send(FRAME, centered=True, timeout_s=0.2)
    with Commander(endpoint, 0.2) as commander, pytest.raises(TimeoutError, match="no service within"):
        commander.send("no_op")


def test_the_clients_tell_that_they_were_not_let_in(tiny_bundle: Path, tmp_path: Path, keys: Keys) -> None:
    with running_service(tmp_path, tiny_bundle, keys.settings, keys=keys.clients) as service:
        for folder in (None, keys.clients["consumer"]):
            with (
                FrameSender(service.endpoints["frames"], keys=folder) as camera,
                pytest.raises(TimeoutError, match="no service took frame 0 within 1 s"),
            ):
                camera.send(FRAME, centered=True, timeout_s=1)
        for folder in (None, keys.clients["camera"]):
            with (
                Commander(service.endpoints["commands"], 1.0, folder) as commander,
                pytest.raises(TimeoutError, match="no service within 1 s"),
            ):
                commander.send("shutdown")
        assert service.command("get_status")["counters"]["frames_received"] == 0


def in_version_2(parts: list[bytes]) -> bytes:
    """A message of two parts from a PUSH socket in version 2 of ZeroMQ's protocol, greeting included."""
    framed = zip(parts, (1, 0), strict=True)
    return (
        b"\xff"
        + bytes(7)
        + b"\x01\x7f\x01\x08\x00\x00"
        + b"".join(bytes([2 | more]) + struct.pack(">Q", len(part)) + part for part, more in framed)
    )


@pytest.mark.parametrize("greeting", ["version 1", "version 2", "null mechanism", "no ZeroMQ"])
def test_an_older_protocol_is_no_way_round_the_keys(
    tiny_bundle: Path, tmp_path: Path, keys: Keys, greeting: str
) -> None:
    """Old versions of ZeroMQ's protocol know no keys; a CURVE socket must not fall back to them."""
    parts = frame_parts("old")
    version_1 = b"\x01\x00" + b"".join(
        (bytes([len(part) + 1]) if len(part) < 254 else b"\xff" + struct.pack(">Q", len(part) + 1))
        + bytes([more])
        + part
        for part, more in zip(parts, (1, 0), strict=True)
    )
    version_2 = in_version_2(parts)
    null = b"\xff" + bytes(7) + b"\x01\x7f\x03\x00" + b"NULL".ljust(20, b"\0") + bytes(32)
    null += b"\x04\x1a\x05READY\x0bSocket-Type\x00\x00\x00\x04PUSH" + version_2[14:]
    data = {
        "version 1": version_1,
        "version 2": version_2,
        "null mechanism": null,
        "no ZeroMQ": b"GET / HTTP/1.1\r\nHost: board\r\n\r\n",
    }[greeting]
    with running_service(tmp_path, tiny_bundle, keys.settings, keys=keys.clients) as service:
        with socketlib.socket(socketlib.AF_UNIX) as raw:
            raw.connect(service.endpoints["frames"].removeprefix("ipc://"))
            raw.sendall(data)
            time.sleep(1.0)
        assert service.command("get_status")["counters"]["frames_received"] == 0
        every_role_works(service, "after")


def test_the_old_protocols_of_these_tests_do_reach_a_service_without_keys(tiny_bundle: Path, tmp_path: Path) -> None:
    """So that the test before this one shows something."""
    parts = frame_parts("old")
    data = in_version_2(parts)
    with (
        running_service(tmp_path, tiny_bundle) as service,
        socketlib.socket(socketlib.AF_UNIX) as raw,
    ):
        raw.connect(service.endpoints["frames"].removeprefix("ipc://"))
        raw.sendall(data)
        service.wait_for(lambda s: s["counters"]["frames_accepted"] == 1, 30)


def test_a_peer_that_never_shows_a_key_is_dropped(tiny_bundle: Path, tmp_path: Path, keys: Keys) -> None:
    with running_service(tmp_path, tiny_bundle, keys.settings, keys=keys.clients) as service:
        with socketlib.socket(socketlib.AF_UNIX) as raw:
            raw.settimeout(15)
            raw.connect(service.endpoints["frames"].removeprefix("ipc://"))
            began = time.monotonic()
            while raw.recv(4096):  # our side of the greeting never comes
                pass
            assert time.monotonic() - began < 10
        every_role_works(service, "after")


def test_connections_that_take_all_file_handles_do_not_end_the_service(
    tiny_bundle: Path, tmp_path: Path, keys: Keys
) -> None:
    """Over tcp; libzmq 4.3.5 aborts when it happens over ipc, which docs/security.md tells."""
    endpoints = free_endpoints("127.0.0.1")
    with running_service(tmp_path, tiny_bundle, keys.settings, endpoints=endpoints, keys=keys.clients) as service:
        pid = service.process.pid
        host, _, port = endpoints["frames"].removeprefix("tcp://").rpartition(":")
        before = len(list(Path(f"/proc/{pid}/fd").iterdir()))
        limit = before + 30
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (limit, limit))
        with contextlib.ExitStack() as strangers:
            for _ in range(60):
                strangers.enter_context(socketlib.create_connection((host, int(port)), timeout=30))
            # The kernel has accepted them all; the service's thread takes them one by one, before it drops the first.
            full = time.monotonic() + 30.0
            while len(list(Path(f"/proc/{pid}/fd").iterdir())) < limit - 2:
                assert time.monotonic() < full
                time.sleep(0.01)
            time.sleep(2.5)  # housekeeping is put together twice meanwhile
            assert service.process.poll() is None
        service.wait_for(lambda status: status["state"] == "ready")
        every_role_works(service, "after")


def test_a_withdrawn_key_works_no_more(tiny_bundle: Path, tmp_path: Path) -> None:
    keys = make_keys(tmp_path / "keys")
    spare = tmp_path / "spare"
    assert flight("keys", "client", keys.service, "spare", "--role", "commander", "--out", spare).returncode == 0
    with running_service(tmp_path, tiny_bundle, keys.settings, keys=keys.clients) as service:
        (keys.service / "commanders" / "spare.key").unlink()
        with Commander(service.endpoints["commands"], 2.0, spare) as commander:
            assert commander.send("no_op") == {}  # the allow-lists are read at start
    with (
        running_service(tmp_path, tiny_bundle, keys.settings, keys=keys.clients) as service,
        Commander(service.endpoints["commands"], 2.0, spare) as commander,
    ):
        with pytest.raises(TimeoutError):
            commander.send("no_op")
        assert service.command("no_op") == {}


# Key files


def serve_refused(tmp_path: Path, bundle: Path, folder: Path, message: str) -> None:
    configuration = tmp_path / "flight.toml"
    endpoints = "\n".join(f"{name} = 'ipc://{tmp_path}/{name}'" for name in SOCKETS)
    configuration.write_text(f"[endpoints]\n{endpoints}\n[security]\nkeys = '{folder}'\n")
    refused(message, "serve", "--bundle", bundle, "--config", configuration)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o644])
def test_a_secret_that_others_may_read_is_refused(tiny_bundle: Path, tmp_path: Path, keys: Keys, mode: int) -> None:
    folder = Path(shutil.copytree(keys.service, tmp_path / "keys"))
    secret = folder / "service.key_secret"
    secret.chmod(mode)
    serve_refused(
        tmp_path, tiny_bundle, folder, f"security.keys: {secret}: expected to be readable by its owner alone: chmod 600"
    )


def test_a_clients_secret_that_others_may_read_is_refused(tmp_path: Path, keys: Keys) -> None:
    folder = Path(shutil.copytree(keys.clients["commander"], tmp_path / "commander"))
    (folder / "client.key_secret").chmod(0o644)
    refused(f"{folder}/client.key_secret: expected to be readable by", "command", "no_op", "--keys", folder)


def test_a_missing_keys_folder_is_named(tiny_bundle: Path, tmp_path: Path) -> None:
    serve_refused(
        tmp_path, tiny_bundle, tmp_path / "none", f"security.keys: {tmp_path}/none/service.key_secret: no CURVE"
    )


@pytest.mark.parametrize("name", ["service.key_secret", "cameras/camera.key"])
@pytest.mark.parametrize(
    "content",
    [b"", b"\xff\x00\xff", b'curve\n    public-key = "short"\n', b'curve\n    public-key = "' + b" " * 40 + b'"\n'],
)
def test_a_damaged_key_file_is_named(tiny_bundle: Path, tmp_path: Path, keys: Keys, name: str, content: bytes) -> None:
    folder = Path(shutil.copytree(keys.service, tmp_path / "keys"))
    (folder / name).write_bytes(content)
    serve_refused(tmp_path, tiny_bundle, folder, f"security.keys: {folder / name}: ")


def test_a_secret_key_that_is_none_is_named(tiny_bundle: Path, tmp_path: Path, keys: Keys) -> None:
    folder = Path(shutil.copytree(keys.service, tmp_path / "keys"))
    path = folder / "service.key_secret"
    text = path.read_text()
    for replacement in ("~" * 40, "x"):
        begin, _, _ = text.partition("secret-key")
        path.write_text(f'{begin}secret-key = "{replacement}"\n')
        serve_refused(tmp_path, tiny_bundle, folder, f"security.keys: {path}: ")


def test_secret_files_are_for_their_owner_alone(keys: Keys) -> None:
    for folder in (keys.service, *keys.clients.values()):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        (secret,) = folder.glob("*.key_secret")
        assert stat.S_IMODE(secret.stat().st_mode) == 0o600
        for path in folder.rglob("*.key"):
            assert "secret-key" not in path.read_text()


def test_a_clients_folder_has_no_secret_of_the_service(keys: Keys) -> None:
    text = (keys.service / "service.key_secret").read_text()
    secret = text.rpartition('secret-key = "')[2].partition('"')[0]
    assert len(secret) == 40
    for path in keys.clients["commander"].iterdir():
        assert secret not in path.read_text()


def test_nothing_is_overwritten(tmp_path: Path, keys: Keys) -> None:
    before = {path: path.read_bytes() for path in keys.service.rglob("*.key*")}
    refused("service.key_secret: exists; making another would lock out", "keys", "service", keys.service)
    client = ("keys", "client", keys.service)
    refused("cameras/camera.key: exists; remove", *client, "camera", "--role", "camera", "--out", tmp_path / "new")
    refused("client.key_secret: exists", *client, "other", "--role", "camera", "--out", keys.clients["camera"])
    assert {path: path.read_bytes() for path in keys.service.rglob("*.key*")} == before
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("name", ["", "../camera", "a/b", "a b", "a.key", "x" * 65, "caméra", "a\n"])
def test_a_bad_name_is_refused(tmp_path: Path, keys: Keys, name: str) -> None:
    before = sorted(keys.service.rglob("*"))
    message = f"name: expected 1..64 letters, digits, - and _, got {name!r}"
    refused(message, "keys", "client", keys.service, name, "--role", "camera", "--out", tmp_path / "new")
    assert sorted(keys.service.rglob("*")) == before
    assert not (tmp_path / "new").exists()


def test_an_unknown_role_is_refused(tmp_path: Path, keys: Keys) -> None:
    arguments = ("keys", "client", keys.service, "pilot", "--role", "pilot", "--out", tmp_path / "new")
    refused("--role: expected camera | consumer | commander, got 'pilot'", *arguments)
    assert not (tmp_path / "new").exists()


def test_a_client_of_no_service_is_refused(tmp_path: Path) -> None:
    refused("service.key: no CURVE", "keys", "client", tmp_path, "x", "--role", "camera", "--out", tmp_path / "new")
    assert not (tmp_path / "new").exists()
