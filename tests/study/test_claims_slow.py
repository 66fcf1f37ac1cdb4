"""The claims of the book's benchmark, by all methods on both sets of photos (an hour on two cores)."""

import pytest

from ganinv import load
from ganinv.inversion import METHODS
from ganinv.study import compare, photo_set
from ganinv.study.claims import claims

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
