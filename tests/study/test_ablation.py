"""The ablation: its rows are configurations of near-perfect inversion, and its verdicts are computed from what they measured."""

import dataclasses
import math

import pytest

from ganinv import GanInvError
from ganinv.inversion import THREE_LOSSES, TUNED_NOISE, near_perfect
from ganinv.inversion.near_perfect import INITIAL
from ganinv.perception.scores import mse
from ganinv.study import Row, ablate
from ganinv.study.ablation import FINDINGS, FULL, NO_ADV, NO_GLOBAL, NO_RECON, ROWS, Ablation, find_orderings


def test_rows_are_the_method_without_one_loss(tiny_bundle, photos, short_near_perfect):
    study = ablate(tiny_bundle, photos, short_near_perfect, samples=8)
    assert study.failures == []
    assert len(study.rows) == 8
    for row in study.rows:
        config = dataclasses.replace(short_near_perfect, **ROWS[row.method])
        assert row.mse == pytest.approx(
            mse(near_perfect(tiny_bundle, photos[row.image], config).image.clamp(-1, 1), photos[row.image]).item()
        )
        assert row.frechet_after is not None
    assert len({row.frechet_after for row in study.rows if row.image == "first"}) == 4
    assert study.mean(NO_RECON, "mse") > study.mean(FULL, "mse")
    assert len(study.orderings) == len(FINDINGS)
    for ordering in study.orderings:
        assert ordering.photos == 2
        assert ordering.agreeing <= 2
    first = study.orderings[0]
    assert first.ratio == pytest.approx(study.mean(NO_GLOBAL, "mse") / study.mean(FULL, "mse"))


def tuned(study):
    return study.summary()["tuned"]


def test_both_settings_and_the_fast_profile(tiny_bundle, photos, monkeypatch):
    """(This bundle has no encoders to start from.)"""
    monkeypatch.setattr("ganinv.study.ablation.run_study", lambda study, *arguments: study)
    noise, weights = ablate(tiny_bundle, photos, tune_noise=True), ablate(tiny_bundle, photos)
    assert noise.variants[FULL].config == dataclasses.replace(TUNED_NOISE, lambda_locality=0.0, initial=INITIAL)
    assert weights.variants[FULL].config == dataclasses.replace(THREE_LOSSES, initial=INITIAL)
    for study in (noise, weights):  # the paper's losses, and no other that could do their work
        config = study.variants[FULL].config
        assert (config.lambda_l2, config.lambda_perceptual, config.lambda_locality) == (0, 0, 0)
    assert (tuned(noise), tuned(weights)) == ("weights and noise", "weights only")
    assert (noise.samples, noise.label["profile"]) == (2000, "full")
    fast = ablate(tiny_bundle, photos, profile="fast")
    assert (fast.samples, fast.label["profile"], fast.variants[NO_ADV].config.steps) == (200, "fast", 20)
    assert not fast.variants[NO_ADV].config.tune_noise
    switched = [
        {
            name
            for name in ("lambda_recon", "lambda_adv", "lambda_global")
            if not getattr(noise.variants[row].config, name)
        }
        for row in noise.variants
    ]
    assert switched == [set(), {"lambda_recon"}, {"lambda_adv"}, {"lambda_global"}]


SLIDES = {FULL: (0.050, 5.21), NO_RECON: (0.155, 3.04), NO_ADV: (0.080, 4.13), NO_GLOBAL: (0.052, 164.7)}


@pytest.fixture
def four(tiny_targets):
    """As many photos as a verdict needs, and one more."""
    return dict.fromkeys("abcd", tiny_targets[:1])


def results(tiny_bundle, photos, numbers):
    """An ablation whose (mse, Fréchet distance) are ``numbers``: ``{row: [(mse, distance) of each photo]}``."""
    study = Ablation("ablate", tiny_bundle, photos, dict.fromkeys(ROWS), "efficientnet-lite0", 2)
    for name, values in numbers.items():
        for photo, (error, distance) in zip(photos, values, strict=False):
            study.rows.append(Row(photo, name, error, error, 1.0, 1.0, 1.0, 1.0, 5.0, distance))
    study.orderings = find_orderings(study)
    return study


@pytest.mark.parametrize(("n", "verdict"), [(2, "undecided"), (4, "held")])
def test_the_slides_own_numbers_hold(tiny_bundle, four, n, verdict):
    study = results(tiny_bundle, dict(list(four.items())[:n]), {name: [value] * n for name, value in SLIDES.items()})
    assert [ordering.verdict for ordering in study.orderings] == [verdict] * 6
    assert [ordering.held for ordering in study.orderings] == [{"held": True, "undecided": None}[verdict]] * 6
    for ordering in study.orderings:
        assert ordering.ratio == pytest.approx(ordering.paper)
        assert (ordering.agreeing, ordering.photos) == (n, n)
        assert f"n = {n}" in ordering.measured


def test_each_ordering_can_fail_by_itself(tiny_bundle, four):
    breaks = [
        {NO_GLOBAL: (0.010, 164.7)},  # the MSE moves five times, more than without the others
        {NO_GLOBAL: (0.052, 5.0)},  # its Fréchet distance is not the worst
        {NO_RECON: (0.079, 3.04)},  # its MSE is not the worst
        {NO_RECON: (0.155, 4.5)},  # its Fréchet distance is not the best
        {NO_ADV: (0.049, 4.13)},  # the MSE falls
        {NO_ADV: (0.080, 6.0)},  # another one that keeps L_global is worse than the full loss
    ]
    for i, change in enumerate(breaks):
        study = results(tiny_bundle, four, {name: [value] * 4 for name, value in {**SLIDES, **change}.items()})
        assert study.orderings[i].held is False
        assert study.orderings[i].agreeing == 0
        others = [ordering.held for j, ordering in enumerate(study.orderings) if j != i]
        assert sum(others) >= 4, i


def test_photos_decide_and_are_counted(tiny_bundle, four):
    """The MSE without L_adv_local is three times as large on one photo and half as large on the next: the mean is larger, by chance."""
    same = [(0.1, 1)] * 4
    without = [(0.3, 1), (0.05, 1)]
    numbers = {FULL: same, NO_RECON: [(0.5, 1)] * 4, NO_ADV: without * 2, NO_GLOBAL: same}
    for n in (2, 4):
        ordering = results(tiny_bundle, dict(list(four.items())[:n]), numbers).orderings[4]
        assert (ordering.held, ordering.verdict) == (None, "undecided")
        assert ordering.ratio == pytest.approx(1.75)
        assert (ordering.agreeing, ordering.photos) == (n // 2, n)
    steady = results(tiny_bundle, four, {**numbers, NO_ADV: [(0.12, 1), (0.11, 1), (0.12, 1), (0.13, 1)]}).orderings[4]
    assert steady.held is True


def test_only_photos_of_which_every_row_is_known_count(tiny_bundle, photos):
    numbers = {
        FULL: [(0.1, 1), (0.1, 1)],
        NO_RECON: [(0.5, 1), (0.5, 1)],
        NO_ADV: [(0.3, 1)],
        NO_GLOBAL: [(0.1, 1), (0.1, 1)],
    }
    study = results(tiny_bundle, photos, numbers)
    assert all(ordering.photos == 1 for ordering in study.orderings)
    study = results(tiny_bundle, photos, {**numbers, NO_ADV: []})
    assert study.orderings == []


def test_without_fréchet_distances_only_errors_are_ordered(tiny_bundle, photos):
    study = results(tiny_bundle, photos, {name: [(0.1, None), (0.2, None)] for name in ROWS})
    assert [ordering.column for ordering in study.orderings] == ["mse"] * 3


def test_verdicts_are_in_the_outputs(tiny_bundle, photos, short_near_perfect, tmp_path):
    study = ablate(tiny_bundle, photos, short_near_perfect, samples=0, source="patches")
    study.orderings = [dataclasses.replace(study.orderings[0], held=held) for held in (True, False, None)]
    page = study.markdown()
    assert "| held | " in page
    assert "| not held | " in page
    assert "| undecided | " in page
    assert "Fewer than 8 photos" in page
    assert "tuned: weights and noise" in page
    assert [ordering["verdict"] for ordering in study.summary()["orderings"]] == ["held", "not held", "undecided"]
    assert [ordering["held"] for ordering in study.summary()["orderings"]] == [True, False, None]
    assert all(math.isfinite(ordering["ratio"]) for ordering in study.summary()["orderings"])
    study.save(tmp_path / "out")
    assert (tmp_path / "out" / "summary.md").read_text(encoding="utf-8") == page


def test_what_cannot_be_ablated(make_bundle, photos, short_near_perfect):
    gan = make_bundle(0)
    with pytest.raises(GanInvError, match="lambda_adv is 0"):
        ablate(gan, photos, dataclasses.replace(short_near_perfect, lambda_adv=0.0))
    gan.D = None
    with pytest.raises(GanInvError, match="needs the discriminator"):
        ablate(gan, photos, short_near_perfect)
