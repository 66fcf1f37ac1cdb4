from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from nvidia_double import TRACE
from safetensors import safe_open

from ganinv.stylegan2 import Discriminator, Generator

DATA = Path(__file__).parents[1] / "data"


def read_official(resolution):
    """Official networks: their configuration, state dicts, inputs and outputs."""
    with safe_open(DATA / f"stylegan2_{resolution}.safetensors", "pt") as file:
        meta = file.metadata()
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a dict)
    common = dict(
        img_resolution=resolution,
        channel_base=int(meta["channel_base"]),
        channel_max=int(meta["channel_max"]),
        conv_clamp=None if meta["conv_clamp"] == "None" else int(meta["conv_clamp"]),
    )
    return SimpleNamespace(
        **{key: value for key, value in tensors.items() if "." not in key},
        G={key.removeprefix("G."): value for key, value in tensors.items() if key.startswith("G.")},
        D={key.removeprefix("D."): value for key, value in tensors.items() if key.startswith("D.")},
        G_config=dict(
            z_dim=int(meta["z_dim"]), w_dim=int(meta["w_dim"]), num_layers=int(meta["mapping_layers"]), **common
        ),
        D_config=dict(mbstd_group_size=int(meta["mbstd_group"]), **common),
    )


@pytest.fixture(scope="session", params=[64, 32])
def official(request):
    return read_official(request.param)


@pytest.fixture(scope="session")
def official64():
    return read_official(64)


@pytest.fixture
def matches():
    """``matches(checkpoint, official)``: images, latents and logits are the official networks'."""

    @torch.no_grad()
    def check(checkpoint, official, tolerance=1e-4):
        ws = checkpoint.G.mapping(official.z)
        torch.testing.assert_close(ws, official.ws, atol=tolerance, rtol=0)
        torch.testing.assert_close(checkpoint.G.synthesis(ws), official.img_const, atol=tolerance, rtol=0)
        truncated = checkpoint.G.mapping(official.z, truncation_psi=0.6, truncation_cutoff=4)
        torch.testing.assert_close(truncated, official.ws_truncated, atol=tolerance, rtol=0)
        if checkpoint.D is not None:
            torch.testing.assert_close(checkpoint.D(official.d_input), official.d_logits, atol=tolerance, rtol=0)

    return check


def ours(official):
    G, D = Generator(**official.G_config), Discriminator(**official.D_config)
    G.load_state_dict(official.G)
    D.load_state_dict(official.D)
    return {"G_ema": G.eval(), "D": D.eval()}


@pytest.fixture(scope="session")
def networks(official):
    """ganinv's networks with the official weights."""
    return ours(official)


@pytest.fixture(scope="session")
def networks64(official64):
    return ours(official64)


@pytest.fixture(scope="session")
def tiny():
    """The smallest networks there are, for tests that read a file thousands of times. Biases, strengths and w_avg are not zero."""
    torch.manual_seed(1)
    G = Generator(z_dim=4, w_dim=4, img_resolution=8, num_layers=1, channel_base=32, channel_max=4)
    D = Discriminator(img_resolution=8, channel_base=32, channel_max=4)
    for tensor in [*G.parameters(), *D.parameters(), G.mapping.w_avg]:
        if tensor.ndim < 2:
            tensor.data.normal_()
    return {"G_ema": G.eval(), "D": D.eval()}


@pytest.fixture(autouse=True)
def trace(tmp_path, monkeypatch):
    """A file that would appear if anything in a checkpoint were executed."""
    path = tmp_path / "executed"
    monkeypatch.setenv(TRACE, str(path))
    return path


def assert_same(a, b):
    """Two network dicts hold the same bits."""
    assert a.keys() == b.keys()
    for name in a:
        assert a[name].config == b[name].config
        mine, theirs = a[name].state_dict(), b[name].state_dict()
        assert mine.keys() == theirs.keys()
        for key, tensor in mine.items():
            assert torch.equal(tensor, theirs[key]), (name, key)


@pytest.fixture
def same():
    return assert_same
