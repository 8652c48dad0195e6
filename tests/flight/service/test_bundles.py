"""Bundles while the service runs: loading, validating, activating, falling back, and finding them again."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from flight.bundle import load_bundle
from flight.client import CommandFailed
from flight.icd.limits import PROBATION_FRAMES
from tests.flight.service.scenarios import (
    FRAME,
    Journal,
    Stream,
    answer,
    assert_offline_answer,
    command,
    damage,
    journaled_service,
    storage,
    variant,
    wait_for_storage,
)
from tests.flight.service_process import RunningService, running_service
from tests.tiny_bundle import put_garbage_for_a_network


@contextmanager
def with_uplink(tiny_bundle: Path, folder: Path) -> Iterator[tuple[RunningService, Journal]]:
    """A service on the tiny bundle, with another one, "next", to be loaded."""
    # The tiny networks are never sure.
    settings = storage(folder) + "[parameters]\nentropy_factor = 100.0\n"
    if not (folder / "uplink" / "next").exists():
        variant(tiny_bundle, folder / "uplink" / "next", "2.0", passes=3)
    with journaled_service(folder, tiny_bundle, settings) as (service, journal):
        yield service, journal


def activate(service: RunningService, name: str = "next") -> str:
    """Load, validate and activate a bundle; its SHA-256."""
    sha256: str = command(service, "load_bundle", path=name)["sha256"]
    command(service, "validate_bundle")
    assert command(service, "activate_bundle")["sha256"] == sha256
    return sha256


def version(service: RunningService) -> str:
    return str(service.command("get_status")["bundle"]["version"])


def kill_worker(service: RunningService) -> None:
    os.kill(service.command("get_status")["worker_pid"], signal.SIGKILL)


def refused(service: RunningService, name: str, code: str, **arguments: object) -> str:
    with pytest.raises(CommandFailed) as caught:
        command(service, name, **arguments)
    assert caught.value.code == code
    return str(caught.value)


def test_another_bundle_is_activated_without_losing_a_frame(tiny_bundle: Path, tmp_path: Path) -> None:
    with with_uplink(tiny_bundle, tmp_path) as (service, journal):
        old, new = load_bundle(tiny_bundle), load_bundle(tmp_path / "uplink" / "next")
        waits = []
        with Stream(service) as stream, ThreadPoolExecutor(1) as pool, service.commander() as commander:
            stream.wait_for(lambda products: len(products) >= 3)
            for name, arguments in (
                ("load_bundle", {"path": "next"}),
                ("validate_bundle", {}),
                ("activate_bundle", {}),
            ):
                under_way = pool.submit(command, service, name, **arguments)
                while not under_way.done():
                    began = time.monotonic()
                    commander.send("no_op")
                    waits.append(time.monotonic() - began)
                    time.sleep(0.02)
                result = under_way.result()
                assert result["sha256"] == new.sha256
                if name == "validate_bundle":
                    assert (result["name"], result["version"]) == (new.name, "2.0")
                    assert (result["modes"], result["agreement"]) == (list(new.modes), 1.0)
            after = len(stream.products)
            stream.wait_for(lambda products: len(products) >= after + PROBATION_FRAMES + 2)
        assert len(waits) > 10
        # A busy computer lets some of them wait.
        assert sorted(waits)[len(waits) // 2] < 0.5
        assert max(waits) < 5.0
        status = service.command("get_status")
        ids = [product.header["frame_id"] for product in stream.products]
        assert ids == sorted(set(ids))
        assert stream.lost == 0
        assert len(ids) + status["counters"]["frames_superseded"] == stream.sent
        assert status["counters"]["frames_rejected"] == dict.fromkeys(status["counters"]["frames_rejected"], 0)
        assert {product.status for product in stream.products} == {"valid"}
        identities = [product.header["bundle"] for product in stream.products]
        assert [identity for identity, _ in itertools.groupby(identities)] == [old.identity, new.identity]
        for bundle in (old, new):
            for product in [p for p in stream.products if p.header["bundle"] == bundle.identity][:2]:
                assert product.header["passes_used"] == bundle.passes
                assert_offline_answer(product, bundle)
        assert status["counters"]["bundle_activations"] == 1
        assert status["counters"]["worker_restarts"] == 0
        assert not status["bundle_on_probation"]
        names = [name for name, _ in journal.events()]
        expected = ["bundle_loaded", "bundle_validated", "bundle_activated", "bundle_confirmed"]
        assert [name for name in names if name in expected] == expected


def test_an_activated_bundle_survives_a_killed_service(tiny_bundle: Path, tmp_path: Path) -> None:
    """Killed on probation and after it; the command line still names the first bundle."""
    for probation in (True, False):
        with with_uplink(tiny_bundle, tmp_path) as (service, journal):
            if probation:
                activate(service)
                # What was loaded from may go.
                shutil.rmtree(tmp_path / "uplink" / "next")
            else:
                assert "2.0" in journal.wait_for("bundle_restored")
                assert service.command("get_status")["bundle_on_probation"]
                answer(service, "confirm", PROBATION_FRAMES)
                journal.wait_for("bundle_confirmed")
            service.process.kill()
            service.process.wait()
    with with_uplink(tiny_bundle, tmp_path) as (service, journal):
        assert "2.0" in journal.wait_for("bundle_restored")
        assert not service.command("get_status")["bundle_on_probation"]
        (product,) = answer(service, "again")
        assert product.header["bundle"]["version"] == "2.0"


def test_a_failing_bundle_falls_back_and_its_frame_is_answered(tiny_bundle: Path, tmp_path: Path) -> None:
    with with_uplink(tiny_bundle, tmp_path) as (service, journal):
        activate(service)
        assert answer(service, "before", PROBATION_FRAMES - 1)[-1].header["bundle"]["version"] == "2.0"
        assert service.command("get_status")["bundle_on_probation"]
        with service.subscriber("map.navigation") as products, service.camera(source="during") as camera:
            service.command("set_parameter", name="passes", value=100)
            camera.send(FRAME, centered=True)
            kill_worker(service)
            product = products.receive(30)
        assert product.header["frame_id"] == 0
        assert product.status == "valid"
        service.command("set_parameter", name="passes", value=4)
        message = journal.wait_for("bundle_fell_back")
        assert "tiny 2.0 failed" in message
        assert "tiny 1.0 serves" in message
        status = service.wait_for(lambda s: s["state"] == "ready")
        assert status["counters"]["bundle_fall_backs"] == 1
        assert status["bundle"] == load_bundle(tiny_bundle).identity
        assert not status["bundle_on_probation"]
        assert_offline_answer(answer(service, "after")[0], load_bundle(tiny_bundle))
    with with_uplink(tiny_bundle, tmp_path) as (service, _):
        assert version(service) == "1.0"


def test_a_confirmed_bundle_does_not_fall_back(tiny_bundle: Path, tmp_path: Path) -> None:
    with with_uplink(tiny_bundle, tmp_path) as (service, journal):
        activate(service)
        answer(service, "first", PROBATION_FRAMES)
        assert "2.0" in journal.wait_for("bundle_confirmed")
        kill_worker(service)
        (product,) = answer(service, "second")
        assert product.header["bundle"]["version"] == "2.0"
        assert service.command("get_status")["counters"]["bundle_fall_backs"] == 0
        assert journal.messages("bundle_fell_back") == []


def test_a_bundle_activated_twice_falls_back_to_the_one_before(tiny_bundle: Path, tmp_path: Path) -> None:
    with with_uplink(tiny_bundle, tmp_path) as (service, journal):
        activate(service)
        command(service, "activate_bundle")
        kill_worker(service)
        journal.wait_for("bundle_fell_back")
        assert version(service) == "1.0"


def test_refused_bundles_leave_the_serving_one(tiny_bundle: Path, tmp_path: Path) -> None:
    with with_uplink(tiny_bundle, tmp_path) as (service, journal):
        uplink = tmp_path / "uplink"
        before = service.command("get_status")["bundle"]
        refused(service, "validate_bundle", "not_staged")
        refused(service, "activate_bundle", "not_staged")
        # Garbage with right hashes passes loading, and no further.
        garbage = variant(tiny_bundle, uplink / "garbage", "3.0")
        put_garbage_for_a_network(garbage)
        sha256 = command(service, "load_bundle", path="garbage")["sha256"]
        assert service.command("get_status")["staged_bundle"] == {"sha256": sha256, "validated": False}
        refused(service, "validate_bundle", "not_valid")
        refused(service, "activate_bundle", "not_staged")
        # A changed file is found while loading, and the staged bundle stays what it was.
        changed = variant(tiny_bundle, uplink / "changed", "4.0")
        damage(changed / "First.tflite")
        assert "First.tflite" in refused(service, "load_bundle", "not_valid", path="changed")
        assert "none" in refused(service, "load_bundle", "not_valid", path="none")
        for path in ("..", "../state", "/etc", "", ".", 3, "a\0b", "x" * 300):
            refused(service, "load_bundle", "invalid_argument", path=path)
        (uplink / "outside").symlink_to(tiny_bundle)
        refused(service, "load_bundle", "invalid_argument", path="outside")
        assert service.command("get_status")["staged_bundle"] == {"sha256": sha256, "validated": False}
        # A staged copy that is damaged after validation does not serve.
        staged = command(service, "load_bundle", path="next")["sha256"]
        command(service, "validate_bundle")
        damage(tmp_path / "state" / "bundles" / staged / "Second.tflite")
        assert "Second.tflite" in refused(service, "activate_bundle", "not_valid")
        # It is a commander's doing, so a new load repairs it.
        assert activate(service) == staged
        assert version(service) == "2.0"
        assert before["version"] == "1.0"
        assert service.command("get_status")["counters"]["worker_restarts"] == 0
        assert len(journal.messages("bundle_activated")) == 1
        # Only what is served, staged or to fall back to is kept.
        kept = {path.name for path in (tmp_path / "state" / "bundles").iterdir()}
        assert kept == {before["sha256"], staged}


def test_a_second_command_that_takes_time_is_told_to_wait(tiny_bundle: Path, tmp_path: Path) -> None:
    with with_uplink(tiny_bundle, tmp_path) as (service, _), ThreadPoolExecutor(1) as pool:
        command(service, "load_bundle", path="next")
        tests = service.command("get_status")["counters"]["self_tests_passed"]
        under_way = pool.submit(command, service, "validate_bundle")
        time.sleep(0.2)
        for name, arguments in (("load_bundle", {"path": "next"}), ("validate_bundle", {}), ("self_test", {})):
            refused(service, name, "busy", **arguments)
        assert not under_way.done()
        assert under_way.result()["version"] == "2.0"
        # The refused self_test was not carried out all the same: one test is the candidate's.
        time.sleep(0.3)
        assert service.command("get_status")["counters"]["self_tests_passed"] == tests + 1
        assert command(service, "self_test") == {"passed": True}


def test_without_configured_folders_nothing_is_loaded(tiny_bundle: Path, tmp_path: Path) -> None:
    with running_service(tmp_path, tiny_bundle) as service:
        refused(service, "load_bundle", "not_configured", path="next")
        refused(service, "activate_bundle", "not_staged")


def test_an_activation_that_cannot_be_recorded_does_not_happen(tiny_bundle: Path, tmp_path: Path) -> None:
    with with_uplink(tiny_bundle, tmp_path) as (service, _):
        command(service, "load_bundle", path="next")
        command(service, "validate_bundle")
        wait_for_storage(service)
        for name in ("record.a", "record.b"):
            (tmp_path / "state" / f".{name}.part").mkdir()
        refused(service, "activate_bundle", "storage_failed")
        assert version(service) == "1.0"
        assert_offline_answer(answer(service, "still")[0], load_bundle(tiny_bundle))


def test_a_damaged_activated_bundle_is_refused_at_start_and_the_one_before_serves(
    tiny_bundle: Path, tmp_path: Path
) -> None:
    with with_uplink(tiny_bundle, tmp_path) as (service, _):
        second = activate(service)
        answer(service, "proof", PROBATION_FRAMES)  # only a proven bundle is fallen back to
        variant(tiny_bundle, tmp_path / "uplink" / "third", "3.0")
        third = activate(service, "third")
    bundles = tmp_path / "state" / "bundles"
    damage(bundles / third / "First.tflite")
    with with_uplink(tiny_bundle, tmp_path) as (service, journal):
        message = journal.wait_for("bundle_refused")
        assert str(bundles / third / "First.tflite") in message
        assert "the file was changed" in message
        assert version(service) == "2.0"
    damage(bundles / second / "manifest.json")
    with with_uplink(tiny_bundle, tmp_path) as (service, journal):
        journal.wait_for("bundle_refused", 2)
        assert version(service) == "1.0"
        assert_offline_answer(answer(service, "factory")[0], load_bundle(tiny_bundle))


def test_the_copy_serves_when_the_bundle_of_the_command_line_is_damaged(tiny_bundle: Path, tmp_path: Path) -> None:
    bundle = Path(shutil.copytree(tiny_bundle, tmp_path / "tiny"))
    with running_service(tmp_path, bundle, storage(tmp_path)):
        pass
    damage(bundle / "First.tflite")
    with journaled_service(tmp_path, bundle, storage(tmp_path)) as (service, journal):
        message = journal.wait_for("bundle_damaged")
        assert str(bundle / "First.tflite") in message
        assert "its copy is used" in message
        assert_offline_answer(answer(service, "copy")[0], load_bundle(tiny_bundle))
