"""Mistyped endpoints are one line wherever they are given, and sockets of our own find a path that is short enough."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flight.cli import main as flight_main
from flight.client import AsyncSubscriber, Commander, EndpointError, FrameSender, Subscriber, TelemetryListener
from flight.endpoints import LONGEST_PATH, check_endpoint, make_socket_folder
from hil.cli import main as hil_main

GOOD = (
    *("tcp://127.0.0.1:5602", "tcp://localhost:1", "tcp://[::1]:65535", "tcp://[fe80::1%eth0]:5602"),
    *("tcp://my-board.local:5601", "ipc:///run/rubblemap/frames", "ipc://frames", "ipc://@abstract"),
    "ipc:///" + (LONGEST_PATH - 1) * "x",
)
FORM = "expected tcp://HOST:PORT or ipc://PATH, got "
PORT = "expected a port of 1..65535 in tcp://HOST:PORT, got "
MISTYPED = {
    **dict.fromkeys(("", "tcp://", "ipc://", "tcp:", "127.0.0.1:5602", "tcp://127.0.0.1", "frames"), FORM),
    **dict.fromkeys(("udp://127.0.0.1:5602", "http://127.0.0.1:5602", "inproc://frames", "TCP://127.0.0.1:1"), FORM),
    **dict.fromkeys((" tcp://127.0.0.1:5602", "tcp://127.0.0.1:5602 ", "tcp://127.0. 0.1:5602"), FORM),
    **dict.fromkeys(("tcp:/127.0.0.1:5602", "tcp//127.0.0.1:5602", "tcp://127.0.0.1:5602:5603"), FORM),
    **dict.fromkeys(("tcp://127.0.0:5602", "tcp://300.0.0.1:5602", "tcp://::1:5602", "tcp://[::g]:5602"), FORM),
    **dict.fromkeys(("tcp://a/b:5602", "tcp://a,b:5602", "ipc://*", "ipc:///tmp/a\nb", "tcp://caf\u00e9:5602"), FORM),
    **dict.fromkeys(("tcp://127.0.0.1:", "tcp://127.0.0.1:0", "tcp://127.0.0.1:65536", "tcp://127.0.0.1:56o2"), PORT),
    **dict.fromkeys(("tcp://127.0.0.1:123456789012", "tcp://127.0.0.1:\uff15", "tcp://127.0.0.1:5602/"), PORT),
    **dict.fromkeys(
        ("tcp://*:5602", "tcp://0.0.0.0:5602", "tcp://[::]:5602"),
        "expected the service's own address in tcp://HOST:PORT, got ",
    ),
    "ipc:///" + LONGEST_PATH * "x": "expected ipc://PATH with a path of at most 107 bytes, not 108, got ",
}
CLIENTS: tuple[Callable[[Any], object], ...] = (
    *(Subscriber, AsyncSubscriber, TelemetryListener, Commander, FrameSender),
    lambda endpoint: FrameSender(telemetry=endpoint),
)
PROGRAMS = (
    (flight_main, ["command", "get_status", "--endpoint"], "flight command: --endpoint: "),
    (hil_main, ["stream", "--count", "1", "--endpoint"], "hil stream: --endpoint: "),
    (hil_main, ["stream", "--count", "1", "--telemetry"], "hil stream: --telemetry: "),
    (hil_main, ["watch", "--endpoint"], "hil watch: --endpoint: "),
    (hil_main, ["metrics", "--endpoint"], "hil metrics: --endpoint: "),
)


def test_good_endpoints_are_taken() -> None:
    for endpoint in GOOD:
        assert check_endpoint(endpoint) == endpoint
    for endpoint in ("tcp://*:5601", "tcp://0.0.0.0:5601", "tcp://[::]:5601", "tcp://eth0:5601"):
        assert check_endpoint(endpoint, to_bind=True) == endpoint


@pytest.mark.parametrize("endpoint", MISTYPED)
def test_a_mistyped_endpoint_is_one_line(endpoint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    problem = MISTYPED[endpoint] + ascii(endpoint).replace("\\xe9", "\u00e9").replace("\\uff15", "\uff15")
    for open_client in CLIENTS:
        with pytest.raises(EndpointError) as caught:
            open_client(endpoint)
        assert str(caught.value) == f"endpoint: {problem}"
    for main, arguments, place in PROGRAMS:
        assert main([*arguments, endpoint]) == 2
        assert capsys.readouterr() == ("", f"{place}{problem}\n")
    if MISTYPED[endpoint].startswith("expected the service's"):
        return  # to be bound to they are right, with keys
    configuration = tmp_path / "flight.toml"
    text = endpoint.replace("\n", "\\n")
    configuration.write_text(f'[endpoints]\ntelemetry = "{text}"\n', encoding="utf-8")
    assert flight_main(["serve", "--bundle", str(tmp_path), "--config", str(configuration)]) == 2
    assert capsys.readouterr() == ("", f"flight serve: {configuration}: endpoints.telemetry: {problem}\n")


@pytest.mark.parametrize("endpoint", [None, b"tcp://127.0.0.1:5602", 5602, Path("/run/frames")])
def test_what_is_no_text_is_no_endpoint(endpoint: Any) -> None:
    for open_client in CLIENTS[:-1]:
        with pytest.raises(EndpointError, match="endpoint: expected tcp://HOST:PORT"):
            open_client(endpoint)


def test_a_mistyped_endpoint_leaves_nothing_open() -> None:
    def count_files() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    before = count_files()
    for _ in range(10):
        for open_client in CLIENTS[:-1]:
            with pytest.raises(EndpointError):
                open_client("udp://127.0.0.1:5602")
    assert count_files() == before


def test_a_folder_for_sockets_has_a_short_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    long = tmp_path / ("x" * (130 - len(str(tmp_path))))
    long.mkdir()
    for parent, is_there in ((tmp_path, len(str(tmp_path)) < 80), (long, False)):
        monkeypatch.setattr(tempfile, "tempdir", str(parent))
        with make_socket_folder("rubblemap_", 10) as folder:
            assert len(os.fsencode(folder)) + 11 <= LONGEST_PATH
            assert (Path(folder).parent == parent) == is_there
            assert Path(folder).stat().st_mode & 0o777 == 0o700
        assert not Path(folder).exists()
    # Where nothing will do, it is said in one line.
    with pytest.raises(OSError, match=r"^TMPDIR: expected a path of at most -?\d+ bytes for sockets, got /"):
        make_socket_folder(100 * "x", 10)
