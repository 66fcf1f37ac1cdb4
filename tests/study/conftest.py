import dataclasses

import pytest
import torch

from ganinv import GanInvError
from ganinv.inversion import METHODS, TUNED_NOISE, Inversion, Projection
from ganinv.inversion.clone import trainable_copy
from ganinv.inversion.result import make_deltas
from ganinv.stylegan2.controls import Controls, stacked


@dataclasses.dataclass(frozen=True)
class Stage:
    steps: int = 90
    seed: int = 5


@dataclasses.dataclass(frozen=True)
class Fake:
    """A configuration with what configurations have: steps, a seed, and a stage of its own."""

    steps: int = 100
    seed: int = 0
    shift: float = 0.1
    tuned: bool = False
    stage: Stage = Stage()


def fake_method(gan, target, config=None, callback=None, resume=None):
    """A method that takes no time: the mean w, or with ``tuned`` a generator whose colours are shifted towards the photo's mean."""
    ws = gan.G.mapping.w_avg.repeat(len(target), gan.G.num_ws, 1)
    deltas = {}
    if config.tuned:
        G, _ = trainable_copy(gan.G)
        with torch.no_grad():
            getattr(G.synthesis, f"b{gan.resolution}").torgb.bias.add_(config.shift * target.mean(dim=(0, 2, 3)))
        deltas = stacked([make_deltas(gan.G, G)])
    return Inversion(
        "fake", gan, target, ws, Controls.of(weights=deltas), seconds=1.0, config=dataclasses.asdict(config)
    )


def moody_method(gan, target, config=None, callback=None, resume=None):
    """Fails on photos that are dark on the whole: as a user's mistake for one, as a bug for the darker."""
    mean = target.mean().item()
    if mean < -0.5:
        raise ZeroDivisionError("a bug")
    if mean < 0:
        raise GanInvError("this photo is too dark: use a lamp.")
    return fake_method(gan, target, config)


class Counted:
    """A method that counts its calls (in this process)."""

    def __init__(self, function):
        self.function, self.calls = function, 0

    def __call__(self, *arguments):
        self.calls += 1
        return self.function(*arguments)


@pytest.fixture
def fakes():
    """Two methods that take no time, registered in place of all others: ``untuned`` and ``tuned``, whose calls are counted."""
    from ganinv.inversion import Method

    registered = {
        "untuned": Method(Counted(fake_method), Fake(), "draw the mean"),
        "tuned": Method(Counted(fake_method), Fake(tuned=True), "shift the colours"),
    }
    all_methods = dict(METHODS)
    METHODS.clear()
    METHODS.update(registered)
    yield registered
    METHODS.clear()
    METHODS.update(all_methods)  # in their order, which tables and messages keep


@pytest.fixture
def moody():
    return moody_method


@pytest.fixture
def photos(tiny_bundle, tiny_targets):
    return {"first": tiny_targets[:1], "second": tiny_targets[1:]}


@pytest.fixture
def short_near_perfect():
    """Near-perfect inversion in four steps, with all its losses on in each."""
    initial = Projection(steps=2, perceptual_weight=0.0, w_avg_samples=50, optimise_noise=False)
    return dataclasses.replace(TUNED_NOISE, steps=4, global_interval=1, initial=initial)


@pytest.fixture(autouse=True)
def empty_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("GANINV_CACHE", str(tmp_path / "cache"))
