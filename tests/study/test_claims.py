"""The claims about a comparison, on tables made by hand."""

import dataclasses

import pytest

from ganinv.inversion import METHODS
from ganinv.study import Row, Study, Variant
from ganinv.study.claims import ONE_PASS, OPTIMISERS, TUNING, claims

(
    COMPLETE,
    COMPLETE_REAL,
    SLOWER,
    LOWER,
    LESS,
    THREE,
    FOUR,
    LESS_REAL,
    THREE_REAL,
    FOUR_REAL,
    PERCEPTUAL,
    PERCEPTUAL_REAL,
) = range(12)


@pytest.fixture
def make(tiny_bundle):
    def make(**changes):
        """Three photos, of which the last is an outlier in everything: a median does not see it. ``changes`` are (mse, seconds, perceptual)."""
        photos = dict.fromkeys("abc")
        rows = []
        for name in METHODS:
            mse, seconds = (0.01, 0.1) if name in ONE_PASS else (0.004, 1.0)
            mse, seconds, perceptual = changes.get(
                name.replace("-", "_"), (0.0004, 20.0, 0.5) if name == "near-perfect" else (mse, seconds, 1.0)
            )
            for photo, factor in (("a", 0.9), ("b", 1.0), ("c", 300.0)):
                rows.append(
                    Row(
                        photo,
                        name,
                        mse * factor,
                        mse * factor,
                        20.0,
                        0.9,
                        perceptual * factor,
                        seconds * factor,
                        None,
                        None,
                    )
                )
        return Study(
            "compare",
            tiny_bundle,
            photos,
            {name: Variant(name, method.config) for name, method in METHODS.items()},
            "trunk",
            0,
            rows=rows,
        )

    return make


def test_the_names_are_those_of_methods():
    assert {*ONE_PASS, *OPTIMISERS, *TUNING} < set(METHODS)
    assert not {*ONE_PASS} & {*OPTIMISERS}


def test_all_hold(make):
    found = claims(make(), make())
    assert all(held for _, _, held in found)
    assert len(found) == 12
    assert found[FOUR].measured == found[THREE_REAL].measured == "10.0 times (0.0004, projection-z 0.004)"
    assert found[SLOWER].measured == "projection-z 1, psp 0.1"


@pytest.mark.parametrize(
    ("changes", "broken", "said"),
    [
        (dict(projection_w=(0.004, 0.05, 1.0)), {SLOWER}, "projection-w 0.05, psp 0.1; not projection-w"),
        (
            dict(e4e=(0.01, 1.5, 1.0), near_perfect=(0.0004, 0.7, 0.5)),
            {SLOWER},
            "near-perfect 0.7, e4e 1.5; not projection-z, ",
        ),
        (dict(projection_z=(0.02, 1.0, 1.0)), {LOWER}, "projection-z 0.02, psp 0.01; not projection-z"),
        (dict(psp=(0.002, 0.1, 1.0)), {LOWER}, "not projection-z, projection-w, "),
        (dict(hfgi=(0.0015, 0.1, 1.0)), {FOUR}, "3.8 times (0.0004, hfgi 0.0015)"),
        (dict(pti=(0.0001, 30.0, 1.0)), set(), ""),  # it tunes the generator, too
        (dict(pti=(0.004, 30.0, 0.4)), {PERCEPTUAL}, "0.5, pti 0.4"),
    ],
)
def test_what_does_not_hold(make, changes, broken, said):
    found = claims(make(**changes), make())
    assert {i for i, claim in enumerate(found) if not claim.held} == broken
    if broken:
        assert said in found[min(broken)].measured


@pytest.mark.parametrize(
    ("hfgi", "broken"),
    [(0.0014, {FOUR_REAL}), (0.001, {THREE_REAL, FOUR_REAL}), (0.0003, {LESS_REAL, THREE_REAL, FOUR_REAL})],
)
def test_the_verdicts_say_how_far_a_set_goes(make, hfgi, broken):
    """Lower, three times lower, four times lower: each is a claim, of each set."""
    found = claims(make(), make(hfgi=(hfgi, 0.1, 1.0), pti=(0.004, 30.0, 0.4)))
    assert {i for i, claim in enumerate(found) if not claim.held} == broken | {PERCEPTUAL_REAL}
    assert found[THREE_REAL].measured.endswith(f" times (0.0004, hfgi {hfgi:g})")


def test_a_missing_row_is_named(make):
    study = make()
    study.rows = [
        row for row in study.rows if (row.method, row.image) not in {("pti", "b"), ("bdinvert", "a"), ("bdinvert", "c")}
    ]
    found = claims(study, make())
    assert not found[COMPLETE].held
    assert found[COMPLETE].measured == "33 of 36; without bdinvert, pti"
    assert found[COMPLETE_REAL].held


def test_claims_about_methods_without_results_are_not_held(make):
    study = make()
    study.rows = [row for row in study.rows if row.method != "psp"]
    assert [claims(study, make())[i].held for i in (SLOWER, LOWER)] == [False, False]
    empty = dataclasses.replace(study, rows=[])
    assert not any(claim.held for claim in claims(empty, empty))


def test_two_photos_decide_nothing_but_what_is_there(make):
    study = make()
    study.photos = dict.fromkeys("ab")
    study.rows = [row for row in study.rows if row.image in study.photos]
    found = claims(study, study)
    assert [claim.verdict.verdict for claim in found] == ["held"] * 2 + ["undecided"] * 10
    assert "n = 2" in str(found[FOUR].verdict)


def test_a_median_by_luck_is_undecided(make):
    """On one photo of three near-perfect's perceptual distance is the best by far, on the others it is not."""
    study = make()
    worse = {"a": 1.2, "c": 360.0}
    study.rows = [
        dataclasses.replace(row, perceptual=worse[row.image])
        if row.method == "near-perfect" and row.image in worse
        else row
        for row in study.rows
    ]
    assert claims(study, make())[PERCEPTUAL].verdict.verdict == "undecided"
