"""Compute the shards of a job on a Dask cluster. Install with ``pip install "rrsis-geo[dask]"``.

Runs of shards are submitted as futures. Results are saved in the job folder. Every worker must see
the job folder and the scene under the same path as this process.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError
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
ANSWER_S = 60.0
WORKERS_EVERY_S = 10.0
NO_WORKERS_S = 600.0
"""How long to wait for new workers after all have died."""

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
        DeviceError: the scheduler cannot be reached or has died; workers died repeatedly, or all
            died and none came back.
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
        watch = _WorkerWatch(client, address)
        try:
            while waiting:
                watch.check()
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
        except (CancelledError, distributed.comm.CommClosedError) as err:
            raise _lost(address, err) from err
        finally:
            if waiting:  # running futures cannot be cancelled; the file makes them stop soon
                with suppress(CancelledError, OSError, TimeoutError):
                    client.cancel(list(waiting))
                with suppress(OSError):
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


def _lost(address: str, err: Exception) -> DeviceError:
    return DeviceError(
        f"{address}: the Dask scheduler does not answer any more ({str(err) or type(err).__name__})"
    )


class _WorkerWatch:
    """Warns when a cluster has lost all of its workers, and gives up if none comes back."""

    def __init__(self, client: Any, address: str) -> None:
        self._client, self._address = client, address
        self._had_workers = False
        self._next_check = self._last_seen = time.monotonic()
        self._has_warned = False

    def check(self) -> None:
        """Ask the scheduler for its workers, now and then.

        Raises:
            DeviceError: all workers died long ago, or the scheduler does not answer.
        """
        now = time.monotonic()
        if now < self._next_check:
            return
        self._next_check = now + WORKERS_EVERY_S
        try:
            ask = self._client.scheduler.ncores  # unlike `nthreads`, with a limit of time
            has_workers = bool(self._client.sync(ask, callback_timeout=ANSWER_S))
        except OSError as err:
            raise _lost(self._address, err) from err
        if has_workers:
            self._had_workers, self._has_warned, self._last_seen = True, False, now
        elif self._had_workers and now - self._last_seen > NO_WORKERS_S:
            raise DeviceError(f"{self._address}: all workers of the cluster have ended; start some")
        elif self._had_workers and not self._has_warned:
            self._has_warned = True
            logger.warning(
                "%s: all workers of the cluster have ended; waiting %.0f s for new ones",
                self._address,
                NO_WORKERS_S,
            )


def _submit(client: Any, shards: Sequence[Shard], setup: WorkerSetup, address: str) -> set[Any]:
    """Submit runs of shards. Returns their futures."""
    n_workers = len(client.nthreads())
    if not n_workers:
        logger.warning("%s: the cluster has no workers yet; waiting for some", address)
    return {
        client.submit(compute_on_worker, setup, indexes, retries=RETRIES, pure=False)
        for indexes in split_shards(shards, RUNS_PER_WORKER * max(n_workers, 1))
    }
