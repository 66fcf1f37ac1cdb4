"""What all solvers have in common, and what each of them is known to do where the answer is known."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from linear_double import QUICK, LinearGenerator

from ganinv import GanInvError
from ganinv.inverse import (
    CSGM,
    PGDGAN,
    SOLVERS,
    DeepImagePrior,
    Lasso,
    TotalVariation,
    Tuning,
    measure,
    operator,
    projected_gradient,
    recover,
    solver,
)
from ganinv.inverse.lasso import dct, inverse_dct, wavelets
from ganinv.inverse.latents import Latents
from ganinv.run import Resume


def test_every_solver_has_a_quick_configuration():
    assert set(QUICK) == set(SOLVERS)
    assert all(entry.summary and entry.prior for entry in SOLVERS.values())


@pytest.mark.parametrize("name", QUICK)
@pytest.mark.parametrize("problem", ["gaussian:60", "inpaint:half", "superres:4"])
def test_one_interface(name, problem, tiny_bundle, tiny_targets, quick):
    before = torch.random.get_rng_state()
    weights = {key: value.clone() for key, value in tiny_bundle.G.state_dict().items()}
    with torch.no_grad():
        found = recover(tiny_bundle, tiny_targets, problem, name, quick[name])
    assert found.solver == name
    assert found.image.shape == tiny_targets.shape
    assert found.image.isfinite().all()
    assert not found.image.requires_grad
    assert found.misfit.shape == (2,)
    torch.testing.assert_close(found.misfit, found.operator.misfit(found.image, found.y))
    assert {row["photo"] for row in found.history} == {0, 1}
    assert all(math.isfinite(row["misfit"]) for row in found.history)
    assert (found.ws is not None) == (SOLVERS[name].prior == "generator")
    assert found.tuned == (name == "near-perfect")
    assert len(found.scores_each) == 2
    assert found.scores_each[0]["mse"] == found.scores_each[0]["mse_own_noise"]
    assert torch.equal(torch.random.get_rng_state(), before)
    assert all(torch.equal(value, weights[key]) for key, value in tiny_bundle.G.state_dict().items())


@pytest.mark.parametrize("name", QUICK)
def test_images_do_not_know_of_each_other(name, tiny_bundle, tiny_targets, quick):
    both = recover(tiny_bundle, tiny_targets, "gaussian:60", name, quick[name])
    one = recover(tiny_bundle, tiny_targets[1:], "gaussian:60", name, quick[name])
    torch.testing.assert_close(both.image[1:], one.image, rtol=1e-2, atol=2e-3)


@pytest.mark.parametrize("name", QUICK)
def test_an_interrupted_run_goes_on(name, tiny_bundle, tiny_targets, quick, tmp_path):
    """A run that is stopped in each of its stages once ends where one that was not does."""
    op = operator("inpaint:box", 32)
    y = measure(tiny_targets, op)
    function, config = SOLVERS[name].function, quick[name]
    whole = function(tiny_bundle, y, op, config)

    def state():
        return Resume.for_run(tmp_path / "run.pt", tiny_bundle, y, f"{name} {op}", config)

    seen = set()

    def stop(progress):
        if progress.stage not in seen and progress.step == 2:
            seen.add(progress.stage)
            raise_interrupt()

    for _ in range(9):
        try:
            found = function(tiny_bundle, y, op, config, stop, state())
            break
        except KeyboardInterrupt:
            continue
    assert seen
    assert torch.equal(found.image, whole.image)
    assert found.history == whole.history


def raise_interrupt():
    """Ctrl-C during a step: the loop finishes it and saves."""
    import signal

    signal.raise_signal(signal.SIGINT)


def test_the_best_restart_is_returned(tiny_bundle, tiny_targets):
    found = recover(tiny_bundle, tiny_targets, "gaussian:60", "csgm", CSGM(steps=3, restarts=4))
    assert found.candidates.shape == (2, 4, 3, 32, 32)
    for i in range(2):
        assert torch.equal(found.image[i], found.candidates[i, found.losses[i].argmin()])
    assert len({loss.item() for loss in found.losses[0]}) == 4


# -- where the answer is known -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["csgm", "pgd-gan"])
def test_an_image_of_the_range_is_recovered_exactly(name, linear):
    """k = 6 numbers of a linear generator, from m = 60 of n = 192 measurements."""
    z = torch.randn(2, 6, generator=torch.Generator().manual_seed(1)) * 0.8
    x = linear.G.synthesis(linear.G.mapping(z))
    config = (
        CSGM(steps=300, prior=0.0, restarts=1)
        if name == "csgm"
        else PGDGAN(iterations=30, steps=100, prior=0.0, lr=0.05)
    )
    found = recover(linear, x, "gaussian:60", name, config)
    assert (found.image - x).abs().max() < 2e-3
    assert found.misfit.max() < 1e-6
    torch.testing.assert_close(found.ws[:, 0], z, rtol=0, atol=5e-3)


def test_an_image_of_a_stylegan2_range_is_recovered(tiny_bundle):
    """Not exactly, since nothing promises that the search ends at the best code; but with a small part of the average image's error."""
    G = tiny_bundle.G
    with torch.no_grad():
        z = torch.randn(1, 16, generator=torch.Generator().manual_seed(8))
        x = G.synthesis(torch.lerp(G.mapping.w_avg, G.mapping(z), 0.7))
        average = G.synthesis(G.mapping.w_avg.expand(1, G.num_ws, -1))
    op = operator("gaussian:600", 32)
    found = SOLVERS["csgm-w"].function(tiny_bundle, op.A(x), op, CSGM(space="w", steps=100, prior=0.0, restarts=1))
    assert (found.image - x).square().mean() < 0.1 * (average - x).square().mean()


def test_projected_gradients_on_a_linear_generator_fall_at_the_rate_of_the_theorem():
    """With G(z) = U z, the error's code goes through I - step * (AU)^T(AU) in each iteration: it falls by that matrix's norm at most, and in the end
    by no less."""
    G = LinearGenerator().double()
    U = torch.linalg.qr(G.synthesis.basis).Q  # orthonormal in float64 as well
    op = operator("gaussian:60", 8, seed=2)
    x = (U @ torch.linspace(-1, 1, 6, dtype=torch.float64)).reshape(1, 3, 8, 8)
    A = op.A(torch.eye(192).reshape(192, 3, 8, 8)).T.double()

    class Double(type(op)):
        def A(self, x):
            return x.flatten(1) @ A.T

        def A_T(self, y):
            return (y @ A).reshape(-1, 3, 8, 8)

    def project(v):
        return (v.flatten(1) @ U @ U.T).reshape(v.shape)

    double, step = Double(8, 60, 2), 0.5
    rate = torch.linalg.matrix_norm(torch.eye(6) - step * (A @ U).T @ (A @ U), 2).item()
    assert 0.3 < rate < 0.95
    iterates = projected_gradient(torch.zeros_like(x), double.A(x), double, project, step)
    errors = [x.norm().item()] + [(next(iterates) - x).norm().item() for _ in range(60)]
    ratios = np.array(errors[1:]) / np.array(errors[:-1])
    assert (ratios < rate + 1e-9).all()  # monotone, and never slower than the theorem says
    assert ratios[-1] == pytest.approx(rate, rel=1e-3)


def test_pgd_gan_follows_the_closed_form_iterates(linear):
    """The solver itself, its inner projection by Adam included."""
    z = torch.tensor([[0.5, -0.8, 0.3, 0.9, -0.2, 0.4]])
    x = linear.G.synthesis(linear.G.mapping(z))
    op = operator("gaussian:60", 8)
    U = linear.G.synthesis.basis
    M = op.A(U.T.reshape(6, 3, 8, 8)) @ op.A(U.T.reshape(6, 3, 8, 8)).T
    found = recover(linear, x, op, "pgd-gan", PGDGAN(iterations=6, steps=200, prior=0.0, lr=0.05, step=0.5))
    error = z[0]
    expected = []
    for _ in range(6):
        error = error - 0.5 * M @ error
        expected.append((error @ M @ error).item() / op.n)
    assert [row["misfit"] for row in found.history] == pytest.approx(expected, rel=0.1, abs=1e-7)


def test_tuning_goes_below_the_generators_range(tiny_bundle, tiny_targets):
    """From the code of a search, tuning explains the measurements better than the search could, and is drawn by a generator of its own."""
    initial = CSGM(space="w_plus", steps=40, restarts=1, prior=0.0)
    searched = recover(tiny_bundle, tiny_targets[:1], "gaussian:300", "csgm-wplus", initial)
    config = Tuning(steps=150, initial=initial, lr_G=5e-3, lambda_locality=10.0, global_interval=8)
    found = recover(tiny_bundle, tiny_targets[:1], "gaussian:300", "near-perfect", config)
    assert found.misfit[0] < 0.5 * searched.misfit[0]
    assert found.scores_each[0]["mse"] < searched.scores_each[0]["mse"]
    assert found.warnings == [""]
    with torch.no_grad():
        assert torch.equal(found.generator.synthesis(found.ws), found.image)
        assert not torch.equal(tiny_bundle.G.synthesis(found.ws), found.image)


def test_cohesion_holds_the_rest_of_the_manifold(tiny_bundle, tiny_targets):
    ws = tiny_bundle.G.mapping(torch.randn(8, 16, generator=torch.Generator().manual_seed(4)))
    moved = []
    for weight in (0.0, 300.0):
        config = dataclasses.replace(
            QUICK["near-perfect"], steps=60, lambda_locality=weight, lambda_global=0.0, global_interval=1, lr_G=5e-3
        )
        found = recover(tiny_bundle, tiny_targets[:1], "inpaint:half", "near-perfect", config)
        with torch.no_grad():
            moved.append((found.generator.synthesis(ws) - tiny_bundle.G.synthesis(ws)).square().mean().item())
    assert moved[1] < 0.5 * moved[0]


def test_tuning_stops_where_noise_explains_the_rest(tiny_bundle, tiny_targets):
    config = dataclasses.replace(QUICK["near-perfect"], steps=50)
    whole = recover(tiny_bundle, tiny_targets[:1], "gaussian:60", "near-perfect", config, noise=0.05)
    start = whole.history[0]["misfit"]
    op = whole.operator
    known = math.sqrt(0.9 * start * op.n / op.m)  # so much noise that a little tuning is enough
    stopped = recover(
        tiny_bundle,
        tiny_targets[:1],
        "gaussian:60",
        "near-perfect",
        dataclasses.replace(config, noise=known),
        noise=0.05,
    )
    assert len(stopped.history) < len(whole.history) == 50
    assert stopped.history[-1]["misfit"] <= 0.9 * start


def test_an_untrained_network_fits_what_it_sees(tiny_bundle, tiny_targets):
    found = recover(
        tiny_bundle,
        tiny_targets[:1],
        "inpaint:random:0.5",
        "deep-image-prior",
        DeepImagePrior(steps=250, channels=8, levels=2),
    )
    assert found.misfit[0] < 0.1 * (0.5 * tiny_targets[:1].square().mean())
    assert found.scores_each[0]["mse"] < 0.3 * tiny_targets[:1].square().mean()  # also between the pixels that it saw


def test_the_seed_changes_the_start_of_an_untrained_network(tiny_bundle, tiny_targets, quick):
    seeds = [
        recover(
            tiny_bundle,
            tiny_targets[:1],
            "grey",
            "deep-image-prior",
            dataclasses.replace(quick["deep-image-prior"], seed=s),
        )
        for s in (0, 0, 1)
    ]
    assert torch.equal(seeds[0].image, seeds[1].image)
    assert not torch.equal(seeds[0].image, seeds[2].image)


@pytest.mark.parametrize("basis", ["dct", "wavelet"])
@pytest.mark.parametrize("problem", ["gaussian:50", "inpaint:random:0.3"])
def test_lasso_is_scikit_learns(basis, problem, linear):
    """The same minimum, where the matrix is small enough to be made."""
    from sklearn.linear_model import Lasso as Reference

    op = operator(problem, 8, seed=1)
    analyse, synthesise = (dct, inverse_dct) if basis == "dct" else wavelets("db1", 8)
    x = torch.nn.functional.interpolate(
        torch.randn(1, 3, 2, 2, generator=torch.Generator().manual_seed(3)), size=8
    ).clamp(-1, 1)
    y = measure(x, op)
    columns = op.A(synthesise(torch.eye(192).reshape(192, 3, 8, 8))).flatten(1).T  # A Psi^T
    reference = Reference(alpha=0.05 / op.m, fit_intercept=False, max_iter=20_000, tol=1e-7)
    reference.fit(columns.double().numpy(), y.flatten().double().numpy())
    expected = synthesise(torch.from_numpy(reference.coef_).float().reshape(1, 3, 8, 8))
    found = recover(linear, x, op, f"lasso-{basis}", Lasso(basis=basis, wavelet="db1", weight=0.05, steps=1500))

    def objective(image):
        return (0.5 * (y - op.A(image)).square().sum() + 0.05 * analyse(image).abs().sum()).item()

    assert objective(found.image) == pytest.approx(objective(expected), rel=2e-3)
    assert objective(x) > 1.005 * objective(expected)
    if problem.startswith("gaussian"):  # with pixels alone, several images share the minimum
        torch.testing.assert_close(found.image, expected, rtol=0, atol=5e-3)


@pytest.mark.parametrize("transform", [(dct, inverse_dct), wavelets("db1", 32), wavelets("db4", 32)])
def test_transforms_are_orthonormal(transform, tiny_targets):
    analyse, synthesise = transform
    c = analyse(tiny_targets)
    assert c.shape == tiny_targets.shape
    torch.testing.assert_close(synthesise(c), tiny_targets, rtol=0, atol=1e-5)
    torch.testing.assert_close(c.square().sum(), tiny_targets.square().sum(), rtol=1e-4, atol=0)


def test_total_variation_is_scikit_images_where_nothing_is_lost(linear):
    from skimage.restoration import denoise_tv_chambolle

    x = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1
    found = recover(linear, x, "fourier:1", "tv", TotalVariation(weight=0.1, steps=60, inner=200))
    expected = denoise_tv_chambolle(x[0].numpy(), weight=0.1, eps=0.0, max_num_iter=400, channel_axis=0)
    torch.testing.assert_close(found.image[0], torch.from_numpy(expected), rtol=0, atol=5e-3)


def test_a_sparse_image_is_recovered_exactly(linear):
    """Compressed sensing as it was before generators: 5 coefficients of 192 from 60 measurements."""
    c = torch.zeros(1, 192)
    c[0, torch.tensor([0, 3, 17, 70, 130])] = torch.tensor([2.0, -1.5, 1.0, 1.2, -0.8])
    x = inverse_dct(c.reshape(1, 3, 8, 8))
    found = recover(linear, x, "gaussian:60", "lasso-dct", Lasso(weight=1e-3, steps=2000))
    assert (found.image - x).abs().max() < 0.01


# -- the parts -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("space", "shape"), [("z", (6, 16)), ("w", (6, 1, 16)), ("w_plus", (6, 8, 16))])
def test_latents(space, shape, tiny_bundle):
    codes = Latents(tiny_bundle, space, 2, 3, seed=4)
    assert codes.values.shape == shape
    assert torch.equal(codes.values[:3], codes.values[3:])
    assert codes.ws.shape == (6, tiny_bundle.G.num_ws, 16)
    assert codes.prior().shape == (6,)
    if space != "z":
        assert codes.prior()[0] == 0
        assert torch.equal(codes.values[0, 0], tiny_bundle.G.mapping.w_avg)


def test_the_prior_of_random_codes_is_about_their_dimension(tiny_bundle):
    codes = Latents(tiny_bundle, "w", 1, 1, seed=0)
    with torch.no_grad():
        codes.values = tiny_bundle.G.mapping(torch.randn(2000, 16, generator=torch.Generator().manual_seed(1)))[:, :1]
    assert codes.prior().mean().item() == pytest.approx(16, rel=0.1)


def test_the_discriminator_has_a_say_where_it_is_asked(tiny_bundle, tiny_targets):
    plain, real, fake = (
        recover(tiny_bundle, tiny_targets[:1], "gaussian:10", "csgm", CSGM(steps=3, restarts=1, **weights))
        for weights in ({}, {"realism": 5.0}, {"anti_fake": 5.0})
    )
    assert not torch.equal(plain.image, real.image)
    assert not torch.equal(real.image, fake.image)


def test_noise_has_the_deviation_that_is_asked_for(tiny_targets):
    op = operator("fourier:1", 32)
    noise = measure(tiny_targets, op, 0.3, seed=2) - measure(tiny_targets, op)
    assert noise.std().item() == pytest.approx(0.3, rel=0.05)
    assert torch.equal(measure(tiny_targets, op, 0.3, 2), measure(tiny_targets, op, 0.3, 2))
    assert not torch.equal(measure(tiny_targets, op, 0.3, 2), measure(tiny_targets, op, 0.3, 3))


def test_what_does_not_fit_is_refused(tiny_bundle, tiny_targets, make_bundle):
    with pytest.raises(GanInvError, match=r"no solver 'magic': choose from .*csgm"):
        recover(tiny_bundle, tiny_targets, "grey", "magic")
    with pytest.raises(GanInvError, match="'csgm' takes a CSGM as its config, not a Lasso"):
        recover(tiny_bundle, tiny_targets, "grey", "csgm", Lasso())
    op = operator("grey", 32)
    with pytest.raises(GanInvError, match=r"have the shape \[N, 1, 32, 32\], not \[2, 3, 32, 32\]"):
        SOLVERS["csgm"].function(tiny_bundle, tiny_targets, op)
    with pytest.raises(GanInvError, match="NaN"):
        SOLVERS["csgm"].function(tiny_bundle, torch.full((1, 1, 32, 32), math.nan), op)
    with pytest.raises(GanInvError, match="measures images of 64 x 64"):
        SOLVERS["csgm"].function(tiny_bundle, torch.zeros(1, 1, 64, 64), operator("grey", 64))
    gan = make_bundle(0)
    gan.reference = None
    with pytest.raises(GanInvError, match="set reals=generator"):
        recover(gan, tiny_targets, "grey", "near-perfect", QUICK["near-perfect"])
    recover(
        gan, tiny_targets[:1], "grey", "near-perfect", dataclasses.replace(QUICK["near-perfect"], reals="generator")
    )
    gan.D = None
    with pytest.raises(GanInvError, match="set lambda_global=0"):
        recover(gan, tiny_targets, "grey", "near-perfect", QUICK["near-perfect"])
    with pytest.raises(GanInvError, match="realism=0"):
        recover(gan, tiny_targets, "grey", "csgm", CSGM(realism=1.0))


def test_a_solvers_name_is_taken_once():
    with pytest.raises(ValueError, match="there already is a solver 'csgm'"):
        solver("csgm", CSGM(), "again")(lambda: None)
