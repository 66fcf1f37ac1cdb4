"""Where tasks run: in this process, in several on this machine (joblib), or on a Dask or Ray cluster through joblib's backends."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import joblib

from ..errors import GanInvError

Calls = Sequence[tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]]
LOCAL = "local"
PATIENCE = 10  # seconds that a Dask scheduler has to answer


def spread(calls: Calls, jobs: int = 1, backend: str = LOCAL) -> Generator[Any]:
    """Make ``joblib.delayed`` calls and yield their results as they come, in any order.

    Close the iterator (``contextlib.closing``) to abandon what still runs.

    Args:
        jobs: processes on this machine; with one, the calls are made in this process, which Ctrl-C lets finish a step. A cluster has workers
            of its own, unless it is started here.
        backend: ``"local"``; ``"dask://HOST:PORT"`` or ``"ray://HOST:PORT"`` (Ray's client port, 10001 by default) for a cluster that runs;
            ``"dask://local"`` or ``"ray://local"`` for one of ``jobs`` workers that is started on this machine for this purpose.

    Raises:
        GanInvError: no such backend, its package is not installed, no cluster answers, or a worker died.
    """
    kind, separator, address = backend.partition("://")
    if backend != LOCAL and (kind not in ("dask", "ray") or not separator or not address):
        raise GanInvError(
            f"there is no backend {backend!r}: use local, dask://HOST:PORT, ray://HOST:PORT, dask://local or ray://local."
        )
    try:
        if kind == "dask":
            with _dask(address, jobs):
                yield from joblib.Parallel(n_jobs=-1, batch_size=1, return_as="generator_unordered")(calls)
        elif kind == "ray":
            with _ray(address, jobs) as workers, joblib.Parallel(n_jobs=workers, batch_size=1) as parallel:
                # in waves: joblib cannot give this backend's results one by one
                for i in range(0, len(calls), workers):
                    yield from parallel(calls[i : i + workers])
        else:
            # loky starts workers anew whose memory has grown, as it does by tuning, and sometimes warns of it; no task is lost
            warnings.filterwarnings(
                "ignore", "A worker stopped while some jobs were given to the executor", UserWarning
            )
            yield from joblib.Parallel(n_jobs=jobs, batch_size=1, return_as="generator_unordered")(calls)
    except joblib.externals.loky.process_executor.BrokenProcessPool as error:
        raise GanInvError(
            f"a worker process died, perhaps for want of memory ({str(error).splitlines()[0]}): try fewer jobs."
        ) from error


@contextmanager
def _dask(address: str, jobs: int) -> Iterator[None]:
    try:
        from distributed import Client, LocalCluster
    except ModuleNotFoundError:
        raise GanInvError("the backend dask:// needs Dask: pip install 'ganinv[dask]'.") from None
    cluster = (
        LocalCluster(n_workers=jobs, threads_per_worker=1, dashboard_address=None, silence_logs="ERROR")
        if address == LOCAL
        else None
    )
    try:
        client = Client(cluster or f"tcp://{address}", timeout=PATIENCE)
    except (OSError, ValueError) as error:
        raise GanInvError(
            f"no Dask scheduler answers at {address} ({error}): start one with `dask scheduler`."
        ) from error
    try:
        with client, joblib.parallel_config(backend="dask"):
            yield
    finally:
        if cluster is not None:
            cluster.close()


@contextmanager
def _ray(address: str, jobs: int) -> Iterator[int]:
    try:
        import ray
        from ray.util.joblib import register_ray
    except ModuleNotFoundError:
        raise GanInvError("the backend ray:// needs Ray: pip install 'ganinv[ray]'.") from None
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    try:
        if address == LOCAL:
            # without the address it would join a cluster that runs
            ray.init(LOCAL, num_cpus=jobs, include_dashboard=False, **quiet)
        else:
            ray.init(f"ray://{address}", **quiet)
    except (OSError, ValueError, RuntimeError) as error:
        raise GanInvError(
            f"no Ray cluster answers at {address} ({error}): start one with `ray start --head`."
        ) from error
    register_ray()
    try:
        with joblib.parallel_config(backend="ray"):
            yield max(1, int(ray.cluster_resources().get("CPU", 1)))
    finally:
        ray.shutdown()
