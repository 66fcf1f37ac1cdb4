import dataclasses
import signal

import pytest
import torch
import torch.nn.functional as F

from ganinv.encoders.base_code import BaseCodeEncoder, base_size
from ganinv.encoders.masked import MaskedEncoder
from ganinv.encoders.weights import save_encoder
from ganinv.errors import GanInvError
from ganinv.inversion.bdinvert import BDInvert, PNormSpace, bdinvert, to_p
from ganinv.run import Resume

CONFIG = BDInvert(steps=6, samples=2000, perceptual_weight=0.0)


@pytest.fixture(scope="module")
def gan(make_bundle, tmp_path_factory):
    """The tiny bundle with an untrained base code encoder, and an encoder of another kind."""
    gan, folder = make_bundle(0), tmp_path_factory.mktemp("bdinvert")
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
    return bdinvert(gan, tiny_targets, CONFIG)


@pytest.mark.parametrize(("resolution", "size"), [(8, 8), (32, 8), (64, 8), (128, 16), (1024, 16)])
def test_the_base_has_the_papers_size_where_the_image_is_large_enough(resolution, size):
    assert base_size(resolution) == size


def test_the_encoder_halves_an_image_of_eight_times_the_base_three_times():
    encoder = BaseCodeEncoder(8, 5).eval()
    assert encoder.layer == "b8.conv0"
    assert encoder(torch.zeros(2, 3, 64, 64)).shape == (2, 5, 8, 8)
    assert encoder(torch.zeros(1, 3, 256, 256)).shape == (1, 5, 8, 8)


def test_p_undoes_the_last_activation():
    x = torch.randn(3, 7)
    assert torch.allclose(to_p(F.leaky_relu(x, 0.2)), x, atol=1e-6)


def test_codes_have_mean_0_and_covariance_1_in_p_norm_space(gan):
    space = PNormSpace.of(gan, 4000)
    z = torch.randn(4000, gan.G.z_dim, generator=torch.Generator().manual_seed(123))
    n = space(gan.G.mapping(z))[:, 0]
    assert torch.allclose(n.mean(dim=0), torch.zeros(gan.G.w_dim), atol=1e-2)
    assert torch.allclose(torch.cov(n.t()), torch.eye(gan.G.w_dim), atol=2e-2)


def test_it_starts_from_the_encoders_base_and_the_mean_code(gan, tiny_targets):
    start = bdinvert(gan, tiny_targets, dataclasses.replace(CONFIG, steps=0))
    f0 = gan.encoder("bdinvert")(tiny_targets)
    assert torch.equal(start.base["b8.conv0"], f0)
    assert torch.equal(start.ws, gan.G.mapping.w_avg.expand_as(start.ws))
    assert torch.equal(start.initial, gan.G.synthesis(start.ws, base={"b8.conv0": f0}))


def test_the_error_falls_and_both_codes_move(gan, tiny_targets, result):
    for one in result:
        assert one.history[-1]["mse"] < one.history[0]["mse"]
    assert (result.image - tiny_targets).square().mean() < (result.initial - tiny_targets).square().mean()
    assert not torch.equal(result.base["b8.conv0"], gan.encoder("bdinvert")(tiny_targets))


def test_the_history_holds_the_papers_terms(gan, tiny_targets):
    one = bdinvert(gan, tiny_targets[:1], dataclasses.replace(CONFIG, steps=3, perceptual_weight=1.25))
    row = one.history[0]
    assert row["base"] == 0
    assert row["mse"] == pytest.approx((one.initial - tiny_targets[:1]).square().mean().item(), rel=1e-5)
    assert row["norm"] == pytest.approx(
        PNormSpace.of(gan, CONFIG.samples)(gan.G.mapping.w_avg).square().mean().item(), rel=1e-4
    )
    assert one.history[2]["base"] > 0
    assert row["distance"] > 0


def test_a_large_base_weight_holds_the_base(gan, tiny_targets, result):
    held = bdinvert(gan, tiny_targets, dataclasses.replace(CONFIG, base_weight=1e4))
    assert held.history[-1]["base"] < 0.5 * result.history[-1]["base"]


def test_codes_of_layers_before_the_base_change_nothing(gan, result):
    ws = result.ws.clone()
    ws[:, :2] += torch.randn(2, 2, gan.G.w_dim)
    assert torch.equal(result.render(ws), result.image)
    ws[:, 2] += 1
    assert not torch.equal(result.render(ws), result.image)


def test_a_batch_gives_what_single_photos_give(gan, tiny_targets, result):
    for i, one in enumerate(result):
        alone = bdinvert(gan, tiny_targets[i : i + 1], CONFIG)
        assert torch.allclose(alone.ws, one.ws, atol=1e-4)
        assert torch.allclose(alone.image, one.image, atol=1e-3)


def test_an_interrupted_run_goes_on_exactly(gan, tiny_targets, result, tmp_path):
    def press_ctrl_c(progress):
        if progress.step == 3:
            signal.raise_signal(signal.SIGINT)

    def run(callback):
        return bdinvert(
            gan,
            tiny_targets,
            CONFIG,
            callback,
            Resume.for_run(tmp_path / "run.pt", gan, tiny_targets, "bdinvert", CONFIG),
        )

    seen = []
    with pytest.raises(KeyboardInterrupt):
        run(press_ctrl_c)
    again = run(seen.append)
    assert [progress.step for progress in seen] == [4, 5, 6]
    assert again.history == result.history
    assert torch.equal(again.image, result.image)


def test_another_kind_of_encoder_is_refused(gan, tiny_targets):
    with pytest.raises(
        GanInvError,
        match="encoder ensemble is not of the kind that bdinvert takes: train one with `ganinv train encoder bdinvert`",
    ):
        bdinvert(gan, tiny_targets, dataclasses.replace(CONFIG, encoder="ensemble"))
