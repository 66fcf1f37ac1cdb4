"""What counts as held: on numbers whose verdict is known."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from ganinv.study import Verdict, correlated, held, together, within
from ganinv.study.held import FEWEST


def around(mean, error, n):
    """n values with exactly this mean and this standard error of it."""
    values = np.linspace(-1, 1, n)
    return mean + values / values.std(ddof=1) * error * math.sqrt(n)


def test_the_numbers_are_those_of_the_paired_t_test():
    random = np.random.default_rng(0)
    ours, theirs = random.normal(1.0, 1.0, 20), random.normal(0.2, 1.0, 20)
    test = stats.ttest_rel(ours, theirs)
    found = held("ours is larger", ours, theirs)
    assert found.size == pytest.approx((ours - theirs).mean())
    assert found.size / found.standard_error == pytest.approx(test.statistic)
    assert (found.verdict == "held") is bool(test.pvalue < 0.05)
    assert (found.n, found.asked, found.kind) == (20, 0.0, "difference")


@pytest.mark.parametrize(("n", "limit"), [(3, 4.303), (4, 3.182), (8, 2.365), (64, 1.998)])
def test_two_standard_errors_are_more_for_few_photos(n, limit):
    for factor, words in ((1.01, ("held", "not held")), (0.99, ("undecided", "undecided"))):
        values = around(factor * limit, 1.0, n)
        assert (held("above 0", values).verdict, held("below 0", values, less=True).verdict) == words
        assert (held("below 0", -values, less=True).verdict, held("above 0", -values).verdict) == words


def test_pairs_see_what_means_do_not():
    photos = np.array([0.01, 0.1, 1.0, 10.0, 100.0])
    ours = photos * [0.79, 0.8, 0.81, 0.8, 0.8]
    assert held("ours is lower", ours, photos, less=True).verdict == "undecided"  # by difference the last photo is all
    ratio = held("ours is lower", ours, photos, less=True, ratio=True)
    assert ratio.verdict == "held"
    assert ratio.size == pytest.approx(0.8, rel=1e-3)
    assert str(ratio) == "held: ours is lower (0.800 times ± 0.4 %, n = 5)"


def test_a_claim_has_a_size():
    values = around(0.5, 0.05, 16)
    assert [held("by so much", values, at_least=size).verdict for size in (0.0, 0.3, 0.45, 0.55, 0.7)] == [
        "held",
        "held",
        "undecided",
        "undecided",
        "not held",
    ]
    assert held("by so much", -values, at_least=0.3, less=True).verdict == "held"
    ours, theirs = np.full(5, 1.0), np.full(5, 5.0) * [0.98, 1.0, 1.02, 1.01, 0.99]
    four, six = (held("so many times lower", ours, theirs, less=True, ratio=True, at_least=times) for times in (4, 6))
    assert (four.verdict, six.verdict) == ("held", "not held")
    assert four.asked == pytest.approx(1 / 4)
    assert "asked 0.25" in four.measured


def test_a_number_may_be_the_rival():
    assert held("cosine above 0.5", [0.8, 0.9, 0.85, 0.8], 0.5)
    assert held("cosine above 0.5", [0.1, 0.2, 0.15, 0.1], 0.5).verdict == "not held"


def test_the_verdict_never_turns_back_as_the_difference_grows():
    order = {"not held": 0, "undecided": 1, "held": 2}
    for n in (2, 3, 6, 30):
        words = [order[held("more", around(mean, 1.0, n)).verdict] for mean in np.linspace(-6, 6, 61)]
        assert words == sorted(words)


def test_a_claim_is_decided_where_its_interval_leaves_what_was_asked():
    for mean in np.linspace(-1, 1, 21):
        values = around(mean, 0.2, 7)
        found = held("more", values)
        assert found.interval == pytest.approx(stats.t.interval(0.95, 6, mean, 0.2))
        assert (found.verdict == "undecided") is (found.interval[0] < 0 < found.interval[1])
        assert held("more", np.exp(values), ratio=True).interval == pytest.approx(np.exp(found.interval))
    assert all(map(math.isnan, held("more", [1.0]).interval))
    assert all(map(math.isnan, within("small", 1.0, 2.0).interval))


def test_few_photos_decide_nothing():
    assert held("more", []).verdict == "undecided"
    assert math.isnan(held("more", []).size)
    for n in range(1, FEWEST):
        found = held("more", [5.0] * n)
        assert (found.verdict, found.size, found.n) == ("undecided", 5.0, n)
    assert held("more", [5.0] * FEWEST).verdict == "held"
    assert str(held("more", [5.0])) == "undecided: more (+5, n = 1)"


def test_ties_and_no_spread():
    same = [0.1, 0.2, 0.3, 0.7]
    assert held("more", same, same).verdict == held("less", same, same, less=True).verdict == "undecided"
    thrice = [3 * value for value in same]  # a ratio of 3 but for rounding
    assert held("three times", thrice, same, ratio=True, at_least=3).verdict == "undecided"
    assert held("twice", thrice, same, ratio=True, at_least=2).verdict == "held"
    assert held("four times", thrice, same, ratio=True, at_least=4).verdict == "not held"


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(ValueError, match="not finite"):
        held("more", [1.0, math.nan, 2.0])
    with pytest.raises(ValueError, match="not finite"):
        held("more", [1.0, 1.0, 2.0], math.inf)
    with pytest.raises(ValueError, match="one number a photo"):
        held("more", [1.0, 2.0, 3.0], [1.0, 2.0])
    with pytest.raises(ValueError, match="one number a photo"):
        held("more", 1.0)
    with pytest.raises(ValueError, match="positive"):
        held("more", [1.0, 0.0, 3.0], 1.0, ratio=True)
    with pytest.raises(ValueError, match="by nan"):
        within("small", math.nan, 1.0)
    with pytest.raises(ValueError, match="no claims"):
        together("all", [])


def test_tensors_are_taken():
    assert held("more", torch.tensor([1.0, 1.1, 0.9, 1.0]), torch.zeros(4))
    assert within("small", torch.tensor(0.5), 1)


def test_a_line_to_print():
    found = held("HFGI's MSE is lower than e4e's", around(-0.034, 0.004, 64), less=True)
    assert str(found) == "held: HFGI's MSE is lower than e4e's (-0.034 ± 0.004, n = 64)"
    close, far = held("slower", [1.001] * 3, ratio=True), held("slower", [123.0] * 3, ratio=True)
    assert (close.measured, far.measured) == ("1.001 times ± 0 %, n = 3", "123 times ± 0 %, n = 3")
    assert "asked 0.2" in str(held("more by .2", around(0.5, 0.01, 9), at_least=0.2))


def test_together_is_held_only_if_all_are():
    clear, close, open_, contrary = (held("one", around(mean, 1.0, 9)) for mean in (9, 3, 1, -5))
    assert [verdict.verdict for verdict in (clear, close, open_, contrary)] == ["held", "held", "undecided", "not held"]
    assert together("all", [clear, close]).size == pytest.approx(3)
    assert together("all", [clear, close]) == Verdict("all", "held", close.size, close.standard_error, 9, 0.0)
    assert together("all", [clear, open_, close]).verdict == "undecided"
    assert together("all", [open_, contrary, clear]).verdict == "not held"


def test_a_correlation_of_few_things_is_undecided():
    a = [1, 2, 3, 4, 5, 6, 7, 8, 9]
    b = [2, 1, 4, 3, 6, 5, 9, 8, 7]
    loose = [4, 2, 9, 1, 3, 8, 5, 6, 7]
    assert correlated("they agree", a, b).size == pytest.approx(stats.spearmanr(a, b).statistic)
    assert correlated("they agree", a, b).verdict == "held"
    found = correlated("they agree", a, loose)
    assert 0.3 < found.size < 0.5
    assert found.verdict == "undecided"
    assert correlated("they agree", a, a[::-1]).verdict == "not held"
    assert correlated("they are opposed", a, a[::-1], negative=True).verdict == "held"
    # one in three random orders agrees as well, or is opposed
    assert correlated("they agree", [1, 2, 3], [1, 2, 3]).verdict == "undecided"
    assert correlated("they agree", [1, 1, 1, 1], [1, 2, 3, 4]).verdict == "undecided"
    assert correlated("they agree", [1, 2], [1, 2]).verdict == "undecided"
    assert "rank correlation" in str(found)
    assert "n = 9" in str(found)


def test_chance_alone_is_rarely_held_and_as_rarely_not():
    random = np.random.default_rng(0)
    words = [held("more", row).verdict for row in random.normal(size=(2000, 6))]
    assert 0.015 < words.count("held") / 2000 < 0.035
    assert 0.015 < words.count("not held") / 2000 < 0.035


def test_within_is_about_one_number():
    same = within("they are one algorithm", 2e-5, 1e-3)
    assert same
    assert str(same) == "held: they are one algorithm (2e-05, limit 0.001)"
    assert within("the target", 0.004, 0.003).verdict == "not held"
    assert within("bit for bit", 0.0, 0.0)
