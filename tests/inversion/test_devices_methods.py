"""Every method on another device, and under another default dtype: the same result, on the CPU."""

import dataclasses
import json
import signal

import pytest
import torch
from far import FAR, far, here

import ganinv
from ganinv import Inversion
from ganinv.devices import randn
from ganinv.inversion import (
    METHODS,
    BDInvert,
    Ensemble,
    NearPerfect,
    Projection,
    Resume,
    ensemble,
    near_perfect,
    projection,
    psp,
)
from ganinv.report import make_report
from ganinv.run.monitor import frechet
from ganinv.study.tasks import Measurement, Variant, run_tasks

every_method = pytest.mark.parametrize("method", METHODS)
START = Projection(steps=2, w_avg_samples=50, perceptual_weight=0.0)


def contents(result):
    """All tensors of an inversion by name, and what it draws."""
    parts = {
        "ws": result.ws,
        "target": result.target,
        "initial": result.initial,
        "image": result.image,
        **result.controls,
    }
    return parts | {
        "edited": result.render(result.ws + 0.1),
        "styled": result.render({"b4.conv1": result.image.new_ones(len(result), 16)}),
    }


def assert_the_same(a, b):
    one, other = contents(a), contents(b)
    assert here(one)
    assert here(other)
    assert one.keys() == other.keys()
    assert [name for name in one if not torch.equal(one[name], other[name])] == []
    assert a.history == b.history
    assert all(type(value) in (int, float) for row in a.history for value in row.values())


def assert_nearly_the_same(a, b):
    """Up to rounding: the convolutions of a single image may be added up in another order elsewhere, on some processors."""
    one, other = contents(a), contents(b)
    assert here(one)
    assert here(other)
    torch.testing.assert_close(one, other, rtol=1e-3, atol=2e-3)
    assert [row.keys() for row in a.history] == [row.keys() for row in b.history]


@pytest.fixture(scope="module")
def on_the_cpu(tiny_bundle, tiny_targets, short_configs):
    """``on_the_cpu(method)``: two photos inverted there, once a method."""
    kept = {}

    def run(method):
        if method not in kept:
            kept[method] = ganinv.invert(tiny_targets, tiny_bundle, method, short_configs[method])
        return kept[method]

    return run


@every_method
def test_a_method_elsewhere_finds_the_same(on_the_cpu, tiny_bundle, tiny_targets, short_configs, tmp_path, method):
    expected = on_the_cpu(method)
    with far():
        gan = tiny_bundle.to(FAR)
        found = METHODS[method].function(gan, tiny_targets, short_configs[method])
        assert found.gan is gan
        assert_the_same(found, expected)
        assert {G.device for G in found.generators} == {FAR}
        assert found.scores_each == expected.scores_each
        loaded = Inversion.load(found[0].save(tmp_path), gan)
        assert torch.equal(loaded.image, expected.image[:1])
    loaded = Inversion.load(tmp_path, tiny_bundle)
    assert torch.equal(loaded.image, expected.image[:1])


@every_method
def test_the_default_dtype_changes_nothing(on_the_cpu, tiny_bundle, tiny_targets, short_configs, double, method):
    expected = on_the_cpu(method)
    with double():
        fresh = dataclasses.replace(tiny_bundle)  # which reads its encoders again
        assert_the_same(ganinv.invert(tiny_targets.double(), fresh, method, short_configs[method]), expected)


@pytest.mark.parametrize("method", ["projection-wplus", "psp", "ensemble", "near-perfect"])
def test_a_run_is_interrupted_in_one_place_and_goes_on_in_another(
    on_the_cpu, tiny_bundle, tiny_targets, short_configs, tmp_path, method
):
    resume, seen = tmp_path / "run.pt", []

    def press_ctrl_c(progress):
        seen.append(progress)
        if len(seen) == 3 or progress.steps == 1:
            signal.raise_signal(signal.SIGINT)

    with far(), pytest.raises(KeyboardInterrupt):
        ganinv.invert(
            tiny_targets, tiny_bundle.to(FAR), method, short_configs[method], callback=press_ctrl_c, resume=resume
        )
    assert here(torch.load(resume, weights_only=True)["stages"])
    assert_the_same(
        ganinv.invert(tiny_targets, tiny_bundle, method, short_configs[method], resume=resume), on_the_cpu(method)
    )


MASK = (torch.arange(32) < 20).float().expand(1, 1, 32, 32)
CORNERS = {  # settings that lead where the short configurations do not
    "perceptual": lambda gan, x: near_perfect(
        gan,
        x,
        NearPerfect(
            steps=2,
            initial=START,
            joint=True,
            lambda_perceptual=1.0,
            locality_perceptual=1.0,
            lambda_l2=1.0,
            reals="generator",
        ),
    ),
    "monitored": lambda gan, x: near_perfect(
        gan,
        x[:1],
        NearPerfect(steps=2, initial=START, history_gradients=1, history_frechet=2, frechet_samples=4),
        None,
        None,
    ),
    "restarts": lambda gan, x: projection(gan, x, Projection(steps=2, w_avg_samples=50, restarts=2)),
    "bdinvert": lambda gan, x: METHODS["bdinvert"].function(gan, x, BDInvert(steps=2, samples=100)),
    "masked": lambda gan, x: ensemble(gan, x[:1], Ensemble(steps=2), mask=MASK),
    "regularised": lambda gan, x: METHODS["pti"].function(
        gan, x[:1], dataclasses.replace(METHODS["pti"].config, steps=2, locality_weight=0.1)
    ),
    "started": lambda gan, x: near_perfect(gan, x, NearPerfect(steps=1, tune_noise=False), start=psp(gan, x)),
}


@pytest.mark.parametrize("corner", CORNERS)
def test_the_corners(tiny_bundle, tiny_targets, corner, make_bundle):
    from ganinv.perception.frechet import feature_statistics

    gan = dataclasses.replace(tiny_bundle, statistics=feature_statistics(tiny_bundle.reference))
    expected = CORNERS[corner](gan, tiny_targets)
    same = assert_the_same if len(expected) > 1 else assert_nearly_the_same
    with far():
        same(CORNERS[corner](gan.to(FAR), tiny_targets), expected)


def test_what_a_run_watches(tiny_bundle):
    from ganinv.perception.frechet import feature_statistics

    gan = dataclasses.replace(tiny_bundle, statistics=feature_statistics(tiny_bundle.reference))
    expected = frechet(gan, gan.G, 4)
    with far():
        there = gan.to(FAR)
        assert frechet(there, there.G, 4) == expected


def test_a_study_computes_where_the_bundle_is(tiny_bundle, tiny_targets, short_configs, tmp_path):
    photos = {"a": tiny_targets[:1]}
    variants = {name: Variant(name, short_configs[name]) for name in ("psp", "pti")}

    def run(gan, folder):
        outcomes, failures = run_tasks(gan, photos, variants, Measurement(samples=4), cache=tmp_path / folder)
        assert failures == []
        return outcomes

    expected = run(tiny_bundle, "shared")
    with far():
        found = run(tiny_bundle.to(FAR), "shared")
        assert found.keys() == expected.keys()
        for key, outcome in found.items():  # up to rounding, see above
            assert (outcome.image.int() - expected[key].image.int()).abs().max() <= 1
            flat = [
                {k: v for k, v in scores.items() if k != "perceptual"} | scores["perceptual"]
                for scores in (outcome.scores, expected[key].scores)
            ]
            assert flat[0] == pytest.approx(flat[1], rel=1e-3)
            assert (outcome.frechet_after or 0) == pytest.approx(expected[key].frechet_after or 0, rel=1e-3)
        assert len(list((tmp_path / "shared/studies").glob("*.npz"))) == 4  # kept apart from those of the CPU


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_finds_nearly_the_same(tiny_bundle, tiny_targets, precision):
    config = NearPerfect(steps=40, initial=dataclasses.replace(START, steps=20))
    full = near_perfect(tiny_bundle, tiny_targets[:1], config)
    half = near_perfect(tiny_bundle.to(precision=precision), tiny_targets[:1], config)
    assert here(contents(half))
    assert {tensor.dtype for tensor in (half.ws, half.image, *half.generators[0].parameters())} == {torch.float32}
    assert not torch.equal(half.image, full.image)
    errors = [result.scores["mse"] for result in (full, half)]
    before = (full.initial - full.target).square().mean().item()
    assert abs(errors[1] - errors[0]) < 0.1 * (before - errors[0])


def test_the_report_says_where_and_how(tiny_bundle, tiny_targets):
    assert {"device": "cpu", "precision": "fp32"}.items() <= make_report(
        psp(tiny_bundle, tiny_targets[:1]), "photo"
    ).items()
    with far():
        report = make_report(psp(tiny_bundle.to(FAR, "bf16"), tiny_targets[:1]), "photo")
    assert {"device": "lazy", "precision": "bf16"}.items() <= json.loads(json.dumps(report)).items()


def test_codes_come_from_anywhere(tiny_bundle, tiny_targets):
    result = psp(tiny_bundle, tiny_targets)
    ws = result.ws + 0.1 * randn(result.ws.shape, torch.Generator().manual_seed(0))
    expected = result.render(ws)
    with far():
        there = psp(tiny_bundle.to(FAR), tiny_targets.to(FAR))
        assert torch.equal(there.render(ws.to(FAR)), expected)
        assert torch.equal(there.to(FAR).render(ws), expected)
        assert not here(there.to(FAR).ws)


def test_a_run_that_diverges_is_told_to_the_caller(tiny_bundle, tiny_targets):
    with pytest.warns(ganinv.inversion.DivergenceWarning) as caught:
        near_perfect(tiny_bundle, tiny_targets[:1], NearPerfect(steps=20, lr_G=1e6, initial=START))
    assert caught[0].filename == __file__


def test_a_resume_file_is_found_again_elsewhere(tiny_bundle, tiny_targets, short_configs, tmp_path):
    config = short_configs["psp"]
    one = Resume.for_run(tmp_path / "run.pt", tiny_bundle, tiny_targets, "psp", config)
    with far():
        other = Resume.for_run(tmp_path / "run.pt", tiny_bundle.to(FAR), tiny_targets, "psp", config)
    assert one.fingerprint == other.fingerprint
