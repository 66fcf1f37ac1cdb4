"""The study of edits: what it computes, keeps and goes on from, with judges whose answer is known."""

import csv
import json
from dataclasses import replace

import pytest
import torch
from judges import JUDGES

from ganinv import GanInvError
from ganinv.editing import Direction
from ganinv.inversion import METHODS, Inversion, Projection
from ganinv.inversion.register import Method
from ganinv.photos import from_uint8, to_uint8
from ganinv.study import Variant
from ganinv.study.edits import NOISY, study_edits
from ganinv.stylegan2.controls import Controls


@pytest.fixture(scope="module")
def directions(tiny_bundle):
    random = torch.Generator().manual_seed(0)
    return {
        "red": Direction("red", torch.randn(16, generator=random)).measured(tiny_bundle),
        "lips": Direction("lips", {"b8.conv0": torch.randn(16, generator=random)}).measured(tiny_bundle),
    }


@pytest.fixture
def calls(monkeypatch):
    """Two methods: ``plain`` takes a random code, ``tuned`` the same one in a generator of its own. Their calls are counted."""
    made = []

    def plain(gan, target, config=None, callback=None, resume=None):
        made.append("plain")
        if (target == -1).all():
            raise GanInvError("it is all black.")
        return Inversion("plain", gan, target, gan.G.mapping(torch.ones(1, 16)))

    def tuned(gan, target, config=None, callback=None, resume=None):
        made.append("tuned")
        weight = gan.G.synthesis.b8.conv0.weight
        delta = 0.3 * torch.randn(1, *weight.shape, generator=torch.Generator().manual_seed(1))
        controls = Controls.of(weights={"synthesis.b8.conv0.weight": delta.half()})
        return Inversion("tuned", gan, target, gan.G.mapping(torch.ones(1, 16)), controls)

    for name, function in (("plain", plain), ("tuned", tuned)):
        monkeypatch.setitem(METHODS, name, Method(function, None, "", "search"))
    return made


@pytest.fixture
def study(calls, tiny_bundle, tiny_targets, directions, tmp_path):
    def run(methods=("plain", "tuned"), photos=None, **options):
        photos = photos or {"a": tiny_targets[:1], "b": tiny_targets[1:]}
        options = {"strengths": (-1, 0, 2), "samples": 4, "cache": tmp_path / "cache"} | options
        return study_edits(tiny_bundle, photos, directions, JUDGES, methods, **options)

    return run


def test_its_rows_are_what_it_says(study, tiny_bundle, tiny_targets, directions):
    found = study()
    assert len(found.rows) == 2 * 2 * 2 * 3  # photos, methods, directions, strengths and none
    G, red = tiny_bundle.G, directions["red"]
    ws = G.mapping(torch.ones(1, 16))
    start, moved = (to_uint8(G.synthesis(ws + t * red.step).clamp(-1, 1)) for t in (0, 2))
    row = next(r for r in found.rows if (r.image, r.method, r.direction, r.strength) == ("a", "plain", "red", 2))
    difference = 10 * (moved.float() - start.float()).mean(dim=(2, 3))[0] / 127.5
    assert row.change == pytest.approx(difference[0].item(), rel=1e-3)
    assert row.mean_ad == pytest.approx(difference[1:].abs().mean().item(), rel=1e-3)
    assert row.max_ad == pytest.approx(difference[1:].abs().max().item(), rel=1e-3)
    codes = G.mapping(torch.randn(4, 16, generator=torch.Generator().manual_seed(7)))
    expected = 10 * (G.synthesis(codes + 2 * red.step).clamp(-1, 1) - G.synthesis(codes).clamp(-1, 1))[:, 0].mean()
    assert row.gain == pytest.approx(row.change / expected.item(), rel=1e-3)
    assert torch.equal(found.images["a", "plain"][0, 1], moved[0])
    assert torch.equal(found.reconstructions["a", "plain"], start)
    error = (start.float() / 127.5 - 1 - tiny_targets[:1]).square().mean().item()
    own = next(r for r in found.rows if (r.image, r.method, r.direction, r.strength) == ("a", "plain", "red", 0))
    assert own.mse == pytest.approx(error, rel=1e-4)
    assert found.by_photo("plain", "mse", edited=False)["a"] == pytest.approx(error, rel=1e-4)
    assert found.by_photo("plain", "gain", "lips") == {}  # nothing measures lips
    gains = [r.gain for r in found.rows if (r.image, r.method, r.direction) == ("b", "plain", "red") and r.strength]
    assert found.by_photo("plain", "gain")["b"] == pytest.approx(sum(gains) / 2)
    beside = from_uint8(tiny_bundle.reference[:3])  # D compares images with each other
    assert own.logit == pytest.approx(tiny_bundle.D(torch.cat([from_uint8(start), beside]))[0].item(), rel=1e-3)
    assert all(r.strength or (r.mean_ad != r.mean_ad and r.domain > 0) for r in found.rows)
    assert found.mean("plain", "gain", "red") != found.mean("tuned", "gain", "red")
    assert found.mean("generator", "gain") == pytest.approx(1)
    assert found.mean("plain", "lec") != found.mean("plain", "lec")  # there is no encoder


def test_another_study_takes_over_the_samples(study, monkeypatch):
    first = study()
    monkeypatch.setattr("ganinv.study.edits.samples_of", None)  # none are drawn again
    second = study(methods=("tuned",), strengths=(2,), samples=first.samples)
    assert [(row.direction, row.strength) for row in second.samples] == [
        ("red", 0.0),
        ("red", 2.0),
        ("lips", 0.0),
        ("lips", 2.0),
    ]
    assert {str(row) for row in second.samples} < {str(row) for row in first.samples}  # as strings, NaN is NaN
    kept = {(r.image, r.direction, r.strength): str(r) for r in first.rows if r.method == "tuned"}
    assert all(kept[r.image, r.direction, r.strength] == str(r) for r in second.rows)
    with pytest.raises(GanInvError, match="the samples were not measured with red at 3, lips at 3: give their number"):
        study(strengths=(3,), samples=first.samples)


def test_it_is_kept_and_goes_on(study, calls):
    first = study(methods=["plain"])
    assert calls == ["plain", "plain"]
    second = study()
    assert calls == ["plain", "plain", "tuned", "tuned"]
    own = [line for line in first.csv().splitlines() if ",plain," in line]
    assert len(own) == 2 * 2 * 3
    assert [line for line in second.csv().splitlines() if ",plain," in line] == own
    study(strengths=(1,))
    assert len(calls) == 8


def test_variants_have_names_of_their_own(study, calls):
    named = {"first": Variant("plain", None), "second": Variant("tuned", None)}
    found = study(methods=named)
    assert set(found.variants) == {row.method for row in found.rows} == {"first", "second"}
    own = [replace(row, method="plain") for row in found.rows if row.method == "first"]
    assert repr(own) == repr([row for row in study(methods=["plain"]).rows])
    assert calls == ["plain", "plain", "tuned", "tuned"]  # the same configuration is the same task
    for wrong in ({}, {"generator": Variant("plain", None)}):
        with pytest.raises(GanInvError, match="needs variants"):
            study(methods=wrong)
    with pytest.raises(GanInvError, match="no method 'nowhere'"):
        study(methods={"first": Variant("nowhere", None)})


def test_a_fast_study_shortens_variants(tiny_bundle, tiny_targets, directions, tmp_path):
    variants = {"long": Variant("projection-w", Projection(space="w", steps=10_000))}
    photos = {"a": tiny_targets[:1]}
    found = study_edits(tiny_bundle, photos, directions, JUDGES, variants, (1,), "fast", samples=2, cache=tmp_path)
    assert found.variants["long"].config.steps == 20
    assert not found.failures


def test_one_failure_does_not_cost_the_others(study, tiny_targets):
    found = study(photos={"black": -torch.ones_like(tiny_targets[:1]), "a": tiny_targets[:1]})
    assert [(f.image, f.variant, f.reason) for f in found.failures] == [("black", "plain", "it is all black.")]
    assert {(r.image, r.method) for r in found.rows} == {("a", "plain"), ("a", "tuned"), ("black", "tuned")}
    assert "failed, it is all black." in found.markdown()


def test_directions_are_found_anew(study):
    found = study(relearn=64)
    assert set(found.cosines) == {"generator", "tuned"}
    assert set(found.cosines["tuned"]) == {"red"}  # of lips nothing is measured
    assert -1 <= found.cosines["tuned"]["red"] <= 1


def test_it_is_written(study, tmp_path):
    folder = study().save(tmp_path / "out")
    assert {path.name for path in folder.iterdir()} == {"results.csv", "summary.json", "summary.md"}
    rows = list(csv.DictReader((folder / "results.csv").read_text(encoding="utf-8").splitlines()))
    assert len(rows) == 2 * 3 + 24
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    assert set(summary["methods"]) == {"generator", "plain", "tuned"}
    assert summary["methods"]["generator"]["directions"]["red"]["gain"] == pytest.approx(1)
    assert "| tuned |" in (folder / "summary.md").read_text(encoding="utf-8")


def test_what_cannot_be_studied(study, tiny_targets, tiny_bundle, directions):
    with pytest.raises(GanInvError, match="no method 'nowhere'"):
        study(methods=["nowhere"])
    with pytest.raises(GanInvError, match="finite strengths"):
        study(strengths=(0, float("nan")))
    with pytest.raises(GanInvError, match="at least one photo and one direction"):
        study_edits(tiny_bundle, {"a": tiny_targets[:1]}, {}, JUDGES)


def test_tuned_noise_is_a_variant_of_its_own(tiny_bundle, tiny_targets, directions, tmp_path):
    found = study_edits(
        tiny_bundle, {"a": tiny_targets[:1]}, directions, JUDGES, [NOISY], (1,), "fast", samples=2, cache=tmp_path
    )
    assert found.variants[NOISY].config.tune_noise
    assert not found.failures
    assert {r.method for r in found.rows} == {NOISY}
