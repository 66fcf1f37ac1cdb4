import dataclasses
import itertools
import signal

import pytest
import torch

from ganinv.encoders.base_code import BaseCodeEncoder
from ganinv.encoders.masked import MaskedEncoder
from ganinv.encoders.weights import save_encoder
from ganinv.errors import GanInvError
from ganinv.inversion.ensemble import Ensemble, Objective, _descend, ensemble
from ganinv.perception.perceptual import perceptual
from ganinv.run import Resume

CONFIG = Ensemble(steps=6, perceptual_weight=0.0)


@pytest.fixture(scope="module")
def gan(make_bundle, tmp_path_factory):
    """The tiny bundle with an untrained masked encoder, and an encoder of another kind."""
    gan, folder = make_bundle(0), tmp_path_factory.mktemp("ensemble")
    torch.manual_seed(0)
    G = gan.G
    networks = {"bdinvert": BaseCodeEncoder(8, 16), "ensemble": MaskedEncoder(G.img_resolution, G.num_ws, G.w_dim)}
    files = {
        name: save_encoder(folder / f"{name}.safetensors", network, name, gan.sha256, {})
        for name, network in networks.items()
    }
    return dataclasses.replace(gan, encoders=files)


@pytest.fixture(scope="module")
def result(gan, tiny_targets):
    return ensemble(gan, tiny_targets, CONFIG)


@pytest.fixture(scope="module")
def mask():
    """The left part is known, another one for each photo."""
    mask = torch.zeros(2, 1, 32, 32)
    mask[0, ..., :20] = 1
    mask[1, ..., :12] = 1
    return mask


def test_the_encoder_sees_nothing_under_the_mask(gan, tiny_targets, mask):
    encoder = gan.encoder("ensemble")
    codes = encoder(tiny_targets, mask)
    assert codes.shape == (2, gan.G.num_ws, gan.G.w_dim)
    assert torch.equal(encoder(torch.where(mask == 1, tiny_targets, torch.ones([])), mask), codes)
    # it knows that black is not hidden
    assert not torch.equal(encoder(tiny_targets * mask, torch.ones_like(mask)), codes)


def test_it_starts_from_the_encoders_code(gan, tiny_targets):
    start = ensemble(gan, tiny_targets, dataclasses.replace(CONFIG, steps=0))
    torch.testing.assert_close(
        start.ws, gan.G.mapping.w_avg + gan.encoder("ensemble")(tiny_targets, torch.ones(2, 1, 32, 32))
    )
    torch.testing.assert_close(start.initial, gan.G.synthesis(start.ws))


def test_the_loss_never_rises(result):
    for one in result:
        loss = [row["loss"] for row in one.history]
        assert all(after <= before for before, after in itertools.pairwise(loss))
        assert loss[-1] < 0.9 * loss[0]


def test_the_terms_are_means_over_the_known_part(gan, tiny_targets, mask):
    config = Ensemble(l1_weight=2.0, perceptual_weight=3.0, latent_weight=5.0)
    x, m = tiny_targets[:1], mask[:1]
    objective = Objective(gan, x, m, gan.encoder("ensemble"), config)
    w = gan.G.mapping.w_avg.expand(1, gan.G.num_ws, -1)
    loss, terms = objective(w)
    image = gan.G.synthesis(w)
    assert terms["l1"] == pytest.approx((image - x)[..., :20].abs().mean().item(), rel=1e-5)
    assert terms["mse"] == pytest.approx((image - x)[..., :20].square().mean().item(), rel=1e-5)
    assert terms["distance"] == pytest.approx(perceptual(image * m, x * m).item() * 32 / 20, rel=1e-3)
    encoder = gan.encoder("ensemble")
    assert terms["latent"] == pytest.approx((encoder(x, m) - encoder(image, m)).square().mean().item(), rel=1e-4)
    assert loss.item() == pytest.approx(2 * terms["l1"] + 3 * terms["distance"] + 5 * terms["latent"], rel=1e-5)


def test_what_lies_under_the_mask_changes_nothing(gan, tiny_targets, mask):
    config = Ensemble(steps=2)  # with the perceptual distance
    other = torch.where(mask == 1, tiny_targets, -tiny_targets.flip(0))
    one, two = (ensemble(gan, images, config, mask=mask) for images in (tiny_targets, other))
    assert torch.equal(one.ws, two.ws)
    assert one.history == two.history
    assert not torch.equal(one.ws, ensemble(gan, tiny_targets, config).ws)


def test_one_mask_serves_all_photos(gan, tiny_targets, mask):
    shared, repeated = (ensemble(gan, tiny_targets, CONFIG, mask=m) for m in (mask[:1], mask[:1].repeat(2, 1, 1, 1)))
    assert torch.equal(shared.ws, repeated.ws)


def test_a_batch_gives_what_single_photos_give(gan, tiny_targets, result):
    for i, one in enumerate(result):
        alone = ensemble(gan, tiny_targets[i : i + 1], CONFIG)
        assert torch.equal(alone.ws, one.ws)
        assert alone.history == one.history


@pytest.mark.parametrize("moment", [("ensemble 1", 3), ("ensemble 2", 4)])
def test_an_interrupted_run_goes_on_exactly(gan, tiny_targets, result, tmp_path, moment):
    def press_ctrl_c(progress):
        if (progress.stage, progress.step) == moment:
            signal.raise_signal(signal.SIGINT)

    def run(callback):
        return ensemble(
            gan,
            tiny_targets,
            CONFIG,
            callback,
            Resume.for_run(tmp_path / "run.pt", gan, tiny_targets, "ensemble", CONFIG),
        )

    seen = []
    with pytest.raises(KeyboardInterrupt):
        run(press_ctrl_c)
    again = run(seen.append)
    assert (seen[0].stage, seen[0].step) == (moment[0], moment[1] + 1)
    assert again.history == result.history
    assert torch.equal(again.ws, result.ws)


def test_a_run_with_another_mask_starts_afresh(gan, tiny_targets, mask, tmp_path):
    def run(mask):
        return ensemble(
            gan,
            tiny_targets,
            CONFIG,
            None,
            Resume.for_run(tmp_path / "run.pt", gan, tiny_targets, "ensemble", CONFIG),
            mask=mask,
        )

    run(mask)
    assert torch.equal(run(1 - mask).ws, ensemble(gan, tiny_targets, CONFIG, mask=1 - mask).ws)


def test_it_is_pytorchs_lbfgs_step_for_step(gan, tiny_targets, result):
    """One step a turn of the loop, with the state kept, is the optimiser's own run of as many steps."""
    objective = Objective(gan, tiny_targets[:1], torch.ones(1, 1, 32, 32), gan.encoder("ensemble"), CONFIG)
    w = objective.start.clone().requires_grad_()
    lbfgs = torch.optim.LBFGS(
        [w], max_iter=CONFIG.steps, max_eval=1000, history_size=CONFIG.memory, line_search_fn="strong_wolfe"
    )

    def closure():
        loss, _ = objective(w)
        (w.grad,) = torch.autograd.grad(loss, w)
        return loss

    lbfgs.step(closure)
    torch.testing.assert_close(w.detach(), result[0].ws, rtol=1e-3, atol=1e-4)


def test_it_stops_where_no_step_helps(gan, tiny_targets):
    seen = []
    flat = dataclasses.replace(CONFIG, steps=50, l1_weight=0.0, latent_weight=0.0)
    ensemble(gan, tiny_targets[:1], flat, seen.append)
    assert len(seen) == 1


@pytest.mark.parametrize(
    ("mask", "sentence"),
    [
        (torch.ones(2, 3, 32, 32), "a mask has to be"),
        (torch.full((2, 1, 32, 32), 0.5), "of zeros and ones"),
        (torch.zeros(2, 1, 32, 32), "hides its whole photo"),
    ],
)
def test_masks_that_do_not_fit_are_refused(gan, tiny_targets, mask, sentence):
    with pytest.raises(GanInvError, match=sentence):
        ensemble(gan, tiny_targets, CONFIG, mask=mask)


def test_another_kind_of_encoder_is_refused(gan, tiny_targets):
    with pytest.raises(GanInvError, match="train one with `ganinv train encoder ensemble`"):
        ensemble(gan, tiny_targets, dataclasses.replace(CONFIG, encoder="bdinvert"))


class Valley:
    """Rosenbrock's function, a bent valley in which many a full step goes up: minimum 0 at (1, 1)."""

    start = torch.tensor([-1.2, 1.0])

    def __call__(self, w):
        loss = (1 - w[0]).square() + 100 * (w[1] - w[0].square()).square()
        return loss, {"loss": loss.item()}


def test_a_step_that_went_up_is_shortened_instead_of_ending_the_search():
    w, history = _descend(Valley(), Ensemble(steps=60), "valley", None, None)
    assert len(history) > 20
    torch.testing.assert_close(w, torch.ones(2), atol=1e-3, rtol=0)
