"""Deploys to a board in a folder: whole or not at all, one at a time, and back when a step fails."""

from __future__ import annotations

import io
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flight.keys import make_service_keys
from hil.board.progress import Progress
from hil.deploy.archive import Archive, choose_target, make_archive, read_keys
from hil.deploy.connection import DeployError, Link, LinkError, ssh_command
from hil.deploy.deploy import Limits, Wishes, default_configuration, deploy, describe_plan, roll_back, start_timeout_s
from tests.hil.deploy.fake_board import FakeBoard
from tests.tiny_bundle import write_tiny_bundle


@pytest.fixture
def board(tmp_path: Path) -> Iterator[FakeBoard]:
    board = FakeBoard(tmp_path / "board")
    yield board
    board.close()


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_bundle(tmp_path_factory.mktemp("deploy") / "bundle", ("Tiny",))


@pytest.fixture
def progress() -> Progress:
    return Progress(io.StringIO())


def wait_until(condition: Any, seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def archive_of(board: FakeBoard, bundle: Path) -> Archive:
    return make_archive(board.target, bundle, board.cache, lambda text: None)


def test_a_deploy_serves_and_the_one_before_comes_back(board: FakeBoard, bundle: Path, progress: Progress) -> None:
    first_text, second_text = board.configuration("first"), board.configuration("second", passes=3)
    with board.link() as link:
        first = deploy(link, board.wishes(bundle, first_text), progress)
    assert first["previous"] is None
    assert first["health"]["status"] in ("valid", "degraded")
    assert board.serving == first["release"]
    assert board.read("etc/rubblemap/flight.toml") == first_text
    assert (board.home / "enabled").exists()
    other = write_tiny_bundle(board.home / "other", ("Tiny", "TinyTwo"))
    with board.link() as link:
        second = deploy(link, board.wishes(other, second_text), progress)
        listed = link.ask("list")
    assert second["previous"] == first["release"]
    assert [release["id"] for release in listed["releases"]] == [second["release"], first["release"]]
    assert not listed["unconfirmed"]
    assert board.read("etc/rubblemap/flight.toml") == second_text
    with board.link() as link:
        back = roll_back(link, board.wishes(bundle, None), progress)
    assert back["release"] == board.serving == first["release"]
    assert board.read("etc/rubblemap/flight.toml") == first_text
    with board.link() as link:
        link.ask("begin")
        kept = link.ask("uninstall")["kept"]
    assert str(board.root / "etc/rubblemap") in kept
    assert not (board.root / "opt/rubblemap").exists()
    assert not board.service_runs


def test_what_does_not_start_gives_way_to_what_served(board: FakeBoard, bundle: Path, progress: Progress) -> None:
    good = board.configuration("good")
    with board.link() as link:
        first = deploy(link, board.wishes(bundle, good), progress)
    with board.link() as link, pytest.raises(DeployError, match=r"passes: .*; back to ") as failure:
        deploy(link, board.wishes(bundle, board.configuration("bad", passes=1000)), progress)
    assert first["release"] in str(failure.value)
    assert board.serving == first["release"]
    assert board.read("etc/rubblemap/flight.toml") == good
    wait_until(lambda: board.service_runs)


def test_a_first_deploy_that_fails_leaves_no_service(board: FakeBoard, bundle: Path, progress: Progress) -> None:
    with board.link() as link, pytest.raises(DeployError, match="back to nothing, as before"):
        deploy(link, board.wishes(bundle, board.configuration("bad", passes=1000)), progress)
    assert board.serving is None
    assert not (board.root / "etc/systemd/system/rubblemap-flight.service").exists()
    assert not (board.home / "enabled").exists()


def test_an_installation_by_hand_comes_back_as_it_was(board: FakeBoard, bundle: Path, progress: Progress) -> None:
    base, unit = board.root / "opt/rubblemap", board.root / "etc/systemd/system/rubblemap-flight.service"
    for folder in (base / "venv", base / "bundle", unit.parent, board.root / "etc/rubblemap"):
        folder.mkdir(parents=True)
        (folder / "mark").touch()
    unit.write_text("[Service]\nExecStart=/bin/true\n")
    (board.root / "etc/rubblemap/flight.toml").write_text("# by hand\n")
    with board.link() as link, pytest.raises(DeployError, match="back to by-hand"):
        deploy(link, board.wishes(bundle, board.configuration("bad", passes=1000)), progress)
    assert board.serving == "by-hand"
    assert (base / "venv/mark").exists()
    assert (base / "bundle/mark").exists()
    assert "ExecStart=/bin/true" in unit.read_text()
    assert board.read("etc/rubblemap/flight.toml") == "# by hand\n"


def test_a_damaged_bundle_never_serves(board: FakeBoard, bundle: Path, progress: Progress) -> None:
    broken = write_tiny_bundle(board.home / "broken", ("Tiny",))
    (broken / "Tiny.tflite").write_bytes((broken / "Tiny.tflite").read_bytes()[:-1])
    with board.link() as link, pytest.raises(DeployError, match=r"Tiny\.tflite"):
        deploy(link, board.wishes(broken, board.configuration("any")), progress)
    assert board.serving is None


def test_two_deploys_at_once_refuse_each_other(board: FakeBoard) -> None:
    with board.link() as first, board.link() as second:
        first.ask("begin")
        with pytest.raises(DeployError, match="another deploy to this board is under way"):
            second.ask("begin")
    with board.link() as third:
        third.ask("begin")


@pytest.mark.parametrize("end", ["link", "power"])
def test_what_was_not_confirmed_is_undone(board: FakeBoard, bundle: Path, progress: Progress, end: str) -> None:
    good = board.configuration("good")
    with board.link() as link:
        first = deploy(link, board.wishes(bundle, good), progress)
    other = archive_of(board, write_tiny_bundle(board.home / "other", ("Tiny", "TinyTwo")))
    # With bash it is the agent itself that `kill` ends: no shell stays in between.
    link = board.link(("bash", "-c"))
    link.ask("begin")
    link.ask("offer", sha256=other.sha256, size=other.path.stat().st_size, unpacked=other.unpacked, id=other.release)
    link.send_file(other.path, other.sha256, 0, lambda sent: None)
    link.ask("install", sha256=other.sha256, id=other.release)
    link.ask("prepare", configuration="[limits]\n", default_configuration="", keys=None)
    link.ask("switch", id=other.release)
    assert board.serving == other.release
    if end == "link":
        link.close()
    else:
        link.kill()
        assert board.serving == other.release
        with board.link() as later:
            assert later.ask("begin")["undone"] == first["release"]
    assert board.serving == first["release"]
    assert board.read("etc/rubblemap/flight.toml") == good


def test_a_broken_copy_goes_on_where_it_ended(board: FakeBoard, bundle: Path) -> None:
    archive = archive_of(board, bundle)
    size = archive.path.stat().st_size
    offer = {"sha256": archive.sha256, "size": size, "unpacked": archive.unpacked, "id": archive.release}
    part = board.home / "part"
    part.write_bytes(archive.path.read_bytes()[: size // 2])
    with board.link() as link:
        link.ask("begin")
        assert link.ask("offer", **offer) == {"installed": False, "have": 0}
        link.send_file(part, archive.sha256, 0, lambda sent: None)
    with board.link() as link:
        link.ask("begin")
        have = link.ask("offer", **offer)["have"]
        assert have == size // 2
        link.send_file(archive.path, archive.sha256, have, lambda sent: None)
        link.ask("install", sha256=archive.sha256, id=archive.release)
        assert link.ask("offer", **offer)["installed"]


def test_a_copy_with_other_bytes_is_refused(board: FakeBoard, bundle: Path) -> None:
    archive = archive_of(board, bundle)
    other = board.home / "other"
    other.write_bytes(archive.path.read_bytes()[:-1] + b"?")
    with board.link() as link:
        link.ask("begin")
        link.send_file(other, archive.sha256, 0, lambda sent: None)
        with pytest.raises(DeployError, match="expected SHA-256"):
            link.ask("install", sha256=archive.sha256, id=archive.release)
    assert list((board.root / "opt/rubblemap/releases").iterdir()) == []
    assert list((board.root / "opt/rubblemap/incoming").iterdir()) == []


def test_a_full_disk_changes_nothing(board: FakeBoard, bundle: Path, progress: Progress) -> None:
    with board.link() as link:
        first = deploy(link, board.wishes(bundle, board.configuration("good")), progress)
    archive = archive_of(board, write_tiny_bundle(board.home / "other", ("Tiny", "TinyTwo")))
    with board.link() as link:
        link.ask("begin")
        with pytest.raises(DeployError, match=r"expected \d+ MiB free, got \d+ MiB"):
            link.ask("offer", sha256=archive.sha256, size=1 << 60, unpacked=1, id=archive.release)
    # Files that can grow no further, after the space was found enough.
    with board.link(("sh", "-c", 'ulimit -f 64; exec sh -c "$0"')) as link:
        link.ask("begin")
        with pytest.raises(DeployError, match="File too large"):
            link.send_file(archive.path, archive.sha256, 0, lambda sent: None)
        assert link.ask("list")["current"] == first["release"]
    assert list((board.root / "opt/rubblemap/incoming").iterdir()) == []
    assert [path.name for path in (board.root / "opt/rubblemap/releases").iterdir()] == [first["release"]]


def test_an_archive_is_decided_by_its_contents_alone(board: FakeBoard, bundle: Path) -> None:
    first = archive_of(board, bundle)
    assert archive_of(board, bundle).sha256 == first.sha256
    with tarfile.open(first.path) as tar:
        members = tar.getmembers()
    names = {member.name for member in members}
    assert {"bin/flight", "bundle/manifest.json", "etc/rubblemap-flight.service", "release.json"} <= names
    assert not any("/gnc/" in name for name in names)
    assert {(member.uid, member.gid, member.mtime) for member in members} == {(0, 0, 0)}
    assert {member.mode for member in members} <= {0o755, 0o644}


PROBE = {
    "system": "A system",
    "machine": "aarch64",
    "bits": 64,
    "python": [3, 11],
    "libc": "glibc 2.36",
    "systemd": True,
}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"bits": 32}, r"A system: expected a 64-bit system, got 32 bits"),
        ({"machine": "armv7l"}, r"expected a processor aarch64 or x86_64, got armv7l"),
        ({"python": [3, 9]}, r"expected Python 3\.11 or newer, got 3\.9"),
        ({"libc": ""}, r"expected the GNU C library, got another one"),
        ({"systemd": False}, r"expected systemd, got another init"),
    ],
)
def test_what_cannot_serve_is_refused_in_one_line(change: dict[str, Any], message: str) -> None:
    with pytest.raises(DeployError, match=message) as failure:
        choose_target({**PROBE, **change})
    assert "\n" not in str(failure.value)


def test_wheels_are_chosen_for_the_boards_processor_python_and_c_library() -> None:
    trixie = choose_target({**PROBE, "python": [3, 13], "libc": "glibc 2.41"})
    assert trixie.platforms[0] == "manylinux_2_41_aarch64"
    assert trixie.platforms[-2:] == ["manylinux_2_17_aarch64", "manylinux2014_aarch64"]
    options = trixie.pip_options
    assert options[options.index("--python-version") + 1] == "3.13"
    assert "cp313" in options
    assert "--only-binary=:all:" in options


def test_a_slow_board_gets_the_time_that_it_needs() -> None:
    assert start_timeout_s(3.0) == 60.0
    assert start_timeout_s(40.0) == 160.0
    assert start_timeout_s(1e6) == 600.0
    # The service finds out itself how long its workers may take there.
    assert "[worker]" not in default_configuration(1, False)


def test_a_deploy_waits_as_long_as_the_board_needs(board: FakeBoard, bundle: Path) -> None:
    wishes = Wishes(bundle, None, None, board.cache)
    assert Limits.choose(wishes, 60.0) == Limits(180.0, 120.0)
    assert Limits.choose(wishes, 600.0) == Limits(1260.0, 1200.0)
    assert Limits.choose(board.wishes(bundle, None), 600.0) == Limits(60.0, 30.0)
    text = default_configuration(1, False) + "[worker]\nstart_timeout_s = 300\n"
    with board.link() as link:
        link.ask("begin")
        prepared = link.ask("prepare", configuration=text, default_configuration="", keys=None)
        unset = link.ask("prepare", configuration=default_configuration(1, False), default_configuration="", keys=None)
    assert prepared == {"secured": False, "start_timeout_s": 300}
    assert unset == {"secured": False, "start_timeout_s": None}


def test_keys_need_a_configuration_that_names_them(board: FakeBoard, bundle: Path, tmp_path: Path) -> None:
    make_service_keys(tmp_path / "keys")
    keys = read_keys(tmp_path / "keys")
    assert set(keys) >= {"service.key", "service.key_secret"}
    with pytest.raises(DeployError, match="--keys: expected a folder made by `flight keys service`"):
        read_keys(bundle)
    arguments = {"default_configuration": default_configuration(4, True), "keys": keys}
    with board.link() as link:
        link.ask("begin")
        with pytest.raises(DeployError, match=r"expected security\.keys = "):
            link.ask("prepare", configuration="[limits]\n", **arguments)
        assert link.ask("prepare", configuration=None, **arguments)["secured"]
    assert (board.root / "opt/rubblemap/next/keys/service.key_secret").stat().st_mode & 0o077 == 0


def test_a_dry_run_says_what_would_be_done_and_does_nothing(board: FakeBoard, bundle: Path) -> None:
    with board.link() as link:
        probe = link.ask("probe")
    lines = describe_plan(probe, choose_target(probe), board.wishes(bundle, None))
    assert lines[0].startswith("board: A board in a folder, ")
    assert "serving now: nothing" in lines[1]
    assert not (board.root / "opt/rubblemap").exists()


def test_a_target_that_cannot_be_reached_is_one_line() -> None:
    with pytest.raises(DeployError, match="TARGET: expected a host"):
        ssh_command("-oProxyCommand=anything")
    with (
        pytest.raises(LinkError, match=r"^no route$"),
        Link(["sh", "-c", "echo no route >&2; exit 255"]) as link,
    ):
        link.ask("probe")
