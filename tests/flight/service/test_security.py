"""Who may do what to the service: keys, roles, limits, bundle paths; with real processes and sockets."""

from __future__ import annotations

import ast
import contextlib
import itertools
import os
import resource
import shutil
import socket as socketlib
import stat
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import zmq

from flight.client import Commander, CommandFailed, FrameSender
from flight.icd.control import encode_message
from flight.icd.frames import encode_frame
from flight.icd.limits import COMMAND_BYTES, MESSAGE_BYTES
from flight.keys import ROLES, SOCKET_ROLES, ClientKeys, load_client_keys
from tests.flight.service_process import SOCKETS, RunningService, running_service
from tests.tiny_bundle import body_frame

FLIGHT = Path(__file__).parents[3] / "flight"
FRAME = body_frame(40, 60, 14)
CLIENTS = {"frames": zmq.PUSH, "products": zmq.SUB, "telemetry": zmq.SUB, "commands": zmq.DEALER}


def flight(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run the command line as a process."""
    command = [sys.executable, "-m", "flight.cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def refused(message: str, *arguments: object) -> None:
    """The command line ends with exit code 2 and one line that has the message in it."""
    done = flight(*arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr


@dataclass
class Keys:
    """The service's folder, and the clients' by role; `unknown` is a client whose key no allow-list has."""

    service: Path
    clients: dict[str, Path]

    @property
    def settings(self) -> str:
        return f"[security]\nkeys = '{self.service}'\n"


def make_keys(folder: Path) -> Keys:
    keys = Keys(folder / "service", {name: folder / name for name in (*ROLES, "unknown")})
    assert flight("keys", "service", keys.service).returncode == 0
    for name, out in keys.clients.items():
        role = name if name in ROLES else "camera"
        assert flight("keys", "client", keys.service, name, "--role", role, "--out", out).returncode == 0
    (keys.service / "cameras" / "unknown.key").unlink()
    return keys


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return make_keys(tmp_path_factory.mktemp("keys"))


def free_endpoints(host: str) -> dict[str, str]:
    """A free TCP port for each of the sockets."""
    with zmq.Context() as context, context.socket(zmq.PULL) as socket:
        ports = []
        for _ in SOCKETS:
            ports.append(socket.bind_to_random_port("tcp://127.0.0.1"))
        return {name: f"tcp://{host}:{port}" for name, port in zip(SOCKETS, ports, strict=True)}


@contextmanager
def peer(service: RunningService, name: str, keys: ClientKeys | None = None) -> Iterator[zmq.Socket[bytes]]:
    """A socket of the fitting kind that tries to connect once."""
    with zmq.Context() as context, context.socket(CLIENTS[name]) as socket:
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.RECONNECT_IVL, -1)
        if keys is not None:
            socket.setsockopt(zmq.CURVE_PUBLICKEY, keys.public)
            socket.setsockopt(zmq.CURVE_SECRETKEY, keys.secret)
            socket.setsockopt(zmq.CURVE_SERVERKEY, keys.service)
        if socket.type == zmq.SUB:
            socket.setsockopt(zmq.SUBSCRIBE, b"")
        socket.connect(service.endpoints[name])
        yield socket


def frame_parts(source: str) -> list[bytes]:
    return encode_frame(FRAME, source=source, epoch=1, frame_id=1, capture_time_ns=0, centered=True)


def command(identifier: int, name: str = "no_op", **arguments: object) -> bytes:
    return encode_message("command", {"id": identifier, "name": name, "arguments": arguments})


def every_role_works(service: RunningService, source: str) -> None:
    """A camera's frame becomes a consumer's product, telemetry comes, and a command is answered."""
    with (
        service.subscriber("map.navigation") as products,
        service.telemetry("telemetry.housekeeping") as telemetry,
        service.camera(source=source) as camera,
    ):
        camera.send(FRAME, centered=True)
        product = products.receive(20)
        assert product is not None
        assert product.status != "invalid"
        assert product.header["source"] == source
        assert telemetry.receive(5) is not None
    assert service.command("no_op") == {}


# Keys and roles


@pytest.mark.parametrize("host", ["ipc", "127.0.0.1", "0.0.0.0"])
def test_each_role_works_on_its_sockets(tiny_bundle: Path, tmp_path: Path, keys: Keys, host: str) -> None:
    endpoints = None if host == "ipc" else free_endpoints(host)
    with running_service(tmp_path, tiny_bundle, keys.settings, endpoints=endpoints, keys=keys.clients) as service:
        reached = {name: e.replace("0.0.0.0", "127.0.0.1") for name, e in service.endpoints.items()}
        every_role_works(replace(service, endpoints=reached), "navcam")


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
                    lambda s, b=before: s["counters"]["handshakes_failed"] > b["handshakes_failed"], 5
                )["counters"]
                # Housekeeping comes every second: a subscriber that was let in would have heard something.
                assert name == "frames" or not socket.poll(1200), who
            assert after["frames_received"] == before["frames_received"], who
            assert (after["frames_rejected"], service.process.poll()) == (before["frames_rejected"], None), who
            _, event = events.receive(5)
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
        service.wait_for(lambda s: s["counters"]["frames_accepted"] == 1, 5)


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
                strangers.enter_context(socketlib.create_connection((host, int(port)), timeout=1))
            # The kernel has accepted them all; the service's thread takes them one by one, before it drops the first.
            full = time.monotonic() + 4.0
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
            assert socket.poll(5000), f"{len(replies)} of 15 replies"
            replies.append(socket.recv_multipart())
        took, used = time.monotonic() - began, _processor_time(limited.process.pid) - used
    assert took >= 1.5
    assert took < 10
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
            assert socket.poll(5000), "the connection was closed"
            assert b"malformed" in socket.recv_multipart()[-1]


# Sources

_MODULES = {"pickle", "marshal", "shelve", "yaml", "dill", "cloudpickle", "joblib"}
_FUNCTIONS = {"eval", "exec", "compile", "__import__"}
_OS_FUNCTIONS = {"system", "popen"}


def _violations(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """(line, what) for whatever runs text as code or builds objects out of bytes."""
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
            if node.module == "os":
                names += [f"os.{alias.name}" for alias in node.names]
        for name in names:
            if name.split(".")[0] in _MODULES or name in {f"os.{function}" for function in _OS_FUNCTIONS}:
                yield node.lineno, f"import of {name}"
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        keywords = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
        if called in _FUNCTIONS or called in {f"os.{function}" for function in _OS_FUNCTIONS}:
            yield node.lineno, f"call of {called}"
        if keywords.get("shell", "False") != "False":
            yield node.lineno, f"shell=True in {called}"
        if called in ("np.load", "numpy.load") and keywords.get("allow_pickle") != "False":
            yield node.lineno, f"{called} without allow_pickle=False"


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from marshal import loads",
        "import yaml.loader",
        "eval('1')",
        "exec(x)",
        "compile(x, '', 'exec')",
        "os.system('ls')",
        "from os import system",
        "subprocess.run(x, shell=True)",
        "Popen(x, shell=flag)",
        "np.load(p)",
        "numpy.load(p, allow_pickle=True)",
    ],
)
def test_the_check_of_the_sources_sees_what_it_is_for(source: str) -> None:
    assert list(_violations(ast.parse(source)))


def test_nothing_in_flight_runs_text_or_unpickles() -> None:
    paths = list(FLIGHT.rglob("*.py"))
    assert len(paths) > 40
    found = itertools.chain.from_iterable(
        ((path, *violation) for violation in _violations(ast.parse(path.read_text(encoding="utf-8")))) for path in paths
    )
    assert list(found) == []
