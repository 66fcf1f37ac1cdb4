"""Every solver on another device: the same image, on the CPU."""

import pytest
import torch
from far import FAR, far, here
from linear_double import QUICK

from ganinv.inverse import recover


@pytest.mark.parametrize("name", QUICK)
@pytest.mark.parametrize("problem", ["gaussian:60", "fourier:0.3"])
def test_the_same_on_another_device(name, problem, tiny_bundle, tiny_targets, quick):
    expected = recover(tiny_bundle, tiny_targets[:1], problem, name, quick[name])
    with far():
        found = recover(tiny_bundle.to(FAR), tiny_targets[:1], problem, name, quick[name])
    tensors = [
        found.image,
        found.y,
        found.misfit,
        *(t for t in (found.ws, found.candidates, found.losses) if t is not None),
    ]
    assert all(map(here, tensors))
    assert torch.equal(found.image, expected.image)
    assert found.history == expected.history
