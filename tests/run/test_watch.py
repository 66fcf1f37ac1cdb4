"""Runs that go wrong: they stop with one sentence, and give back the best state so far."""

import dataclasses
import signal
import warnings

import pytest
import torch

from ganinv import GanInvError, Inversion
from ganinv.inversion import PTI, TUNED_NOISE, Projection, Resume, near_perfect, projection, pti
from ganinv.run import DivergenceWarning, Watch
from ganinv.run.watch import EVERY, FACTOR, PATIENCE

FAST = Projection(space="w_plus", steps=10, perceptual_weight=0.0, w_avg_samples=100, optimise_noise=False)
RECON_ONLY = dict(lambda_adv=0.0, lambda_global=0.0, lambda_locality=0.0)
SENTENCE = r"^{} diverged at step \d+ and was stopped; the result is its best state, of step {} with an MSE of \d\.\d+: lower {}.*\)\.$"


@pytest.fixture(scope="module")
def start(tiny_bundle, tiny_targets):
    return projection(tiny_bundle, tiny_targets, FAST)


def mse(result):
    return (result.image - result.target).square().mean().item()


# -- the watch by itself ---------------------------------------------------------------------------------------------------


def watched(errors, last=False):
    """A tensor that is its step's number, and the watch that has seen ``errors``; the steps at which it called for a stop."""
    tensor, stops = torch.zeros(1), []
    watch = Watch([tensor], "it", "lr (now 1)")
    for step, error in enumerate(errors):
        tensor.fill_(step)
        if watch.diverged(step, {"mse": error}, last=last):
            stops.append(step)
    return watch, tensor, stops


def test_a_run_that_comes_down_is_left_alone():
    assert watched([1 / (1 + i) for i in range(300)])[2] == []


def test_a_spike_is_left_alone():
    assert watched([1.0, 0.01] + [50.0] * (PATIENCE - 1) + [0.02] * 20)[2] == []


def test_a_run_that_starts_near_the_photo_may_leave_it_again():
    """Ten times the best is far away from the photo only where it is worse than the start, too."""
    assert watched([0.5] + [0.001] * 20 + [0.4] * 200)[2] == []
    assert watched([0.05] + [0.05 * FACTOR * 0.99] * 500)[2] == []


def test_an_error_that_stays_far_away_is_a_divergence():
    errors = [1.0, 0.1] + [1.1] * 2 * PATIENCE
    assert watched(errors)[2][0] == 1 + PATIENCE
    assert watched(errors, last=True)[2][0] == 2  # at the end there is nothing to wait for


def test_without_a_reconstruction_term_the_error_goes_where_it_will():
    watch = Watch([torch.zeros(1)], "it", "lr (now 1)", reconstructs=False)
    assert not any(watch.diverged(step, {"mse": error}) for step, error in enumerate([0.01, *[9.0] * 2 * PATIENCE]))
    assert not watch.diverged(200, {"mse": 9.0}, last=True)
    assert watch.diverged(201, {"mse": 9.0, "loss_D": float("nan")})


def test_the_ablation_without_reconstruction_runs_to_its_end(tiny_bundle, tiny_targets, start, monkeypatch):
    monkeypatch.setattr("ganinv.run.watch.FACTOR", 0.0)  # above the start is bad enough, and that is where it goes
    config = dataclasses.replace(
        TUNED_NOISE,
        steps=3 * PATIENCE,
        lr_G=0.02,
        lambda_recon=0,
        lambda_adv=0,
        lambda_locality=0,
        tune_noise=False,
        global_interval=1,
    )
    result = near_perfect(tiny_bundle, tiny_targets[:1], config, start=start[0])
    assert len(result.history) == 3 * PATIENCE
    assert result.warnings == [""]


@pytest.mark.parametrize(
    "bad", [{"mse": float("nan")}, {"loss": torch.tensor([1.0, float("inf")]), "mse": 0.1}, {"loss_D": float("nan")}]
)
def test_what_is_not_finite_is_a_divergence(bad):
    watch, _, _ = watched([1.0])
    assert watch.diverged(1, bad)


def test_the_best_state_comes_back():
    errors = [1.0] * EVERY + [0.5] + [0.4] * (EVERY - 1) + [0.6] + [9.0] * 5
    watch, tensor, _ = watched(errors)
    watch.go_back(25)
    assert tensor.item() == EVERY  # 0.4 came between two looks
    assert (
        watch.warning
        == f"it diverged at step 25 and was stopped; the result is its best state, of step {EVERY} with an MSE of 0.5000: lower lr (now 1)."
    )


def test_without_any_state_it_is_an_error():
    watch = Watch([torch.zeros(1)], "it", "lr (now 1)")
    assert watch.diverged(3, {"mse": float("nan")})
    with pytest.raises(GanInvError, match=r"^it diverged at step 3: lower lr \(now 1\)\.$"):
        watch.go_back(3)


def test_weights_that_a_clone_cannot_hold_are_a_divergence():
    watch, tensor, _ = watched([1.0])
    tensor.fill_(7e4)
    assert not watch.diverged(1, {"mse": 0.5})
    assert watch.diverged(1, {"mse": 0.5}, last=True)


def test_its_state_can_be_saved():
    errors = [1.0] * 12 + [0.05] + [1.5] * 30
    watch, tensor, _ = watched(errors)
    state = watch.get_state()
    other = Watch([tensor.clone()], "it", "lr (now 1)")
    other.set_state(state)
    for i in range(25):
        assert watch.diverged(i, {"mse": 1.5}) == other.diverged(i, {"mse": 1.5}) == (i >= PATIENCE - 31)
    watch.go_back(70)
    other.go_back(70)
    assert other.warning == watch.warning
    assert torch.equal(other.tensors[0], watch.tensors[0])


# -- the two methods that tune --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "settings", [dict(lr_G=1e20), dict(lr_noise=1e30), dict(lr_G=1e30, **RECON_ONLY), dict(lr_G=1e6, steps=1)]
)
def test_an_absurd_learning_rate_gives_back_the_start(tiny_bundle, tiny_targets, start, settings):
    config = dataclasses.replace(TUNED_NOISE, **{"steps": 6, **settings})
    with pytest.warns(DivergenceWarning, match=SENTENCE.format("near-perfect inversion", 0, "lr_G")):
        result = near_perfect(tiny_bundle, tiny_targets[:1], config, start=start[0])
    torch.testing.assert_close(result.image, start.image[:1])
    assert result.deltas == [{}]


@pytest.mark.parametrize("settings", [dict(lr=1e30), dict(lr=1e6, steps=1)])
def test_pti_gives_back_the_start_as_well(tiny_bundle, tiny_targets, start, settings):
    with pytest.warns(DivergenceWarning, match=SENTENCE.format("PTI", 0, "lr")):
        result = pti(tiny_bundle, tiny_targets[:1], PTI(**{"steps": 5, **settings}), start=start[0])
    torch.testing.assert_close(result.image, start.image[:1])
    assert result.deltas == [{}]


@pytest.fixture
def wreck(monkeypatch):
    """``wreck(step)``: whatever is tuned, its weights are NaN after that step's update."""

    def at(step):
        updates, update = [], torch.optim.Adam.step

        def broken(adam, *args):
            update(adam, *args)
            updates.append(adam)
            if len(updates) == step + 1:
                adam.param_groups[0]["params"][0].data.fill_(float("nan"))

        monkeypatch.setattr(torch.optim.Adam, "step", broken)

    return at


@pytest.mark.parametrize("settings", [dict(), dict(joint=True)])
def test_near_perfect_gives_back_what_it_had(tiny_bundle, tiny_targets, start, wreck, settings):
    config = dataclasses.replace(TUNED_NOISE, steps=40, lr_G=5e-3, **RECON_ONLY, **settings)
    undisturbed = near_perfect(tiny_bundle, tiny_targets[:1], config, start=start[0])
    wreck(27)
    with pytest.warns(DivergenceWarning, match=SENTENCE.format("near-perfect inversion", 20, "lr_G")):
        result = near_perfect(tiny_bundle, tiny_targets[:1], config, start=start[0])
    assert mse(result) == pytest.approx(undisturbed.history[20]["mse"], rel=0.01)
    assert mse(result) < 0.7 * mse(start[0])
    assert result.history == undisturbed.history[:28]
    assert result.warnings[0].startswith("near-perfect inversion diverged at step 28 ")


def test_pti_gives_back_what_it_had(tiny_bundle, tiny_targets, start, wreck):
    wreck(13)
    with pytest.warns(DivergenceWarning, match=SENTENCE.format("PTI", 10, "lr")):
        result = pti(tiny_bundle, tiny_targets[:1], PTI(steps=20, lr=2e-3), start=start[0])
    assert mse(result) == pytest.approx(result.history[10]["mse"], rel=0.01)
    assert [row["step"] for row in result.history] == list(range(14))


def test_only_the_photo_that_diverged_is_stopped(tiny_bundle, tiny_targets, start, wreck, tmp_path):
    wreck(3)
    with pytest.warns(DivergenceWarning):
        result = near_perfect(
            tiny_bundle, tiny_targets, dataclasses.replace(TUNED_NOISE, steps=12, lr_G=5e-3, **RECON_ONLY), start=start
        )
    assert [bool(sentence) for sentence in result.warnings] == [True, False]
    assert len(result[1].history) == 12
    assert result[1].warnings == [""]
    assert Inversion.load(result.save(tmp_path / "clone"), tiny_bundle).warnings == result.warnings


def test_a_run_that_is_interrupted_before_it_diverges(tiny_bundle, tiny_targets, start, tmp_path):
    """The best state is part of what an interrupted run keeps, and a stage that diverged is not begun again."""
    config = dataclasses.replace(TUNED_NOISE, steps=40, lr_G=1e20)
    state = Resume(tmp_path / "run.pt", "x")

    def press_ctrl_c(progress):
        signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        near_perfect(tiny_bundle, tiny_targets[:1], config, press_ctrl_c, state, start=start[0])
    sentences, seen = [], []
    for _ in range(2):
        with pytest.warns(DivergenceWarning) as caught:
            result = near_perfect(
                tiny_bundle, tiny_targets[:1], config, seen.append, Resume(tmp_path / "run.pt", "x"), start=start[0]
            )
        sentences += [str(warning.message) for warning in caught]
        torch.testing.assert_close(result.image, start.image[:1])
    assert len(set(sentences)) == 1
    assert [progress.step for progress in seen] == [2]


def test_a_normal_run_says_nothing(tiny_bundle, tiny_targets, start):
    with warnings.catch_warnings():
        warnings.simplefilter("error", DivergenceWarning)
        for settings in (dict(), dict(lambda_recon=0.0), dict(p=0.5, lr_latent=1e-2), dict(p=0.0)):
            result = near_perfect(
                tiny_bundle,
                tiny_targets[:1],
                dataclasses.replace(TUNED_NOISE, steps=60, global_interval=2, **settings),
                start=start[0],
            )
            assert result.warnings == [""]


def test_an_error_that_is_never_finite(tiny_bundle, tiny_targets, start):
    broken = dataclasses.replace(start[0], ws=start[0].ws * float("nan"))
    with pytest.raises(GanInvError, match=r"^near-perfect inversion diverged at step 0: lower lr_G"):
        near_perfect(tiny_bundle, tiny_targets[:1], dataclasses.replace(TUNED_NOISE, steps=3), start=broken)
