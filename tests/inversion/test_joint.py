"""Several photos pinned on one generator."""

import dataclasses
import signal

import pytest
import torch

import ganinv
from ganinv import Inversion
from ganinv.inversion import TUNED_NOISE, Projection, near_perfect, projection
from ganinv.stylegan2 import Discriminator
from ganinv.stylegan2.controls import Controls

FAST = Projection(space="w_plus", steps=10, perceptual_weight=0.0, w_avg_samples=100, optimise_noise=False)
CONFIG = dataclasses.replace(
    TUNED_NOISE,
    steps=12,
    p=0.8,
    lr_G=3e-3,
    lr_latent=1e-3,
    global_interval=2,
    r1_interval=2,
    noise_weight=1.0,
    lambda_locality=0.0,
    joint=True,
    initial=FAST,
)


@pytest.fixture(scope="module")
def start(tiny_bundle, tiny_targets):
    return projection(tiny_bundle, tiny_targets, FAST)


@pytest.fixture(scope="module")
def seen():
    return []


@pytest.fixture(scope="module")
def result(tiny_bundle, tiny_targets, seen):
    return ganinv.invert(tiny_targets, tiny_bundle, config=CONFIG, callback=seen.append)


def errors(result):
    return (result.image - result.target).square().mean(dim=(1, 2, 3))


def test_one_generator_draws_all_photos(result, tiny_targets, start):
    assert len(result) == 2
    assert all(errors(result) < 0.8 * errors(start))
    assert result.deltas[0] is result.deltas[1]
    a, b = result.generators
    assert all(torch.equal(p, q) for p, q in zip(a.parameters(), b.parameters(), strict=True))
    # each photo's noise is its own
    assert all(not torch.equal(result.noise[name][0], result.noise[name][1]) for name in result.noise)
    assert not torch.equal(result.ws[0], result.ws[1])


def test_of_one_photo_it_is_the_same_as_ever(tiny_bundle, tiny_targets, start):
    config = dataclasses.replace(CONFIG, steps=6)
    joint, alone = (
        near_perfect(tiny_bundle, tiny_targets[:1], dataclasses.replace(config, joint=j), start=start[0])
        for j in (True, False)
    )
    assert joint.history == alone.history
    assert torch.equal(joint.image, alone.image)


def test_every_photo_pulls_at_the_weights(tiny_bundle, tiny_targets, start, result):
    """Without tuned noise, the generator that was tuned to both reconstructs both, that of the first photo only the first."""
    config = dataclasses.replace(CONFIG, steps=30, p=1.0, tune_noise=False, lr_latent=0.0, lr_G=5e-3)
    both = near_perfect(tiny_bundle, tiny_targets, config, start=start)
    one = near_perfect(tiny_bundle, tiny_targets[:1], config, start=start[0])
    assert all(errors(both) < 0.7 * errors(start))
    with torch.no_grad():
        other = (one.generator.synthesis(start.ws[1:]) - tiny_targets[1:]).square().mean()
    assert other > 2 * errors(both)[1]


def test_the_terms_are_those_of_each_photo_alone(tiny_bundle, tiny_targets, start):
    config = dataclasses.replace(CONFIG, steps=1, p=1.0, lambda_perceptual=1.0, lambda_l2=1.0)
    rows = near_perfect(tiny_bundle, tiny_targets, config, start=start).history
    for i, row in enumerate(rows):
        (alone,) = near_perfect(tiny_bundle, tiny_targets[i : i + 1], config, start=start[i]).history
        for key in ("mse", "loss_recon", "loss_perceptual", "loss_l2"):
            assert row[key] == pytest.approx(alone[key], rel=1e-4)
        assert row.keys() == alone.keys()
    assert rows[0]["loss_D"] == rows[1]["loss_D"]  # there is one discriminator
    assert rows[0]["loss_adv_local"] != rows[1]["loss_adv_local"]


def test_the_discriminator_sees_all_photos_in_whole_batches(tiny_bundle, tiny_targets, start, monkeypatch):
    seen, forward = [], Discriminator.forward
    monkeypatch.setattr(Discriminator, "forward", lambda D, img: seen.append(img.detach().clone()) or forward(D, img))
    near_perfect(tiny_bundle, tiny_targets, dataclasses.replace(CONFIG, steps=1, p=1.0, batch=4), start=start)
    real, fake, judged = seen
    assert len(real) == len(fake) == 8  # 2 photos, 3 random images at least, and so many that 4 divides them
    assert torch.equal(real[:2], tiny_targets)
    torch.testing.assert_close(fake[:2], start.image, atol=1e-5, rtol=1e-5)
    assert torch.equal(judged, fake)


@pytest.mark.parametrize("batch", [2, 3])
def test_small_batches_of_many_photos(tiny_bundle, tiny_targets, batch):
    photos = tiny_targets.repeat(3, 1, 1, 1)[:5]
    result = near_perfect(tiny_bundle, photos, dataclasses.replace(CONFIG, steps=1, p=1.0, batch=batch))
    assert len(result) == 5


def test_one_stage_and_a_row_for_each_photo(result, seen):
    assert [p.step for p in seen if p.stage == "near-perfect"] == list(range(1, 13))
    assert {row["photo"] for row in result.history} == {0, 1}
    for one in result:
        assert [row["step"] for row in one.history] == sorted({row["step"] for row in result.history})


def test_the_shared_weights_are_kept_once(result, tiny_bundle, tiny_targets, tmp_path):
    loaded = Inversion.load(result.save(tmp_path / "both"), tiny_bundle)
    assert torch.equal(loaded.image, result.image)
    assert loaded.deltas[0] is loaded.deltas[1]
    assert loaded.history == result.history
    apart = dataclasses.replace(
        result, controls=Controls({key: tensor.expand(2, *tensor.shape[1:]) for key, tensor in result.controls.items()})
    )
    once, twice = (
        (folder / "clone.safetensors").stat().st_size for folder in (tmp_path / "both", apart.save(tmp_path / "apart"))
    )
    deltas = sum(2 * delta.numel() for delta in result.deltas[0].values())
    assert twice - once > 0.9 * deltas
    for i, alone in enumerate(result):
        again = Inversion.load(alone.save(tmp_path / str(i)), tiny_bundle)
        assert torch.equal(again.image, result.image[i : i + 1])


@pytest.mark.parametrize("stop", [3, 10, 15, 21, 22])
def test_an_interrupted_run_goes_on(result, seen, tiny_bundle, tiny_targets, tmp_path, stop):
    steps = []

    def press_ctrl_c(progress):
        steps.append(progress)
        if len(steps) == stop:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        ganinv.invert(tiny_targets, tiny_bundle, config=CONFIG, callback=press_ctrl_c, resume=tmp_path / "run.pt")
    again = ganinv.invert(tiny_targets, tiny_bundle, config=CONFIG, callback=steps.append, resume=tmp_path / "run.pt")
    assert len(steps) == len(seen) == 22
    assert again.history == result.history
    assert torch.equal(again.image, result.image)
    assert again.deltas[0] is again.deltas[1]
