"""Tasks in other processes: the same numbers, whoever works them out, and no error that is silent."""

import dataclasses
import os
import socket
import warnings

import joblib
import pytest

from ganinv import GanInvError
from ganinv.inversion import PTI, Projection
from ganinv.study import compare
from ganinv.study.backends import spread


@pytest.fixture
def dask_cluster():
    """The address of a Dask cluster of two workers."""
    distributed = pytest.importorskip("distributed", reason="Dask is not installed")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None, silence_logs="ERROR"
    ) as cluster:
        yield cluster.scheduler_address.removeprefix("tcp://")


@pytest.fixture(params=["processes", "dask", "ray"])
def backend(request):
    """Two workers, in each of the ways to have them."""
    if request.param == "dask":
        return f"dask://{request.getfixturevalue('dask_cluster')}"
    if request.param == "ray":
        pytest.importorskip("ray", reason="Ray is not installed")
        return "ray://local"
    return "local"


def test_two_workers_find_what_one_process_finds(make_bundle, photos, backend, capfd, monkeypatch):
    gan = make_bundle(0)
    gan.D = None  # so that one of the methods fails
    quick = dict(steps=3, perceptual_weight=0.0, w_avg_samples=50)
    configs = {
        "projection-w": Projection(space="w", **quick),
        "pti": PTI(steps=2, pivot=Projection(space="w", **quick)),
    }
    methods = ["projection-w", "pti", "near-perfect"]
    alone = compare(gan, photos, methods, configs, samples=6, cache=os.environ["GANINV_CACHE"] + "-alone")
    shared = compare(gan, photos, methods, configs, samples=6, jobs=2, backend=backend)
    assert [(row.image, row.method) for row in shared.rows] == [
        (photo, method) for method in methods[:2] for photo in photos
    ]
    for mine, theirs in zip(alone.rows, shared.rows, strict=True):
        assert dataclasses.astuple(theirs)[2:6] == pytest.approx(dataclasses.astuple(mine)[2:6], rel=1e-3)
        assert (theirs.frechet_after is not None) == (theirs.method == "pti")
        if theirs.method == "pti":
            assert theirs.frechet_after == pytest.approx(mine.frechet_after, rel=1e-3)
    assert len(shared.failures) == 2
    assert shared.failures == alone.failures
    assert "Traceback" not in capfd.readouterr().err
    monkeypatch.setattr("ganinv.study.tasks.spread", None)  # all is in the cache now
    assert compare(gan, photos, methods[:2], configs, samples=6).rows == shared.rows


def test_a_dask_cluster_of_its_own():
    pytest.importorskip("distributed", reason="Dask is not installed")
    found = set(spread([joblib.delayed(os.getpid)() for _ in range(4)], jobs=2, backend="dask://local"))
    assert found
    assert os.getpid() not in found


def test_one_job_is_this_process():
    assert list(spread([joblib.delayed(os.getpid)() for _ in range(3)])) == [os.getpid()] * 3


def test_a_worker_that_is_started_anew_is_not_spoken_of(recwarn):
    assert sorted(spread([joblib.delayed(abs)(-i) for i in range(3)], jobs=2)) == [0, 1, 2]
    warnings.warn(
        "A worker stopped while some jobs were given to the executor. This can be caused by ...", stacklevel=1
    )
    assert not recwarn.list


def test_a_worker_that_dies():
    with pytest.raises(GanInvError, match="a worker process died"):
        list(spread([joblib.delayed(os._exit)(1) for _ in range(2)], jobs=2))


def test_nobody_answers(monkeypatch):
    pytest.importorskip("distributed", reason="Dask is not installed")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setattr("ganinv.study.backends.PATIENCE", 1)
    with pytest.raises(GanInvError, match=f"no Dask scheduler answers at 127.0.0.1:{port}"):
        list(spread([joblib.delayed(os.getpid)()], backend=f"dask://127.0.0.1:{port}"))


@pytest.mark.parametrize(("backend", "module"), [("dask://local", "distributed"), ("ray://local", "ray")])
def test_what_is_not_installed_is_named(monkeypatch, backend, module):
    monkeypatch.setitem(__import__("sys").modules, module, None)
    with pytest.raises(GanInvError, match=rf"pip install 'ganinv\[{backend[: backend.index(':')]}\]'"):
        list(spread([joblib.delayed(os.getpid)()], backend=backend))
