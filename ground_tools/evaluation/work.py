"""Many images through a bundle: one process per core with one thread each, and what is done stays done.

A pass of these networks does not gain by a second thread what a second image in a second process gains. Statistics are
kept in files of a few images each, in a folder named by the hash of all they depend on, so that an evaluation that was
stopped goes on where it was, and nothing is ever mixed with another bundle, set or setting.
"""

from __future__ import annotations

import hashlib
import io
import json
import multiprocessing
import multiprocessing.connection
import os
import sys
import threading
import zipfile
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from tqdm import tqdm

from flight.bundle import Bundle
from flight.inference.network import Network
from ground_tools.datasets.store import write_whole
from ground_tools.evaluation.passes import load_networks
from ground_tools.evaluation.statistics import JOBS, VERSION, Arrays, Image, gathered

# What a kill can cost each process: a quarter of a minute at 20 passes of two networks.
_PART_IMAGES = 4

# Of a worker process, set once at its start.
_loaded: dict[str, Any] = {}


def usable_cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def workers(bundle: Bundle, passes: int, count: int) -> Iterator[ProcessPoolExecutor]:
    """Processes with the bundle loaded, for `statistics_of`."""
    # Not forked: the interpreter's threads would not survive it.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(count, mp_context=context, initializer=_start, initargs=(bundle, passes))
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _start(bundle: Bundle, passes: int) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    cv2.setNumThreads(1)
    _loaded.update(bundle=bundle, networks=load_networks(bundle, 1), passes=passes)


def _end_with_parent() -> None:
    """A worker whose parent was killed would wait for work for ever; so it watches its parent."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)


def _part(job: str, images: list[Image]) -> Arrays:
    bundle: Bundle = _loaded["bundle"]
    networks: list[Network] = _loaded["networks"]
    return gathered([JOBS[job](bundle, networks, image, _loaded["passes"]) for image in images])


def statistics_of(
    pool: ProcessPoolExecutor,
    job: str,
    images: list[Image],
    parameters: dict[str, Any],
    store: Path,
    label: str,
) -> Arrays:
    """The statistics of a job over images, from the store where they are there, else computed and stored.

    parameters: what the statistics depend on beyond the images, as plain values; they and the images' hash name the
    folder in `store`. label: of the progress bar. Raises ValueError naming the file when a stored part is damaged.
    """
    own = {"job": job, "statistics": VERSION, "images_sha256": _digest(images), "part_images": _PART_IMAGES}
    text = json.dumps({**parameters, **own}, sort_keys=True)
    folder = store / hashlib.sha256(text.encode()).hexdigest()[:20]
    write_whole(folder / "parameters.json", (text + "\n").encode())
    parts = [images[first : first + _PART_IMAGES] for first in range(0, len(images), _PART_IMAGES)]
    files = [folder / f"{number:05}.npz" for number in range(len(parts))]
    missing = [number for number, file in enumerate(files) if not file.exists()]
    done = len(images) - sum(len(parts[number]) for number in missing)
    with tqdm(total=len(images), initial=done, unit="image", desc=label, file=sys.stderr) as bar:
        pending: dict[Future[Arrays], int] = {pool.submit(_part, job, parts[number]): number for number in missing}
        while pending:
            finished, _ = wait(pending, return_when=FIRST_COMPLETED)
            for future in finished:
                number = pending.pop(future)
                buffer = io.BytesIO()
                np.savez_compressed(buffer, **future.result())  # type: ignore[arg-type]
                write_whole(files[number], buffer.getvalue())
                bar.update(len(parts[number]))
    return gathered(_read(file) for file in files)


def _digest(images: list[Image]) -> str:
    """SHA-256 over the pixels, truths and seeds: two splits of one set must never share statistics."""
    total = hashlib.sha256()
    for image in images:
        for array in (image.frame, image.truth, image.identifiers):
            total.update(np.ascontiguousarray(array).tobytes())
        total.update(image.seed.to_bytes(8, "big"))
    return total.hexdigest()


def _read(file: Path) -> Arrays:
    try:
        with np.load(file, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"{file}: damaged ({error}); delete it and give the command again") from error
