"""Who is to blame: a worker that answers garbage is replaced; a fault of the service's own ends the service."""

from __future__ import annotations

import os
import re
import subprocess
import time
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import pytest
import zmq
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flight.bundle import load_bundle
from flight.client import CommandFailed
from flight.icd.catalogue import TOPIC_PLANES
from flight.icd.frames import encode_frame
from flight.icd.products import PLANE_DTYPES, describe_plane
from flight.service import protocol
from flight.service.assembly import Parts, build_parts, open_storage
from flight.service.configuration import load_configuration
from flight.service.events import EventSink
from flight.service.gatekeeper import Gatekeeper
from flight.service.protocol import (
    Alive,
    Answer,
    Failed,
    FrameJob,
    MapsAnswer,
    Ping,
    Progress,
    ProtocolError,
    Ready,
    SelfTestAnswer,
    SelfTestJob,
    StartFailed,
    Upset,
    encode,
    parse_answer,
    parse_job,
)
from flight.service.sockets import bind_sockets
from flight.service.state import State
from flight.service.statistics import Counters
from flight.settings import default_settings
from tests.flight.service.scenarios import FRAME, RecordingSink, answer, journaled_service
from tests.flight.service_process import SOCKETS

DIGEST = "ab" * 32
ANSWERS: tuple[type[Answer], ...] = (Ready, StartFailed, SelfTestAnswer, MapsAnswer, Failed, Upset, Alive, Progress)


def maps_answer(job: FrameJob, height: int = 32, width: int = 48) -> MapsAnswer:
    """A good answer to a frame."""
    topics: dict[str, list[dict[str, Any]]] = {}
    planes = []
    for topic in job.topics:
        topics[topic] = []
        for plane in TOPIC_PLANES[topic]:
            pixels = np.zeros((height, width), dtype=PLANE_DTYPES[plane.dtype])
            entry, raw = describe_plane(plane.name, pixels, plane.units)
            topics[topic].append(entry)
            planes.append(raw)
    timing = {"center": 1.0, "passes": 2.0, "fuse": 3.0}
    return MapsAnswer(job.job, topics, [1.0, 0.0, 0.0, 0.0, 1.0, 0.0], 4, "passes", [], timing, tuple(planes))


# The parser

JOB = FrameJob(
    *(5, 40, 60, 1, "u8", 8, True, 7),
    settings=None,  # type: ignore[arg-type]  # filled in by the test: it needs a bundle
    started=1.5,
    topics=("map.navigation", "map.hazard"),
    crc32=zlib.crc32(bytes(2400)),
    pixels=bytes(2400),
)
GOOD: list[Answer] = [
    Ready(DIGEST, "x86_64, 2 threads", 1.0, DIGEST, 80_000_000),
    StartFailed("why", "bundle"),
    SelfTestAnswer(5, DIGEST, "x86_64, 2 threads", 0.5, DIGEST),
    maps_answer(JOB),
    Failed(5, "why"),
    Upset(5, "why"),
    Alive(),
    Progress(3),
]
scalars = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text(max_size=8)
values = st.recursive(
    scalars | st.binary(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


def test_every_kind_of_message_comes_back_as_it_was(tiny_bundle: Path) -> None:
    assert {type(good) for good in GOOD} == set(ANSWERS)
    for good in GOOD:
        assert parse_answer(encode(good)) == good
    job = replace(JOB, settings=default_settings(load_bundle(tiny_bundle)))
    for sent in (job, SelfTestJob(3), Ping()):
        assert parse_job(encode(sent)) == sent


def test_a_job_is_no_answer_and_an_answer_no_job() -> None:
    for good in GOOD:
        with pytest.raises(ProtocolError, match=r"^job\.type: expected frame \| self_test \| ping"):
            parse_job(encode(good))
    with pytest.raises(ProtocolError, match=r"^answer\.type: expected ready \| start_failed"):
        parse_answer(encode(Ping()))


def test_a_long_reason_is_cut() -> None:
    for message in (StartFailed("é" * 5000, "machine"), Failed(1, "é" * 5000)):
        parsed = parse_answer(encode(message))
        assert isinstance(parsed, StartFailed | Failed)
        assert parsed.message == "é" * 512


@st.composite
def upset_answers(draw: st.DrawFn, goods: Sequence[Answer] = GOOD) -> list[bytes]:
    """A good answer with one or two of its fields, or its parts, changed."""
    parts = encode(draw(st.sampled_from(list(goods))))
    message = msgpack.unpackb(parts[0])
    for _ in range(draw(st.integers(1, 2))):
        how = draw(st.sampled_from(["replace", "remove", "add", "inside", "parts", "bit"]))
        if how == "replace":
            message[draw(st.sampled_from(list(message) or ["type"]))] = draw(values)
        elif how == "remove" and message:
            del message[draw(st.sampled_from(list(message)))]
        elif how == "add":
            message[draw(st.text(max_size=8))] = draw(values)
        elif how == "inside":
            entries = [e for es in message.get("topics", {}).values() for e in es] if "topics" in message else [message]
            entry = draw(st.sampled_from(entries or [message]))
            entry[draw(st.sampled_from(list(entry) or ["name"]))] = draw(values)
        elif how == "parts":
            parts = draw(st.sampled_from([parts[:-1] or parts, [*parts, b"more"], [parts[0], *parts[:0:-1]]]))
        else:
            raw = bytearray(msgpack.packb(message))
            # The length depends on the job's number; what there is to draw may not.
            place = draw(st.integers(0, 2**24 - 1)) % (8 * len(raw))
            raw[place // 8] ^= 1 << (place % 8)
            return [bytes(raw), *parts[1:]]
    return [msgpack.packb(message), *parts[1:]]


garbage = (
    st.lists(st.binary(max_size=80), min_size=1, max_size=4)
    | values.map(lambda value: [msgpack.packb(value)])
    | st.dictionaries(st.text(max_size=8), values, max_size=5).map(lambda value: [msgpack.packb(value)])
)


@settings(max_examples=500)
@given(garbage | upset_answers())
def test_whatever_comes_is_an_answer_or_a_protocol_error(parts: list[bytes]) -> None:
    try:
        parsed = parse_answer(parts)
    except ProtocolError:
        return
    assert type(parsed) in ANSWERS
    assert parse_answer(encode(parsed)) == parsed


# The parts, with a worker that says what the test wants


class SpokenFor:
    """In place of a worker's process: the other end of its socket, in the test's hands."""

    latest: SpokenFor

    def __init__(self, arguments: list[str], **_: Any) -> None:
        self.pid = 2**22 + 1  # beyond what Linux gives
        self.stdin = None
        self.socket = zmq.Context.instance().socket(zmq.PAIR)
        self.socket.setsockopt(zmq.LINGER, 0)
        self.socket.connect(arguments[3])
        SpokenFor.latest = self

    def poll(self) -> int | None:
        return -9 if self.socket.closed else None

    def kill(self) -> None:
        self.socket.close()

    def wait(self, timeout: float = 0.0) -> int:
        return -9


@dataclass
class Stage:
    """The parts, their events, and the camera's end of the frames socket."""

    parts: Parts
    state: State
    events: RecordingSink
    counters: Counters
    camera: Any
    frames_sent: int = 0

    def answer(self, parts: list[bytes]) -> None:
        """Let the worker say something, and the service hear it."""
        private = self.parts.worker_care.socket
        assert private is not None
        SpokenFor.latest.socket.send_multipart(parts)
        assert private.poll(60_000)
        self.parts.worker_care.take_answer()

    def start_worker(self) -> None:
        self.parts.worker_care.start()
        self.answer(encode(Ready(self.parts.serving.bundle.sha256, "x", 1.0, DIGEST, 4096)))
        assert self.state.name == "ready"

    def send_frame(self) -> FrameJob:
        """A frame goes in; the job that the worker gets."""
        self.frames_sent += 1
        identity = {"source": "s", "epoch": 1, "frame_id": self.frames_sent, "capture_time_ns": 0}
        self.camera.send_multipart(encode_frame(FRAME, centered=True, **identity))
        deadline = time.monotonic() + 60.0
        while not SpokenFor.latest.socket.poll(10):
            self.parts.frame_line.take_frames()
            self.parts.worker_care.dispatch()
            assert time.monotonic() < deadline
        job = parse_job(SpokenFor.latest.socket.recv_multipart())
        assert isinstance(job, FrameJob)
        return job


@contextmanager
def on_stage(bundle: Path, folder: Path) -> Iterator[Stage]:
    path = folder / "flight.toml"
    lines = "\n".join(f'{name} = "ipc://{folder}/{name}"' for name in SOCKETS)
    path.write_text(
        f"[endpoints]\n{lines}\n[worker]\nrestart_limit = 1000000\n[integrity]\nfile_check_interval_s = 0\n"
    )
    configuration = load_configuration(path)
    counters, events = Counters(), RecordingSink()
    sink: EventSink = events  # type: ignore[assignment]
    state = State(sink)
    with zmq.Context() as context:
        gatekeeper = Gatekeeper(context, None, sink, counters)
        sockets = bind_sockets(context, configuration.endpoints, gatekeeper)
        storage = open_storage(configuration.storage, bundle, sink)
        parts = build_parts(configuration, storage, context, sockets, state, counters, lambda: None)
        camera = context.socket(zmq.PUSH)
        camera.connect(configuration.endpoints["frames"])
        try:
            yield Stage(parts, state, events, counters, camera)
        finally:
            parts.close()
            camera.close()
            for socket in sockets.values():
                socket.disable_monitor()
                socket.close()
            gatekeeper.close()


@pytest.fixture
def stage(tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    monkeypatch.setattr(subprocess, "Popen", SpokenFor)
    with on_stage(tiny_bundle, tmp_path) as made:
        yield made


def test_a_good_answer_is_published_and_nothing_is_told_of_the_worker(stage: Stage) -> None:
    stage.start_worker()
    before = len(stage.events.sent)
    stage.answer(encode(maps_answer(stage.send_frame())))
    assert stage.counters.frames_processed == 1
    assert stage.events.sent[before:] == []


def test_a_worker_that_cannot_guard_its_memory_is_told_of(stage: Stage) -> None:
    stage.start_worker()
    assert "memory_unguarded" not in dict(stage.events.sent)
    stage.parts.worker_care.start()
    stage.answer(encode(Ready(stage.parts.serving.bundle.sha256, "x", 1.0, DIGEST, 0)))
    assert stage.events.sent[-1] == ("memory_unguarded", f"pid {SpokenFor.latest.pid}")


def test_an_upset_costs_the_worker_and_its_frame_waits_for_the_next(stage: Stage) -> None:
    stage.start_worker()
    job = stage.send_frame()
    stage.answer(encode(Upset(job.job, "memory: why")))
    assert stage.events.sent[-1] == ("worker_upset", "memory: why")
    assert stage.counters.upsets_found == 1
    assert stage.parts.frame_line.waiting


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_worker_that_answers_garbage_is_replaced_and_nothing_else_happens(stage: Stage, data: st.DataObject) -> None:
    """Whatever it says to a frame: it is published, rejected, a heartbeat, or costs the worker."""
    stage.start_worker()
    job = stage.send_frame()
    right = [maps_answer(job), replace(maps_answer(job), flags=["dark"]), Failed(job.job, "why")]
    parts = data.draw(garbage | upset_answers() | upset_answers(right))
    before, processed = len(stage.events.sent), stage.counters.frames_processed
    stage.answer(parts)
    told = [name for name, _ in stage.events.sent[before:]]
    if stage.counters.frames_processed > processed or stage.parts.worker_care.socket is not None:
        # It happened to be right, or a heartbeat.
        assert told in ([], ["worker_refused"])
        assert stage.state.name == "ready"
        stage.parts.worker_care.close()
        stage.parts.frame_line.handle_worker_loss(restarting=False)
    else:
        assert told == ["worker_answer_malformed"]
        assert stage.state.name == "degraded"
        assert stage.parts.frame_line.waiting
        stage.parts.frame_line.answer_without_worker()
    assert stage.counters.products_published["map.full"] == 0


@pytest.mark.parametrize(
    "parts",
    [
        encode(Ready(DIGEST, "x", 1.0, DIGEST, 4096)),
        encode(StartFailed("not now", "bundle")),
        encode(SelfTestAnswer(1, DIGEST, "x", 1.0, DIGEST)),
        encode(Failed(99, "another job")),
        encode(maps_answer(replace(JOB, job=99))),
        encode(Ping()),
    ],
    ids=["ready", "start_failed", "tested", "failed", "maps", "ping"],
)
def test_an_answer_that_is_not_due_costs_the_worker(stage: Stage, parts: list[bytes]) -> None:
    stage.start_worker()
    stage.send_frame()
    stage.answer(parts)
    name, message = stage.events.sent[-1]
    assert name == "worker_answer_malformed"
    assert message.startswith("ProtocolError: answer")
    assert stage.parts.frame_line.waiting


@pytest.mark.parametrize("kind", ["ready", "tested"])
def test_a_worker_with_another_bundle_is_replaced_and_its_answer_is_never_the_reference(
    stage: Stage, kind: str
) -> None:
    """Twice in a row, too, which makes another answer of the right bundle the reference."""
    if kind == "ready":
        for _ in range(2):
            stage.parts.worker_care.start()
            stage.answer(encode(Ready(DIGEST, "x", 1.0, DIGEST)))
            assert stage.state.name == "degraded"
    else:
        stage.start_worker()
        procedure = stage.parts.worker_care.self_test()
        next(procedure)
        stage.parts.worker_care.dispatch()
        assert SpokenFor.latest.socket.poll(60_000)
        job = parse_job(SpokenFor.latest.socket.recv_multipart())
        assert isinstance(job, SelfTestJob)
        before = len(stage.events.sent)
        stage.answer(encode(SelfTestAnswer(job.job, "cd" * 32, "y", 1.0, DIGEST)))
        assert [name for name, _ in stage.events.sent[before:]] == ["worker_answer_malformed"]
    name, message = stage.events.sent[-1]
    assert name == "worker_answer_malformed"
    assert f"answer.{kind}.sha256: expected {stage.parts.serving.bundle.sha256[:16]}..." in message
    told = [name for name, _ in stage.events.sent]
    assert told.count("self_test_reference_set") == (kind == "tested")
    assert "self_test_reference_replaced" not in told
    # The right one is taken, and its answer is known from the right bundle.
    stage.start_worker()


def test_an_idle_worker_may_only_give_signs_of_life(stage: Stage) -> None:
    stage.start_worker()
    stage.answer(encode(Alive()))
    assert stage.state.name == "ready"
    stage.answer(encode(Progress(1)))
    assert stage.events.sent[-1][0] == "worker_answer_malformed"


# Processes


def changed_python(folder: Path, process: str, source: str) -> dict[str, str]:
    """An environment in which `source` is run first in every Python process that has `process` on its command line."""
    folder.mkdir()
    lines = "".join(f"    {line}\n" for line in source.strip().splitlines())
    (folder / "sitecustomize.py").write_text(f"import sys\nif {process!r} in sys.orig_argv:\n{lines}")
    return {"PYTHONPATH": os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])}


def test_the_frame_that_a_worker_answered_with_garbage_is_answered_by_the_next(
    tiny_bundle: Path, tmp_path: Path
) -> None:
    flag = tmp_path / "once"
    flag.touch()
    environment = changed_python(
        tmp_path / "python",
        "flight.service.worker",
        f"""
import flight.service.protocol as protocol, pathlib
right = protocol.encode
def encode(message):
    flag = pathlib.Path({str(flag)!r})
    if isinstance(message, protocol.MapsAnswer) and flag.exists():
        flag.unlink()
        return [b"garbage"]
    return right(message)
protocol.encode = encode
""",
    )
    with journaled_service(tmp_path, tiny_bundle, environment=environment) as (service, journal):
        (product,) = answer(service, "garbage")
        assert product.status != "invalid"
        assert journal.wait_for("worker_answer_malformed").startswith("ProtocolError: answer: ")
        status = service.wait_for(lambda s: s["state"] == "ready")
        assert status["counters"]["worker_restarts"] == 1
        assert not flag.exists()


@pytest.mark.slow
def test_a_worker_whose_int8_network_gives_no_number_ends_and_the_next_answers_the_frame(
    shipped_bundle: Path, tmp_path: Path
) -> None:
    flag = tmp_path / "once"
    environment = changed_python(
        tmp_path / "python",
        "flight.service.worker",
        f"""
import flight.inference.network as network, pathlib
right = network.Network.run
def run(self, number):
    flag = pathlib.Path({str(flag)!r})
    if flag.exists():
        flag.unlink(missing_ok=True)
        self._scores["quantization"] = (float("nan"), 0)  # as a flipped bit leaves a scale
    return right(self, number)
network.Network.run = run
""",
    )
    settings = '[parameters]\npasses = 1\nengine = "passes"\n'
    with journaled_service(tmp_path, shipped_bundle, settings, environment=environment) as (service, journal):
        flag.touch()
        (product,) = answer(service, "no number")
        assert product.status != "invalid"
        assert all(np.isfinite(plane).all() for plane in product.planes.values())
        assert "exit status 1" in journal.wait_for("worker_died")
        log = journal.text()
        assert "Traceback (most recent call last):" in log
        assert re.search("NetworkFaultError: network UNet.*: expected finite scores, got NaN or infinity", log)
        status = service.wait_for(lambda s: s["state"] == "ready")
        assert status["counters"]["worker_restarts"] == 1
        assert not flag.exists()


FAULTS = {
    "publisher.Publisher.publish_maps": "frame",
    "serving_bundle.ServingBundle.count_answer": "frame",
    "restarts.Restarts.note_answer": "frame",
    "self_tests.SelfTests._restart_count": "self_test",
    "worker_care.WorkerCare.watch": "at once",
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("place", "error"),
    [*((place, "ValueError") for place in FAULTS), *((next(iter(FAULTS)), error) for error in ("KeyError", "OSError"))],
)
def test_a_fault_of_the_service_ends_it_loudly_and_is_not_taken_for_the_workers(
    tiny_bundle: Path, tmp_path: Path, place: str, error: str
) -> None:
    flag = tmp_path / "fault"
    module, owner, method = place.split(".")
    environment = changed_python(
        tmp_path / "python",
        "serve",
        f"""
import flight.service.{module} as module, pathlib
right = module.{owner}.{method}
def wrong(*arguments, **keywords):
    if pathlib.Path({str(flag)!r}).exists():
        raise {error}("injected")
    return right(*arguments, **keywords)
module.{owner}.{method} = wrong
""",
    )
    with journaled_service(tmp_path, tiny_bundle, environment=environment) as (service, journal):
        worker = service.command("get_status")["worker_pid"]
        before = len(journal.events())
        with service.telemetry("event") as telemetry, service.camera() as camera:
            flag.touch()
            if FAULTS[place] == "frame":
                camera.send(FRAME, centered=True)
            elif FAULTS[place] == "self_test":
                with pytest.raises((TimeoutError, CommandFailed)), service.commander(timeout_s=1.0) as commander:
                    commander.send("self_test")
            assert service.process.wait(timeout=60) == os.EX_SOFTWARE
            received = telemetry.receive(30)
        ((name, message),) = journal.events()[before:]
        assert name == "service_stopped"
        assert f"by a fault of its own: {error}: " in message
        assert received is not None
        assert received[1]["name"] == "service_stopped"
        log = journal.text()
        assert "Traceback (most recent call last):" in log
        assert f"in wrong\n    raise {error}" in log
        deadline = time.monotonic() + 60.0
        while Path(f"/proc/{worker}/stat").exists():
            assert time.monotonic() < deadline, "the worker outlives the service"
            time.sleep(0.05)


def test_a_start_that_goes_wrong_is_still_one_line(tmp_path: Path) -> None:
    from flight.cli import main

    assert main(["serve", "--bundle", str(tmp_path / "none")]) == 2


def test_the_protocol_has_no_kind_twice() -> None:
    kinds = [kind.KIND for kind in (*protocol._JOBS, *protocol._ANSWERS)]
    assert len(set(kinds)) == len(kinds)


def test_every_kind_of_answer_is_due_at_some_time_and_at_no_other() -> None:
    frame = protocol.FrameJob.__new__(protocol.FrameJob)
    due = {
        "starting": protocol.find_due("starting", None),
        "idle": protocol.find_due("idle", None),
        "self-test": protocol.find_due("busy", protocol.SelfTestJob(1)),
        "frame": protocol.find_due("busy", frame),
    }
    times = {kind: [time for time, kinds in due.items() if kind in kinds] for kind in protocol._ANSWERS}
    assert times == {
        protocol.Ready: ["starting"],
        protocol.StartFailed: ["starting"],
        protocol.SelfTestAnswer: ["self-test"],
        protocol.MapsAnswer: ["frame"],
        protocol.Failed: ["self-test", "frame"],
        protocol.Upset: ["frame"],
        protocol.Alive: list(due),
        protocol.Progress: ["starting", "self-test", "frame"],
    }
