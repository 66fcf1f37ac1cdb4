"""Where methods stand, told by what they do: for the registered ones, and for one that is registered here."""

import dataclasses

import pytest
import torch

from ganinv import GanInvError
from ganinv.inversion import METHODS, THREE_LOSSES, TUNED_NOISE, Inversion, Projection, method
from ganinv.inversion.register import SEARCH
from ganinv.study import taxonomy
from ganinv.study.taxonomy import NO, STAND_IN, YES, Place, besides, from_home, places, space_of, unknowns
from ganinv.stylegan2.controls import Controls


@pytest.fixture(scope="module")
def found():
    return {place.method: place for place in places()}


def test_every_registered_method_has_its_place(found):
    assert list(found) == list(METHODS)
    assert all(found[name].kind == entry.kind for name, entry in METHODS.items())
    assert [found[f"projection-{name}"].space for name in ("z", "w", "wplus")] == ["Z", "W", "W+"]
    assert found["bdinvert"].space == "F/W+"
    assert {name: place.besides for name, place in found.items() if place.besides} == {
        "projection-w": ("noise maps",),
        "projection-wplus": ("noise maps",),
        "bdinvert": ("feature maps",),
        "hfgi": ("gains and shifts",),
        "pti": ("weights",),
        "near-perfect": ("weights",),
    }


def test_what_methods_cannot_do_without(found):
    """An encoder of its own cannot be replaced, the one of a start can; one method plays the game on, and needs both of its sides."""
    assert {name for name, place in found.items() if place.encoder == YES} == {
        name for name, entry in METHODS.items() if entry.recipe
    }
    assert {name for name, place in found.items() if place.encoder == STAND_IN} == {"pti", "near-perfect"}
    assert [name for name, place in found.items() if place.D != NO] == ["near-perfect"]
    assert [name for name, place in found.items() if place.images != NO] == ["near-perfect"]
    assert (found["near-perfect"].D, found["near-perfect"].images) == (YES, STAND_IN)


def test_the_configuration_decides():
    """The same method with the noise maps tuned, without an adversarial loss, and with a search as its start."""
    start = Projection(steps=1, perceptual_weight=0.0, optimise_noise=False, w_avg_samples=50)
    tuned = dataclasses.replace(TUNED_NOISE, lambda_adv=0.0, lambda_global=0.0, initial=start)
    assert places({"near-perfect": tuned}) == [
        Place("near-perfect", METHODS["near-perfect"].kind, "W+", ("noise maps", "weights"), NO, NO, NO)
    ]
    (generated,) = places({"near-perfect": dataclasses.replace(THREE_LOSSES, reals="generator", initial=start)})
    assert (generated.encoder, generated.D, generated.images) == (NO, YES, NO)


def test_a_method_that_was_registered_a_moment_ago():
    @dataclasses.dataclass(frozen=True)
    class Nothing:
        steps: int = 1

    def picky(gan, target, config=None, callback=None, resume=None):
        if gan.reference is None:
            raise GanInvError("no images: give some.")
        ws = gan.G.mapping.w_avg.repeat(len(target), gan.G.num_ws, 1)
        return Inversion(
            "picky", gan, target, ws, Controls.of(styles={"b4.conv1": torch.ones(1, 16)}), config={"steps": 1}
        )

    try:
        method("picky", Nothing(), "wants images", SEARCH)(picky)
        assert places({"picky": Nothing()}) == [Place("picky", SEARCH, "W", ("styles",), NO, NO, YES)]
    finally:
        METHODS.pop("picky", None)


def test_an_error_that_is_no_users_mistake_is_not_taken_for_a_need(monkeypatch):
    broken = dataclasses.replace(METHODS["psp"], function=lambda *_: 1 / 0)
    monkeypatch.setitem(METHODS, "psp", broken)
    with pytest.raises(ZeroDivisionError):
        places({"psp": broken.config})


def test_the_laboratory_leaves_random_numbers_alone():
    torch.manual_seed(7)
    expected = torch.randn(3)
    torch.manual_seed(7)
    with taxonomy.laboratory():
        assert torch.equal(torch.randn(3), expected)


def inversion_of(gan, target, ws, **controls):
    return Inversion("psp", gan, target, ws, Controls.of(**controls), config={"encoder": "psp"})


def test_what_a_photo_is_made_of(tiny_bundle, tiny_targets):
    G = tiny_bundle.G
    w, rows = torch.randn(2, 1, 16), torch.randn(2, G.num_ws, 16)
    maps = {"b4.conv1": torch.zeros(2, 1, 4, 4), "b8.conv0": torch.zeros(1, 1, 8, 8)}
    one = inversion_of(tiny_bundle, tiny_targets, w.repeat(1, G.num_ws, 1))
    assert (space_of(one), besides(one), unknowns(one)) == ("W", (), 16)
    many = inversion_of(tiny_bundle, tiny_targets, rows, noise=maps)
    assert (space_of(many), besides(many), unknowns(many)) == ("W+", ("noise maps",), 16 * G.num_ws + 16 + 64)
    features = inversion_of(tiny_bundle, tiny_targets, rows, base={"b8.conv0": torch.zeros(2, 16, 8, 8)})
    assert (space_of(features), unknowns(features)) == ("F/W+", 16 * G.num_ws + 16 * 64)
    fused = inversion_of(
        tiny_bundle, tiny_targets, rows, fusion={"b8.conv0": (torch.zeros(2, 16, 8, 8), torch.zeros(2, 16, 8, 8))}
    )
    assert (besides(fused), unknowns(fused)) == (("gains and shifts",), 16 * G.num_ws + 2 * 16 * 64)


def test_home_is_where_the_mapping_network_draws(tiny_bundle, tiny_targets):
    G, sigma = tiny_bundle.G, tiny_bundle.sigma_w
    direction = torch.zeros(2, G.num_ws, 16)
    direction[1, :, 3] = 2.5 * sigma
    there = inversion_of(tiny_bundle, tiny_targets, G.mapping.w_avg + direction)
    assert from_home(there) == pytest.approx([0, 2.5], abs=1e-4)
    with torch.no_grad():
        codes = G.mapping(torch.randn(4000, 16, generator=torch.Generator().manual_seed(1)))
    distances = torch.tensor(from_home(inversion_of(tiny_bundle, tiny_targets, codes)))
    assert distances.square().mean().sqrt() == pytest.approx(1, abs=0.05)
