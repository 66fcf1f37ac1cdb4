"""The global random numbers are the caller's: nothing that is called in between two draws changes the second.

Methods have this test in ``inversion/test_methods``.
"""

import random
from dataclasses import replace

import numpy as np
import pytest
import torch

import ganinv
from ganinv.perception.features import EfficientNetLite0
from ganinv.perception.frechet import feature_statistics, generator_statistics, sample_images
from ganinv.perception.perceptual import Perceptual, perceptual
from ganinv.perception.scores import batch_scores, mse, psnr, ssim
from ganinv.perception.similarity import look, similarity_loss
from ganinv.perception.spectra import octave_shares, radial_spectrum
from ganinv.photos import load_target
from ganinv.report import ManifoldCheck
from ganinv.run import alone
from ganinv.training.dcgan import DCGAN, load_dcgan
from ganinv.training.gan import GanConfig, Stage, Trainer, train
from ganinv.training.recipes import RECIPES
from ganinv.training.toy import ToyConfig, ring
from ganinv.training.toy import train as train_toy

GAN = GanConfig(8, 8, 1, 64, 8, [Stage(8, 8, 0.05), Stage(16, 8, 0.1)], batch=4, snapshot_images=8)


@pytest.fixture
def same_draws():
    """Checks at the end of a test that all three generators stand where they stood."""
    before = torch.get_rng_state(), repr(np.random.get_state()), random.getstate()
    yield
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (repr(np.random.get_state()), random.getstate()) == before[1:]


METRICS = {
    "mse": mse,
    "psnr": psnr,
    "ssim": ssim,
    "perceptual": perceptual,
    "perceptual, loaded": lambda x, y: Perceptual()(x, y),
    "features": lambda x, y: EfficientNetLite0()(x),
    "similarity": lambda x, y: similarity_loss(look(x), look(y)),
    "scores": batch_scores,
    "statistics": lambda x, y: feature_statistics(torch.cat([x, y])),
    "spectra": lambda x, y: (radial_spectrum(x), octave_shares(y)),
}


@pytest.mark.parametrize("metric", METRICS)
def test_metrics(same_draws, tiny_targets, metric):
    METRICS[metric](tiny_targets, tiny_targets.flip(0))


def test_random_images(same_draws, tiny_bundle):
    list(sample_images(tiny_bundle.G, 3))
    generator_statistics(tiny_bundle.G, 3, noise_mode="const")
    ManifoldCheck(tiny_bundle, 3).distance(tiny_bundle.G)


def test_what_is_loaded(same_draws, tmp_path):
    gan = ganinv.load("faces64")
    gan.encoder("psp")
    load_target(gan.photos["grace_hopper"], 64)  # with the face detector
    assert gan.w_cov.shape == (128, 128)


def test_the_dcgan(tmp_path):
    torch.save(
        {"netG_state_dict": {f"main.{key}": value for key, value in DCGAN().state_dict().items()}},
        tmp_path / "weights.tar",
    )
    before = torch.get_rng_state()
    load_dcgan(tmp_path / "weights.tar")
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("name", RECIPES)
def test_training_of_encoders(same_draws, make_bundle, name):
    gan, recipe = make_bundle(0), RECIPES[name]
    config = replace(recipe.config, steps=2, batch=2, seen=0, warmup=1)
    start = (
        {"start": RECIPES["e4e"].train(gan, replace(RECIPES["e4e"].config, steps=0)).network}
        if recipe.start_needed
        else {}
    )
    with torch.no_grad():
        recipe.train(gan, config, **start)


def test_training_of_gans(same_draws, tiny_array, tmp_path):
    with torch.no_grad():
        train(GAN, tiny_array, tmp_path)
        trainer = Trainer(GAN, tiny_array, tmp_path / "again")
        trainer.step()
        trainer.next_stage()
        train_toy(ring, ToyConfig(steps=2, batch=4))


def test_the_random_numbers_of_a_run_that_fails_are_put_back_too(same_draws):
    @alone()
    def run():
        torch.manual_seed(0)
        np.random.seed(0)
        random.seed(0)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run()
