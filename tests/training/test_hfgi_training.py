import dataclasses
import signal

import pytest
import torch
from torchvision.transforms.v2 import RandomPerspective

from ganinv import GanInvError
from ganinv.encoders.style import StyleEncoder
from ganinv.encoders.weights import save_encoder
from ganinv.inversion.hfgi import HFGI, hfgi
from ganinv.photos import from_uint8
from ganinv.run import Resume
from ganinv.training.hfgi import HFGIConfig, misalign, train_hfgi

SHORT = HFGIConfig(steps=4, batch=4, warmup=1, seen=0)


@pytest.fixture(scope="module")
def basic(tiny_bundle):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return StyleEncoder(32, 8, 16, progressive=True).eval().requires_grad_(False)


def weights(*networks):
    return [tensor.clone() for network in networks for tensor in network.state_dict().values()]


def test_it_learns_to_bring_details_back(tiny_bundle, basic, tmp_path):
    """On photos that it has not seen, with a file that was kept; generator and basic encoder stay as they are."""
    before = weights(tiny_bundle.G, basic)
    run = train_hfgi(tiny_bundle, HFGIConfig(steps=60, batch=8, warmup=1, seen=0, lr=3e-3), start=basic)
    assert all(torch.equal(x, y) for x, y in zip(before, weights(tiny_bundle.G, basic), strict=True))
    assert run.history[-1]["alignment"] < run.history[0]["alignment"]
    assert run.history[-1]["l2"] < run.history[0]["l2"]
    e4e = save_encoder(tmp_path / "e4e.safetensors", basic, "e4e", tiny_bundle.sha256, {})
    config = HFGI(encoder=str(run.save(tmp_path, 1.0)), basic_encoder=str(e4e))
    photos = from_uint8(tiny_bundle.heldout)
    consulted, plain = (
        hfgi(tiny_bundle, photos, dataclasses.replace(config, consult=consult)).image for consult in (True, False)
    )
    assert (consulted - photos).square().mean() < 0.8 * (plain - photos).square().mean()


def test_it_belongs_to_the_encoder_that_it_was_trained_over(tiny_bundle, basic, tmp_path):
    """Whose file holds it in half precision; another encoder of the same form is refused."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        other = StyleEncoder(32, 8, 16, progressive=True)
    files = {
        name: str(save_encoder(tmp_path / f"{name}.safetensors", net, "e4e", tiny_bundle.sha256, {}))
        for name, net in (("e4e", basic), ("other", other))
    }
    consultation = str(train_hfgi(tiny_bundle, dataclasses.replace(SHORT, steps=1), start=basic).save(tmp_path, 1.0))
    photos = from_uint8(tiny_bundle.heldout[:1])
    hfgi(tiny_bundle, photos, HFGI(consultation, files["e4e"]))
    with pytest.raises(GanInvError, match=r"trained over another encoder than .*other\.safetensors: name that one"):
        hfgi(tiny_bundle, photos, HFGI(consultation, files["other"]))
    hfgi(tiny_bundle, photos, HFGI(consultation, files["other"], consult=False))


def test_the_terms_of_the_loss(tiny_bundle, basic):
    seen = []
    train_hfgi(tiny_bundle, dataclasses.replace(SHORT, steps=1, seen=2), seen.append, start=basic)
    # no latent term: the code is not trained
    assert seen[0].values.keys() == {
        "l2",
        "perceptual",
        "similarity",
        "alignment",
    }


def test_the_global_random_state_does_not_matter_to_the_images(tiny_bundle, basic):
    torch.manual_seed(1)
    first = train_hfgi(tiny_bundle, SHORT, start=basic)
    torch.manual_seed(2)
    again = train_hfgi(tiny_bundle, SHORT, start=basic)
    assert first.history == again.history


def test_an_interrupted_run_goes_on_as_if_nothing_had_happened(tiny_bundle, basic, tmp_path):
    whole = train_hfgi(tiny_bundle, SHORT, start=basic)

    def press_ctrl_c(progress):
        if progress.step == 2:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        train_hfgi(tiny_bundle, SHORT, press_ctrl_c, Resume(tmp_path / "run.pt", "this run"), start=basic)
    again = train_hfgi(tiny_bundle, SHORT, resume=Resume(tmp_path / "run.pt", "this run"), start=basic)
    assert again.history == whole.history
    for name, tensor in whole.network.state_dict().items():
        assert torch.equal(tensor, again.network.state_dict()[name]), name


def test_every_map_gets_a_perspective_of_its_own():
    map = torch.rand(3, 32, 32, generator=torch.Generator().manual_seed(0)).expand(6, -1, -1, -1)
    before = torch.random.get_rng_state()
    random = torch.Generator().manual_seed(0)
    first = misalign(map, RandomPerspective(0.15, p=1.0), random)
    second = misalign(map, RandomPerspective(0.15, p=1.0), random)
    assert torch.equal(torch.random.get_rng_state(), before)
    different = {tuple(one.flatten().tolist()) for one in [*first, *second]}
    assert len(different) > 10
    assert torch.equal(misalign(map, RandomPerspective(0.15, p=1.0), torch.Generator().manual_seed(0)), first)


def test_some_maps_stay_where_they_are():
    map = torch.rand(3, 16, 16, generator=torch.Generator().manual_seed(0)).expand(200, -1, -1, -1)
    moved = misalign(map, RandomPerspective(0.5, p=0.5), torch.Generator().manual_seed(0))
    same = sum(torch.equal(one, map[0]) for one in moved)
    assert 70 < same < 130
