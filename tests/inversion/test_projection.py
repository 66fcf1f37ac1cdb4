import dataclasses
import math

import pytest
import torch

from ganinv import GanInvError
from ganinv.inversion import NearPerfect, Projection, ReStyle, projection, restyle
from ganinv.inversion.projection import IMAGE2STYLEGAN, Distance, learning_rate, starting_points, w_statistics
from ganinv.perception.features import EFFICIENTNET
from ganinv.perception.perceptual import perceptual
from ganinv.settings import SettingError, encoder_names

FAST = dict(perceptual_weight=0.0, w_avg_samples=100)


@pytest.mark.parametrize(
    ("t", "factor"),
    [
        (0.0, 0.0),
        (0.025, 0.5),  # half way up
        (0.05, 1.0),
        (0.5, 1.0),
        (0.75, 1.0),
        (0.875, 0.5),  # half way down the cosine
        (0.9375, 0.5 - 0.5 * math.cos(math.pi * 0.25)),
        (1.0, 0.0),
    ],
)
def test_learning_rate_schedule(t, factor):
    assert learning_rate(Projection(), t) == pytest.approx(0.1 * factor)
    assert learning_rate(Projection(lr=3.0), t) == pytest.approx(3.0 * factor)


def test_defaults_are_those_of_the_stylegan2_projector():
    c = Projection()
    assert (c.lr, c.initial_noise_factor, c.lr_rampdown, c.lr_rampup, c.noise_ramp) == (0.1, 0.05, 0.25, 0.05, 0.75)
    assert (c.w_avg_samples, c.regularize_noise_weight, c.seed) == (10_000, 1e5, 303)


def test_w_statistics(tiny_bundle):
    w_avg, sigma = w_statistics(tiny_bundle, 5000)
    assert torch.equal(w_avg, w_statistics(tiny_bundle, 5000)[0])
    w = tiny_bundle.G.mapping(torch.randn(5000, 16, generator=torch.Generator().manual_seed(9)))[:, 0]
    torch.testing.assert_close(w_avg, w.mean(dim=0), atol=0.1, rtol=0)
    assert sigma == pytest.approx(w.var(dim=0).sum().sqrt().item(), rel=0.05)  # a scalar: summed over the dimensions


def test_distance_is_the_weighted_sum(tiny_targets):
    image = tiny_targets.flip(3)
    distance, mse = Distance(tiny_targets, Projection(perceptual_weight=2.0, mse_weight=3.0))(image)
    expected = (image - tiny_targets).square().mean(dim=(1, 2, 3))
    torch.testing.assert_close(mse, expected)
    torch.testing.assert_close(
        distance, 3 * expected + 2 * perceptual(image, tiny_targets, EFFICIENTNET), atol=1e-4, rtol=1e-4
    )
    assert (Distance(tiny_targets, Projection())(tiny_targets)[0].abs() < 1e-5).all()


@pytest.fixture(scope="module")
def results(tiny_bundle, tiny_targets):
    spaces = {space: Projection(space=space, steps=30, **FAST) for space in ("z", "w", "w_plus")}
    return {space: projection(tiny_bundle, tiny_targets, config) for space, config in spaces.items()}


def test_w_has_one_vector_for_all_layers(results):
    ws = results["w"].ws
    assert torch.equal(ws, ws[:, :1].expand_as(ws))


def test_w_plus_has_one_a_layer(results):
    assert (results["w_plus"].ws.std(dim=1) > 1e-3).any(dim=1).all()


def test_z_stays_in_the_image_of_the_mapping(results, tiny_bundle):
    ws = results["z"].ws
    assert torch.equal(ws, ws[:, :1].expand_as(ws))
    assert results["z"].noise is None  # the generator's own


@pytest.mark.parametrize("space", ["z", "w", "w_plus"])
def test_the_photo_is_approached(results, space):
    for one in results[space]:
        first, last = one.history[0]["mse"], one.history[-1]["mse"]
        assert last < 0.7 * first
        assert one.scores["mse"] < 0.7 * first


def test_the_larger_space_comes_closer(results):
    assert results["w_plus"].scores["mse"] < results["w"].scores["mse"]


def test_w_starts_from_the_mean(results, tiny_bundle):
    w_avg, _ = w_statistics(tiny_bundle, 100)
    start = tiny_bundle.G.synthesis(w_avg.repeat(2, tiny_bundle.G.num_ws, 1))
    for space in ("w", "w_plus"):
        torch.testing.assert_close(results[space].initial, start, atol=1e-4, rtol=0)


def test_the_first_step_does_not_move_the_code(tiny_bundle, tiny_targets):
    """The learning rate is exactly 0 there, as in the original."""
    result = projection(tiny_bundle, tiny_targets, Projection(space="w", steps=1, **FAST))
    assert torch.equal(result.ws[0, 0], w_statistics(tiny_bundle, 100)[0])


@pytest.mark.parametrize("space", ["w", "w_plus"])
def test_the_jitter_shrinks_and_ends(tiny_bundle, tiny_targets, monkeypatch, space):
    """0.05 sigma_w (1 - t / 0.75)^2 around the code, which a learning rate of 0 keeps in its place."""
    seen, synthesis = [], tiny_bundle.G.synthesis.forward
    monkeypatch.setattr(
        tiny_bundle.G.synthesis, "forward", lambda ws, **rest: seen.append(ws.detach()) or synthesis(ws, **rest)
    )
    projection(tiny_bundle, tiny_targets[:1], Projection(space=space, steps=8, lr=0.0, **FAST))
    w_avg, sigma = w_statistics(tiny_bundle, 100)
    random = torch.Generator().manual_seed(303)
    for maps in tiny_bundle.G.synthesis.noise().values():
        torch.randn(maps.shape[1:], generator=random)
    _, *steps = seen[:9]  # the first is the initial image
    for i, ws in enumerate(steps):
        scale = sigma * 0.05 * max(0, 1 - i / 8 / 0.75) ** 2
        jitter = torch.randn(tiny_bundle.G.num_ws if space == "w_plus" else 1, 16, generator=random)
        torch.testing.assert_close(ws[0], w_avg + scale * jitter.expand(tiny_bundle.G.num_ws, -1), atol=1e-5, rtol=1e-4)
    assert torch.equal(steps[6][0, 0], w_avg)
    assert torch.equal(steps[7][0, 0], w_avg)


def test_noise_maps_are_normalised(results):
    for space in ("w", "w_plus"):
        for maps in results[space].noise.values():
            assert maps.shape[0] == 2
            torch.testing.assert_close(maps.mean(dim=(1, 2, 3)), torch.zeros(2), atol=1e-5, rtol=0)
            torch.testing.assert_close(maps.square().mean(dim=(1, 2, 3)), torch.ones(2), atol=1e-4, rtol=0)


def test_noise_maps_were_optimised(results, tiny_bundle):
    untouched = projection(tiny_bundle, results["w"].target, Projection(space="w", steps=1, **FAST)).noise
    assert any((results["w"].noise[name] - untouched[name]).abs().max() > 1e-2 for name in untouched)


def test_without_noise_the_generators_own_is_used(tiny_bundle, tiny_targets):
    result = projection(tiny_bundle, tiny_targets, Projection(steps=3, optimise_noise=False, **FAST))
    assert result.noise is None
    assert torch.equal(
        result.generators[0].synthesis.b8.conv0.noise_const, tiny_bundle.G.synthesis.b8.conv0.noise_const
    )


def test_the_regulariser_keeps_the_noise_white(tiny_bundle, tiny_targets):
    def correlation(weight):
        maps = projection(
            tiny_bundle, tiny_targets, Projection(steps=25, regularize_noise_weight=weight, **FAST)
        ).noise["b32.conv1"]
        return (maps * maps.roll(1, 3)).mean().abs().item()

    assert correlation(1e5) < 0.5 * correlation(0.0)


@pytest.mark.parametrize("space", ["z", "w", "w_plus"])
def test_restarts_help(tiny_bundle, tiny_targets, space):
    config = Projection(space=space, steps=6, restarts=1, lr=0.05, **FAST)
    one = projection(tiny_bundle, tiny_targets, config)
    many = projection(tiny_bundle, tiny_targets, dataclasses.replace(config, restarts=6))
    assert all(m["mse"] <= o["mse"] + 1e-5 for m, o in zip(many.scores_each, one.scores_each, strict=True))
    assert many.scores["mse"] < one.scores["mse"]
    for row, other in zip(many.history, one.history, strict=True):  # the rows are those of the nearest
        assert row["distance"] <= other["distance"] + 1e-4


def test_one_start_in_w_and_four_in_z(tiny_bundle, tiny_targets):
    for space, restarts in (("z", 4), ("w", 1), ("w_plus", 1)):
        config = Projection(space=space, steps=2, **FAST)
        default, explicit = (
            projection(tiny_bundle, tiny_targets, c) for c in (config, dataclasses.replace(config, restarts=restarts))
        )
        assert torch.equal(default.ws, explicit.ws)
    with pytest.raises(ValueError, match="at least 1, not 0"):
        Projection(restarts=0)


@pytest.mark.parametrize("space", ["w", "w_plus"])
def test_each_restart_is_a_run_of_its_own(tiny_bundle, tiny_targets, space):
    """The first is the run without restarts, and the nearest of all is what comes back, with the noise that belongs to it."""
    config = Projection(space=space, steps=8, lr=0.05, **FAST)
    alone = projection(tiny_bundle, tiny_targets, config)
    best = projection(tiny_bundle, tiny_targets, dataclasses.replace(config, restarts=5))
    better = [not torch.allclose(a.ws, b.ws, atol=1e-3) for a, b in zip(alone, best, strict=True)]
    assert any(better)
    for a, b, other in zip(alone, best, better, strict=True):
        if other:
            assert b.scores["mse"] < a.scores["mse"]
            assert not torch.allclose(a.initial, b.initial)
        else:
            torch.testing.assert_close(a.image, b.image, atol=1e-2, rtol=0)
            assert torch.allclose(a.initial, b.initial, atol=1e-4)
    (last,) = (row for row in best.history if row["step"] == 7 and row["photo"] == 0)
    # its own noise: with another's it would be far away
    assert best.scores_each[0]["mse"] == pytest.approx(last["mse"], rel=0.2)


def teststarting_points_of_w(tiny_bundle):
    w_avg, _ = w_statistics(tiny_bundle, 100)
    starts = starting_points(tiny_bundle, w_avg, 4, seed=3)[:, 0]
    assert torch.equal(starts[0], w_avg)
    z = torch.randn(3, 16, generator=torch.Generator().manual_seed(3))
    torch.testing.assert_close(starts[1:], w_avg + 0.7 * (tiny_bundle.G.mapping(z)[:, 0] - w_avg))


def test_image2stylegan_is_plain_adam_from_the_mean(tiny_bundle, tiny_targets):
    """No ramps, no jitter, no noise maps: the same steps taken by hand."""
    config = dataclasses.replace(IMAGE2STYLEGAN, steps=4, perceptual_weight=0.0, w_avg_samples=100)
    result = projection(tiny_bundle, tiny_targets, config)
    assert result.noise is None
    assert [learning_rate(IMAGE2STYLEGAN, t) for t in (0.0, 0.01, 0.5, 0.99)] == [0.01] * 4
    G = tiny_bundle.G
    w = w_statistics(tiny_bundle, 100)[0].repeat(2, G.num_ws, 1).requires_grad_()
    adam = torch.optim.Adam([w], lr=0.01)
    for _ in range(4):
        loss = 0.25 * (G.synthesis(w) - tiny_targets).square().mean(dim=(1, 2, 3)).sum()
        (w.grad,) = torch.autograd.grad(loss, w)
        adam.step()
    torch.testing.assert_close(result.ws, w.detach(), atol=1e-4, rtol=0)
    assert result.scores["mse"] < (result.initial - tiny_targets).square().mean()


def test_seeds_differ(tiny_bundle, tiny_targets):
    a, b = (projection(tiny_bundle, tiny_targets, Projection(steps=3, seed=seed, **FAST)) for seed in (1, 2))
    assert not torch.equal(a.ws, b.ws)


def test_an_unknown_space_is_refused():
    with pytest.raises(ValueError, match="'z', 'w' or 'w_plus', not 's'"):
        Projection(space="s")


def test_method_names_follow_the_space(results):
    assert {space: result.method for space, result in results.items()} == {
        "z": "projection-z",
        "w": "projection-w",
        "w_plus": "projection-wplus",
    }


@pytest.mark.parametrize("space", ["z", "w"])
def test_an_absurd_learning_rate_is_one_sentence(tiny_bundle, tiny_targets, space):
    with pytest.raises(GanInvError, match=rf"projection into {space} diverged.*lower its learning rate"):
        projection(tiny_bundle, tiny_targets, Projection(space=space, steps=20, lr=1e30, **FAST))


@pytest.mark.parametrize("space", ["w", "w_plus"])
def test_an_encoder_can_give_the_starting_point(tiny_bundle, tiny_targets, space):
    config = Projection(space=space, encoder="restyle-psp", steps=0, optimise_noise=False, restarts=2, **FAST)
    found = restyle(tiny_bundle, tiny_targets, ReStyle("restyle-psp"))
    expected = found.ws if space == "w_plus" else found.ws.mean(dim=1, keepdim=True).expand_as(found.ws)
    alone = projection(tiny_bundle, tiny_targets, dataclasses.replace(config, restarts=1))
    assert torch.equal(alone.ws, expected)
    torch.testing.assert_close(alone.image, alone.initial)
    assert projection(tiny_bundle, tiny_targets, config).scores["mse"] <= alone.scores["mse"]
    assert encoder_names(NearPerfect(initial=config)) == ["restyle-psp"]


def test_no_encoder_finds_a_z():
    with pytest.raises(SettingError, match="search in Z cannot start"):
        Projection(space="z", encoder="restyle-psp")
