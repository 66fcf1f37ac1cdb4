"""What is kept in the user's cache: found again under exactly the same conditions, and never trusted blindly."""

import numpy as np
import pytest
import torch

from ganinv import cache
from ganinv.cache import cache_folder, fingerprint, software
from ganinv.perception import frechet
from ganinv.perception.frechet import generator_statistics
from ganinv.report import ManifoldCheck
from ganinv.stylegan2 import Discriminator, Generator
from ganinv.zoo import Bundle


@pytest.fixture(autouse=True)
def empty_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("GANINV_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def drawn(monkeypatch):
    """The numbers of images that were drawn, call by call."""
    calls = []
    draw = frechet.sample_images

    def counting(G, n, *arguments):
        calls.append(n)
        return draw(G, n, *arguments)

    monkeypatch.setattr(frechet, "sample_images", counting)
    return calls


def test_the_folder_is_named_by_the_environment(monkeypatch, tmp_path):
    assert cache_folder() == tmp_path / "cache"
    monkeypatch.delenv("GANINV_CACHE")
    assert cache_folder().name == "ganinv"


def test_a_fingerprint_sees_every_part():
    x, net = torch.arange(6.0), torch.nn.Linear(2, 3)
    parts = ["text", x, net, None]
    same = fingerprint(*parts)
    assert fingerprint(*parts) == same
    assert fingerprint("text", x.clone(), net, None) == same
    changed = torch.nn.Linear(2, 3)
    changed.load_state_dict({**net.state_dict(), "bias": net.bias + 1})
    others = [
        ["text", x, net],
        ["tex", "t", x, net, None],
        ["text", x.reshape(2, 3), net, None],
        ["text", x.double(), net, None],
    ]
    others += [["text", -x, net, None], ["text", x, changed, None], ["None", x, net, None], ["text", x, None, net]]
    assert len({same, *(fingerprint(*other) for other in others)}) == 1 + len(others)


def test_a_fingerprint_sees_what_computes_differently_with_the_same_weights(tiny_bundle):
    """A clamp, the groups of the minibatch standard deviation, another class."""

    class Other(Discriminator):
        pass

    sizes = dict(img_resolution=32, channel_base=256, channel_max=16)
    networks = [
        *(Generator(16, 16, num_layers=2, **sizes, conv_clamp=clamp) for clamp in (None, 2.0)),
        *(
            kind(**sizes, mbstd_group_size=group)
            for kind, group in ((Discriminator, 4), (Discriminator, 2), (Other, 4))
        ),
    ]
    for network in networks:
        like = tiny_bundle.G if isinstance(network, Generator) else tiny_bundle.D
        network.load_state_dict(like.state_dict())
    assert len({fingerprint(network) for network in networks}) == len(networks)
    assert fingerprint(networks[0]) == fingerprint(tiny_bundle.G)
    assert Bundle("a", networks[0]).sha256 == tiny_bundle.sha256 != Bundle("a", networks[1]).sha256


def test_the_memory_layout_does_not_matter():
    x = torch.randn(2, 3, 4, 5)
    assert fingerprint(x.contiguous(memory_format=torch.channels_last)) == fingerprint(x)
    assert fingerprint(torch.tensor(1.5)) != fingerprint(torch.tensor([1.5]))


def test_another_version_computes_anew(monkeypatch):
    here = software()
    with monkeypatch.context() as patch:
        patch.setattr("ganinv.__version__", "99")
        software.cache_clear()
        assert software() != here
    software.cache_clear()
    assert software() == here


def test_statistics_are_drawn_once(tiny_bundle, drawn):
    first = generator_statistics(tiny_bundle.G, 8, seed=1, cache=True)
    again = generator_statistics(tiny_bundle.G, 8, seed=1, cache=True)
    assert drawn == [8]
    assert np.array_equal(first.cov, again.cov)
    assert np.array_equal(generator_statistics(tiny_bundle.G, 8, seed=1).cov, first.cov)
    assert drawn == [8, 8]


def test_other_weights_samples_and_seeds_are_other_statistics(tiny_bundle, another_bundle, drawn):
    for G, n, seed, noise_mode in [
        (tiny_bundle.G, 8, 0, "random"),
        (another_bundle.G, 8, 0, "random"),
        (tiny_bundle.G, 9, 0, "random"),
        (tiny_bundle.G, 8, 1, "random"),
        (tiny_bundle.G, 8, 0, "const"),
    ]:
        generator_statistics(G, n, seed, noise_mode, cache=True)
    assert drawn == [8, 8, 9, 8, 8]


def test_a_damaged_file_is_replaced(tiny_bundle, drawn):
    whole = generator_statistics(tiny_bundle.G, 8, cache=True)
    (path,) = (cache_folder() / "statistics").iterdir()
    path.write_bytes(path.read_bytes()[:100])
    assert np.array_equal(generator_statistics(tiny_bundle.G, 8, cache=True).mean, whole.mean)
    generator_statistics(tiny_bundle.G, 8, cache=True)
    assert drawn == [8, 8]


def test_a_cache_that_cannot_be_written_does_no_harm(tiny_bundle, drawn, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    monkeypatch.setenv("GANINV_CACHE", str(tmp_path / "file"))
    for _ in range(2):
        generator_statistics(tiny_bundle.G, 8, cache=True)
    assert drawn == [8, 8]


def test_progress_counts_the_images(tiny_bundle):
    seen = []
    generator_statistics(tiny_bundle.G, 20, batch=8, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(8, 20), (16, 20), (20, 20)]


def test_the_untouched_generator_is_measured_once(tiny_bundle, drawn):
    distances = [ManifoldCheck(tiny_bundle, samples=12).before for _ in range(2)]
    assert drawn == [12]
    assert distances[0] == distances[1] == ManifoldCheck(tiny_bundle, samples=12).distance(tiny_bundle.G)


def test_the_sources_that_matter_are_there():
    root = cache.Path(cache.__file__).parent
    assert all((root / name).exists() for name in cache._NUMERICAL)
