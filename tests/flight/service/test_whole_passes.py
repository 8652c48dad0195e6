"""Whole passes of a bundle in closed form: in memory only where frames need them, and tested before they answer one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock

import pytest

from flight.bundle import Bundle, load_bundle
from flight.inference.engine import Engine
from flight.service.job_handler import JobHandler
from flight.service.parameters import Parameters
from flight.service.protocol import MapsAnswer, Ready, SelfTestAnswer, SelfTestJob
from flight.service.record import Record
from flight.service.self_tests import SelfTests
from flight.service.statistics import Counters
from flight.settings import default_parameters, default_settings
from tests.flight.service.scenarios import answer, command, journaled_service
from tests.flight.service.test_memory_guard import frame_job

OWN, PASSES, OTHER = "ab" * 32, "cd" * 32, "ef" * 32


def test_a_worker_gives_whole_passes_back_unless_they_are_to_answer(closed_form_bundle: Path) -> None:
    engine = Engine(load_bundle(closed_form_bundle))
    handler = JobHandler(engine, 0.5, lambda _: None)
    assert handler.start().passes_digest == ""
    assert not engine.whole_passes_loaded
    tested = handler.answer(SelfTestJob(1, "auto"))
    assert isinstance(tested, SelfTestAnswer)
    assert len(tested.passes_digest) == 64
    assert not engine.whole_passes_loaded
    guard = handler._guard
    again = handler.answer(SelfTestJob(2, "passes"))
    assert isinstance(again, SelfTestAnswer)
    assert (again.digest, again.passes_digest) == (tested.digest, tested.passes_digest)
    assert engine.whole_passes_loaded
    # What they are made of is guarded, too.
    assert guard is not handler._guard
    job = frame_job(engine, 3, settings=replace(default_settings(engine.bundle), engine="passes"))
    maps = handler.answer(job)
    assert isinstance(maps, MapsAnswer)
    assert maps.engine == "passes"


def test_a_start_with_whole_passes_keeps_them(closed_form_bundle: Path) -> None:
    engine = Engine(load_bundle(closed_form_bundle))
    assert len(JobHandler(engine, 0.0, lambda _: None).start("passes").passes_digest) == 64
    assert engine.whole_passes_loaded


def test_a_start_in_full_tests_both_engines(closed_form_bundle: Path) -> None:
    engine = Engine(load_bundle(closed_form_bundle))
    ready = JobHandler(engine, 0.0, lambda _: None).start(full_test=True)
    assert len(ready.passes_digest) == 64
    assert not engine.whole_passes_loaded


class Verdicts:
    """The service's view of the tests of one worker after the other."""

    def __init__(self, bundle: Bundle, engine: str) -> None:
        self.bundle = bundle
        self.parameters = Mock(current=Parameters(**{**default_parameters(bundle), "engine": engine}))
        self.events = Mock()
        self.tests = SelfTests(Mock(record=Record()), self.parameters, self.events, Counters())

    def ready(self, digest: str = OWN, passes: str = "") -> bool:
        return self.tests.check_answer(self.bundle, Ready(self.bundle.sha256, "here", 1.0, digest, 0, passes))

    def tested(self, digest: str = OWN, passes: str = PASSES) -> bool:
        self.tests.choose_engine()
        return self.tests.check_answer(self.bundle, SelfTestAnswer(1, self.bundle.sha256, "here", 1.0, digest, passes))

    def told(self) -> list[tuple[str, str]]:
        calls = [(call.args[0], call.kwargs["digest"]) for call in self.events.send.call_args_list]
        self.events.send.reset_mock()
        return calls


@pytest.fixture
def bundle(closed_form_bundle: Path) -> Bundle:
    return load_bundle(closed_form_bundle)


def test_whole_passes_are_tested_before_they_answer_a_frame(bundle: Bundle) -> None:
    of_worker = Verdicts(bundle, "passes")
    assert of_worker.ready()
    assert of_worker.tests.is_due(idle=False)
    assert of_worker.tested()
    assert not of_worker.tests.is_due(idle=True)
    # A candidate takes over, or a fresh worker.
    of_worker.tests.note_replacement()
    assert of_worker.tests.is_due(idle=False)
    assert of_worker.tested()
    assert of_worker.ready()
    assert of_worker.tests.is_due(idle=False)
    # One that tested and kept them at its start is ready.
    assert of_worker.tests.choose_engine() == "passes"
    assert of_worker.ready(passes=PASSES)
    assert not of_worker.tests.is_due(idle=False)


def test_a_test_that_gave_them_back_does_not_count(bundle: Bundle) -> None:
    of_worker = Verdicts(bundle, "auto")
    of_worker.ready()
    assert not of_worker.tests.is_due(idle=True)
    assert of_worker.tested()
    of_worker.parameters.current = replace(of_worker.parameters.current, engine="passes")
    assert of_worker.tests.is_due(idle=False)


def test_a_bundle_without_the_closed_form_needs_no_test_more(tiny_bundle: Path) -> None:
    of_worker = Verdicts(load_bundle(tiny_bundle), "passes")
    of_worker.ready()
    assert not of_worker.tests.is_due(idle=True)


def test_whole_passes_have_a_reference_of_their_own(bundle: Bundle) -> None:
    of_worker = Verdicts(bundle, "auto")
    assert of_worker.ready()
    assert of_worker.tested()
    assert of_worker.told() == [("self_test_reference_set", OWN), ("self_test_reference_set", PASSES)]
    assert of_worker.tested()
    assert of_worker.told() == []
    assert not of_worker.tested(passes=OTHER)
    # The next worker's start does not test them, and does not settle it.
    assert of_worker.ready()
    assert of_worker.tested()
    assert not of_worker.tested(passes=OTHER)
    assert of_worker.ready()
    assert of_worker.tested(passes=OTHER)
    assert of_worker.told() == [("self_test_reference_replaced", OTHER)]


def test_whole_passes_do_not_make_up_for_the_engine_that_serves(bundle: Bundle) -> None:
    of_worker = Verdicts(bundle, "auto")
    assert of_worker.ready(passes=PASSES)
    assert not of_worker.tested(digest=OTHER)
    assert of_worker.tests.passed is False


def test_the_service_answers_with_whole_passes_once_they_are_tested(closed_form_bundle: Path, tmp_path: Path) -> None:
    with journaled_service(tmp_path, closed_form_bundle) as (service, journal):
        assert answer(service, "closed")[0].header["engine"] == "closed_form"
        assert service.command("get_status")["counters"]["self_tests_passed"] == 1
        service.command("set_parameter", name="engine", value="passes")
        assert answer(service, "whole")[0].header["engine"] == "passes"
        assert service.command("get_status")["counters"]["self_tests_passed"] == 2
        service.command("set_parameter", name="engine", value="auto")
        command(service, "self_test")
        assert answer(service, "closed again")[0].header["engine"] == "closed_form"
        counters = service.command("get_status")["counters"]
        assert (counters["self_tests_passed"], counters["worker_restarts"], counters["upsets_found"]) == (3, 0, 0)
        assert len(journal.messages("self_test_reference_set")) == 2
