"""Training on to another domain."""

from dataclasses import replace

import pytest
import torch
from typer.testing import CliRunner

import ganinv
from ganinv import GanInvError, cli
from ganinv.checkpoints import save_native
from ganinv.photos import pack_images
from ganinv.study import style_position
from ganinv.training.domain import IMAGES, domain_config, train_domain


@pytest.fixture
def short(tiny_bundle):
    config = domain_config(tiny_bundle, 32)
    return replace(config, batch=8, r1_interval=2)


def test_the_recipe_has_the_sizes_of_the_generator(tiny_bundle):
    config = domain_config(tiny_bundle)
    assert (config.z_dim, config.channel_base, config.total_images) == (16, 256, IMAGES)
    assert [stage.resolution for stage in config.stages] == [32]


def test_it_trains_on_and_keeps_the_differences(tmp_path, tiny_bundle, short):
    seen = []
    found = train_domain(tiny_bundle, "drawing", tmp_path, short, lambda trainer, losses: seen.append(trainer.seen))
    assert seen == [8, 16, 24, 32]
    assert found.path == tmp_path / "drawing.safetensors"
    assert 0 < found.rounding < 0.05 * found.change
    G = tiny_bundle.domain(str(found.path))
    z = torch.randn(2, 16, generator=torch.Generator().manual_seed(0))
    assert not G(z, noise_mode="const").equal(tiny_bundle.G(z, noise_mode="const"))
    again = train_domain(tiny_bundle, "drawing", tmp_path, short)  # finished: nothing is trained
    assert again.change == found.change


def test_what_cannot_be_trained(tmp_path, tiny_bundle, make_bundle):
    with pytest.raises(GanInvError, match="drawing, stone"):
        train_domain(tiny_bundle, "oil", tmp_path)
    bare = make_bundle()
    bare.reference = None
    with pytest.raises(GanInvError, match="without training images"):
        train_domain(bare, "drawing", tmp_path)
    with pytest.raises(GanInvError, match="train domain oil"):
        tiny_bundle.domain("oil")


def test_the_command(tmp_path, tiny_bundle):
    model = tmp_path / "tiny"
    save_native(model / "model.safetensors", {"G_ema": tiny_bundle.G, "D": tiny_bundle.D})
    pack_images(tiny_bundle.reference, model / "reference.webp")
    arguments = ["train", "domain", "stone", "--model", model, "--out", tmp_path / "run", "--images", "8"]
    result = CliRunner().invoke(cli.app, [*map(str, arguments), "--set", "batch=8", "--seed", "3"])
    assert result.exit_code == 0, result.output
    assert "stone.safetensors" in result.output
    gan = ganinv.load(model)
    assert gan.domains == {}
    (model / "domains").mkdir()
    (tmp_path / "run" / "stone.safetensors").rename(model / "domains" / "stone.safetensors")
    gan = ganinv.load(model)
    assert list(gan.domains) == ["stone"]
    assert gan.domain("stone").config == gan.G.config


def test_the_shipped_domain_draws_its_style():
    gan, style = ganinv.load("faces64"), "drawing"
    z = torch.randn(16, gan.G.z_dim, generator=torch.Generator().manual_seed(3))
    position = style_position(gan, style, 128)
    with torch.no_grad():
        faces, styled = (G(z, noise_mode="const").clamp(-1, 1) for G in (gan.G, gan.domain(style)))
    assert position(styled).mean() > 0.8
    assert position(faces).mean() == pytest.approx(0, abs=0.1)
    assert gan.domains[style].stat().st_size < 1.5e6
