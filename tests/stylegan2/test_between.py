"""Mixed weights of two generators."""

import pytest
import torch

from ganinv import GanInvError
from ganinv.stylegan2 import Generator
from ganinv.stylegan2.between import between

Z = torch.randn(2, 16, generator=torch.Generator().manual_seed(0))


def drawn(G):
    return G(Z, noise_mode="const")


def test_at_its_ends_it_is_one_of_the_two(tiny_bundle, another_bundle):
    a, b = tiny_bundle.G, another_bundle.G
    assert torch.equal(drawn(between(a, b, 0)), drawn(a))
    assert torch.equal(drawn(between(a, b, 1)), drawn(b))
    assert between(a, b, 1).mapping.w_avg.equal(b.mapping.w_avg)


def test_every_number_is_mixed_and_neither_generator_changes(tiny_bundle, another_bundle):
    a, b = tiny_bundle.G, another_bundle.G
    before = {name: tensor.clone() for name, tensor in a.state_dict().items()}
    mixed = between(a, b, 0.25).state_dict()
    for name, tensor in a.state_dict().items():
        assert tensor.equal(before[name])
        torch.testing.assert_close(mixed[name], 0.75 * tensor + 0.25 * b.state_dict()[name])


def test_the_coarse_blocks_can_be_kept(tiny_bundle, another_bundle):
    a, b = tiny_bundle.G, another_bundle.G
    mixed = between(a, b, 1, above=8).state_dict()
    for name, tensor in mixed.items():
        fine = name.startswith(("synthesis.b16.", "synthesis.b32."))
        assert tensor.equal((b if fine else a).state_dict()[name]), name


def test_other_sizes_cannot_be_mixed(tiny_bundle):
    with pytest.raises(GanInvError, match="same sizes"):
        between(tiny_bundle.G, Generator(16, 16, 16, 2, 256, 16), 0.5)
