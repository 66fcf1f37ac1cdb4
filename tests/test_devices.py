"""Where things are computed: the choice of a device, the bundle's move there, and the far device that finds mistakes."""

import copy
import dataclasses

import pytest
import torch
from far import FAR, Far, MisplacedError, far, here
from torch import nn

import ganinv
from ganinv import GanInvError, devices
from ganinv.devices import choose, describe, once_per_device, rand, randint, randn
from ganinv.losses.adversarial import path_length_penalty, r1_penalty
from ganinv.losses.global_cohesion import GeneratorReals, RealImages
from ganinv.losses.laplacian_pyramid import laplacian_pyramid_loss
from ganinv.perception.features import EFFICIENTNET
from ganinv.perception.frechet import feature_statistics, frechet_distance, generator_statistics, sample_images
from ganinv.perception.perceptual import load_perceptual, perceptual
from ganinv.perception.scores import batch_scores
from ganinv.perception.similarity import look, perceptual_distance, similarity_loss
from ganinv.perception.spectra import octave_shares, radial_spectrum
from ganinv.report import ManifoldCheck
from ganinv.stylegan2.generator import Generator
from ganinv.widgets import latent_explorer, layer_mixer


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


# -- the far device finds what it is there for -----------------------------------------------------------------------------


def test_it_computes_as_the_cpu_does():
    x, net = torch.randn(4, 3), nn.Linear(3, 2)
    net(x).square().sum().backward()
    with far():
        there, moved = x.to(FAR), copy.deepcopy(net).to(FAR)
        moved.zero_grad()
        y = moved(there)
        y.square().sum().backward()
        assert y.device == moved.weight.grad.device == FAR
        assert isinstance(y, Far)
        assert torch.equal(moved.weight.grad.cpu(), net.weight.grad)
        assert y.tolist() == net(x).tolist()
        there[:, 0] = torch.zeros(4, device="cpu", dtype=torch.float32)  # a copy may cross
        assert here(there.cpu())
        assert not here(there)


@pytest.mark.parametrize(
    "mistake",
    [
        lambda x: x + torch.zeros(4, 3),
        lambda x: x[torch.arange(4)],
        lambda x: torch.stack([x.sum(), torch.zeros([])]),
        lambda x: torch.randn_like(x),
        lambda x: torch.randn(3, device=x.device),
        lambda x: nn.functional.dropout(x),
        lambda x: x.numpy(),
        lambda x: torch.save(x, "/dev/null"),
        lambda x: nn.Linear(3, 2)(x),
    ],
)
def test_what_would_fail_on_a_gpu_fails(mistake):
    with far():
        x = torch.zeros(4, 3, device=FAR)
        with pytest.raises(MisplacedError):
            mistake(x)


class MakesItsWeights(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(3))


@pytest.mark.parametrize(
    "careless",
    [lambda: torch.zeros(3), lambda: torch.ones(3, device="cpu"), lambda: torch.tensor([1.0], dtype=torch.float32)],
)
def test_who_names_neither_device_nor_dtype_is_named(careless):
    with far(__file__):
        with pytest.raises(MisplacedError, match=r"test_devices.py:\d+ names no device"):
            careless()
        torch.zeros(3, device="cpu", dtype=torch.float32)
        MakesItsWeights()
    with far():
        careless()  # only the package is looked at


def test_a_method_that_forgets_the_device_is_found(make_bundle, tiny_targets):
    with far():
        gan = make_bundle(0).to(FAR)
        with pytest.raises(MisplacedError, match="on the CPU and elsewhere"):
            gan.G.mapping(torch.zeros(1, 16))


# -- the choice ------------------------------------------------------------------------------------------------------------


def test_auto_takes_the_first_there_is(monkeypatch):
    assert str(choose("auto")) == next(
        str(choose(name)) for name in ("cuda", "mps", "cpu") if devices._usable(name) is not None
    )
    asked = []
    monkeypatch.setattr(
        devices, "_usable", lambda name: asked.append(name) or (torch.device("cpu") if name == "cpu" else None)
    )
    assert choose("auto") == torch.device("cpu")
    assert asked == ["cuda", "mps", "cpu"]
    monkeypatch.setattr(devices, "_usable", lambda name: torch.device(name, 0))
    assert choose("auto") == torch.device("cuda:0")


@pytest.mark.parametrize("name", ["nowhere", "lazy", "meta", "cuda:77"])
def test_a_device_that_is_not_there_is_one_sentence(name, tiny_bundle):
    with pytest.raises(GanInvError, match=f"no device '{name}' to compute on here: use cpu, or auto"):
        tiny_bundle.to(name)
    with pytest.raises(GanInvError, match="no device"):
        ganinv.load("nobody.pkl", device=name)  # said before the file is looked for


def test_what_is_said_of_a_device(monkeypatch):
    assert describe(torch.device("cpu")) == "cpu"
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Some GPU")
    assert describe(torch.device("cuda:0")) == "cuda:0 (Some GPU)"


def test_one_is_kept_for_each_device():
    made = []

    @once_per_device
    def load(name="a", device="cpu"):
        made.append((name, device))
        return object()

    assert load() is load("a") is load("a", "cpu") is load(device=torch.device("cpu"))
    with far():
        assert load("a", "lazy") is load(device=FAR)
        assert load("a", FAR) is not load()
    assert made == [("a", torch.device("cpu")), ("a", FAR)]
    load.cache_clear()
    load()
    assert len(made) == 3


# -- random numbers ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "draw", [lambda g, **k: randn([5, 2], g, **k), lambda g: rand([5], g), lambda g: randint(9, [5], g)]
)
def test_a_seed_means_the_same_whatever_the_defaults_are(draw, double):
    expected = draw(seeded())
    with double():
        assert torch.equal(draw(seeded()), expected)


def test_a_bundle_draws_on_the_cpu_and_moves(tiny_bundle):
    expected = tiny_bundle.randn((3, 16), seeded())
    assert torch.equal(expected, torch.randn(3, 16, generator=seeded()))
    with far():
        drawn = tiny_bundle.to(FAR).randn([3, 16], seeded())
        assert drawn.device == FAR
        assert torch.equal(drawn.cpu(), expected)


def test_random_noise_is_the_same_everywhere(make_bundle):
    gan = make_bundle(0)
    ws = gan.G.mapping(randn([2, 16], seeded()))

    def images(G, ws):
        torch.manual_seed(3)
        return G.synthesis(ws, noise_mode="random")

    expected = images(gan.G, ws)
    with far():
        there = gan.to(FAR)
        assert torch.equal(images(there.G, there.place(ws)).cpu(), expected)


# -- the bundle ------------------------------------------------------------------------------------------------------------


def test_a_bundle_moves_and_the_old_one_stays(make_bundle):
    gan = make_bundle(0)
    assert gan.device == torch.device("cpu")
    assert gan.to("cpu") is gan.to() is gan
    with far():
        moved = gan.to(FAR)
        assert moved.device == FAR
        assert {tensor.device for net in (moved.G, moved.D) for tensor in net.state_dict().values()} == {FAR}
        assert here(gan.G.state_dict(), gan.D.state_dict(), moved.reference, moved.heldout, moved.w_cov)
        assert moved.sha256 == gan.sha256
        assert torch.equal(moved.w_cov, gan.w_cov)
        back = moved.to("cpu")
        assert here(back.G.state_dict())
        assert back.sha256 == gan.sha256
        assert moved.to(FAR) is moved


def test_what_is_placed_is_float32(tiny_bundle):
    place = tiny_bundle.place
    assert place(torch.zeros(2, dtype=torch.float64)).dtype == torch.float32
    assert place(torch.zeros(2, dtype=torch.bool)).dtype == torch.bool
    assert place(nn.Linear(2, 2).double()).weight.dtype == torch.float32
    x = torch.zeros(2)
    assert place(x) is x


def test_a_bundle_is_loaded_onto_a_device():
    with far():
        gan = ganinv.load(device="lazy")
        assert gan.device == FAR
        assert gan.encoder("psp").card["method"] == "psp"
        assert {p.device for p in gan.encoder("psp").parameters()} == {FAR}


# -- losses, metrics, figures ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pairs(tiny_bundle):
    x = torch.rand(3, 3, 32, 32, generator=seeded(1)) * 2 - 1
    return x, (x + 0.1 * torch.randn(x.shape, generator=seeded(2))).clamp(-1, 1)


MEASURES = {
    "scores": batch_scores,
    "perceptual": lambda x, y: perceptual(x, y, EFFICIENTNET).tolist(),
    "features given before": lambda x, y: (net := load_perceptual(EFFICIENTNET, x.device))(x, net.features(y)).tolist(),
    "similarity": lambda x, y: (similarity_loss(look(x), look(y)) + perceptual_distance(look(x), look(y))).tolist(),
    "pyramid": lambda x, y: laplacian_pyramid_loss(x, y, weights=[1.0, 2.0, 3.0, 4.0], reduction="none").tolist(),
    "spectrum": lambda x, y: [values.tolist() for values in radial_spectrum(x - y)],
    "octaves": lambda x, y: octave_shares(x - y).tolist(),
    "fréchet": lambda x, y: frechet_distance(feature_statistics(x), feature_statistics(y)),
}


@pytest.mark.parametrize("name", MEASURES)
def test_every_metric_measures_where_the_images_are(pairs, name):
    expected = MEASURES[name](*pairs)
    with far():
        assert MEASURES[name](*(x.to(FAR) for x in pairs)) == expected


GENERATED = {
    "samples": lambda gan: [images.tolist() for images in sample_images(gan.G, 3, seed=1)],
    "statistics": lambda gan: generator_statistics(gan.G, 4, noise_mode="const").mean.tolist(),
    "manifold": lambda gan: ManifoldCheck(gan, 4).distance(gan.G),
    "substitutes": lambda gan: GeneratorReals(gan.G, 3).batch(2).tolist(),
    "reals": lambda gan: RealImages(gan.reference, 3, device=gan.device).batch(2).tolist(),
    "r1": lambda gan: r1_penalty(gan.D, gan.place(torch.zeros(2, 3, 32, 32, device="cpu", dtype=torch.float32))).item(),
}


@pytest.mark.parametrize("name", GENERATED)
def test_what_a_generator_draws_is_the_same_everywhere(tiny_bundle, name):
    expected = GENERATED[name](tiny_bundle)
    with far():
        assert GENERATED[name](tiny_bundle.to(FAR)) == expected


def test_path_lengths(tiny_bundle):
    def penalty(gan):
        ws = gan.G.mapping(gan.randn([2, 16], seeded())).requires_grad_()
        torch.manual_seed(5)
        value, length = path_length_penalty(gan.G.synthesis(ws), ws, ws.new_zeros([]))
        return value.item(), length.item()

    expected = penalty(tiny_bundle)
    with far():
        assert penalty(tiny_bundle.to(FAR)) == expected


def test_statistics_are_kept_by_device_and_precision(tiny_bundle, monkeypatch):
    drawn = []
    monkeypatch.setattr("ganinv.perception.frechet._counted", lambda batches, n, progress: drawn.append(n) or batches)

    def measure(gan):
        return generator_statistics(gan.G, 3, seed=12345, cache=True)

    measure(tiny_bundle)
    measure(tiny_bundle)
    measure(tiny_bundle.to(precision="bf16"))
    with far():
        measure(tiny_bundle.to(FAR))
        measure(tiny_bundle.to(FAR))
    assert drawn == [3] * 3


def test_widgets_draw_pictures_for_the_screen(tiny_bundle):
    def ready(gan):
        explorer = latent_explorer(gan, 2)
        explorer.static_figure()
        explorer.controls["noise_mode"].value = "random"
        return explorer.image, layer_mixer(gan, *(randn([1, 16], seeded(k)) for k in range(2))).image

    expected = ready(tiny_bundle)
    with far():
        found = ready(tiny_bundle.to(FAR))
    assert here(found)
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


# -- precision -----------------------------------------------------------------------------------------------------------------


def test_an_unknown_precision_is_refused(tiny_bundle):
    with pytest.raises(GanInvError, match="no precision 'fp8': choose from fp32, bf16, fp16"):
        tiny_bundle.to(precision="fp8")


@pytest.fixture(scope="module")
def wide():
    """A bundle of 64 pixels with as many channels as a GPU is for."""
    torch.manual_seed(0)
    G = Generator(z_dim=32, w_dim=32, img_resolution=64, num_layers=2, channel_base=4096, channel_max=128)
    return dataclasses.replace(ganinv.Bundle("wide", G))


@pytest.mark.parametrize(("precision", "error"), [("bf16", 0.03), ("fp16", 0.005)])
def test_half_precision_draws_nearly_what_float32_draws(wide, precision, error):
    half = wide.to(precision=precision)
    assert (wide.precision, half.precision) == ("fp32", precision)
    ws = wide.G.mapping(randn([2, 32], seeded()))
    with torch.no_grad():
        full, drawn = wide.G.synthesis(ws), half.G.synthesis(ws)
    assert drawn.dtype == torch.float32
    difference = (drawn - full).square().mean().sqrt() / full.std()
    assert 0 < difference < error
    assert (half.to(precision="fp32").G.synthesis(ws) - full).abs().max() == 0


def test_the_four_highest_resolutions_are_halved(wide):
    half = wide.to(precision="bf16").G.synthesis
    assert [half.dtype(r) for r in (4, 8, 16, 32, 64)] == [None, *[torch.bfloat16] * 4]
    assert {wide.G.synthesis.dtype(r) for r in (4, 8, 16, 32, 64)} == {None}
    seen = []
    for res in (4, 8, 64):
        getattr(half, f"b{res}").conv1.register_forward_hook(lambda module, inputs, output: seen.append(output.dtype))
    half(torch.zeros(1, half.num_ws, 32))
    assert seen == [torch.float32, torch.bfloat16, torch.bfloat16]
    assert {p.dtype for p in half.parameters()} == {torch.float32}


def test_large_weights_and_styles_stay_in_float16s_range(wide):
    half = copy.deepcopy(wide.to(precision="fp16").G)
    with torch.no_grad():
        for name, parameter in half.synthesis.named_parameters():
            if name.endswith(("conv0.weight", "conv1.weight")):
                parameter.mul_(3000)  # which demodulation takes away again
        ws = half.mapping(randn([2, 32], seeded()))
        assert half.synthesis(ws).isfinite().all()


def test_controls_fit_a_half_precise_synthesis(tiny_bundle):
    G, half = tiny_bundle.G, tiny_bundle.to(precision="bf16").G
    ws = G.mapping(randn([1, 16], seeded()))
    maps = {res: randn([1, len(G.synthesis.layer(f"b{res}.conv0").weight), res, res], seeded()) for res in (8, 16)}
    told = dict(base={"b8.conv0": maps[8]}, fusion={"b16.conv0": (0.1 * maps[16], 0.1 * maps[16])})
    seen = []
    half.synthesis.b32.conv1.register_forward_hook(lambda module, inputs, output: seen.append(output.dtype))
    torch.testing.assert_close(half.synthesis(ws, **told), G.synthesis(ws, **told), atol=0.1, rtol=0.05)
    assert seen == [torch.bfloat16]
