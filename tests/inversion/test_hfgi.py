"""HFGI: what e4e's image lacks, fused into feature maps, and only from there on."""

import dataclasses

import pytest
import torch
import torch.nn.functional as F

from ganinv import GanInvError, Inversion
from ganinv.encoders.consultation import ADA, Consultation
from ganinv.encoders.style import StyleEncoder
from ganinv.encoders.weights import load_encoder, save_encoder
from ganinv.inversion.hfgi import HFGI, hfgi, low_fidelity
from ganinv.inversion.psp import Encode, encode

LAYER = "b8.conv0"  # a quarter of 32 px


@pytest.fixture(scope="module")
def gan(make_bundle):
    return make_bundle()


@pytest.fixture(scope="module")
def networks(gan, tmp_path_factory):
    """Files of a random e4e, of an untrained consultation, and of one whose heads are not zero."""
    folder = tmp_path_factory.mktemp("networks")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        basic = StyleEncoder(32, 8, 16, progressive=True)
        untrained = Consultation.for_generator(gan.G)
        save_encoder(folder / "untrained.safetensors", untrained, "hfgi", gan.sha256, {})
        for head in (untrained.encoder.gain, untrained.encoder.shift):
            torch.nn.init.normal_(head[2].weight, std=0.5)
        save_encoder(folder / "consultation.safetensors", untrained, "hfgi", gan.sha256, {})
        save_encoder(folder / "e4e.safetensors", basic, "e4e", gan.sha256, {})
    return {path.stem: str(path) for path in folder.iterdir()}


@pytest.fixture(scope="module")
def config(networks):
    return HFGI(encoder=networks["consultation"], basic_encoder=networks["e4e"])


@pytest.fixture(scope="module")
def basic(gan, tiny_targets, networks):
    return encode("e4e", gan, tiny_targets, Encode(networks["e4e"]), None, None)


@pytest.fixture(scope="module")
def inversion(gan, tiny_targets, config):
    return hfgi(gan, tiny_targets, config)


def test_without_consultation_it_is_e4e(gan, tiny_targets, config, basic):
    plain = hfgi(gan, tiny_targets, dataclasses.replace(config, encoder="there is none", consult=False))
    assert torch.equal(plain.ws, basic.ws)
    assert torch.equal(plain.image, basic.image)
    assert plain.fusion is None
    ws = basic.ws.flip(0)
    assert torch.equal(plain.render(ws), basic.render(ws))


def test_an_untrained_consultation_changes_nothing(gan, tiny_targets, networks, basic):
    result = hfgi(gan, tiny_targets, HFGI(encoder=networks["untrained"], basic_encoder=networks["e4e"]))
    assert not any(map.any() for map in result.fusion[LAYER])
    assert torch.equal(result.image, basic.image)


def test_the_code_is_e4es_and_the_image_is_not(inversion, basic, config):
    assert torch.equal(inversion.ws, basic.ws)
    assert [map.shape for map in inversion.fusion[LAYER]] == [(2, 16, 8, 8)] * 2
    assert (inversion.image - basic.image).abs().amax(dim=(1, 2, 3)).min() > 0.05
    assert torch.equal(inversion.initial, low_fidelity(inversion.gan.G, basic.ws))
    assert inversion.config == dataclasses.asdict(config)


def test_the_fusion_acts_on_one_layer_and_what_follows(inversion):
    """F (1 + g) + h, after the first layer at a quarter of the size; what comes before it does not change."""
    synthesis, layers = inversion.gan.G.synthesis, ["b4.conv1", "b8.conv0", "b8.conv1", "b16.conv0"]
    outputs, inputs = {}, {}

    def watch(name):
        def hook(_, args, output):
            inputs[name], outputs[name] = args[0], output

        return synthesis.layer(name).register_forward_hook(hook)

    hooks = [watch(name) for name in layers]
    try:
        runs = []
        for fusion in (None, inversion.fusion):
            synthesis(inversion.ws, fusion=fusion)
            runs.append((dict(inputs), dict(outputs)))
    finally:
        for hook in hooks:
            hook.remove()
    (_, plain), (fused_inputs, fused) = runs
    gain, shift = inversion.fusion[LAYER]
    assert torch.equal(plain["b4.conv1"], fused["b4.conv1"])
    assert torch.equal(plain["b8.conv0"], fused["b8.conv0"])
    torch.testing.assert_close(fused_inputs["b8.conv1"], plain["b8.conv0"] * (1 + gain) + shift)
    assert not torch.allclose(plain["b8.conv1"], fused["b8.conv1"])
    assert not torch.allclose(plain["b16.conv0"], fused["b16.conv0"])


def test_an_edit_that_changes_nothing_is_the_reconstruction(inversion):
    assert torch.equal(inversion.render(inversion.ws), inversion.image)


def test_an_edit_aligns_the_map_to_the_edited_image(inversion, gan, config, tiny_targets):
    """The distortion stays that of the photo; what it is aligned to, and fused into, is the image of the edited code."""
    ws = inversion.ws + 0.5 * torch.randn(inversion.ws.shape, generator=torch.Generator().manual_seed(1))
    consultation = gan.encoder(config.encoder)
    with torch.no_grad():
        before, after = (gan.G.synthesis(w).clamp(-1, 1) for w in (inversion.ws, ws))
        aligned = consultation.ada(tiny_targets - before, after)
        expected = gan.G.synthesis(ws, fusion={LAYER: consultation.encoder(aligned)})
    edited = inversion.render(ws)
    torch.testing.assert_close(edited, expected, atol=1e-4, rtol=1e-4)
    assert not torch.allclose(edited, inversion.draw(ws), atol=1e-3)  # which takes the map as it lay


def test_a_batch_gives_what_single_photos_give(inversion, gan, tiny_targets, config):
    ws = inversion.ws.flip(0)
    for i in range(2):
        alone = hfgi(gan, tiny_targets[i : i + 1], config)
        torch.testing.assert_close(alone.image, inversion.image[i : i + 1], atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(
            inversion[i].render(ws[i : i + 1]), inversion.render(ws)[i : i + 1], atol=1e-4, rtol=1e-4
        )


def test_saved_and_loaded_it_is_the_same(inversion, gan, tmp_path):
    loaded = Inversion.load(inversion.save(tmp_path), gan)
    assert torch.equal(loaded.image, inversion.image)
    assert torch.equal(loaded.render(inversion.ws.flip(0)), inversion.render(inversion.ws.flip(0)))


def test_the_consultation_survives_its_file(networks, gan):
    loaded = load_encoder(networks["consultation"], gan.sha256)
    assert (loaded.layer, loaded.input_size, loaded.config["channels"]) == (LAYER, 32, 16)
    again = Consultation(**loaded.config).eval()
    again.load_state_dict(loaded.state_dict())
    map, image = torch.randn(2, 2, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(again(map, image)[1], loaded(map, image)[1])


def test_large_images_are_averaged_down_to_256():
    large = Consultation(1024, 4, widths=(2, 2, 2, 2), consultation_widths=(2, 2, 2))
    assert large.layer == "b64.conv0"
    images = torch.randn(1, 3, 1024, 1024)
    torch.testing.assert_close(large.scaled(images), F.avg_pool2d(images, 4))
    with torch.no_grad():
        fusion, aligned = large(large.scaled(images), large.scaled(images))
    assert aligned.shape == (1, 3, 256, 256)
    assert [map.shape for map in fusion["b64.conv0"]] == [(1, 4, 64, 64)] * 2


def test_a_missing_consultation_is_named(gan, tiny_targets, networks):
    with pytest.raises(GanInvError, match="without the encoder 'hfgi'"):
        hfgi(gan, tiny_targets, HFGI(basic_encoder=networks["e4e"]))


def test_a_generator_can_be_too_small():
    with pytest.raises(ValueError, match="32 px is the least"):
        Consultation(16, 4)


def discs(n, random):
    """Grey images with a disc in some place, and maps that colour the disc: where it is the image says, its colour the map alone."""
    centre = torch.randint(5, 11, (n, 2, 1, 1), generator=random)
    y, x = torch.arange(16)[:, None], torch.arange(16)
    disc = ((y - centre[:, 0]) ** 2 + (x - centre[:, 1]) ** 2 < 16).float()[:, None]
    return (disc * 2 - 1).expand(-1, 3, -1, -1), disc * (torch.rand(n, 3, 1, 1, generator=random) * 2 - 1)


def shifted(maps, random):
    return torch.stack([one.roll(torch.randint(-3, 4, (2,), generator=random).tolist(), (1, 2)) for one in maps])


def test_ada_pulls_a_shifted_map_back():
    """Trained on its own for seconds: the map goes to where the image has the disc, and keeps the colours that only it knows."""
    random = torch.Generator().manual_seed(0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        ada = ADA((8, 8, 16, 16))
    adam = torch.optim.Adam(ada.parameters(), lr=5e-3)
    for _ in range(150):
        images, maps = discs(16, random)
        loss = F.l1_loss(ada(shifted(maps, random), images), maps)
        adam.zero_grad()
        loss.backward()
        adam.step()
    images, maps = discs(32, random)
    moved = shifted(maps, random)
    with torch.no_grad():
        aligned, elsewhere = ada(moved, images), ada(moved, images.roll(4, 3))
    error = F.l1_loss(aligned, maps)
    assert error < 0.85 * F.l1_loss(moved, maps)  # better than no alignment
    assert error < 0.85 * maps.abs().mean()  # and than no map, which is as good as a map without its colours
    assert F.l1_loss(elsewhere, maps.roll(4, 3)) < F.l1_loss(elsewhere, maps)  # it follows the image
