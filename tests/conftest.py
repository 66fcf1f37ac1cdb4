from contextlib import contextmanager

import pytest
import torch
import torch.nn.functional as F

from ganinv.stylegan2 import Discriminator, Generator
from ganinv.zoo import Bundle

TINY = dict(img_resolution=32, channel_base=256, channel_max=16)


@pytest.fixture(scope="session", autouse=True)
def cache_of_this_run(tmp_path_factory):
    """Nothing that a test keeps lands in the user's cache, and nothing found there decides a test."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GANINV_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def smooth_images(n, seed, resolution=32):
    """Random images ``[n, 3, R, R]`` in [-1, 1] made of a few soft patches of colour."""
    random = torch.Generator().manual_seed(seed)
    patches = torch.rand(n, 3, 4, 4, generator=random) * 2 - 1
    return F.interpolate(patches, size=(resolution, resolution), mode="bicubic").clamp(-1, 1)


def to_bytes(images):
    return (images * 127.5 + 127.5).round().to(torch.uint8)


def random_bundle(seed=0):
    """An untrained StyleGAN2 of 32 pixels in which nothing is at the zero where training starts: noise strengths, biases, ``w_avg``."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        G = Generator(z_dim=16, w_dim=16, num_layers=2, **TINY)
        D = Discriminator(**TINY)
        for name, tensor in [*G.synthesis.named_parameters(), *D.named_parameters()]:
            if name.endswith("noise_strength"):
                tensor.data.fill_(0.1)
            elif name.endswith("bias"):
                tensor.data.add_(torch.randn_like(tensor), alpha=0.1)
        with torch.no_grad():
            G.mapping.w_avg.copy_(G.mapping(torch.randn(1000, 16))[:, 0].mean(dim=0))
    return Bundle(
        f"tiny{seed}",
        G,
        D,
        reference=to_bytes(smooth_images(32, 1)),
        heldout=to_bytes(smooth_images(8, 2)),
        card={"licence": "none, it is random"},
    )


@pytest.fixture(scope="session")
def tiny_bundle():
    """A bundle small enough for a step of any method to take milliseconds. Shared by all tests: no method may change it."""
    return random_bundle()


@pytest.fixture(scope="session")
def another_bundle():
    """The same architecture with other weights."""
    return random_bundle(seed=1)


@pytest.fixture(scope="session")
def make_bundle():
    """``make_bundle(seed)``: a bundle of one's own, which may be changed; seed 0 has the weights of ``tiny_bundle``."""
    return random_bundle


@pytest.fixture(scope="session")
def tiny_targets():
    """Two photos ``[2, 3, 32, 32]`` in [-1, 1]."""
    return smooth_images(2, 3)


@pytest.fixture(scope="session")
def tiny_array():
    """Training images as the trainer takes them: a uint8 array ``[48, 3, 32, 32]``."""
    return to_bytes(smooth_images(48, 4)).numpy()


@pytest.fixture(scope="session")
def double():
    """``with double():`` the default dtype is float64."""

    @contextmanager
    def doubled():
        before = torch.get_default_dtype()
        torch.set_default_dtype(torch.float64)
        try:
            yield
        finally:
            torch.set_default_dtype(before)

    return doubled
