"""The trainers of pSp, e4e and ReStyle, and what all trainers share."""

import dataclasses
import json
import signal

import pytest
import torch

from ganinv.cache import fingerprint
from ganinv.encoders.style import StyleEncoder
from ganinv.encoders.weights import load_encoder
from ganinv.inversion import Encode, Resume, psp
from ganinv.photos import from_uint8
from ganinv.training.e4e import CodePool, Critic, E4EConfig, offsets_length, train_e4e, unlocked
from ganinv.training.encoders import Batches, EncoderConfig, Losses, learning_rate, warm_start
from ganinv.training.psp import PSPConfig, train_psp
from ganinv.training.recipes import RECIPES
from ganinv.training.restyle import ReStyleConfig, train_restyle

FAST = dict(steps=12, batch=4, warmup=1, seen=0)


def test_a_batch_is_part_generated_part_real(tiny_bundle):
    batches = Batches(tiny_bundle, EncoderConfig(batch=6, real=0.5, random_noise=False))
    images, ws = batches.draw()
    assert images.shape == (6, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(images[:3], tiny_bundle.G.synthesis(ws))
    reals = from_uint8(tiny_bundle.reference)
    for image in images[3:]:
        assert any(torch.equal(image, real) or torch.equal(image, real.flip(2)) for real in reals)


def test_noise_can_be_drawn_afresh(tiny_bundle):
    """Another picture of the same codes, the same again for the same seed, and the generator's own maps where it is off."""
    own, fresh, again = (
        Batches(tiny_bundle, EncoderConfig(batch=6, real=0.0, random_noise=on)) for on in (False, True, True)
    )
    assert own.noise(2) == {}
    (plain, ws), (images, same), (images_again, _) = own.draw(), fresh.draw(), again.draw()
    assert torch.equal(ws, same)
    assert torch.equal(images, images_again)
    assert (images - plain).abs().amax(dim=(1, 2, 3)).min() > 1e-3
    assert {maps.shape[0] for maps in fresh.noise(3).values()} == {3}


@pytest.mark.parametrize("name", RECIPES)
def test_with_random_noise_training_is_as_repeatable(tiny_bundle, name):
    recipe = RECIPES[name]
    config = dataclasses.replace(recipe.config, **FAST | dict(steps=2, random_noise=True))
    start = {"start": StyleEncoder(32, 8, 16, progressive=True)} if recipe.start_needed else {}
    first, again = (recipe.train(tiny_bundle, config, **start).history for _ in range(2))
    assert first == again
    assert first != recipe.train(tiny_bundle, dataclasses.replace(config, random_noise=False), **start).history


def test_both_mirrored_and_straight_ones_are_drawn(tiny_bundle):
    reals = from_uint8(tiny_bundle.reference)
    images = Batches(tiny_bundle, EncoderConfig(batch=64, real=1.0)).draw()[0]
    straight = sum(any(torch.equal(image, real) for real in reals) for image in images)
    assert 16 < straight < 48


def test_without_training_images_all_are_generated(tiny_bundle):
    images, ws = Batches(dataclasses.replace(tiny_bundle, reference=None), EncoderConfig(batch=6)).draw()
    assert len(images) == len(ws) == 6


def test_the_stream_can_be_resumed(tiny_bundle):
    batches = Batches(tiny_bundle, EncoderConfig(batch=4))
    state = batches.get_state()
    first = batches.draw()
    batches.set_state(state)
    assert all(torch.equal(a, b) for a, b in zip(first, batches.draw(), strict=True))


def test_the_learning_rate(tiny_bundle):
    config = EncoderConfig(steps=100, lr=1.0, warmup=10, constant=0.5)
    rates = [learning_rate(config, step) for step in range(100)]
    assert rates[:10] == pytest.approx([0.1 * (k + 1) for k in range(10)])
    assert rates[10:51] == [1.0] * 41
    assert rates[75] == pytest.approx(0.5)
    assert 0 < rates[99] < 0.01


def test_the_terms_of_the_loss(tiny_bundle):
    """Of a perfect result all are zero, and the latent term counts generated images alone."""
    config = EncoderConfig(batch=4, seen=2)
    images, ws = Batches(tiny_bundle, config).draw()
    losses = Losses(tiny_bundle, config)
    codes = torch.cat([ws, torch.randn(2, *ws.shape[1:])])
    terms = losses(images, images, codes, ws)
    assert terms.keys() == {"l2", "perceptual", "similarity", "latent"}
    assert all(abs(float(term)) < 1e-5 for term in terms.values())
    codes[: len(ws)] += 1
    worse = losses(images + 0.5, images, codes, ws)
    assert float(worse["l2"]) == pytest.approx(0.25, rel=1e-4)
    assert float(worse["latent"]) == pytest.approx(16 / losses.sigma_w**2, rel=1e-4)
    assert float(worse["perceptual"]) > 0.01
    total = losses.total(worse)
    assert float(total) == pytest.approx(
        sum(getattr(config, f"lambda_{name}") * float(term) for name, term in worse.items()), rel=1e-5
    )


def error(encoder_run, gan):
    photos = from_uint8(gan.heldout)
    result = psp(gan, photos, Encode(encoder_run))
    return (result.image - photos).square().mean(), (result.initial - photos).square().mean()


def test_psp_learns_to_be_better_than_the_average(tiny_bundle, tmp_path):
    run = train_psp(tiny_bundle, PSPConfig(steps=60, batch=8, warmup=1, seen=0, lr=2e-3))
    path = run.save(tmp_path, 1.5)
    after, before = error(str(path), tiny_bundle)
    assert after < 0.8 * before
    curves = json.loads((tmp_path / "psp.json").read_text(encoding="utf-8"))
    assert curves["method"] == "psp"
    assert curves["seconds"] == 2
    assert curves["config"]["steps"] == 60
    assert [row["step"] for row in curves["history"]] == [50, 60]
    assert curves["history"][1]["l2"] < curves["history"][0]["l2"]
    assert load_encoder(path, tiny_bundle.sha256).card["training"]["config"] == curves["config"]


TRAINERS = {
    "psp": (train_psp, PSPConfig(**FAST)),
    "e4e": (train_e4e, E4EConfig(**FAST, pool=3, r1_interval=4)),
    "restyle-psp": (train_restyle, ReStyleConfig(**FAST, over="psp", iterations=2)),
    "restyle-e4e": (train_restyle, ReStyleConfig(**FAST, over="e4e", iterations=2, pool=3)),
}


@pytest.mark.parametrize("name", TRAINERS)
def test_training_goes_on_where_it_was_stopped(tiny_bundle, tmp_path, name):
    train, config = TRAINERS[name]
    whole = train(tiny_bundle, config)

    def press_ctrl_c(progress):
        if progress.step == 7:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        train(tiny_bundle, config, press_ctrl_c, Resume(tmp_path / "run.pt", "x"))
    rest = []
    resumed = train(tiny_bundle, config, rest.append, Resume(tmp_path / "run.pt", "x"))
    assert len(rest) == config.steps - 7
    for key, tensor in whole.network.state_dict().items():
        assert torch.equal(resumed.network.state_dict()[key], tensor), key
    assert resumed.history == whole.history


@pytest.mark.parametrize("name", TRAINERS)
def test_the_generator_stays_frozen(tiny_bundle, name):
    before = fingerprint(tiny_bundle.G)
    train, config = TRAINERS[name]
    run = train(tiny_bundle, dataclasses.replace(config, steps=2))
    assert run.method == name
    assert fingerprint(tiny_bundle.G) == before
    assert not any(p.requires_grad or p.grad is not None for p in tiny_bundle.G.parameters())


# --- e4e --------------------------------------------------------------------------------------------------------------------------------------


def test_offsets_are_unlocked_in_proportion():
    """Off for the first tenth, then one more every hundredth: 20,000 and 2,000 of the paper's 200,000 steps."""
    config = E4EConfig(steps=200_000)
    assert unlocked(config, 18, 19_999) == 0
    assert unlocked(config, 18, 20_000) == 1
    assert unlocked(config, 18, 22_001) == 2
    assert unlocked(config, 18, 199_999) == 17


def test_the_length_of_the_offsets():
    codes = torch.zeros(2, 3, 4)
    codes[0, 1, :] = 1.0  # of length 2
    codes[1, 2, 0] = 3.0
    assert float(offsets_length(codes)) == pytest.approx((2 + 3) / 2)
    assert float(offsets_length(codes + 5)) == pytest.approx((2 + 3) / 2)


def test_the_pool_keeps_and_gives_back():
    pool, random = CodePool(4, 2), torch.Generator().manual_seed(0)
    first = torch.arange(8.0).reshape(4, 2)
    assert torch.equal(pool.exchange(first, random), first)  # fills up
    new = torch.full((400, 2), 9.0)
    got = pool.exchange(new, random)
    old = [row.tolist() for row in got if row.tolist() != [9.0, 9.0]]
    assert sorted(old) == first.tolist()  # each came back once, in exchange for a new one
    assert torch.equal(pool.codes, torch.full((4, 2), 9.0))


def test_the_critic_learns_to_tell_codes_apart(tiny_bundle):
    torch.manual_seed(0)
    critic = Critic(tiny_bundle, E4EConfig(lr_critic=1e-2, r1_gamma=0.1))
    fakes = torch.randn(16, 16, generator=torch.Generator().manual_seed(5)) * 3
    before = critic.opinion(fakes)
    losses = [float(critic.train(fakes, step)) for step in range(100)]
    assert sum(losses[-10:]) < 0.5 * sum(losses[:10])
    assert critic.opinion(fakes) > 2 * before
    with torch.no_grad():
        real = tiny_bundle.G.mapping(torch.randn(16, 16))[:, 0]
    assert critic.opinion(real) < critic.opinion(fakes)


def test_the_critic_holds_e4e_near_w(tiny_bundle):
    """Its gradient reaches the encoder's codes, and not its own weights."""
    critic = Critic(tiny_bundle, E4EConfig())
    codes = torch.randn(4, 16, requires_grad=True)
    critic.opinion(codes).backward()
    assert codes.grad.abs().sum() > 0
    assert all(p.grad is None for p in critic.net.parameters())


# --- ReStyle ----------------------------------------------------------------------------------------------------------------------------------


def test_no_gradient_flows_from_one_pass_to_the_one_before(tiny_bundle, monkeypatch):
    """What a pass takes in, the code and the image so far, has no history."""
    seen = []
    forward = StyleEncoder.forward
    monkeypatch.setattr(StyleEncoder, "forward", lambda self, x: seen.append(x.requires_grad) or forward(self, x))
    train_restyle(tiny_bundle, ReStyleConfig(**FAST | {"steps": 2}, iterations=3))
    assert seen == [False] * 6


def test_every_pass_has_its_loss(tiny_bundle):
    run = train_restyle(tiny_bundle, ReStyleConfig(**FAST | {"steps": 3}, over="e4e", iterations=3))
    assert {"l2_1", "l2_2", "l2_3", "critic", "delta"} <= run.history[-1].keys()
    assert run.network.config["in_channels"] == 6
    assert not run.network.config["pyramid"]


def test_over_neither_psp_nor_e4e():
    with pytest.raises(ValueError, match="'psp' or 'e4e'"):
        ReStyleConfig(over="hfgi")


def test_a_warm_start_takes_the_trunk(tiny_bundle):
    torch.manual_seed(0)
    given, own = StyleEncoder(32, 8, 16), StyleEncoder(32, 8, 16, in_channels=6, pyramid=False)
    stem = own.trunk.stem[0].weight[:, 3:].clone()
    warm_start(own, given)
    assert torch.equal(own.trunk.stem[0].weight[:, :3], given.trunk.stem[0].weight)
    assert torch.equal(own.trunk.stem[0].weight[:, 3:], stem)  # the new channels begin at random
    assert torch.equal(own.trunk.stages[3][0].body[1].weight, given.trunk.stages[3][0].body[1].weight)
