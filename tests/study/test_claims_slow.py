"""The claims of the book's benchmark, by all methods on both sets of photos (an hour on two cores)."""

import pytest

from ganinv import load
from ganinv.editing import directions
from ganinv.editing.measure import networks
from ganinv.inversion import METHODS
from ganinv.study import compare, held, photo_set
from ganinv.study.claims import claims
from ganinv.study.edits import study_edits

pytestmark = pytest.mark.slow


def test_near_perfect_inversion_against_all_methods():
    gan = load("faces64")
    studies = [
        compare(gan, photo_set(name, gan), list(METHODS), source=name, samples=0, jobs=2)
        for name in ("heldout", "real")
    ]
    assert [study.failures for study in studies] == [[], []]
    broken = [claim for claim in claims(*studies) if not claim.held]
    assert broken == []


def test_most_of_an_edit_is_left_after_near_perfect_inversion():
    gan = load("faces64")
    photos, named = photo_set("real", gan), directions(gan)
    study = study_edits(gan, photos, named, networks(), ["near-perfect"], (-1.5, 1.5), jobs=2)
    assert study.failures == []
    gains = [study.by_photo("near-perfect", "gain")[name] for name in photos]
    assert held("more than half of an edit is left", gains, 0.5)
