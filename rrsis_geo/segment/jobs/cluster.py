"""A Dask cluster at work on one job. Needs the extra: ``pip install "rrsis-geo[dask]"``.

Runs of shards travel as futures, results stay in the job's folder, which every worker must see
under the same path, as it must the scene.
"""

import logging
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from rrsis_geo.errors import ConfigError, DeviceError, Stopped
from rrsis_geo.geo.grid.windows import Shard
from rrsis_geo.segment.jobs.compute import split, worker_context
from rrsis_geo.segment.jobs.job import Job
from rrsis_geo.segment.jobs.workers import RUNS_PER_WORKER
from rrsis_geo.segment.plan.options import SegmentOptions
from rrsis_geo.segment.plan.predictor import WindowPredictor

logger = logging.getLogger(__name__)

CONNECT_S = 30
POLL_S = 0.5
RETRIES = 1

_one_at_a_time = threading.Lock()  # a worker may have many threads, but it has one model


def run_on_cluster(
    job: Job,
    shards: Sequence[Shard],
    options: SegmentOptions,
    address: str,
    *,
    predictor: WindowPredictor | None = None,
    on_progress: Callable[[], None] = lambda: None,
    stop: Callable[[], bool] = lambda: False,
) -> None:
    """Compute shards on a Dask cluster.

    Dask itself gives the work of a worker that dies to another one.

    Args:
        job: that the shards belong to.
        shards: to be computed.
        options: of the run; device and threads are meant for each worker.
        address: of the scheduler, such as "tcp://10.0.0.1:8786".
        predictor: in place of the bundle that the options name; travels with each run of shards.
        on_progress: called now and then.
        stop: asked now and then.

    Raises:
        ConfigError: Dask is not installed.
        DeviceError: the scheduler cannot be reached, or workers died again and again.
        Stopped: `stop` said so.
        RrsisError: what one of the workers raised, twice.
    """
    try:
        import distributed
    except ImportError as err:
        raise ConfigError('Dask is not installed; pip install "rrsis-geo[dask]"') from err
    try:
        client = distributed.Client(address, timeout=CONNECT_S, set_as_default=False)
    except (OSError, ValueError, TimeoutError) as err:
        raise DeviceError(f"{address}: no Dask scheduler answers there ({err})") from err
    stop_file = job.stop_file()
    with client, client.as_current():
        n_workers = len(client.nthreads())
        if not n_workers:
            logger.warning("%s: no worker has joined yet; waiting for some", address)
        waiting: set[Any] = {
            client.submit(
                compute_on_cluster,
                job.folder.absolute(),
                stop_file.absolute(),
                options,
                predictor,
                indexes,
                retries=RETRIES,
                pure=False,
            )
            for indexes in split(shards, RUNS_PER_WORKER * max(n_workers, 1))
        }
        try:
            while waiting:
                done: set[Any] = set()
                with suppress(TimeoutError):
                    done, waiting = distributed.wait(
                        waiting, timeout=POLL_S, return_when="FIRST_COMPLETED"
                    )
                for future in done:
                    future.result()
                on_progress()
                if stop():
                    stop_file.touch()
            if stop_file.exists():
                raise Stopped("stopped")
        except distributed.KilledWorker as err:
            raise DeviceError(
                f"{address}: workers died again and again ({err}); is their memory too small?"
            ) from err
        finally:
            if waiting:  # what runs there cannot be called back: have it end soon
                client.cancel(list(waiting))
                stop_file.touch()
            else:
                stop_file.unlink(missing_ok=True)


def compute_on_cluster(
    folder: Path,
    stop_file: Path,
    options: SegmentOptions,
    predictor: WindowPredictor | None,
    indexes: Sequence[int],
) -> None:
    """Compute a run of shards, on a worker of the cluster."""
    arguments = folder, stop_file, options, predictor
    with _one_at_a_time, worker_context(*arguments) as run, suppress(Stopped):
        run(indexes)
