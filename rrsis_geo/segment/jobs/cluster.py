"""Compute the shards of a job on a Dask cluster. Install with ``pip install "rrsis-geo[dask]"``.

Runs of shards are submitted as futures. Results are saved in the job folder. Every worker must see
the job folder and the scene under the same path as this process.
"""

import logging
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from types import ModuleType
from typing import Any

from rrsis_geo.errors import ConfigError, DeviceError, Stopped
from rrsis_geo.geo.grid.windows import Shard
from rrsis_geo.segment.jobs.compute import WorkerSetup, split_shards, worker_context
from rrsis_geo.segment.jobs.workers import RUNS_PER_WORKER

logger = logging.getLogger(__name__)

CONNECT_S = 30
POLL_S = 0.5
RETRIES = 1

_one_at_a_time = threading.Lock()  # a worker may have many threads, but has one model


def run_on_cluster(
    shards: Sequence[Shard],
    setup: WorkerSetup,
    address: str,
    *,
    on_progress: Callable[[], None] = lambda: None,
    stop: Callable[[], bool] = lambda: False,
) -> None:
    """Compute shards on a Dask cluster.

    Dask gives the shards of a worker that dies to another worker.

    Args:
        shards: to be computed.
        setup: of the workers.
        address: of the scheduler, such as "tcp://10.0.0.1:8786".
        on_progress: called twice a second.
        stop: polled as often. Return True to stop after the current shards.

    Raises:
        ConfigError: Dask is not installed.
        DeviceError: the scheduler cannot be reached, or workers died repeatedly.
        Stopped: `stop` returned True.
        RrsisError: an error of a worker, after a retry.
    """
    distributed = _import_dask()
    setup = replace(
        setup, job_folder=setup.job_folder.absolute(), stop_file=setup.stop_file.absolute()
    )
    client = _connect(distributed, address)
    with client, client.as_current():
        waiting = _submit(client, shards, setup, address)
        try:
            while waiting:
                done = _wait_for_some(distributed, waiting)
                waiting -= done
                for future in done:
                    future.result()
                on_progress()
                if stop():
                    setup.stop_file.touch()
            if setup.stop_file.exists():
                raise Stopped("stopped")
        except distributed.KilledWorker as err:
            raise DeviceError(
                f"{address}: workers died repeatedly ({err}); they may have too little memory"
            ) from err
        finally:
            if waiting:  # running futures cannot be cancelled; the file makes them stop soon
                client.cancel(list(waiting))
                setup.stop_file.touch()
            else:
                setup.stop_file.unlink(missing_ok=True)


def compute_on_worker(setup: WorkerSetup, indexes: Sequence[int]) -> None:
    """Compute a run of shards. Runs on a worker of the cluster."""
    with _one_at_a_time, worker_context(setup) as compute, suppress(Stopped):
        compute(indexes)


def _import_dask() -> ModuleType:
    try:
        import distributed
    except ImportError as err:
        raise ConfigError('Dask is not installed; pip install "rrsis-geo[dask]"') from err
    module: ModuleType = distributed
    return module


def _connect(distributed: ModuleType, address: str) -> Any:
    try:
        return distributed.Client(address, timeout=CONNECT_S, set_as_default=False)
    except (OSError, ValueError, TimeoutError) as err:
        raise DeviceError(f"{address}: no Dask scheduler answers ({err})") from err


def _wait_for_some(distributed: ModuleType, futures: set[Any]) -> set[Any]:
    """Futures that are done. Waits a moment if there are none."""
    try:
        return set(distributed.wait(futures, timeout=POLL_S, return_when="FIRST_COMPLETED").done)
    except TimeoutError:
        return set()


def _submit(client: Any, shards: Sequence[Shard], setup: WorkerSetup, address: str) -> set[Any]:
    """Submit runs of shards. Returns their futures."""
    n_workers = len(client.nthreads())
    if not n_workers:
        logger.warning("%s: the cluster has no workers yet; waiting for some", address)
    return {
        client.submit(compute_on_worker, setup, indexes, retries=RETRIES, pure=False)
        for indexes in split_shards(shards, RUNS_PER_WORKER * max(n_workers, 1))
    }
