import copy
import dataclasses

import pytest
import torch
import torch.nn.functional as F

from ganinv import GanInvError
from ganinv.inversion import PTI, Inversion, NearPerfect, Projection, near_perfect, projection, pti
from ganinv.inversion.clone import noise_units, pinned_noise, trainable_copy
from ganinv.inversion.game import Game, by_part
from ganinv.inversion.near_perfect import PIVOTAL_TUNING, random_images
from ganinv.inversion.result import apply_clone, make_deltas
from ganinv.losses.adversarial import discriminator_loss, generator_loss, r1_from_logits
from ganinv.losses.global_cohesion import RealImages
from ganinv.losses.laplacian_pyramid import band_errors
from ganinv.perception.frechet import sample_images
from ganinv.run.schedule import cosine
from ganinv.stylegan2 import Discriminator

FAST = Projection(space="w_plus", steps=10, perceptual_weight=0.0, w_avg_samples=100, optimise_noise=False)
RECON_ONLY = dict(lambda_adv=0.0, lambda_global=0.0)


def near(**settings):
    """A configuration that does not move with the defaults, which come from a sweep on another network."""
    base = dict(
        p=1.0,
        lambda_recon=100.0,
        lambda_l2=0.0,
        lambda_adv=1.0,
        lambda_global=1.0,
        lr_G=1e-3,
        lr_D=1e-3,
        lr_noise=0.05,
        lr_latent=0.0,
    )
    return NearPerfect(
        **{
            **base,
            "batch": 4,
            "lambda_locality": 0.0,
            "global_interval": 1,
            "r1_interval": 16,
            "tune_noise": True,
            "noise_weight": 0.0,
            **settings,
        }
    )


@pytest.fixture(scope="module")
def photo(tiny_targets):
    return tiny_targets[:1]


@pytest.fixture(scope="module")
def start(tiny_bundle, photo):
    return projection(tiny_bundle, photo, FAST)


def mse(result):
    return (result.image - result.target).square().mean().item()


def drift(result, n=32):
    """How far the rest of the manifold has moved: mean squared change of random images, under the same random noise."""
    before, after = (torch.cat(list(sample_images(G, n))) for G in (result.gan.G, result.generator))
    return (after - before).square().mean().item()


def same_weights(a, b):
    return a.deltas[0].keys() == b.deltas[0].keys() and all(
        torch.equal(a.deltas[0][name], b.deltas[0][name]) for name in a.deltas[0]
    )


# -- its two limits -------------------------------------------------------------------------------------------------------------


def test_without_the_photo_it_is_plain_fine_tuning(tiny_bundle, photo, start):
    """p = 0: exactly what a GAN's training loop makes of the same networks, images and random numbers."""
    steps, lr, gamma = 6, 1e-3, 0.3
    config = near(steps=steps, p=0.0, lr_G=lr, lr_D=lr, lr_rampdown=0.0, r1_gamma=gamma, r1_interval=4, batch=4, seed=3)
    tuned = near_perfect(tiny_bundle, photo, config, start=start)

    G, D = copy.deepcopy(tiny_bundle.G), copy.deepcopy(tiny_bundle.D).requires_grad_(True)
    parameters = [
        p.requires_grad_() for name, p in G.synthesis.named_parameters() if not name.endswith("noise_strength")
    ]
    adam_G = torch.optim.Adam(parameters, lr, betas=(0.0, 0.99), fused=True)
    adam_D = torch.optim.Adam(D.parameters(), lr, betas=(0.0, 0.99), fused=True)
    random, reals = torch.Generator().manual_seed(3), RealImages(tiny_bundle.reference, 3)
    for step in range(steps):
        torch.rand([], generator=random)  # the coin that decides whether the photo is seen
        z = torch.randn(4, 16, generator=random)
        noise = {name: torch.randn(4, *maps.shape[1:], generator=random) for name, maps in G.synthesis.noise().items()}
        fake, real = G.synthesis(G.mapping(z), noise=noise), reals.batch(4)
        real.requires_grad_(step % 4 == 0)
        logits = D(real)
        loss_D = discriminator_loss(logits, D(fake.detach()))
        if step % 4 == 0:
            loss_D = loss_D + gamma / 2 * 4 * r1_from_logits(logits, real)
        adam_D.zero_grad()
        loss_D.backward()
        adam_D.step()
        loss_G = generator_loss(D(fake))
        adam_G.zero_grad()
        loss_G.backward()
        adam_G.step()
        assert tuned.history[step]["loss_D"] == loss_D.item()
        assert tuned.history[step]["loss_global"] == loss_G.item()
    plain = make_deltas(tiny_bundle.G, G)
    assert plain
    assert plain.keys() == tuned.deltas[0].keys()
    assert all(torch.equal(plain[name], delta) for name, delta in tuned.deltas[0].items())


def test_with_ptis_losses_it_is_ptis_second_stage(tiny_bundle, tiny_targets):
    """No adversarial terms, perceptual distance and L2: exactly PTI's tuning from the same pivot, step by step."""
    pivot = projection(tiny_bundle, tiny_targets, dataclasses.replace(FAST, space="w"))
    theirs = pti(tiny_bundle, tiny_targets, PTI(steps=8), start=pivot)
    ours = near_perfect(tiny_bundle, tiny_targets, dataclasses.replace(PIVOTAL_TUNING, steps=8), start=pivot)
    assert (PIVOTAL_TUNING.steps, PIVOTAL_TUNING.lr_G) == (PTI().steps, PTI().lr)
    assert [row["mse"] for row in ours.history] == [row["mse"] for row in theirs.history]
    assert [row["loss_perceptual"] for row in ours.history] == [row["distance"] for row in theirs.history]
    assert torch.equal(ours.ws, theirs.ws)
    assert all(
        a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)
        for a, b in zip(ours.deltas, theirs.deltas, strict=True)
    )
    assert torch.equal(ours.image, theirs.image)
    assert mse(ours) < mse(pivot)


# -- the terms of the loss -----------------------------------------------------------------------------------------------------


def test_adversarial_losses_by_part(tiny_bundle):
    """Hand-computed: the pinned images come first, each for itself; the others count by their mean."""
    logits, sp = torch.tensor([[1.0], [2.0], [-3.0]]), F.softplus
    game = Game(tiny_bundle.D, RealImages(tiny_bundle.reference), lambda_adv=5.0, lambda_global=7.0, lr=1e-3, r1=0.0)
    for sign in (1, -1):
        values = sp(sign * logits[:, 0])
        for pinned in (1, 2):
            local, rest = by_part(logits, pinned, sign)
            torch.testing.assert_close(local, values[:pinned])
            torch.testing.assert_close(rest, values[pinned:].mean())
            torch.testing.assert_close(
                game._weigh(local, rest), 7 * values[pinned:].mean() + 5 * values[:pinned].mean()
            )
        torch.testing.assert_close(game._weigh(*by_part(logits, 0, sign)), 7 * values.mean())
        torch.testing.assert_close(game._weigh(*by_part(logits, 3, sign)), 5 * values.mean())  # a batch of photos alone


@pytest.mark.parametrize("batch", [1, 2, 4, 8])
def test_random_images_fill_whole_batches(batch):
    assert [random_images(pinned, batch) for pinned in (0, 1)] == [batch, batch - 1]
    for pinned in range(1, 20):
        fresh = random_images(pinned, batch)
        assert batch - 1 <= fresh < 2 * batch - 1 or batch == 1
        assert (pinned + fresh) % batch == 0


@pytest.mark.parametrize("batch", [1, 2, 3, 4, 8])
@pytest.mark.parametrize("group", [1, 4])
def test_the_discriminator_gets_whole_groups(batch, group):
    for pinned in range(6):
        fresh = random_images(pinned, batch, group)
        assert (pinned + fresh) % min(group, pinned + fresh) == 0
        assert fresh >= random_images(pinned, batch)


def test_reconstruction_alone_lowers_the_mse(tiny_bundle, photo, start):
    result = near_perfect(tiny_bundle, photo, near(steps=25, tune_noise=False, lr_G=5e-3, **RECON_ONLY), start=start)
    assert mse(result) < 0.5 * mse(start)
    losses = [row["loss_recon"] for row in result.history]
    assert losses[-1] < 0.7 * losses[0]
    assert result.history[0].keys() == {"photo", "step", "loss_recon", "mse"}
    assert result.history[0]["mse"] == pytest.approx(mse(start), rel=1e-4)


def test_reconstruction_alone_needs_neither_discriminator_nor_images(tiny_bundle, photo, start):
    bare = dataclasses.replace(tiny_bundle, D=None, reference=None)
    config = near(steps=3, **RECON_ONLY)
    assert same_weights(
        near_perfect(bare, photo, config, start=start), near_perfect(tiny_bundle, photo, config, start=start)
    )


def test_reconstruction_now_and_then(tiny_bundle, photo, start):
    """p below 1 without the adversarial terms: the steps in between do nothing."""
    config = near(steps=20, p=0.4, tune_noise=False, **RECON_ONLY)
    result = near_perfect(tiny_bundle, photo, config, start=start)
    assert 2 <= len(result.history) <= 15
    assert mse(result) < mse(start)
    nothing = near_perfect(tiny_bundle, photo, dataclasses.replace(config, p=0.0), start=start)
    assert nothing.history == []
    assert nothing.deltas == [{}]
    torch.testing.assert_close(nothing.image, start.image)


def test_p_0_is_plain_fine_tuning(tiny_bundle, tiny_targets, start):
    """The photo takes no part: whatever it is, the generator becomes the same, and so do noise and code."""
    config = near(steps=6, p=0.0, lr_latent=0.01)
    starts = [start, dataclasses.replace(start, target=tiny_targets[1:], ws=start.ws + 1)]
    a, b = (near_perfect(tiny_bundle, one.target, config, start=one) for one in starts)
    assert a.deltas[0]
    assert same_weights(a, b)
    assert all(torch.equal(maps, tiny_bundle.G.synthesis.noise()[name]) for name, maps in a.noise.items())
    assert torch.equal(a.ws, start.ws)
    assert all(row.keys() - {"r1"} == {"photo", "step", "loss_D", "loss_adv", "loss_global"} for row in a.history)
    weighted = near_perfect(
        tiny_bundle, tiny_targets[:1], dataclasses.replace(config, lambda_recon=1e4, lambda_adv=9.0), start=start
    )
    assert same_weights(a, weighted)
    pinned = near_perfect(tiny_bundle, tiny_targets[:1], dataclasses.replace(config, p=1.0), start=start)
    assert not same_weights(a, pinned)


def test_p_is_how_often_the_photo_is_seen(tiny_bundle, photo, start):
    result = near_perfect(tiny_bundle, photo, near(steps=30, p=0.3, batch=2, global_interval=1), start=start)
    assert 4 <= sum("mse" in row for row in result.history) <= 15
    assert len(result.history) == 30
    always = near_perfect(tiny_bundle, photo, near(steps=5, p=1.0), start=start)
    assert all("mse" in row for row in always.history)


@pytest.mark.parametrize("term", ["l2", "perceptual", "recon"])
def test_each_reconstruction_term_falls_by_itself(tiny_bundle, photo, start, term):
    """And the terms that are off are not there."""
    config = near(steps=15, lr_G=3e-3, tune_noise=False, **{**RECON_ONLY, "lambda_recon": 0.0, f"lambda_{term}": 10.0})
    result = near_perfect(tiny_bundle, photo, config, start=start)
    values = [row[f"loss_{term}"] for row in result.history]
    assert values[-1] < 0.9 * values[0]
    assert result.history[0].keys() == {"photo", "step", "mse", "loss_recon", f"loss_{term}"}


def test_without_any_term_nothing_moves(tiny_bundle, photo, start):
    result = near_perfect(tiny_bundle, photo, near(steps=3, lambda_recon=0.0, **RECON_ONLY), start=start)
    assert result.deltas == [{}]
    assert len({row["mse"] for row in result.history}) == 1


@pytest.mark.parametrize("game", [dict(), RECON_ONLY])
def test_locality_holds_the_rest_of_the_manifold(tiny_bundle, photo, start, game):
    config = near(steps=30, lr_G=3e-3, tune_noise=False, global_interval=2, batch=4, **game)
    free = near_perfect(tiny_bundle, photo, config, start=start)
    held = near_perfect(tiny_bundle, photo, dataclasses.replace(config, lambda_locality=300.0), start=start)
    assert 0 < drift(held) < 0.7 * drift(free)
    assert mse(held) < mse(start)
    assert ["loss_locality" in row for row in held.history] == [step % 2 == 0 for step in range(30)]
    assert held.history[0]["loss_locality"] == pytest.approx(0, abs=1e-10)  # the same codes, the same noise
    assert held.history[28]["loss_locality"] > 1e-4


def test_locality_may_be_perceptual_too(tiny_bundle, photo, start):
    config = near(steps=3, lr_G=3e-3, lambda_locality=1.0, **RECON_ONLY)
    plain, both = (
        near_perfect(tiny_bundle, photo, dataclasses.replace(config, locality_perceptual=w), start=start)
        for w in (0.0, 1.0)
    )
    assert both.history[1]["loss_locality"] > 2 * plain.history[1]["loss_locality"]
    assert not same_weights(plain, both)


@pytest.mark.parametrize("off", ["lambda_recon", "lambda_adv", "lambda_global"])
def test_every_term_matters_and_can_be_switched_off(tiny_bundle, photo, start, off):
    config = near(steps=4, lr_G=2e-3)
    full = near_perfect(tiny_bundle, photo, config, start=start)
    without = near_perfect(tiny_bundle, photo, dataclasses.replace(config, **{off: 0.0}), start=start)
    assert not same_weights(full, without)


def test_the_photo_takes_one_place_of_the_batch(tiny_bundle, photo, start, monkeypatch):
    """The first: its real is the photo, its fake the reconstruction with the photo's noise; the rest are training images and random ones."""
    seen, forward = [], Discriminator.forward
    monkeypatch.setattr(Discriminator, "forward", lambda D, img: seen.append(img.detach().clone()) or forward(D, img))
    near_perfect(
        tiny_bundle, photo, near(steps=1, batch=4, p=1.0, global_interval=1, r1_interval=1, seed=5), start=start
    )
    real, fake, judged = seen  # R1 takes the logits of the first
    assert torch.equal(real, torch.cat([photo, RealImages(tiny_bundle.reference, 5).batch(3)]))
    torch.testing.assert_close(fake[:1], start.image, atol=1e-5, rtol=1e-5)
    assert torch.equal(judged, fake)  # the generator's step sees the same images
    assert all((fake[i] - fake[j]).abs().max() > 0.1 for i in range(4) for j in range(i))


def test_the_whole_objective_comes_near(tiny_bundle, photo, start):
    result = near_perfect(tiny_bundle, photo, near(steps=20, lr_G=5e-3, batch=2, global_interval=1), start=start)
    assert mse(result) < 0.5 * mse(start)
    assert all({"loss_D", "loss_adv", "loss_recon", "mse"} < row.keys() for row in result.history)


# -- what is tuned -------------------------------------------------------------------------------------------------------------


def test_tuned_noise_helps_and_stays_out_of_the_manifold(tiny_bundle, photo, start):
    config = near(steps=20, lr_G=0.0, tune_noise=True, **RECON_ONLY)
    result = near_perfect(tiny_bundle, photo, config, start=start)
    assert mse(result) < 0.9 * mse(start)
    assert result.deltas == [{}]  # not one weight has moved
    assert drift(result) == 0  # and no other image, under random noise


def test_without_tuned_noise_the_maps_are_the_generators(tiny_bundle, photo, start):
    result = near_perfect(tiny_bundle, photo, near(steps=3, tune_noise=False), start=start)
    assert result.noise is None  # and so nothing of them is kept, and nothing drawn again to swap them
    for name, maps in result.generator.synthesis.noise().items():
        assert torch.equal(maps, tiny_bundle.G.synthesis.noise()[name])
    assert result.image_own_noise is result.image


def test_noise_weight_keeps_the_maps_noise_like(tiny_bundle, photo, start):
    def correlation(weight):
        config = near(steps=15, lr_G=0.0, noise_weight=weight, **RECON_ONLY)
        maps = (
            near_perfect(tiny_bundle, photo, config, start=start).noise["b32.conv1"]
            - tiny_bundle.G.synthesis.noise()["b32.conv1"]
        )
        return (maps * maps.roll(1, 3)).mean().abs().item()

    assert correlation(1e5) < 0.5 * correlation(0.0)


@pytest.mark.parametrize("lr_latent", [0.0, 0.01])
def test_the_code_moves_only_when_asked(tiny_bundle, photo, start, lr_latent):
    result = near_perfect(tiny_bundle, photo, near(steps=3, lr_latent=lr_latent), start=start)
    assert torch.equal(result.ws, start.ws) == (lr_latent == 0)
    assert not result.ws.requires_grad


def test_only_the_synthesis_network_is_tuned(tiny_bundle, photo, start):
    (deltas,) = near_perfect(tiny_bundle, photo, near(steps=2), start=start).deltas
    assert all(name.startswith("synthesis.") and not name.endswith("noise_strength") for name in deltas)
    assert {"synthesis.b4.const", "synthesis.b32.torgb.weight", "synthesis.b8.conv0.affine.weight"} < deltas.keys()


def test_what_is_added_to_the_noise_counts_in_activations(tiny_bundle):
    """An offset moves strength * noise by itself, however small the strength, and changes nothing where the strength is zero."""
    G, offsets = apply_clone(tiny_bundle.G, {}), {"b8.conv1": torch.full((1, 1, 8, 8), 0.5)}
    strength = G.synthesis.b8.conv1.noise_strength
    for value in (0.1, -0.02, 1e-4):
        strength.fill_(value)
        maps = pinned_noise(G.synthesis.noise(), noise_units(G), offsets)
        torch.testing.assert_close(
            strength * (maps["b8.conv1"] - G.synthesis.noise()["b8.conv1"]), offsets["b8.conv1"], atol=1e-4, rtol=1e-3
        )
        assert all(torch.equal(maps[name], m) for name, m in G.synthesis.noise().items() if name != "b8.conv1")
    strength.fill_(0.0)
    ws = G.mapping(torch.zeros(1, 16))
    assert torch.equal(
        G.synthesis(ws, noise=pinned_noise(G.synthesis.noise(), noise_units(G), offsets)), G.synthesis(ws)
    )


def test_the_learning_rates_fall_at_the_end(tiny_bundle, photo, start, monkeypatch):
    seen, update = [], torch.optim.Adam.step
    monkeypatch.setattr(
        torch.optim.Adam,
        "step",
        lambda adam, *args: seen.append([g["lr"] for g in adam.param_groups]) or update(adam, *args),
    )
    near_perfect(
        tiny_bundle, photo, near(steps=8, lr_G=1.0e-3, lr_noise=2.0e-3, lr_rampdown=0.25, **RECON_ONLY), start=start
    )
    assert seen[:7] == [[1e-3, 2e-3]] * 7
    assert seen[7] == pytest.approx([0.5e-3, 1e-3])


def test_between_the_games_only_the_photo_is_seen(tiny_bundle, photo, start):
    result = near_perfect(tiny_bundle, photo, near(steps=7, global_interval=3, batch=2), start=start)
    assert [row["step"] for row in result.history if "loss_D" in row] == [0, 3, 6]
    assert all("loss_recon" in row for row in result.history)
    without = near_perfect(tiny_bundle, photo, near(steps=7, global_interval=3, batch=2, p=0.0), start=start)
    assert [row["step"] for row in without.history] == [0, 3, 6]


def test_trainable_copy_leaves_the_original_alone(tiny_bundle):
    clone, parameters = trainable_copy(tiny_bundle.G)
    names = {name for name, p in clone.named_parameters() if p.requires_grad}
    assert len(names) == len(parameters)
    assert names == {
        name
        for name, _ in clone.named_parameters()
        if name.startswith("synthesis.") and not name.endswith("noise_strength")
    }
    parameters[0].data.add_(1)
    assert not any(p.requires_grad for p in tiny_bundle.G.parameters())
    assert not torch.equal(clone.synthesis.b4.const, tiny_bundle.G.synthesis.b4.const)


def test_cosine_is_flat_and_then_falls():
    assert [cosine(t) for t in (0.0, 0.3, 0.5)] == [1.0, 1.0, 1.0]
    assert cosine(0.75) == pytest.approx(0.5)
    assert cosine(1.0) == pytest.approx(0.0)


# -- where the reals come from ----------------------------------------------------------------------------------------------------


def test_reals_of_the_generator(tiny_bundle, photo, start):
    bare = dataclasses.replace(tiny_bundle, reference=None)
    config = near(steps=4, reals="generator")
    a, b = near_perfect(bare, photo, config, start=start), near_perfect(tiny_bundle, photo, config, start=start)
    assert same_weights(a, b)  # the reference images, where there are any, are not looked at
    reference = near_perfect(tiny_bundle, photo, near(steps=4), start=start)
    assert not same_weights(a, reference)


def test_the_reference_images_are_looked_at(tiny_bundle, photo, start):
    other = dataclasses.replace(tiny_bundle, reference=tiny_bundle.reference.flip(0) // 2)
    a, b = (near_perfect(gan, photo, near(steps=2), start=start) for gan in (tiny_bundle, other))
    assert not same_weights(a, b)


@pytest.mark.parametrize("batch", [1, 2, 8])
def test_batches(tiny_bundle, photo, start, batch):
    result = near_perfect(tiny_bundle, photo, near(steps=3, batch=batch), start=start)
    assert len(result.history) == 3
    assert result.image.isfinite().all()


# -- errors ----------------------------------------------------------------------------------------------------------------------


def test_without_discriminator_the_cure_is_named(tiny_bundle, photo):
    with pytest.raises(GanInvError, match=r"needs the discriminator.*method='pti'"):
        near_perfect(dataclasses.replace(tiny_bundle, D=None), photo, near(steps=1))


def test_without_training_images_the_cure_is_named(tiny_bundle, photo):
    with pytest.raises(GanInvError, match=r"tiny0 comes without training images.*reals='generator'"):
        near_perfect(dataclasses.replace(tiny_bundle, reference=None), photo, near(steps=1))


@pytest.mark.parametrize("settings", [dict(p=1.5), dict(p=-0.1), dict(reals="photos")])
def test_impossible_configurations_are_refused(settings):
    with pytest.raises(ValueError, match=r"p is a probability|reals must be"):
        NearPerfect(**settings)


def test_it_begins_with_its_own_projection(tiny_bundle, photo, start):
    result = near_perfect(tiny_bundle, photo, near(steps=1, initial=FAST))
    assert torch.equal(result.ws, start.ws)
    assert torch.equal(result.initial, start.image)
    assert isinstance(result, Inversion)
    assert result.config["initial"]["steps"] == 10


# -- the way of the code --------------------------------------------------------------------------------------------------------


def test_the_travel_is_measured_in_the_spread_of_w(tiny_bundle, photo, start):
    result = near_perfect(tiny_bundle, photo, near(steps=8, lr_latent=0.05, **RECON_ONLY), start=start)
    moved = (result.ws - start.ws)[0].norm(dim=1).square().mean().sqrt().item()
    with torch.no_grad():
        w = tiny_bundle.G.mapping(torch.randn(10_000, 16, generator=torch.Generator().manual_seed(123)))[:, 0]
    spread = (w - w.mean(dim=0)).square().sum(dim=1).mean().sqrt().item()
    assert tiny_bundle.sigma_w == pytest.approx(spread, rel=1e-3)
    assert result.travel == [pytest.approx(moved / spread, rel=1e-3)]
    # Adam's first step: .05 in 16 directions
    assert [row["travel"] for row in result.history][:2] == [
        0,
        pytest.approx(0.05 * 4 / spread, rel=0.1),
    ]
    assert torch.equal(result.initial_ws, start.ws)


def test_a_code_stays_within_its_limit(tiny_bundle, photo, start, tmp_path):
    settings = dict(steps=15, lr_latent=0.05, **RECON_ONLY)
    free = near_perfect(tiny_bundle, photo, near(**settings), start=start)
    limit = free.travel[0] / 3
    held = near_perfect(tiny_bundle, photo, near(max_travel=limit, **settings), start=start)
    assert held.travel[0] == pytest.approx(limit, rel=1e-3)
    assert max(row["travel"] for row in held.history) <= limit * 1.001
    assert held.history[0] == free.history[0]
    still = near_perfect(tiny_bundle, photo, near(max_travel=0.0, **settings), start=start)
    assert torch.equal(still.ws, start.ws)
    assert Inversion.load(held.save(tmp_path), tiny_bundle).travel == held.travel


def test_a_limit_is_a_distance():
    with pytest.raises(ValueError, match="max_travel must be a number, at least 0"):
        near(max_travel=-1.0)


def test_bands_can_weigh_differently(tiny_bundle, photo, start):
    """band_ratio: band j of the pyramid counts ratio^j, in the loss that is recorded and in its gradient."""
    ratio, settings = 1 / 3, dict(steps=1, lambda_adv=0.0, lambda_global=0.0, levels=2, tune_noise=False)
    result = near_perfect(tiny_bundle, photo, near(band_ratio=ratio, **settings), start=start)
    expected = band_errors(start.image, photo, 2)[0] @ torch.tensor([1, ratio, ratio**2])
    assert result.history[0]["loss_recon"] == pytest.approx(expected.item(), rel=1e-4)
    assert not same_weights(result, near_perfect(tiny_bundle, photo, near(band_ratio=1.0, **settings), start=start))
