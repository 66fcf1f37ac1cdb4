import pytest
import torch
import torch.nn.functional as F

from ganinv.losses.adversarial import path_length_penalty
from ganinv.stylegan2 import Generator, truncate
from ganinv.stylegan2.generator import SynthesisLayer, ToRGBLayer


def make(seed=0, noise_strength=0.3, **config):
    torch.manual_seed(seed)
    G = Generator(
        **(dict(z_dim=6, w_dim=5, img_resolution=16, num_layers=2, channel_base=64, channel_max=8) | config)
    ).requires_grad_(False)
    for name, p in G.named_parameters():
        if name.endswith("noise_strength"):
            p.fill_(noise_strength)
        elif name.endswith("bias") and "synthesis" in name:
            p.add_(torch.randn_like(p), alpha=0.2)
    G.mapping.w_avg.normal_()
    return G


@pytest.fixture(scope="module", name="G")
def generator():
    return make()


@pytest.fixture(scope="module")
def ws(G):
    return G.mapping(torch.randn(3, 6, generator=torch.Generator().manual_seed(1)))


def differ(a, b):
    return (a - b).abs().max() > 1e-3


# -- shapes and sizes ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("resolution", [8, 16, 32, 64, 128, 256])
def test_every_resolution_draws(resolution):
    G = Generator(z_dim=4, w_dim=4, img_resolution=resolution, num_layers=1, channel_base=2 * resolution, channel_max=8)
    with torch.no_grad():
        image = G(torch.randn(1, 4))
    assert image.shape == (1, 3, resolution, resolution)
    assert image.isfinite().all()
    assert image.std() > 0


@pytest.mark.parametrize("resolution", [512, 1024])
def test_the_largest_resolutions_fit_together(resolution):
    with torch.device("meta"):  # shapes without the work
        G = Generator(img_resolution=resolution)
        assert G(torch.empty(2, 512)).shape == (2, 3, resolution, resolution)
    assert G.num_ws == {512: 16, 1024: 18}[resolution]


def test_the_largest_generator_can_be_built_small():
    G = Generator(z_dim=4, w_dim=4, img_resolution=1024, num_layers=1, channel_base=2048, channel_max=4)
    assert G.num_ws == 18
    assert G.synthesis.noise()["b1024.conv1"].shape == (1, 1, 1024, 1024)


@pytest.mark.parametrize("resolution", [0, 4, 48, 100, 2048, -16])
def test_impossible_resolutions_are_refused(resolution):
    with pytest.raises(ValueError, match="power of two from 8 to 1024"):
        Generator(img_resolution=resolution)


@pytest.mark.parametrize(("z_dim", "w_dim", "layers"), [(3, 7, 1), (7, 3, 8)])
def test_any_dimensions(z_dim, w_dim, layers):
    G = make(z_dim=z_dim, w_dim=w_dim, num_layers=layers)
    ws = G.mapping(torch.randn(2, z_dim))
    assert ws.shape == (2, G.num_ws, w_dim)
    assert torch.equal(ws, ws[:, :1].expand_as(ws))  # one w for all layers
    assert G.synthesis(ws).shape == (2, 3, 16, 16)
    assert len([name for name, _ in G.mapping.named_parameters()]) == 2 * layers


def test_config_rebuilds_the_network(G):
    twin = Generator(**G.config)
    twin.load_state_dict(G.state_dict())
    z = torch.randn(2, 6)
    assert torch.equal(twin(z, noise_mode="const"), G(z, noise_mode="const"))


@pytest.mark.parametrize("shape", [(2, 5), (2, 5, 5), (2, 6, 4), (6, 5)])
def test_ws_of_the_wrong_shape_is_refused(G, shape):
    with pytest.raises(ValueError, match=r"ws must have shape \[N, 6, 5\]"):
        G.synthesis(torch.zeros(shape))


# -- mapping and truncation ------------------------------------------------------------------------------------------------------


def test_mapping_ignores_the_length_of_z(G):
    z = torch.randn(2, 6)
    torch.testing.assert_close(G.mapping(z), G.mapping(7 * z), atol=1e-5, rtol=1e-5)


def test_truncation(G, ws):
    assert truncate(ws, G.mapping.w_avg, 1.0) is ws
    assert torch.equal(truncate(ws, G.mapping.w_avg, 0.0), G.mapping.w_avg.expand_as(ws))
    torch.testing.assert_close(truncate(ws, G.mapping.w_avg, 0.7), G.mapping.w_avg + 0.7 * (ws - G.mapping.w_avg))


@pytest.mark.parametrize("cutoff", [0, 2, 6])
def test_truncation_cutoff_leaves_the_fine_layers(G, ws, cutoff):
    out = truncate(ws, G.mapping.w_avg, 0.5, cutoff)
    assert torch.equal(out[:, cutoff:], ws[:, cutoff:])
    torch.testing.assert_close(out[:, :cutoff], ws[:, :cutoff].lerp(G.mapping.w_avg, 0.5))


def test_forward_passes_truncation_on(G):
    z = torch.randn(2, 6)
    expected = G.synthesis(G.mapping(z, truncation_psi=0.5, truncation_cutoff=3))
    assert torch.equal(G(z, truncation_psi=0.5, truncation_cutoff=3, noise_mode="const"), expected)


# -- layers, against the paper's form ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("conv_clamp", [None, 0.8])
@pytest.mark.parametrize("up", [1, 2])
def test_a_layer_is_style_convolution_noise_bias_activation_clamp(up, conv_clamp):
    torch.manual_seed(2)
    layer = SynthesisLayer(4, 6, w_dim=5, resolution=8, up=up, conv_clamp=conv_clamp).double().requires_grad_(False)
    layer.noise_strength.fill_(0.4)
    layer.bias.normal_()
    x, w = torch.randn(2, 4, 8 // up, 8 // up).double(), torch.randn(2, 5).double()
    styles = layer.affine(w)
    torch.testing.assert_close(styles, w @ layer.affine.weight.t() / 5**0.5 + layer.affine.bias)
    out = []
    for one, style in zip(x, styles, strict=True):
        kernel = layer.weight * style[:, None, None]
        kernel = kernel / (kernel.square().sum(dim=(1, 2, 3), keepdim=True) + 1e-8).sqrt()
        if up == 1:
            y = F.conv2d(one[None], kernel, padding=1)
        else:
            y = F.conv_transpose2d(one[None], kernel.transpose(0, 1), stride=2)
            y = F.conv2d(F.pad(y, [1] * 4), 4 * layer.resample_filter.expand(6, 1, 4, 4), groups=6)
        out.append(y)
    y = torch.cat(out) + 0.4 * layer.noise_const
    y = F.leaky_relu(y + layer.bias[:, None, None], 0.2) * 2**0.5
    if conv_clamp:
        assert y.abs().max() > conv_clamp  # or the clamp would not show
        y = y.clamp(-conv_clamp, conv_clamp)
    torch.testing.assert_close(layer(x, styles), y)


def test_to_rgb_is_not_demodulated_and_clamped():
    torch.manual_seed(3)
    layer = ToRGBLayer(4, 5, conv_clamp=0.5).double().requires_grad_(False)
    layer.bias.normal_()
    x, styles = torch.randn(2, 4, 3, 3).double(), torch.randn(2, 4).double()
    y = torch.einsum("oi,ni,nihw->nohw", layer.weight[:, :, 0, 0] / 2, styles, x) + layer.bias[:, None, None]
    assert y.abs().max() > 0.5
    torch.testing.assert_close(layer(x, styles), y.clamp(-0.5, 0.5))


def test_clamp_reaches_every_block():
    z = torch.randn(2, 6)
    free, clamped = make(), make(conv_clamp=0.5)
    clamped.load_state_dict(free.state_dict())
    assert clamped.config["conv_clamp"] == 0.5
    assert differ(free(z, noise_mode="const"), clamped(z, noise_mode="const"))
    loose = make(conv_clamp=1e6)
    loose.load_state_dict(free.state_dict())
    assert torch.equal(free(z, noise_mode="const"), loose(z, noise_mode="const"))


# -- noise -------------------------------------------------------------------------------------------------------------------


def test_noise_modes(G, ws):
    const = G.synthesis(ws, noise_mode="const")
    assert torch.equal(const, G.synthesis(ws, noise_mode="const"))
    assert differ(const, G.synthesis(ws, noise_mode="none"))
    torch.manual_seed(1)
    a, b = G.synthesis(ws, noise_mode="random"), G.synthesis(ws, noise_mode="random")
    assert differ(a, b)
    torch.manual_seed(1)
    assert torch.equal(a, G.synthesis(ws, noise_mode="random"))


def test_random_noise_is_fresh_for_each_image(G, ws):
    twice = G.synthesis(ws[:1].repeat(2, 1, 1), noise_mode="random")
    assert differ(twice[0], twice[1])


def test_no_strength_no_noise(ws):
    G = make(noise_strength=0.0)
    torch.testing.assert_close(G.synthesis(ws, noise_mode="const"), G.synthesis(ws, noise_mode="none"))


def test_unknown_noise_mode_is_refused(G, ws):
    with pytest.raises(ValueError, match="const, random, none"):
        G.synthesis(ws, noise_mode="fixed")


def test_noise_can_be_read_and_given_back(G, ws):
    maps = G.synthesis.noise()
    assert list(maps) == G.synthesis.conv_names == ["b4.conv1", "b8.conv0", "b8.conv1", "b16.conv0", "b16.conv1"]
    assert all(m.shape == (1, 1, r, r) for m, r in zip(maps.values(), (4, 8, 8, 16, 16), strict=True))
    for mode in ("const", "random", "none"):  # given maps win over every mode
        assert torch.equal(G.synthesis(ws, noise_mode=mode, noise=maps), G.synthesis(ws, noise_mode="const"))
    # views, so that they can be written
    assert maps["b8.conv0"].data_ptr() == G.synthesis.b8.conv0.noise_const.data_ptr()


def test_each_image_can_have_noise_of_its_own(G, ws):
    random = torch.Generator().manual_seed(5)
    maps = {name: torch.randn(3, *m.shape[1:], generator=random) for name, m in G.synthesis.noise().items()}
    together = G.synthesis(ws, noise=maps)
    for i in range(3):
        alone = G.synthesis(ws[i : i + 1], noise={name: m[i : i + 1] for name, m in maps.items()})
        torch.testing.assert_close(together[i : i + 1], alone, atol=1e-5, rtol=1e-5)


def test_one_noise_map_can_be_replaced(G, ws):
    name = "b8.conv1"
    changed = G.synthesis(ws, noise={name: torch.zeros(1, 1, 8, 8)})
    twin = make()
    twin.synthesis.b8.conv1.noise_const.zero_()
    assert torch.equal(changed, twin.synthesis(ws))
    assert differ(changed, G.synthesis(ws))


# -- styles ------------------------------------------------------------------------------------------------------------------


def test_styles_can_be_read_and_given_back(G, ws):
    styles = G.synthesis.styles(ws)
    assert list(styles) == [
        f"b{r}.{layer}" for r in (4, 8, 16) for layer in (["conv0"] if r > 4 else []) + ["conv1", "torgb"]
    ]
    assert all(style.shape == (3, G.synthesis.layer(name).weight.shape[1]) for name, style in styles.items())
    assert torch.equal(G.synthesis(None, styles=styles), G.synthesis(ws))


def test_a_style_channel_can_be_edited(G, ws):
    styles = G.synthesis.styles(ws)
    styles["b8.conv1"] = styles["b8.conv1"].clone()
    styles["b8.conv1"][:, 2] += 3
    edited = G.synthesis(None, styles=styles)
    assert differ(edited, G.synthesis(ws))
    assert torch.equal(edited, G.synthesis(ws, styles={"b8.conv1": styles["b8.conv1"]}))  # the others come from ws


def test_a_layer_that_does_not_exist_is_refused(G, ws):
    with pytest.raises(ValueError, match=r"no layer 'b32.conv1'; its layers are b4.conv1, "):
        G.synthesis(ws, styles={"b32.conv1": torch.zeros(3, 8)})
    with pytest.raises(ValueError, match=r"no layer 'b4\.conv0'"):
        G.synthesis(ws, noise={"b4.conv0": torch.zeros(1, 1, 4, 4)})


def test_missing_styles_are_named(G, ws):
    styles = G.synthesis.styles(ws)
    del styles["b8.torgb"]
    with pytest.raises(ValueError, match=r"missing: b8\.torgb$"):
        G.synthesis(None, styles=styles)


def test_style_mixing(G, ws):
    """Layer i of ws styles conv layer i; toRGB shares its index with the next block's first layer."""
    assert G.synthesis.layer_ws == {
        **{
            "b4.conv1": 0,
            "b4.torgb": 1,
            "b8.conv0": 1,
            "b8.conv1": 2,
            "b8.torgb": 3,
            "b16.conv0": 3,
            "b16.conv1": 4,
            "b16.torgb": 5,
        }
    }
    a, b = G.synthesis.styles(ws[:1]), G.synthesis.styles(ws[1:2])
    for cutoff in range(G.num_ws + 1):
        mixed = torch.cat([ws[:1, :cutoff], ws[1:2, cutoff:]], dim=1)
        styles = {name: (a if index < cutoff else b)[name] for name, index in G.synthesis.layer_ws.items()}
        assert torch.equal(G.synthesis(mixed), G.synthesis(None, styles=styles))
    assert differ(G.synthesis(torch.cat([ws[:1, :3], ws[1:2, 3:]], dim=1)), G.synthesis(ws[:1]))


# -- batches, growing, derivatives ----------------------------------------------------------------------------------------------


def test_images_of_a_batch_do_not_see_each_other(G, ws):
    together = G.synthesis(ws)
    for i in range(3):
        torch.testing.assert_close(together[i : i + 1], G.synthesis(ws[i : i + 1]), atol=1e-5, rtol=1e-5)


def test_an_empty_batch_is_an_empty_batch(G):
    assert G.synthesis(G.mapping(torch.zeros(0, 6))).shape == (0, 3, 16, 16)


def test_rgb_gain_fades_the_last_block_in(G, ws):
    off, half, on = (G.synthesis(ws, rgb_gain=gain) for gain in (0.0, 0.5, 1.0))
    assert torch.equal(on, G.synthesis(ws))
    torch.testing.assert_close(half, (off + on) / 2, atol=1e-5, rtol=1e-5)
    assert differ(off, on)


def tiny_double():
    return (
        make(z_dim=4, w_dim=4, img_resolution=8, num_layers=1, channel_base=32, channel_max=4)
        .double()
        .requires_grad_(True)
    )


def test_float64_stays_float64():
    G = tiny_double()
    assert G(torch.randn(2, 4, dtype=torch.float64), noise_mode="const").dtype == torch.float64


def test_first_and_second_derivatives():
    G = tiny_double()
    z = torch.randn(2, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(G.mapping, (z,), fast_mode=True)
    assert torch.autograd.gradgradcheck(G.mapping, (z,), fast_mode=True)
    ws = torch.randn(2, G.num_ws, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(G.synthesis, (ws,), fast_mode=True)
    assert torch.autograd.gradgradcheck(G.synthesis, (ws,), fast_mode=True)


def test_the_path_length_penalty_has_the_right_gradient():
    """Its derivative along a random direction of the weights, against a difference quotient: a second derivative of the images."""
    G = tiny_double()
    ws = torch.randn(2, G.num_ws, 4, dtype=torch.float64, requires_grad=True)
    parameters = [p for p in G.synthesis.parameters() if p.ndim]
    direction = [torch.randn_like(p) for p in parameters]

    def penalty(t):
        with torch.no_grad():
            for p, d in zip(parameters, direction, strict=True):
                p += t * d
        torch.manual_seed(0)
        value, _ = path_length_penalty(G.synthesis(ws), ws, torch.tensor(0.3, dtype=torch.float64), decay=0.0)
        return value

    gradients = torch.autograd.grad(penalty(0.0), parameters, allow_unused=True)
    slope = sum((g * d).sum() for g, d in zip(gradients, direction, strict=True) if g is not None).item()
    h = 1e-6
    above, below = penalty(h).item(), penalty(-2 * h).item()
    assert abs(slope) > 1e-3
    assert slope == pytest.approx((above - below) / (2 * h), rel=1e-4)


def test_bfloat16_autocast_returns_float32(G, ws):
    styles = G.synthesis.styles(ws)
    with torch.autocast("cpu", torch.bfloat16):
        image = G.synthesis(None, styles=styles)
    assert image.dtype == torch.float32
    exact = G.synthesis(ws)
    assert 0 < (image - exact).abs().max() < 0.1 * exact.abs().max()
