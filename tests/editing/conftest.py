import math

import pytest
import torch


@pytest.fixture(scope="session")
def angle():
    """Degrees between two vectors, whatever their lengths."""

    def between(a, b):
        cosine = torch.nn.functional.cosine_similarity(a.double().flatten(), b.double().flatten(), dim=0)
        return math.degrees(math.acos(min(1.0, cosine.item())))

    return between


@pytest.fixture(scope="session")
def codes(tiny_bundle):
    """W of random z, ``[20000, 16]``."""
    with torch.no_grad():
        return tiny_bundle.G.mapping(torch.randn(20_000, 16, generator=torch.Generator().manual_seed(1)))[:, 0]


@pytest.fixture(scope="session")
def ws(tiny_bundle, codes):
    """Three codes ``[3, num_ws, 16]``, of which no two rows are equal."""
    rows = codes[: 3 * tiny_bundle.G.num_ws].reshape(3, tiny_bundle.G.num_ws, 16)
    return rows.contiguous()


@pytest.fixture(scope="session")
def unit():
    """``unit(seed)``: a random unit vector ``[16]``."""

    def make(seed):
        return torch.nn.functional.normalize(torch.randn(16, generator=torch.Generator().manual_seed(seed)), dim=0)

    return make
