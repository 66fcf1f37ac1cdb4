"""Every trainer on another device: the same networks, and files of the CPU."""

import dataclasses
import signal

import pytest
import torch
from far import FAR, far, here
from safetensors.torch import load_file

from ganinv.cache import fingerprint
from ganinv.encoders.style import StyleEncoder
from ganinv.inversion import Resume
from ganinv.training import toy
from ganinv.training.encoders import warm_start
from ganinv.training.gan import Start, train
from ganinv.training.recipes import RECIPES
from ganinv.training.release import w_statistics


def short(name):
    return dataclasses.replace(RECIPES[name].config, steps=2, batch=2, seen=2, warmup=1)


def begin(name):
    if not RECIPES[name].start:
        return {}
    torch.manual_seed(9)
    return {"start": StyleEncoder(32, 8, 16)}


def trained(name, gan, folder, **arguments):
    return RECIPES[name].train(gan, short(name), **begin(name), **arguments).save(folder, 0.0)


@pytest.mark.parametrize("name", RECIPES)
def test_an_encoder_trained_elsewhere_is_the_same(tiny_bundle, tmp_path, name):
    expected = load_file(trained(name, tiny_bundle, tmp_path / "here"))
    with far():
        path = trained(name, tiny_bundle.to(FAR), tmp_path / "there")
    found = load_file(path)
    assert here(found)
    assert found.keys() == expected.keys()
    assert [key for key in found if not torch.equal(found[key], expected[key])] == []


def test_training_goes_on_in_another_place(tiny_bundle, tmp_path):
    expected = load_file(trained("e4e", tiny_bundle, tmp_path))

    def state():
        return Resume(tmp_path / "run.pt", fingerprint(tiny_bundle.sha256))

    def press_ctrl_c(progress):
        signal.raise_signal(signal.SIGINT)

    with far(), pytest.raises(KeyboardInterrupt):
        trained("e4e", tiny_bundle.to(FAR), tmp_path / "far", callback=press_ctrl_c, resume=state())
    assert here(torch.load(tmp_path / "run.pt", weights_only=True)["stages"])
    found = load_file(trained("e4e", tiny_bundle, tmp_path / "back", resume=state()))
    assert [key for key in found if not torch.equal(found[key], expected[key])] == []


def test_a_trunk_is_taken_over_from_anywhere(tiny_bundle):
    with far():
        encoder = tiny_bundle.to(FAR).place(StyleEncoder(32, 8, 16, in_channels=6))
        start = StyleEncoder(32, 8, 16)
        warm_start(encoder, start)
        assert torch.equal(encoder.trunk.stem[0].weight[:, :3].cpu(), start.trunk.stem[0].weight)
        assert encoder.trunk.stem[0].weight.device == FAR


def assert_nearly(expected, found):
    """Equal up to rounding, which convolutions do in another order there, and which Adam magnifies where gradients are almost zero."""
    for name, tensor in expected.items():
        assert (found[name].cpu() - tensor).abs().mean() < 1e-4, name


@pytest.fixture
def undisturbed(tiny_config, tiny_array, tmp_path):
    trainer = train(tiny_config, tiny_array, tmp_path / "undisturbed")
    return trainer.G_ema.state_dict(), trainer.history


def test_a_gan_trained_elsewhere_and_brought_back_is_the_same(undisturbed, tiny_config, tiny_array, tmp_path):
    expected, history = undisturbed

    def press_ctrl_c(trainer, losses):
        if trainer.steps == 8:  # in the second stage, fading in
            signal.raise_signal(signal.SIGINT)

    with far(), pytest.raises(KeyboardInterrupt):
        train(tiny_config, tiny_array, tmp_path / "run", press_ctrl_c, device=FAR)
    checkpoint = torch.load(tmp_path / "run/checkpoint.pt", weights_only=True)
    assert here(checkpoint)
    with far():
        trainer = train(tiny_config, tiny_array, tmp_path / "run", device="lazy")
        assert {
            tensor.device for net in (trainer.G, trainer.D, trainer.G_ema) for tensor in net.state_dict().values()
        } == {FAR}
        found = {name: tensor.cpu() for name, tensor in trainer.G_ema.state_dict().items()}
        assert len(w_statistics(trainer.G_ema, 100)) == 2
    assert_nearly(expected, found)
    assert [row["images"] for row in trainer.history] == [row["images"] for row in history]


def test_a_gan_goes_on_elsewhere_from_networks_of_the_cpu(undisturbed, tiny_config, tiny_array, tmp_path, tiny_bundle):
    config = dataclasses.replace(
        tiny_config,
        z_dim=16,
        w_dim=16,
        num_layers=2,
        channel_base=512,
        channel_max=16,
        stages=[dataclasses.replace(tiny_config.stages[-1], images=16)],
    )
    start = Start.of_bundle(tiny_bundle)
    expected = train(config, tiny_array, tmp_path / "here", start=start).G_ema.state_dict()
    with far():
        found = train(config, tiny_array, tmp_path / "there", start=start, device=FAR).G_ema.state_dict()
        assert_nearly(expected, found)


def test_the_default_dtype_changes_no_toy(double):
    config = toy.ToyConfig(steps=3, width=4)
    expected = toy.train(toy.ring, config)[-1].G.state_dict()
    with far(), double():
        found = toy.train(toy.ring, config)[-1].G.state_dict()
        toy.train(toy.moons, config)
    assert all(torch.equal(found[name], expected[name]) for name in expected)
