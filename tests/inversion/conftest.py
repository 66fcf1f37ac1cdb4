import dataclasses
import hashlib

import pytest

from ganinv.inversion import METHODS
from ganinv.inversion.near_perfect import HYBRID
from ganinv.inversion.pti import PIVOT
from ganinv.training.recipes import RECIPES

SHORT = dict(w_avg_samples=100)
STEPS = 20  # of an encoder's training


PASSES = {"psp", "e4e", "restyle-psp", "restyle-e4e", "hfgi"}  # methods that optimise nothing


@pytest.fixture(scope="session")
def tiny_encoders(make_bundle, tmp_path_factory):
    """Files of encoders by name, each trained for some steps, so that it does better than the average face."""
    gan, folder = make_bundle(0), tmp_path_factory.mktemp("encoders")
    for name, recipe in RECIPES.items():
        config = dataclasses.replace(
            recipe.config, steps=STEPS, batch=4, seen=0, warmup=1, lambda_latent=0.0, random_noise=False
        )
        start = {"start": gan.encoder(recipe.start)} if recipe.start else {}
        gan.encoders[name] = recipe.train(gan, config, **start).save(folder, 0.0)
    return gan.encoders


@pytest.fixture(scope="session")
def tiny_bundle(make_bundle, tiny_encoders):
    """The tiny bundle with encoders."""
    return dataclasses.replace(make_bundle(0), encoders=tiny_encoders)


def shorten(name):
    """The method's own default configuration with a handful of steps, and without the perceptual network where it can do without."""
    config = METHODS[name].config
    if name == "projection-w":
        return dataclasses.replace(config, steps=5, **SHORT)  # this one keeps the perceptual network
    if name.startswith("projection"):
        return dataclasses.replace(config, steps=5, perceptual_weight=0.0, restarts=2, **SHORT)
    if name == "pti":
        return dataclasses.replace(
            config, steps=3, pivot=dataclasses.replace(PIVOT, steps=3, perceptual_weight=0.0, **SHORT)
        )
    if name == "near-perfect":
        everything = dict(
            p=0.7,
            lambda_adv=1.0,
            lambda_global=1.0,
            global_interval=2,
            r1_interval=2,
            lr_latent=1e-3,
            tune_noise=True,
            noise_weight=1.0,
        )
        initial = dataclasses.replace(HYBRID, steps=3, perceptual_weight=0.0, **SHORT)
        return dataclasses.replace(config, steps=5, batch=4, initial=initial, **everything)
    if name == "bdinvert":
        return dataclasses.replace(config, steps=5, perceptual_weight=0.0, samples=200)
    if name == "ensemble":
        return dataclasses.replace(config, steps=5, perceptual_weight=0.0)
    if name in PASSES:
        return config
    raise NotImplementedError(f"say here how {name!r} is shortened, so that every method is tested")


@pytest.fixture(scope="session")
def short_configs():
    return {name: shorten(name) for name in METHODS}


def fingerprint(*networks):
    """SHA-256 of all weights and buffers, computed anew (``Bundle.sha256`` remembers)."""
    digest = hashlib.sha256()
    for network in networks:
        for name, tensor in network.state_dict().items():
            digest.update(name.encode() + tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()


@pytest.fixture(scope="session")
def weights_of():
    return fingerprint
