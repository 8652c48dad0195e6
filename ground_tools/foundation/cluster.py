"""Work over Dask: an own cluster of this computer's cores, or any cluster that is already there."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import dask
from dask.distributed import Client, LocalCluster, Security

# How many workers may die over one piece of work before it is given up.
WORKER_DEATHS = 3
WORKER_MEMORY = "8GB"
# A worker builds and frees the same large structures for every image: memory that it keeps need not be mapped again
# (a sixth of the time on two cores).
_WORKER_ENVIRONMENT = {
    "MALLOC_MMAP_THRESHOLD_": 2**32,
    "MALLOC_TRIM_THRESHOLD_": 2**33,
    "MALLOC_TOP_PAD_": 2**28,
    "OMP_NUM_THREADS": 1,
    "OPENBLAS_NUM_THREADS": 1,
}


@contextmanager
def open_client(workers: int, scheduler: str | None) -> Iterator[Client]:
    """A client of the cluster at `scheduler`, or of an own one with so many worker processes.

    Args:
        workers: processes of the own cluster.
        scheduler: address of the other one; None: an own one.

    Raises:
        RuntimeError: no scheduler answers there, or it has no workers.
    """
    # A worker that is restarted, or busy in Blender, is nothing that the user must read about.
    for name in ("distributed", "bokeh", "tornado"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    with _own_cluster(workers) if scheduler is None else _cluster_at(scheduler) as client:
        yield client


@contextmanager
def _cluster_at(scheduler: str) -> Iterator[Client]:
    try:
        client = Client(scheduler, timeout=10)
    except (OSError, ValueError) as error:
        raise RuntimeError(f"scheduler {scheduler}: no Dask scheduler answers there ({error})") from error
    with client:
        if not client.nthreads():
            raise RuntimeError(f"scheduler {scheduler}: it has no workers; start some: dask worker {scheduler}")
        yield client


@contextmanager
def _own_cluster(workers: int) -> Iterator[Client]:
    """Whoever reaches a Dask scheduler without credentials has its workers run any code.

    This one listens on loopback, which every user of this computer reaches: its credentials are made for this run, are
    held in memory by its processes alone, and nobody connects without them (TLS in both directions). Its status pages
    are off.
    """
    security = Security.temporary()
    with (
        dask.config.set(
            {
                "distributed.scheduler.allowed-failures": WORKER_DEATHS - 1,
                "distributed.nanny.pre-spawn-environ": _WORKER_ENVIRONMENT,
                "distributed.scheduler.http.routes": [],
                "distributed.worker.http.routes": [],
            }
        ),
        LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            protocol="tls",
            security=security,
            memory_limit=WORKER_MEMORY,
            dashboard_address="127.0.0.1:0",
            scheduler_kwargs={"dashboard": False},
            silence_logs=logging.CRITICAL,
        ) as cluster,
        Client(cluster, security=security) as client,
    ):
        yield client
