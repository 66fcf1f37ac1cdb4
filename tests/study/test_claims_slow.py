"""The claims of the book's benchmark, by all methods on both sets of photos (an hour on two cores)."""

import pytest

from ganinv import load
from ganinv.editing import directions
from ganinv.editing.measure import networks
from ganinv.inversion import METHODS
from ganinv.study import compare, held, photo_set
from ganinv.study.claims import claims
from ganinv.study.edits import study_edits
from ganinv.study.held import HELD, NOT_HELD, UNDECIDED

pytestmark = pytest.mark.slow

LOWER = "near-perfect's MSE is {} than that of the best method with a fixed generator"
# What the photos said, with the shipped weights and every method's own settings (numbers in benchmarks/README.md). A change of weights or defaults
# that changes a verdict changes this table and the sentences of the book; it is not for making a claim look better
RECORDED = {
    "heldout: every method has a result for every photo": HELD,
    "real: every method has a result for every photo": HELD,
    "heldout: every optimiser is slower than every one-pass encoder": HELD,
    "heldout: every optimiser has a lower MSE than every one-pass encoder": UNDECIDED,  # not of projection-z, whose range is too small
    "heldout: " + LOWER.format("lower"): HELD,
    "heldout: " + LOWER.format("at least 3 times lower"): HELD,
    "heldout: " + LOWER.format("at least 4 times lower"): UNDECIDED,  # the paper's number; 3.9 times was measured
    "real: " + LOWER.format("lower"): HELD,
    "real: " + LOWER.format("at least 3 times lower"): HELD,
    "real: " + LOWER.format("at least 4 times lower"): UNDECIDED,
    "heldout: near-perfect has the best perceptual score": NOT_HELD,  # PTI, which minimises such a distance, has
    "real: near-perfect has the best perceptual score": UNDECIDED,
}


def test_near_perfect_inversion_against_all_methods():
    gan = load("faces64")
    studies = [
        compare(gan, photo_set(name, gan), list(METHODS), source=name, samples=0, jobs=2)
        for name in ("heldout", "real")
    ]
    assert [study.failures for study in studies] == [[], []]
    found = {claim.claim: claim for claim in claims(*studies)}
    for claim in found.values():
        print(claim.verdict, "|", claim.measured)
    assert {name: claim.verdict.verdict for name, claim in found.items()} == RECORDED


def test_most_of_an_edit_is_left_after_near_perfect_inversion():
    gan = load("faces64")
    photos, named = photo_set("real", gan), directions(gan)
    study = study_edits(gan, photos, named, networks(), ["near-perfect"], (-1.5, 1.5), jobs=2)
    assert study.failures == []
    gains = [study.by_photo("near-perfect", "gain")[name] for name in photos]
    assert held("more than half of an edit is left", gains, 0.5)
