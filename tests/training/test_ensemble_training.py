import signal

import pytest
import torch

from ganinv import GanInvError
from ganinv.cache import fingerprint
from ganinv.encoders.masked import MaskedEncoder
from ganinv.encoders.style import StyleEncoder
from ganinv.encoders.weights import load_encoder
from ganinv.run import Resume
from ganinv.training.ensemble import EnsembleConfig, fall_short, random_masks, train_ensemble

CONFIG = EnsembleConfig(steps=12, batch=4, seen=0, warmup=1)


@pytest.fixture(scope="module")
def run(tiny_bundle):
    return train_ensemble(tiny_bundle, CONFIG)


def test_masks_hide_a_part_of_some_images():
    masks = random_masks(2000, 32, 0.25, torch.Generator().manual_seed(0))
    assert masks.shape == (2000, 1, 32, 32)
    assert ((masks == 0) | (masks == 1)).all()
    known = masks.mean(dim=(1, 2, 3))
    assert 0.25 <= (known == 1).float().mean() < 0.3  # blobs may be all known, too
    assert 0.4 < known.mean() < 0.8
    assert (random_masks(50, 32, 1.0, torch.Generator().manual_seed(0)) == 1).all()


def test_it_does_better_than_the_mean_code(tiny_bundle):
    run = train_ensemble(tiny_bundle, EnsembleConfig(steps=30, batch=8, seen=0, warmup=1, lambda_l2=0.0))
    G, encoder = tiny_bundle.G, run.network.eval()
    random = torch.Generator().manual_seed(9)
    ws = G.mapping(torch.randn(64, 16, generator=random))
    with torch.no_grad():
        found = G.mapping.w_avg + encoder(G.synthesis(ws), random_masks(64, 32, 0.5, random))
    assert (found - ws).square().mean() < 0.95 * (G.mapping.w_avg - ws).square().mean()


def test_it_can_begin_as_psp(tiny_bundle, tiny_targets):
    torch.manual_seed(5)
    other = StyleEncoder(32, tiny_bundle.G.num_ws, 16).eval()
    network = train_ensemble(tiny_bundle, EnsembleConfig(steps=0, batch=2, seen=0), start=other).network.eval()
    with torch.no_grad():
        all_known = network(tiny_targets, torch.ones(2, 1, 32, 32))
        torch.testing.assert_close(all_known, other(tiny_targets))
    with pytest.raises(GanInvError, match="begins as one of pSp"):
        network.begin_as(StyleEncoder(32, tiny_bundle.G.num_ws, 16, progressive=True))


def test_it_stops_short_of_the_end_of_its_training(tiny_bundle):
    """The weights lie on the line from pSp's to the trained ones."""
    G = tiny_bundle.G
    torch.manual_seed(0)
    start, end = StyleEncoder(32, G.num_ws, 16).eval(), MaskedEncoder(32, G.num_ws, 16).eval()
    begun = MaskedEncoder(32, G.num_ws, 16)
    begun.begin_as(start)
    first, last = ({k: v.clone() for k, v in network.state_dict().items()} for network in (begun, end))
    fall_short(end, start, 0.75)
    for name, tensor in end.state_dict().items():
        if tensor.is_floating_point():
            torch.testing.assert_close(tensor, 0.25 * first[name] + 0.75 * last[name])


def test_an_interrupted_training_goes_on_exactly(tiny_bundle, run, tmp_path):
    def press_ctrl_c(progress):
        if progress.step == 5:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        train_ensemble(tiny_bundle, CONFIG, press_ctrl_c, Resume(tmp_path / "run.pt", "x"))
    again = train_ensemble(tiny_bundle, CONFIG, None, Resume(tmp_path / "run.pt", "x"))
    assert fingerprint(again.network) == fingerprint(run.network)
    assert again.history == run.history


def test_the_file_is_the_network(tiny_bundle, run, tmp_path):
    loaded = load_encoder(run.save(tmp_path, 0.0), tiny_bundle.sha256)
    x = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(1)) * 2 - 1
    mask = torch.ones(2, 1, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(loaded(x, mask), run.network.eval()(x, mask), rtol=1e-2, atol=1e-2)
