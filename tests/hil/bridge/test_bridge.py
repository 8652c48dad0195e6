"""`hil bridge` as a process between a real service and a ground system."""

from __future__ import annotations

import json
import socket
import time
from pathlib import Path

import pytest

from flight.icd.catalogue import CLASS_ROLES, EVENTS
from hil.bridge.apids import apid_of
from hil.bridge.bridge import MOST_UNDER_WAY
from hil.bridge.layouts import structure_id
from hil.bridge.links import SILENCE_S
from hil.bridge.telecommands import CONNECTION_TEST, DISABLE_EVENTS, DISABLE_REPORTS, ENABLE_REPORTS, REQUEST_REPORTS
from hil.bridge.xtce import make_xtce
from hil.cli import main
from tests.flight.service.peers import flight, make_keys
from tests.flight.service_process import SOCKETS, running_service
from tests.hil.bridge.ground import (
    GroundSystem,
    connected,
    function,
    is_structure,
    running_bridge,
    telecommand,
)
from tests.tiny_bundle import body_frame

FRAME = body_frame(40, 60, 14)


def lines_with(lines: list[str], text: str, timeout_s: float = 30.0) -> str:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        for line in lines:
            if text in line:
                return line
        time.sleep(0.05)
    raise AssertionError(f"{text!r} not in {lines}")


def subtypes(packets: list[dict[str, object]]) -> list[object]:
    return [packet["pus_subtype"] for packet in packets]


def test_a_ground_system_sees_and_commands_the_service(tiny_bundle: Path, tmp_path: Path) -> None:
    ground = GroundSystem()
    with (
        running_service(tmp_path, tiny_bundle) as service,
        running_bridge(service.endpoints) as (ports, _),
        connected(ports["telemetry"], ground),
        connected(ports["telecommands"]) as link,
        service.camera(source="navcam") as camera,
    ):
        status = ground.wait_for(is_structure("housekeeping"))
        assert status["housekeeping_state"] == "ready"
        assert status["housekeeping_bundle_name"] == "tiny"
        assert abs(status["time"] - time.time()) < 30.0

        camera.send(FRAME, centered=True)
        navigation = ground.wait_for(is_structure("map_navigation"))
        assert navigation["map_navigation_source"] == "navcam"
        assert navigation["map_navigation_frame_id"] == 0
        assert navigation["map_navigation_fix_x_known"]
        kinds = (*CLASS_ROLES, "unknown")
        assert sum(navigation[f"map_navigation_pixels_{kind}"] for kind in kinds) == 32 * 48
        assert ground.wait_for(is_structure("map_hazard"))["map_hazard_frame_id"] == 0
        camera.next_frame_id = 0
        camera.send(FRAME, centered=True)
        rejected = ground.wait_for(lambda packet: packet.get("event_id") == EVENTS["frame_rejected"].id)
        assert rejected["event_frame_rejected_reason"] == "not_increasing"
        assert ground.wait_for(lambda p: p.get("camera_rejected_not_increasing") == 1)["camera_accepted"] == 1

        change = function("set_parameter", {"name": "passes", "value": 3}, count=11, source_id=9)
        link.sendall(change)
        answers = ground.answers(change, 7)
        assert subtypes(answers) == [1, 3, 7]
        assert {packet["pus_destination"] for packet in answers} == {9}
        result = ground.wait_for(lambda p: p["pus_subtype"] == 129)
        assert (result["function"], json.loads(result["result"])) == ("set_parameter", {"name": "passes", "value": 3})
        assert service.command("get_parameters")["passes"] == 3
        ground.wait_for(lambda p: p.get("housekeeping_parameters_passes") == 3)
        changed = ground.wait_for(lambda p: p.get("event_id") == EVENTS["parameter_changed"].id)
        assert json.loads(changed["event_parameter_changed_values"]) == {"passes": 3}

        counts: dict[int, list[int]] = {}
        for packet in ground.packets:
            counts.setdefault(packet["ccsds_apid"], []).append(packet["ccsds_sequence_count"])
        for numbers in counts.values():
            assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))


def test_bad_telecommands_get_a_failure_and_end_nothing(tiny_bundle: Path, tmp_path: Path) -> None:
    ground, good = GroundSystem(), function("get_status", count=100)
    bad = {
        "wrong_checksum": good[:-1] + bytes((good[-1] ^ 1,)),
        "wrong_header": good[:2] + bytes((good[2] & 0x3F,)) + good[3:],
        "wrong_apid": function("no_op", apid=0x7FF),
        "unknown_service": telecommand("commands", (2, 1)),
        "unknown_command": telecommand("commands", (8, 1), b"no_on".ljust(32, b"\0")),
        "not_allowed": function("shutdown"),
        "wrong_source": function("no_op", source_id=2),
        "unknown_structure": telecommand("products", REQUEST_REPORTS, bytes((1, structure_id("map_full")))),
    }
    allowed = ("--allow", "get_status", "set_parameter", "set_mode", "no_op", "--source-ids", "0")
    with (
        running_service(tmp_path, tiny_bundle) as service,
        running_bridge(service.endpoints, *allowed) as (ports, lines),
        connected(ports["telemetry"], ground),
        connected(ports["telecommands"]) as link,
    ):
        for code, octets in bad.items():
            since = len(ground.packets)
            link.sendall(octets)
            failure = ground.wait_for(lambda p: p["pus_service"] == 1, since)
            assert (failure["pus_subtype"], failure["failure_code"]) == (2, code)
            assert failure["request_packet_id"] == int.from_bytes(octets[:2], "big")
            lines_with(lines, code)
        # Rejected by the service itself.
        wrong = function("set_parameter", {"name": "passes", "value": 1000}, count=5)
        link.sendall(wrong)
        answers = ground.answers(wrong, 8)
        assert subtypes(answers) == [1, 3, 8]
        assert answers[-1]["failure_code"] == "invalid_argument"
        assert "passes" in answers[-1]["failure_text"]
        # A length that promises more octets than come: given up in silence, and the next packet is one again.
        link.sendall(good[:5] + bytes((200,)) + good[6:])
        since = len(ground.packets)
        failure = ground.wait_for(lambda p: p.get("failure_code") == "wrong_length", since, SILENCE_S + 30.0)
        assert failure["request_sequence"] == int.from_bytes(good[2:4], "big")
        # Nothing of all this ends the connection or the bridge.
        again = function("get_status", count=101)
        link.sendall(again)
        assert subtypes(ground.answers(again, 7)) == [1, 3, 7]
        with connected(ports["telecommands"]) as another:
            another.sendall(good[:10])
        ground.wait_for(lambda p: p.get("failure_code") == "wrong_length", since + 1)
        status = ground.wait_for(lambda p: p.get("bridge_status_telecommands_rejected", 0) >= len(bad) + 2)
        assert status["bridge_status_telecommands_accepted"] == 2
        assert service.command("get_parameters")["passes"] == 4


def test_only_the_reports_that_are_asked_for_come(tiny_bundle: Path, tmp_path: Path) -> None:
    ground = GroundSystem()
    quiet = function("no_op", count=1, ack_flags=0)
    test = telecommand("commands", CONNECTION_TEST, count=2, ack_flags=0b1000)
    own_test = telecommand("bridge", CONNECTION_TEST, count=3)
    with (
        running_service(tmp_path, tiny_bundle) as service,
        # Telemetry and telecommands over one connection.
        running_bridge(service.endpoints, "--tm", "tcp://127.0.0.1:0", "--tc", "tcp://127.0.0.1:0") as (ports, _),
        connected(ports["telemetry and telecommands"], ground) as link,
    ):
        ground.wait_for(is_structure("housekeeping"))
        link.sendall(quiet + test + own_test)
        assert subtypes(ground.answers(test, 7)) == [7]
        assert subtypes(ground.answers(own_test, 7)) == [1, 3, 7]
        alive = {p["ccsds_apid"] for p in ground.packets if p["pus_service"] == 17}
        assert alive == {apid_of("commands"), apid_of("bridge")}
        ground.wait_for(lambda p: p["pus_subtype"] == 129)
        assert not [p for p in ground.packets if p.get("request_sequence") == 0xC001 and p["pus_service"] == 1]

        # Reports and events that are disabled stay away until they are enabled, and come on request.
        housekeeping = bytes((1, structure_id("housekeeping")))
        off = telecommand("telemetry", DISABLE_REPORTS, housekeeping, count=4)
        no_event = telecommand(
            "telemetry", DISABLE_EVENTS, b"\1" + EVENTS["parameter_changed"].id.to_bytes(2, "big"), count=5
        )
        link.sendall(off + no_event)
        ground.answers(no_event, 7)
        since = len(ground.packets)
        service.command("set_parameter", name="passes", value=2)
        ground.wait_for(is_structure("bridge_status"), since)
        ground.wait_for(is_structure("bridge_status"), len(ground.packets))
        assert not [p for p in ground.packets[since:] if p.get("structure_id") == "housekeeping" or "event_id" in p]
        request = telecommand("telemetry", REQUEST_REPORTS, housekeeping, count=6)
        link.sendall(request)
        ground.answers(request, 7)
        (asked,) = [p for p in ground.packets[since:] if p.get("structure_id") == "housekeeping"]
        assert asked["housekeeping_parameters_passes"] == 2
        link.sendall(telecommand("telemetry", ENABLE_REPORTS, housekeeping, count=7))
        since = len(ground.packets)
        ground.wait_for(is_structure("housekeeping"), since)


def test_a_service_that_goes_and_comes_back_is_told(tiny_bundle: Path, tmp_path: Path) -> None:
    ground = GroundSystem()
    endpoints = {name: f"ipc://{tmp_path}/{name}" for name in SOCKETS}
    lost = function("no_op", count=1)
    with (
        running_bridge(endpoints) as (ports, lines),
        connected(ports["telemetry"], ground),
        connected(ports["telecommands"]) as link,
    ):
        gone = ground.wait_for(lambda p: "event_service_gone_age_s" in p)
        assert gone["pus_subtype"] == 3
        link.sendall(lost)
        answers = ground.answers(lost, 8)
        assert answers[-1]["failure_code"] == "no_reply"
        for time_number in (1, 2):
            since = len(ground.packets)
            with running_service(tmp_path, tiny_bundle):
                found = ground.wait_for(lambda p: "event_service_found_state" in p, since)
                assert found["pus_subtype"] == 1
                again = function("get_status", count=10 + time_number)
                link.sendall(again)
                assert subtypes(ground.answers(again, 7)) == [1, 3, 7]
                ground.wait_for(lambda p: p.get("bridge_status_service_is_there") == 1, since)
            since = len(ground.packets)
            ground.wait_for(lambda p: "event_service_gone_age_s" in p, since)
            ground.wait_for(lambda p: p.get("bridge_status_service_is_there") == 0, since)
        lines_with(lines, "service_gone: no housekeeping for")
        lines_with(lines, "service_found: state")


def test_too_many_telecommands_at_once_are_rejected(tmp_path: Path) -> None:
    ground = GroundSystem()
    endpoints = {name: f"ipc://{tmp_path}/{name}" for name in SOCKETS}
    with (
        running_bridge(endpoints) as (ports, _),
        connected(ports["telemetry"], ground),
        connected(ports["telecommands"]) as link,
    ):
        for count in range(MOST_UNDER_WAY + 3):
            link.sendall(function("no_op", count=count))
        ground.wait_for(lambda p: p.get("bridge_status_telecommands_rejected") == 3)
        rejected = [p["request_sequence"] & 0x3FFF for p in ground.packets if p.get("failure_code") == "too_many"]
        assert rejected == [MOST_UNDER_WAY + number for number in range(3)]
        # What is the bridge's own to answer is answered.
        test = telecommand("bridge", CONNECTION_TEST, count=99)
        link.sendall(test)
        assert subtypes(ground.answers(test, 7)) == [1, 3, 7]


def test_over_udp_each_packet_is_a_datagram(tiny_bundle: Path, tmp_path: Path) -> None:
    ground = GroundSystem()
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender,
        running_service(tmp_path, tiny_bundle) as service,
    ):
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(30)
        here = f"udp://127.0.0.1:{receiver.getsockname()[1]}"
        with running_bridge(service.endpoints, "--tm", here, "--tc", "udp://127.0.0.1:0") as (ports, _):
            there = ("127.0.0.1", ports["telecommands"])

            def receive_until(service_type: int, subtype: int) -> dict[str, object]:
                while True:
                    ground.take(receiver.recv(65536))
                    packet = ground.packets[-1]
                    if (packet["pus_service"], packet["pus_subtype"]) == (service_type, subtype):
                        return packet

            receive_until(3, 25)
            sender.sendto(b"", there)
            assert receive_until(1, 2)["failure_code"] == "wrong_length"
            # Two packets in one datagram are none.
            sender.sendto(2 * function("no_op"), there)
            assert receive_until(1, 2)["failure_code"] == "wrong_length"
            sender.sendto(function("no_op", count=9), there)
            assert receive_until(1, 7)["request_sequence"] == 0xC009
            # Nobody listens for a while.
            port = receiver.getsockname()[1]
            receiver.close()
            time.sleep(2.5)
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as second:
                second.bind(("127.0.0.1", port))
                second.settimeout(30)
                ground.take(second.recv(65536))


def test_commands_are_signed_with_the_bridges_key(tiny_bundle: Path, tmp_path: Path) -> None:
    keys = make_keys(tmp_path / "keys")
    folder = tmp_path / "operator"
    roles = ("--role", "consumer", "--role", "commander")
    assert flight("keys", "client", keys.service, "operator", *roles, "--out", folder).returncode == 0
    ground, wanted = GroundSystem(), function("get_status", count=1)
    with running_service(tmp_path, tiny_bundle, keys.settings, keys=keys.clients) as service:
        with (
            running_bridge(service.endpoints, "--keys", str(folder)) as (ports, _),
            connected(ports["telemetry"], ground),
            connected(ports["telecommands"]) as link,
        ):
            ground.wait_for(is_structure("housekeeping"))
            link.sendall(wanted)
            assert subtypes(ground.answers(wanted, 7)) == [1, 3, 7]
        stranger = GroundSystem()
        with (
            running_bridge(service.endpoints, "--keys", str(keys.clients["consumer"])) as (ports, _),
            connected(ports["telemetry"], stranger),
            connected(ports["telecommands"]) as link,
        ):
            stranger.wait_for(is_structure("housekeeping"))
            link.sendall(wanted)
            assert stranger.answers(wanted, 8)[-1]["failure_code"] == "no_reply"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--tc", "tcp://0.0.0.0:10025"), "--tc: expected a loopback address, got tcp://0.0.0.0:10025"),
        (("--tc", "udp://192.168.1.1:10025"), "--tc: expected a loopback address"),
        (("--tm", "tcp://192.168.1.1:10015"), "--tm: expected a loopback address"),
        (("--tm", "http://127.0.0.1:10015"), "--tm: expected tcp://HOST:PORT or udp://HOST:PORT, got 'http:"),
        (("--tm", "tcp://127.0.0.1"), "--tm: expected tcp://HOST:PORT"),
        (("--tm", "udp://127.0.0.1:70000"), "--tm: expected a port of 0..65535, got 70000"),
        (("--apid", "2047"), "--apid: expected 1..2042, got 2047"),
        (("--allow", "self_destruct"), "--allow: expected no_op"),
    ],
)
def test_wrong_options_are_told(options: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bridge", *options]) == 2
    error = capsys.readouterr().err
    assert error.startswith("hil bridge: ")
    assert message in error
    assert error.count("\n") == 1


def test_a_port_in_use_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        assert main(["bridge", "--tm", f"tcp://127.0.0.1:{port}"]) == 2
    assert f"cannot use tcp://127.0.0.1:{port} for telemetry: " in capsys.readouterr().err


def test_the_xtce_is_written(tmp_path: Path) -> None:
    path = tmp_path / "new" / "rubblemap.xml"
    assert main(["bridge", "--xtce", str(path), "--apid", "100"]) == 0
    assert path.read_bytes() == make_xtce(100)
    assert make_xtce(100) != make_xtce(101)
