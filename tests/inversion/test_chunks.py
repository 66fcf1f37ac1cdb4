"""Many photos, a few at a time."""

import dataclasses
import signal

import pytest
import torch

import ganinv
from ganinv.inversion import METHODS, Projection, projection
from ganinv.inversion.chunks import in_chunks, joined
from ganinv.run import Resume
from ganinv.stylegan2.controls import Controls

CONFIG = Projection(steps=3, perceptual_weight=0.0, w_avg_samples=50)
chunked = in_chunks(2)(projection.__wrapped__)


def draw(n):
    """Photos ``[n, 3, 32, 32]`` of one colour each."""
    return torch.linspace(-1, 1, 3 * n).reshape(n, 3, 1, 1).expand(-1, -1, 32, 32)


@pytest.fixture(scope="module")
def photos():
    return draw(5)


@pytest.fixture(scope="module")
def whole(tiny_bundle, photos):
    return projection.__wrapped__(tiny_bundle, photos, CONFIG)


def test_the_result_is_that_of_all_together(tiny_bundle, photos, whole):
    result = chunked(tiny_bundle, photos, CONFIG)
    torch.testing.assert_close(result.image, whole.image, atol=0.02, rtol=0)  # Adam magnifies rounding
    assert result.target is photos
    assert result.controls.keys() == whole.controls.keys()
    assert [maps.shape for maps in result.noise.values()] == [maps.shape for maps in whole.noise.values()]
    assert sorted((row["photo"], row["step"]) for row in result.history) == sorted(
        (row["photo"], row["step"]) for row in whole.history
    )
    assert (result.config, result.method, len(result.initial)) == (whole.config, whole.method, 5)
    assert result.seconds > 0


def test_a_callback_is_told_which_photos(tiny_bundle, photos):
    seen = []
    chunked(tiny_bundle, photos, CONFIG, seen.append)
    assert list(dict.fromkeys(progress.stage.split(", ")[1] for progress in seen)) == [
        "photos 1 to 2",
        "photos 3 to 4",
        "photos 5 to 5",
    ]
    assert len(seen) == 9


def test_an_interrupted_run_goes_on_and_keeps_results_alone(tiny_bundle, photos, tmp_path):
    whole, starts = chunked(tiny_bundle, photos, CONFIG), 0
    file = tmp_path / "run.pt"
    while True:
        starts += 1
        try:
            result = chunked(
                tiny_bundle, photos, CONFIG, lambda _: signal.raise_signal(signal.SIGINT), Resume(file, "x")
            )
            break
        except KeyboardInterrupt:
            saved = torch.load(file, weights_only=True)["stages"]
            finished = [stage for stage in saved.values() if set(stage) == {"result"}]
            assert len(finished) == (starts - 1) // 3  # the others, and nothing of these but what they found
    assert starts == 10
    assert torch.equal(result.image, whole.image)
    assert result.history == whole.history


@pytest.mark.parametrize("method", ["projection-z", "projection-w"])
def test_no_method_takes_all_at_once(tiny_bundle, method, monkeypatch):
    """As many as a chunk are in the synthesis at a time, however many there are."""
    sizes, restarts = [], 1
    forward = type(tiny_bundle.G.synthesis).forward
    monkeypatch.setattr(
        type(tiny_bundle.G.synthesis),
        "forward",
        lambda self, ws, *a, **k: sizes.append(len(ws)) or forward(self, ws, *a, **k),
    )
    config = dataclasses.replace(
        METHODS[method].config, steps=1, perceptual_weight=0.0, w_avg_samples=50, restarts=restarts
    )
    result = ganinv.invert(draw(35), tiny_bundle, method, config)
    assert len(result) == 35
    assert max(sizes) == 8


def test_a_row_that_all_share_is_repeated(tiny_bundle, photos, whole):
    shared = dataclasses.replace(whole[0], controls=Controls({"noise/b4.conv1": torch.ones(1, 1, 4, 4)}))
    both = joined([shared, shared])
    assert both.controls["noise/b4.conv1"].shape == (2, 1, 4, 4)
    assert [row["photo"] for row in both.history] == [0, 0, 0, 1, 1, 1]


def test_an_untouched_generator_is_not_copied(tiny_bundle, photos):
    result = projection(tiny_bundle, photos, dataclasses.replace(CONFIG, optimise_noise=False))
    assert all(G is tiny_bundle.G for G in result.generators)
