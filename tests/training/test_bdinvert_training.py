import signal

import pytest
import torch

from ganinv.cache import fingerprint
from ganinv.encoders.weights import load_encoder
from ganinv.run import Resume
from ganinv.training.bdinvert import BDInvertConfig, train_bdinvert

CONFIG = BDInvertConfig(steps=12, batch=4, seen=0)


@pytest.fixture(scope="module")
def run(tiny_bundle):
    return train_bdinvert(tiny_bundle, CONFIG)


def test_it_learns_to_draw_generated_images_again(tiny_bundle, run):
    G, encoder = tiny_bundle.G, run.network.eval()
    ws = G.mapping(torch.randn(16, 16, generator=torch.Generator().manual_seed(9)), 0.7, 4)
    with torch.no_grad():
        images = G.synthesis(ws)
        error = (G.synthesis(ws, base={encoder.layer: encoder(images)}) - images).square().mean()
        nothing = (G.synthesis(ws, base={encoder.layer: torch.zeros(16, 16, 8, 8)}) - images).square().mean()
    assert error < nothing
    assert encoder.layer == "b8.conv0"


def test_the_learning_rate_falls_in_two_steps(tiny_bundle, monkeypatch):
    rates = []
    step = torch.optim.Adam.step
    monkeypatch.setattr(torch.optim.Adam, "step", lambda self: rates.append(self.param_groups[0]["lr"]) or step(self))
    train_bdinvert(tiny_bundle, BDInvertConfig(steps=10, batch=2, seen=0, decays=(0.5, 0.8)))
    assert rates == pytest.approx([1e-3] * 5 + [1e-4] * 3 + [1e-5] * 2)


def test_an_interrupted_training_goes_on_exactly(tiny_bundle, run, tmp_path):
    def press_ctrl_c(progress):
        if progress.step == 5:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        train_bdinvert(tiny_bundle, CONFIG, press_ctrl_c, Resume(tmp_path / "run.pt", "x"))
    again = train_bdinvert(tiny_bundle, CONFIG, None, Resume(tmp_path / "run.pt", "x"))
    assert fingerprint(again.network) == fingerprint(run.network)
    assert again.history == run.history


def test_the_file_is_the_network(tiny_bundle, run, tmp_path):
    loaded = load_encoder(run.save(tmp_path, 0.0), tiny_bundle.sha256)
    x = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(1)) * 2 - 1
    with torch.no_grad():
        torch.testing.assert_close(loaded(x), run.network.eval()(x), rtol=1e-2, atol=1e-2)
