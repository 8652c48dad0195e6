"""What the worker does with its jobs: the bundle, the engine, the answers, and the check of its memory."""

from __future__ import annotations

import contextlib
import gc
import time
import zlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from flight.icd.catalogue import TOPIC_PLANES
from flight.icd.products import describe_plane
from flight.inference.checksums import UpsetError
from flight.inference.engine import Engine
from flight.inference.network import NetworkFaultError
from flight.inference.planes import topic_planes
from flight.inference.self_test import decode_test_image, describe_environment, make_exercise_images, run_self_test
from flight.service.memory_guard import MemoryGuard
from flight.service.protocol import (
    Alive,
    Answer,
    Failed,
    FrameJob,
    Job,
    MapsAnswer,
    Ping,
    Ready,
    SelfTestAnswer,
    SelfTestJob,
    Upset,
)
from flight.service.resident_memory import release_unused
from flight.settings import default_settings


def process_frame(engine: Engine, job: FrameJob, progress: Callable[[int], None]) -> MapsAnswer:
    """Run the engine on a frame.

    Args:
        engine: over the serving bundle.
        job: the frame, and how to process it.
        progress: called with the number of passes done.

    Raises:
        UpsetError: memory that the frame was made from changed unexpectedly.
    """
    dtype: np.dtype[Any] = np.dtype("<u1") if job.dtype == "u8" else np.dtype("<u2")
    shape = (job.height, job.width) if job.channels == 1 else (job.height, job.width, job.channels)
    maps = engine.segment(
        np.frombuffer(job.pixels, dtype=dtype).reshape(shape),
        bit_depth=job.bit_depth,
        centered=job.centered,
        seed=job.seed,
        settings=job.settings,
        started=job.started,
        progress=progress,
    )
    if zlib.crc32(job.pixels) != job.crc32:
        raise UpsetError(f"pixels: crc32: expected {job.crc32:#010x}, got {zlib.crc32(job.pixels):#010x}")
    topics: dict[str, list[dict[str, Any]]] = {}
    planes: list[bytes] = []
    for topic in job.topics:
        topics[topic] = []
        for name, plane, units in topic_planes(maps, engine.bundle.classes, topic, job.settings):
            entry, raw = describe_plane(name, plane, units)
            topics[topic].append(entry)
            planes.append(raw)
    return MapsAnswer(
        job=job.job,
        topics=topics,
        map_to_sensor=list(maps.map_to_sensor),
        passes_used=maps.passes_used,
        engine=maps.engine,
        flags=list(maps.flags),
        timing_ms=maps.timing_ms,
        planes=tuple(planes),
    )


def process_self_test(
    engine: Engine, job: int, progress: Callable[[int], None], whole_passes: bool = True
) -> SelfTestAnswer:
    """Run the self-test.

    Args:
        engine: over the bundle to be tested.
        job: number of the job.
        progress: called with the number of passes done.
        whole_passes: see run_self_test.

    Returns:
        Its result, and what decides which result it must be: the bundle and the environment.

    Raises:
        BundleError: too few pixels have the recorded class.
    """
    result = run_self_test(engine, progress, whole_passes)
    environment = describe_environment(engine.threads)
    sha256 = engine.bundle.sha256
    return SelfTestAnswer(job, sha256, environment, result.agreement, result.digest, result.passes_digest)


class JobHandler:
    """Carries out jobs, and hands over no answer to a frame before the memory has been checked.

    Args:
        engine: over the serving bundle.
        check_share: time that the check of the memory may take over that of a frame; 0 for no check.
        progress: called with the number of passes done.
    """

    def __init__(self, engine: Engine, check_share: float, progress: Callable[[int], None]) -> None:
        self._engine = engine
        self._check_share = check_share
        self._progress = progress
        self._guard: MemoryGuard | None = None
        # The self-test's, "" before its first; see SelfTestAnswer.
        self._digest, self._passes_digest = "", ""
        self._check_s = 0.0

    @property
    def engine_used(self) -> str:
        """What the latest passes ran with, as of MapsAnswer; "" before the first."""
        return self._engine.engine_used

    def start(self, engine: str = "auto", full_test: bool = False) -> Ready:
        """Run the self-test, which also warms the engine up, and learn which of the memory stays the same.

        Args:
            engine: the parameter in force. With "passes" whole passes are tested, and stay loaded.
            full_test: test whole passes in any case.

        Raises:
            BundleError: see process_self_test.
        """
        test = process_self_test(self._engine, 0, self._progress, full_test or engine == "passes")
        self._digest, self._passes_digest = test.digest, test.passes_digest
        if engine != "passes":
            self._engine.release_whole_passes()
        release_unused()
        self._guard = self._learn_memory(engine)
        guarded = 0 if self._guard is None else self._guard.guarded_bytes
        return Ready(test.sha256, test.environment, test.agreement, test.digest, guarded, test.passes_digest)

    def answer(self, job: Job) -> Answer:
        """Carry out one job. A job that fails is answered too, and does not end the worker.

        Raises:
            NetworkFaultError: this worker must not go on; the service replaces it and sees what becomes of the frame.
        """
        if isinstance(job, Ping):
            return Alive()
        if isinstance(job, FrameJob):
            return self._answer_frame(job)
        return self._answer_self_test(job)

    def _answer_self_test(self, job: SelfTestJob) -> SelfTestAnswer | Failed:
        loaded = self._engine.whole_passes_loaded
        try:
            test = process_self_test(self._engine, job.job, self._progress)
        except NetworkFaultError:
            raise
        except Exception as error:
            return Failed(job.job, f"{type(error).__name__}: {error}")
        self._passes_digest = self._passes_digest or test.passes_digest
        if job.engine != "passes" and self._engine.release_whole_passes():
            release_unused()
        if self._guard is None or test.digest != self._digest:
            return test
        if self._engine.whole_passes_loaded and not loaded:
            # From now on they answer the frames: they are to be guarded, too.
            self._guard = self._learn_memory(job.engine)
        else:
            # What the self-test has changed, and did not mind, is no upset.
            self._guard.learn()
        return test

    def _answer_frame(self, job: FrameJob) -> MapsAnswer | Failed | Upset:
        began = time.perf_counter()
        answer: MapsAnswer | Failed
        try:
            # The check belongs to what has to be done before the deadline.
            answer = process_frame(self._engine, replace(job, started=job.started - self._check_s), self._progress)
        except UpsetError as error:
            return Upset(job.job, str(error))
        except NetworkFaultError:
            raise
        except Exception as error:
            answer = Failed(job.job, f"{type(error).__name__}: {error}")
        if self._guard is None:
            return answer
        done = time.perf_counter()
        findings = self._guard.check(self._check_share * (done - began))
        self._check_s = time.perf_counter() - done
        if findings.upsets:
            return Upset(job.job, f"memory: {findings.upsets} pages of constants changed")
        if findings.doubtful and not self._gives_known_answer():
            return Upset(job.job, f"memory: bits changed in {findings.doubtful} pages, and the self-test's answer")
        return answer

    def _gives_known_answer(self) -> bool:
        try:
            test = run_self_test(self._engine, self._progress, self._engine.whole_passes_loaded)
        except Exception:
            return False
        return test.digest == self._digest and test.passes_digest in ("", self._passes_digest)

    def _learn_memory(self, engine: str) -> MemoryGuard | None:
        """Process a few frames, and find out what they leave as it was.

        Args:
            engine: the parameter.

        Returns:
            None if nothing is to be guarded, or the system does not allow it: the service is told how much it is.
        """
        if self._check_share == 0:
            return None
        frames = self._make_rehearsal(engine)
        self._rehearse(frames[0])
        gc.collect()
        try:
            guard = MemoryGuard(self._engine.constants)
        except OSError:
            return None
        # From here on the collector leaves alone what is there already, and does not write its marks there.
        gc.freeze()
        for frame in frames[1:]:
            self._rehearse(frame)
            guard.learn()
        return guard

    def _make_rehearsal(self, engine: str) -> list[FrameJob]:
        """Frames as they may come: a small body, one that is centred, a frame that is larger than the networks' input.

        They get the masks of as many passes as frames will, and a deadline that has passed after one pass or two.
        """
        bundle = self._engine.bundle
        image = decode_test_image(bundle, bundle.self_test.image, "image")
        frames = []
        small = np.zeros_like(image)
        half = image[::2, ::2]
        small[: half.shape[0], : half.shape[1]] = half
        exercise, other = make_exercise_images(image)[:2]
        # What is enlarged and what is made smaller goes through other parts of OpenCV, which set themselves up then.
        for number, pixels in enumerate([small, exercise, other.repeat(2, axis=0).repeat(2, axis=1)]):
            content = pixels.tobytes()
            frames.append(
                FrameJob(
                    job=number,
                    height=pixels.shape[0],
                    width=pixels.shape[1],
                    channels=pixels.shape[2] if pixels.ndim == 3 else 1,
                    dtype="u8",
                    bit_depth=8,
                    centered=number % 2 == 1,
                    seed=number,
                    settings=replace(
                        default_settings(bundle), engine=engine, deadline_ms=1, minimum_passes=1 + number % 2
                    ),
                    started=time.monotonic() - 1.0,
                    topics=tuple(TOPIC_PLANES),
                    crc32=zlib.crc32(content),
                    pixels=content,
                )
            )
        return frames

    def _rehearse(self, frame: FrameJob) -> None:
        """Process a frame and forget the answer. A network that rejects it is nothing to be found out here."""
        with contextlib.suppress(Exception):
            process_frame(self._engine, frame, self._progress)
