"""Many images through a bundle: a process per core, or the workers of a Dask cluster; what is done stays done.

A pass of these networks does not gain by a second thread what a second image in a second process gains. Statistics are
kept in files of a few images each, in a folder named by the hash of all they depend on, so that an evaluation that was
stopped goes on where it was, and nothing is ever mixed with another bundle, set or setting.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import io
import json
import multiprocessing
import multiprocessing.connection
import os
import platform
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np

from flight.bundle import Bundle
from ground_tools.evaluation.passes import Networks, load_default_networks
from ground_tools.evaluation.statistics import SETTINGS, Image, Job, S, Statistics, arrays_of, gather
from ground_tools.foundation.files import write_whole
from ground_tools.foundation.progress import progress

# What a kill can cost each process: a quarter of a minute at 20 passes of two networks.
_PART_IMAGES = 4
# Frames that are sent to a process together.
_CHUNK = 8
_DIGEST_BYTES = hashlib.sha256().digest_size

# Of a worker process, set once at its start.
_loaded: dict[str, Any] = {}
# Of a thread of a Dask worker: the bundle that it computed with last, and its networks.
_borrowed = threading.local()


class PartWorkers(Protocol):
    """Whoever computes the statistics of a few images."""

    def submit(self, job: Job[S], images: list[Image]) -> Future[S]:
        """Begin with a part; the future has its statistics."""


def usable_cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class _Processes:
    """Processes of this computer that have a bundle loaded."""

    def __init__(self, pool: ProcessPoolExecutor) -> None:
        self._pool = pool

    def submit(self, job: Job[S], images: list[Image]) -> Future[S]:
        return self._pool.submit(_compute_part, job, images)


class _BorrowedWorkers:
    """The workers of a Dask cluster, to which a bundle goes once."""

    def __init__(self, client: Any, bundle: Bundle, passes: int) -> None:
        self._executor = client.get_executor(pure=False, retries=0)
        # A task, not scattered data: when the worker that holds it dies, the scheduler makes it again.
        self._bundle = client.submit(_hold, bundle, pure=False)
        self._passes, self._software = passes, software()

    def submit(self, job: Job[S], images: list[Image]) -> Future[S]:
        future: Future[S] = self._executor.submit(
            _compute_borrowed_part, self._bundle, self._passes, self._software, job, images
        )
        return future


@contextmanager
def start_workers(bundle: Bundle, passes: int, count: int, scheduler: str | None = None) -> Iterator[PartWorkers]:
    """Workers with the bundle loaded, for `compute_statistics`.

    Args:
        bundle: that they compute with.
        passes: with dropout.
        count: processes on this computer.
        scheduler: address of a Dask scheduler whose workers are taken instead; None: none. They need the same
            software, and no file.

    Raises:
        RuntimeError: no scheduler answers there, it has no workers, or they cannot do the work.
    """
    if scheduler is None:
        with _start_processes(count, _load, bundle, passes) as pool:
            yield _Processes(pool)
        return
    from dask.distributed import KilledWorker

    from ground_tools.foundation.cluster import open_client

    with open_client(count, scheduler) as client:
        try:
            yield _BorrowedWorkers(client, bundle, passes)
        except KilledWorker as error:
            raise RuntimeError(
                f"scheduler {scheduler}: its workers died again and again over a part of the images (out of memory?); "
                "start the same command again to continue"
            ) from error
        except ImportError as error:
            raise RuntimeError(
                f"scheduler {scheduler}: expected workers with rubblemap[render], got {error}"
            ) from error


def call_on_all_cores(function: Callable[[Any], Any], items: Iterable[Any], *, label: str, total: int) -> list[Any]:
    """What a function gives for each item, in order, with a process per core.

    function: that can be pickled; it is sent to each process once, however much it holds. label, total: of the progress
    bar, which counts frames.
    """
    with _start_processes(usable_cores(), _keep, function) as pool:
        results = pool.map(_call, items, chunksize=_CHUNK)
        return list(progress(results, label=label, total=total, unit="frame"))


@contextmanager
def _start_processes(count: int, prepare: Callable[..., None], *arguments: Any) -> Iterator[ProcessPoolExecutor]:
    # Not forked: the interpreter's threads would not survive it.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(count, mp_context=context, initializer=_start, initargs=(prepare, arguments))
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _start(prepare: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    cv2.setNumThreads(1)
    prepare(*arguments)


def _load(bundle: Bundle, passes: int) -> None:
    _loaded.update(bundle=bundle, networks=load_default_networks(bundle, 1), passes=passes)


def _keep(function: Callable[[Any], Any]) -> None:
    _loaded.update(function=function)


def _call(item: Any) -> Any:
    return _loaded["function"](item)


def _end_with_parent() -> None:
    """A worker whose parent was killed would wait for work for ever; so it watches its parent."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)


def _compute_part(job: Job[S], images: list[Image]) -> S:
    bundle: Bundle = _loaded["bundle"]
    networks: Networks = _loaded["networks"]
    return gather(job.kind, (job.compute(bundle, networks, image, _loaded["passes"]) for image in images))


def _hold(bundle: Bundle) -> Bundle:
    return bundle


def _compute_borrowed_part(
    bundle: Bundle, passes: int, expected: dict[str, str], job: Job[S], images: list[Image]
) -> S:
    """The statistics of a part, on a worker of a cluster; each of its threads has the networks for itself."""
    if software() != expected:
        here = ", ".join(f"{name} {version}" for name, version in software().items())
        raise RuntimeError(
            f"Dask worker on {platform.node()}: expected "
            f"{', '.join(f'{name} {version}' for name, version in expected.items())}, as where the evaluation was "
            f"started, got {here}"
        )
    if getattr(_borrowed, "sha256", None) != bundle.sha256:
        cv2.setNumThreads(1)
        _borrowed.networks, _borrowed.sha256 = load_default_networks(bundle, 1), bundle.sha256
    networks: Networks = _borrowed.networks
    return gather(job.kind, (job.compute(bundle, networks, image, passes) for image in images))


def compute_statistics(
    pool: PartWorkers,
    job: Job[S],
    images: list[Image],
    parameters: dict[str, Any],
    store: Path,
    label: str,
) -> S:
    """The statistics of a job over images, from the store where they are there, else computed and stored.

    parameters: what the statistics depend on beyond the images, the settings of all statistics and the software, as
    plain values; all of these and the images' hash name the folder in `store`. label: of the progress bar. Raises
    ValueError naming the file when a stored part is damaged.
    """
    own: dict[str, Any] = {"job": job.name, "settings": SETTINGS, "software": software()}
    own |= {"images_sha256": _digest(images), "part_images": _PART_IMAGES}
    text = json.dumps({**parameters, **own}, sort_keys=True)
    folder = store / hashlib.sha256(text.encode()).hexdigest()[:20]
    write_whole(folder / "parameters.json", (text + "\n").encode())
    parts = [images[first : first + _PART_IMAGES] for first in range(0, len(images), _PART_IMAGES)]
    files = [folder / f"{number:05}.npz" for number in range(len(parts))]
    missing = [number for number, file in enumerate(files) if not file.exists()]
    done = len(images) - sum(len(parts[number]) for number in missing)
    with progress(total=len(images), done=done, unit="image", label=label) as bar:
        pending: dict[Future[S], int] = {pool.submit(job, parts[number]): number for number in missing}
        while pending:
            finished, _ = wait(pending, return_when=FIRST_COMPLETED)
            for future in finished:
                number = pending.pop(future)
                write_whole(files[number], _encode_part(future.result()))
                bar.update(len(parts[number]))
    return gather(job.kind, (_read_part(job.kind, file) for file in files))


def software() -> dict[str, str]:
    """The versions of what computes: the interpreter that the flight code takes, and the libraries of the counts."""
    # In the order of flight.inference.interpreter.
    names = ("ai_edge_litert", "tflite_runtime")
    name = next((name for name in names if importlib.util.find_spec(name) is not None), None)
    versions = {} if name is None else {name: str(getattr(importlib.import_module(name), "__version__", "unknown"))}
    return {**versions, "numpy": np.__version__, "opencv": cv2.__version__}


def _digest(images: list[Image]) -> str:
    """SHA-256 over the pixels, truths and seeds: two splits of one set must never share statistics."""
    total = hashlib.sha256()
    for image in images:
        for array in (image.frame, image.truth, image.identifiers):
            total.update(np.ascontiguousarray(array).tobytes())
        total.update(image.seed.to_bytes(8, "big"))
    return total.hexdigest()


def _encode_part(part: Statistics) -> bytes:
    """A part as a file's bytes: a compressed archive of NumPy arrays, and its SHA-256."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays_of(part))  # type: ignore[arg-type]
    return buffer.getvalue() + hashlib.sha256(buffer.getvalue()).digest()


def _read_part(kind: type[S], file: Path) -> S:
    stored = file.read_bytes()
    content, digest = stored[:-_DIGEST_BYTES], stored[-_DIGEST_BYTES:]
    # Of the whole file, and first: a damaged archive fails to be read in a dozen ways, or misses an array in silence.
    if hashlib.sha256(content).digest() != digest:
        raise ValueError(f"{file}: damaged; delete it and give the command again")
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        return kind(**{name: arrays[name] for name in arrays.files})
