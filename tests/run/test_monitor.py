"""Looking at a run: what is seen is right, and looking changes nothing."""

import dataclasses

import pytest
import torch

from ganinv import GanInvError
from ganinv.inversion import TUNED_NOISE, Projection, near_perfect, projection
from ganinv.perception.frechet import feature_statistics, frechet_distance, generator_statistics
from ganinv.run.monitor import frechet, gradient_norms

FAST = Projection(space="w_plus", steps=5, perceptual_weight=0.0, w_avg_samples=100, optimise_noise=False)
CONFIG = dataclasses.replace(
    TUNED_NOISE,
    steps=8,
    lr_G=3e-3,
    lr_latent=1e-3,
    p=0.7,
    global_interval=2,
    r1_interval=2,
    lambda_locality=1.0,
    noise_weight=1.0,
)


@pytest.fixture(scope="module")
def gan(tiny_bundle):
    return dataclasses.replace(tiny_bundle, statistics=feature_statistics(tiny_bundle.reference))


@pytest.fixture(scope="module")
def start(gan, tiny_targets):
    return projection(gan, tiny_targets, FAST)


@pytest.fixture(scope="module")
def looked(gan, tiny_targets, start):
    config = dataclasses.replace(CONFIG, history_gradients=3, history_frechet=4, frechet_samples=20)
    return near_perfect(gan, tiny_targets, config, start=start)


def test_looking_changes_nothing(gan, tiny_targets, start, looked):
    plain = near_perfect(gan, tiny_targets, CONFIG, start=start)
    assert torch.equal(plain.image, looked.image)
    assert torch.equal(plain.ws, looked.ws)
    for mine, theirs in zip(plain.deltas, looked.deltas, strict=True):
        assert mine.keys() == theirs.keys()
        assert all(torch.equal(mine[name], theirs[name]) for name in mine)
    kept = [
        {k: v for k, v in row.items() if k != "frechet" and not k.startswith("grad_")}
        for row in looked.history
        if row["step"] < 8
    ]
    assert [row for row in kept if row.keys() > {"photo", "step"}] == plain.history


def test_when_it_looks(looked):
    for one in looked:
        # at the start, every fourth step, at the end
        assert [row["step"] for row in one.history if "frechet" in row] == [
            0,
            4,
            8,
        ]
        steps = {row["step"] for row in one.history if any(key.startswith("grad_") for key in row)}
        assert steps <= {0, 3, 6}
        for row in one.history:
            if row["step"] in steps:
                assert {key.removeprefix("grad_") for key in row if key.startswith("grad_")} == {
                    key.removeprefix("loss_")
                    for key in row
                    if key.startswith("loss_") and key not in ("loss_D", "loss_adv")
                }


def test_the_distance_is_that_of_the_generator_at_that_step(gan, looked):
    before = frechet_distance(generator_statistics(gan.G, 20), gan.statistics)
    for one in looked:
        rows = [row for row in one.history if "frechet" in row]
        assert rows[0]["frechet"] == before
        assert rows[-1]["frechet"] == pytest.approx(
            frechet_distance(generator_statistics(one.generator, 20), gan.statistics), rel=1e-3
        )
        assert rows[-1]["frechet"] != before
        assert rows[-1]["mse"] == pytest.approx((one.image - one.target).square().mean().item(), rel=1e-2)


def test_the_distance_is_of_as_many_images_as_asked(gan):
    assert frechet(gan, gan.G, 30) == frechet_distance(generator_statistics(gan.G, 30), gan.statistics)


def test_lengths_of_gradients_by_hand():
    a, b = torch.tensor([1.0, 2.0], requires_grad=True), torch.tensor(3.0, requires_grad=True)
    terms = {"each": a.square(), "both": (a.sum() * b), "none": torch.tensor(1.0, requires_grad=True) * 2}
    assert gradient_norms(terms, [a, b]) == pytest.approx(
        {"grad_each": 5**0.5, "grad_both": (9 + 9 + 9) ** 0.5, "grad_none": 0.0}
    )
    assert a.grad is None


def test_the_gradient_in_the_history_is_the_terms(gan, tiny_targets, start):
    """At the start, by autograd from the outside: that of the reconstruction with respect to all tuned weights."""
    from ganinv.inversion.clone import trainable_copy
    from ganinv.losses.laplacian_pyramid import laplacian_pyramid_loss

    config = dataclasses.replace(
        TUNED_NOISE, steps=1, lambda_adv=0, lambda_global=0, lambda_locality=0, lambda_recon=7.0, history_gradients=1
    )
    (row,) = near_perfect(gan, tiny_targets[:1], config, start=start[0]).history
    G, weights = trainable_copy(gan.G)
    gradients = torch.autograd.grad(laplacian_pyramid_loss(G.synthesis(start.ws[:1]), tiny_targets[:1]), weights)
    # without its weight
    assert row["grad_recon"] == pytest.approx(torch.cat([g.flatten() for g in gradients]).norm().item(), rel=1e-4)


def test_without_statistics_the_cure_is_named(tiny_bundle, tiny_targets, start):
    with pytest.raises(GanInvError, match=r"tiny0 comes without statistics .*set history_frechet=0"):
        near_perfect(tiny_bundle, tiny_targets[:1], dataclasses.replace(TUNED_NOISE, history_frechet=5), start=start[0])
