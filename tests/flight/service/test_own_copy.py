"""Another bundle in the place of the serving one: no product names one bundle and carries the other's map."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from flight.bundle import Bundle, load_bundle
from flight.client import CommandFailed
from tests.flight.service.scenarios import (
    Journal,
    answer,
    assert_offline_answer,
    damage,
    journaled_service,
    storage,
    variant,
)
from tests.flight.service_process import RunningService
from tests.tiny_bundle import write_tiny_bundle

QUIET = "[parameters]\nentropy_factor = 100.0\n[integrity]\nfile_check_interval_s = 0\n"


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Bundles to put in the place of the tiny one: of the same modes, and of another."""
    folder = tmp_path_factory.mktemp("others")
    return {
        "other networks": write_tiny_bundle(folder / "other", networks=("Second", "First")),
        "another mode": write_tiny_bundle(folder / "only", networks=("Only",)),
    }


def swap_link(given: Path, other: Path) -> None:
    given.with_name("next").symlink_to(other)
    given.with_name("next").rename(given)


def swap_folder(given: Path, other: Path) -> None:
    shutil.rmtree(given)
    shutil.copytree(other, given)


def overwrite_files(given: Path, other: Path) -> None:
    for path in given.iterdir():
        path.unlink()
    shutil.copytree(other, given, dirs_exist_ok=True)


def lose_worker(service: RunningService) -> None:
    pid = service.command("get_status")["worker_pid"]
    os.kill(pid, signal.SIGKILL)
    service.wait_for(lambda status: status["state"] == "ready" and status["worker_pid"] not in (None, pid))


def assert_still_the_same(service: RunningService, journal: Journal, bundle: Bundle) -> None:
    """The service answers with the map of the bundle that it names, and its reference is the old one."""
    for number in range(2):
        lose_worker(service)
        assert_offline_answer(answer(service, f"after {number}")[0], bundle)
    named = [message.rpartition(" ")[2] for message in journal.messages("self_test_reference_set")]
    assert len(named) == len(set(named))
    assert journal.messages("self_test_reference_replaced") == []


@pytest.mark.parametrize("other", ["other networks", "another mode"])
@pytest.mark.parametrize("swap", [swap_link, swap_folder, overwrite_files])
def test_another_bundle_in_the_factory_folder(
    tiny_bundle: Path, tmp_path: Path, others: dict[str, Path], swap: Callable[[Path, Path], None], other: str
) -> None:
    given = tmp_path / "given"
    if swap is swap_link:
        given.symlink_to(tiny_bundle)
    else:
        shutil.copytree(tiny_bundle, given)
    with journaled_service(tmp_path, given, QUIET) as (service, journal):
        swap(given, others[other])
        assert_still_the_same(service, journal, load_bundle(tiny_bundle))


@pytest.mark.parametrize("other", ["other networks", "another mode"])
def test_another_bundle_in_the_place_of_the_services_own_copy(
    tiny_bundle: Path, tmp_path: Path, others: dict[str, Path], other: str
) -> None:
    """Its files are whole, so that only the hash of its manifest tells."""
    bundle = load_bundle(tiny_bundle)
    copy = tmp_path / "state" / "bundles" / bundle.sha256
    with journaled_service(tmp_path, tiny_bundle, storage(tmp_path) + QUIET) as (service, journal):
        swap_folder(copy, others[other])
        assert_still_the_same(service, journal, bundle)
        assert "another bundle" in journal.wait_for("bundle_refused")
        assert load_bundle(copy).sha256 == bundle.sha256


def test_after_a_fall_back_the_factory_folder_is_not_loaded_from(
    tiny_bundle: Path, tmp_path: Path, others: dict[str, Path]
) -> None:
    given = Path(shutil.copytree(tiny_bundle, tmp_path / "given"))
    settings = storage(tmp_path) + QUIET
    variant(tiny_bundle, tmp_path / "uplink" / "next", "2.0", passes=3)
    with journaled_service(tmp_path, given, settings) as (service, journal):
        with service.commander(timeout_s=60.0) as commander:
            commander.send("load_bundle", path="next")
            commander.send("validate_bundle")
            commander.send("activate_bundle")
        swap_folder(given, others["other networks"])
        lose_worker(service)
        journal.wait_for("bundle_fell_back")
        assert_still_the_same(service, journal, load_bundle(tiny_bundle))


def test_another_bundle_in_the_place_of_the_staged_one_is_neither_validated_nor_activated(
    tiny_bundle: Path, tmp_path: Path, others: dict[str, Path]
) -> None:
    variant(tiny_bundle, tmp_path / "uplink" / "next", "2.0", passes=3)
    with (
        journaled_service(tmp_path, tiny_bundle, storage(tmp_path) + QUIET) as (service, journal),
        service.commander(timeout_s=60.0) as commander,
    ):
        staged = tmp_path / "state" / "bundles" / commander.send("load_bundle", path="next")["sha256"]
        swap_folder(staged, others["other networks"])
        with pytest.raises(CommandFailed, match="another bundle"):
            commander.send("validate_bundle")
        commander.send("load_bundle", path="next")
        commander.send("validate_bundle")
        swap_folder(staged, others["other networks"])
        with pytest.raises(CommandFailed, match="another bundle"):
            commander.send("activate_bundle")
        assert_still_the_same(service, journal, load_bundle(tiny_bundle))


def test_without_room_for_a_copy_a_swapped_bundle_is_refused(
    tiny_bundle: Path, tmp_path: Path, others: dict[str, Path]
) -> None:
    """The factory folder is all there is then; what is there later is served only if it is the same."""
    given = Path(shutil.copytree(tiny_bundle, tmp_path / "given"))
    sha256 = load_bundle(tiny_bundle).sha256
    settings = storage(tmp_path) + QUIET + "[worker]\nrestart_limit = 2\n"
    (tmp_path / "state" / "bundles").mkdir(parents=True)
    (tmp_path / "state" / "bundles" / f".{sha256}.part").symlink_to("/dev/null")
    with journaled_service(tmp_path, given, settings) as (service, journal):
        assert "no copy of" in journal.wait_for("record_not_written")
        assert_offline_answer(answer(service, "before")[0], load_bundle(tiny_bundle))
        swap_folder(given, others["other networks"])
        os.kill(service.command("get_status")["worker_pid"], signal.SIGKILL)
        service.wait_for(lambda status: status["state"] == "safe")
        assert "another bundle" in journal.wait_for("bundle_refused")
        (product,) = answer(service, "after")
        assert (product.status, product.planes) == ("invalid", {})


def test_the_copy_of_a_killed_service_is_removed_by_the_next(tiny_bundle: Path, tmp_path: Path) -> None:
    """Without a state folder the copy is in a temporary one; that of a service that runs stays."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    environment = {"TMPDIR": str(scratch)}

    def folder(name: str) -> Path:
        made = tmp_path / name
        made.mkdir()
        return made

    def copies() -> set[Path]:
        return set(scratch.glob("rubblemap_bundles_*"))

    with journaled_service(folder("first"), tiny_bundle, QUIET, environment=environment) as (first, _):
        (running,) = copies()
        with journaled_service(folder("second"), tiny_bundle, QUIET, environment=environment) as (second, _):
            (killed,) = copies() - {running}
            second.process.kill()
            second.process.wait()
        for path in (running, killed):
            os.utime(path, (0, 0))
        with journaled_service(folder("third"), tiny_bundle, QUIET, environment=environment):
            assert running in copies()
            assert killed not in copies()
        assert first.command("no_op") == {}


def test_a_damaged_file_of_the_copy_is_written_again(tiny_bundle: Path, tmp_path: Path) -> None:
    bundle = load_bundle(tiny_bundle)
    copy = tmp_path / "state" / "bundles" / bundle.sha256
    with journaled_service(tmp_path, tiny_bundle, storage(tmp_path) + QUIET) as (service, journal):
        damage(copy / "First.tflite")
        assert_still_the_same(service, journal, bundle)
        assert "First.tflite" in journal.wait_for("bundle_refused")
    assert load_bundle(copy).sha256 == bundle.sha256
