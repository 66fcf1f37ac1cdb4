"""The three lines of the README, on a network that takes milliseconds."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

import ganinv
from ganinv import GanInvError
from ganinv.inversion import METHODS, NearPerfect, Projection

CONFIG = Projection(steps=3, perceptual_weight=0.0, w_avg_samples=50)


@pytest.fixture
def photos(tmp_path):
    """A portrait-shaped file and one of the generator's own size."""
    rng = np.random.default_rng(0)
    for name, shape in {"tall.png": (60, 40, 3), "ready.png": (32, 32, 3)}.items():
        Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8)).save(tmp_path / name)
    return tmp_path


def test_everything_promised_is_there():
    assert all(hasattr(ganinv, name) for name in ganinv.__all__)
    assert {"load", "invert", "Inversion", "models", "GanInvError"} <= set(ganinv.__all__)
    assert list(METHODS)[-1] == "near-perfect"
    assert all(method.summary and callable(method.function) for method in METHODS.values())


def test_the_default_method_is_near_perfect(tiny_bundle, tiny_targets):
    result = ganinv.invert(tiny_targets[:1], tiny_bundle, config=NearPerfect(steps=2, initial=CONFIG))
    assert result.method == "near-perfect"
    assert result.image.shape == (1, 3, 32, 32)
    assert result.generator is not tiny_bundle.G


def test_a_file_a_picture_and_several(photos, tiny_bundle):
    def invert(photo):
        return ganinv.invert(photo, tiny_bundle, "projection-wplus", CONFIG, align="center")

    one = invert(photos / "tall.png")
    assert len(one) == 1
    assert torch.equal(invert(str(photos / "tall.png")).ws, one.ws)
    assert torch.equal(invert(Image.open(photos / "tall.png")).ws, one.ws)
    both = invert([photos / "tall.png", Image.open(photos / "ready.png")])
    assert len(both) == 2
    assert torch.equal(both.target[:1], one.target)


def test_a_tensor_is_used_as_it_is(tiny_bundle, tiny_targets):
    assert torch.equal(ganinv.invert(tiny_targets, tiny_bundle, "projection-w", CONFIG).target, tiny_targets)


def test_align_none(photos, tiny_bundle):
    result = ganinv.invert(photos / "ready.png", tiny_bundle, "projection-wplus", CONFIG, align="none")
    pixels = torch.from_numpy(np.array(Image.open(photos / "ready.png"))).permute(2, 0, 1)
    torch.testing.assert_close(result.target[0], pixels / 127.5 - 1)
    with pytest.raises(GanInvError, match="40 x 60"):
        ganinv.invert(photos / "tall.png", tiny_bundle, "projection-wplus", CONFIG, align="none")


def test_an_unknown_method_lists_the_known(tiny_bundle, tiny_targets):
    with pytest.raises(GanInvError, match=r"no method 'ipt': choose from projection-z, .*near-perfect"):
        ganinv.invert(tiny_targets, tiny_bundle, "ipt")


def test_another_methods_config_is_refused(tiny_bundle, tiny_targets):
    with pytest.raises(GanInvError, match="'pti' takes a PTI as its config, not a NearPerfect"):
        ganinv.invert(tiny_targets, tiny_bundle, "pti", NearPerfect())


def test_no_photo_is_refused(tiny_bundle):
    with pytest.raises(GanInvError, match="give at least one"):
        ganinv.invert([], tiny_bundle)


def test_a_missing_photo_is_named(tiny_bundle, tmp_path):
    with pytest.raises(GanInvError, match=r"nobody\.jpg"):
        ganinv.invert(tmp_path / "nobody.jpg", tiny_bundle)


def test_the_resume_file_is_gone_after_success(tiny_bundle, tiny_targets, tmp_path):
    ganinv.invert(tiny_targets, tiny_bundle, "projection-w", CONFIG, resume=str(tmp_path / "run.pt"))
    assert list(tmp_path.iterdir()) == []


def test_importing_leaves_signals_threads_and_randomness_alone():
    code = (
        "import signal, torch; before = signal.getsignal(signal.SIGINT), torch.get_num_threads(), torch.initial_seed();"
        "import ganinv; assert before == (signal.getsignal(signal.SIGINT), torch.get_num_threads(), torch.initial_seed())"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
