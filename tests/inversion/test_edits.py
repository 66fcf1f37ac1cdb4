"""One contract: whatever the method, ``inversion.render(direction.at(2))`` draws the edit, and at strength 0 the reconstruction."""

import dataclasses

import pytest
import torch

from ganinv import GanInvError, Inversion
from ganinv.editing import Direction
from ganinv.inversion import METHODS


@pytest.fixture(scope="module")
def inverted(tiny_bundle, tiny_targets, short_configs):
    """``inverted(method)``: two photos."""
    found = {}

    def invert(name):
        if name not in found:
            found[name] = METHODS[name].function(tiny_bundle, tiny_targets, short_configs[name])
        return found[name]

    return invert


@pytest.fixture(scope="module")
def smile(tiny_bundle):
    return Direction("smile", torch.randn(16, generator=torch.Generator().manual_seed(0))).measured(tiny_bundle)


@pytest.fixture(scope="module")
def lips(tiny_bundle):
    random = torch.Generator().manual_seed(1)
    return Direction(
        "lips", {"b8.conv1": torch.randn(16, generator=random), "b32.conv0": torch.randn(16, generator=random)}
    )


@pytest.mark.parametrize("method", METHODS)
def test_an_edit_of_strength_zero_is_the_reconstruction(inverted, smile, lips, method):
    result = inverted(method)
    assert torch.equal(result.render(smile.at(0)), result.image)
    assert torch.equal(result.render(smile.at(0) + lips.at(0)), result.image)
    assert torch.equal(result[1].render(lips.at(0)), result[1].image)


@pytest.mark.parametrize("method", METHODS)
def test_an_edit_is_drawn_by_the_photos_own_generator(inverted, smile, lips, method):
    result = inverted(method)
    ws = result.ws + 1.5 * smile.step
    torch.testing.assert_close(result.render(smile.at(1.5)), result.render(ws), atol=1e-4, rtol=1e-4)
    assert (result.render(smile.at(1.5)) - result.image).abs().amax(dim=(1, 2, 3)).min() > 0.01
    styles = {  # of each photo's generator, at its own code
        name: torch.cat([G.synthesis.styles(ws[i : i + 1])[name] + 2 * part for i, G in enumerate(result.generators)])
        for name, part in lips.step.items()
    }
    together = result.render(smile.at(1.5) + lips.at(2))
    assert (together - result.render(smile.at(1.5))).abs().amax(dim=(1, 2, 3)).min() > 0.01
    if METHODS[method].adapt is None:
        torch.testing.assert_close(together, result.draw(ws, styles), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("method", ["near-perfect", "hfgi", "bdinvert"])
def test_a_saved_clone_edits_the_same(inverted, smile, lips, method, tiny_bundle, tmp_path):
    result = inverted(method)
    loaded = Inversion.load(result.save(tmp_path), tiny_bundle)
    edit = smile.at(1.5) + lips.at(-1)
    assert torch.equal(loaded.render(edit), result.render(edit))
    assert torch.equal(loaded[1].render(edit), result[1].render(edit))


def test_hfgi_aligns_what_it_fuses(inverted, smile):
    result = inverted("hfgi")
    edit = smile.at(1.5)
    ws = edit.codes(result.ws, result.styles)[0]
    assert not torch.allclose(result.render(edit), result.draw(ws), atol=1e-3)


def test_an_edit_of_another_generator_is_refused(inverted, smile):
    with pytest.raises(GanInvError, match="the direction smile is of width 8"):
        inverted("psp").render(dataclasses.replace(smile, step=torch.ones(8)).at(1))
