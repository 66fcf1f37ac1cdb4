"""Configurations with encoders in them: which ones they ask for, and what takes their place where there are none."""

import dataclasses
import pickle

import pytest
import torch

from ganinv import GanInvError
from ganinv.encoders.style import StyleEncoder
from ganinv.encoders.weights import save_encoder
from ganinv.inversion import METHODS, PTI, Method, NearPerfect
from ganinv.inversion.near_perfect import INITIAL
from ganinv.inversion.psp import Encode, psp
from ganinv.inversion.pti import PIVOT
from ganinv.inversion.restyle import ReStyle
from ganinv.settings import encoder_names
from ganinv.study import compare
from ganinv.study.profiles import default_config, missing_encoders, suited


@dataclasses.dataclass(frozen=True)
class Inner:
    base_encoder: str = "base"
    encoders: int = 3


@dataclasses.dataclass(frozen=True)
class Outer:
    encoder: str = "psp"
    start: Inner = Inner()
    decoder: str = "no encoder at all"
    optional_encoder: str | None = None


@pytest.fixture
def gan(make_bundle, tmp_path):
    """A bundle that ships a random encoder, ``psp``."""
    bundle = make_bundle(0)
    bundle.encoders["psp"] = tmp_path / "psp.safetensors"
    keep(bundle, seed=0)
    return bundle


def keep(bundle, seed, progressive=False):
    """Another random encoder in the same file."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = StyleEncoder(bundle.resolution, bundle.G.num_ws, 16, progressive=progressive, channels=16)
    save_encoder(bundle.encoders["psp"], network, "psp", bundle.sha256, {})


def reopened(bundle):
    """The same bundle as a new session finds it: nothing read yet."""
    return dataclasses.replace(bundle)


def counted(monkeypatch, config):
    """Register pSp, and whether it was asked."""
    calls = []

    def method(*arguments):
        calls.append(arguments)
        return psp(*arguments)

    monkeypatch.setitem(METHODS, "counted", Method(method, config, ""))
    return calls


def test_encoders_are_found_by_the_names_of_fields():
    assert list(encoder_names(Outer())) == ["psp", "base"]
    assert list(encoder_names(Encode("e4e"))) == ["e4e"]
    assert list(encoder_names(None)) == list(encoder_names("psp")) == []


def test_files_and_what_ships_are_not_missing(gan, tiny_bundle):
    assert missing_encoders(Outer(), gan) == ["base"]
    assert missing_encoders(Outer(start=Inner("my/own.safetensors")), gan) == []
    assert missing_encoders(Outer(), tiny_bundle) == ["psp", "base"]


def test_a_start_that_needs_an_encoder_is_replaced_by_a_projection(gan, tiny_bundle):
    config, ships = (
        NearPerfect(initial=ReStyle("restyle-psp")),
        dataclasses.replace(gan, encoders={"restyle-psp": gan.encoders["psp"]}),
    )
    assert suited(config, ships) is config
    assert suited(config, tiny_bundle) == dataclasses.replace(config, initial=INITIAL)
    assert suited(PTI(pivot=ReStyle("restyle-psp")), tiny_bundle) == PTI(pivot=PIVOT)
    fast = default_config(config, tiny_bundle, "fast")
    assert (fast.steps, fast.initial.steps) == (20, 20)  # the projection is cut, too
    assert fast.initial.space == INITIAL.space
    mine = NearPerfect(initial=ReStyle("my/own.safetensors"))
    assert suited(mine, tiny_bundle) is mine


def test_the_weights_and_the_form_of_an_encoder_are_part_of_a_task(gan, photos, monkeypatch):
    calls = counted(monkeypatch, Encode("psp"))
    first = {"first": photos["first"]}
    rows = [compare(gan, first, ["counted"], samples=0).rows[0]]
    compare(reopened(gan), first, ["counted"], samples=0)
    assert len(calls) == 1
    keep(gan, seed=1)
    rows.append(compare(reopened(gan), first, ["counted"], samples=0).rows[0])
    assert len(calls) == 2
    keep(gan, seed=1, progressive=True)  # the very same weights, put together another way
    rows.append(compare(reopened(gan), first, ["counted"], samples=0).rows[0])
    assert len(calls) == 3
    assert len({row.mse for row in rows}) == 3


def test_a_method_without_its_encoder_is_left_out_and_named(tiny_bundle, gan, photos, fakes, monkeypatch):
    counted(monkeypatch, Encode("psp"))
    monkeypatch.setitem(METHODS, "other", Method(psp, Encode("other"), ""))
    for methods in (None, "all", ["all"]):
        study = compare(tiny_bundle, photos, methods, samples=0)
        assert list(study.variants) == ["untuned", "tuned"]
        (note,) = study.notes
        assert "tiny0: counted, other" in note
        assert study.summary()["notes"] == [note]
        assert f"- {note}" in study.markdown()
    study = compare(gan, photos, samples=0)
    assert list(study.variants) == ["untuned", "tuned", "counted"]
    assert len(study.rows) == 6
    assert compare(gan, photos, ["counted"], samples=0).notes == []
    with pytest.raises(GanInvError, match="without the encoder 'psp': train it with"):
        compare(tiny_bundle, photos, ["untuned", "counted"], samples=0)


def test_one_method_may_be_named_alone(tiny_bundle, photos, fakes):
    assert list(compare(tiny_bundle, photos, "tuned", samples=0).variants) == ["tuned"]
    with pytest.raises(GanInvError, match="no method 'everything'"):
        compare(tiny_bundle, photos, "everything", samples=0)


def test_a_bundle_that_has_read_its_encoders_travels(gan, tiny_targets):
    expected = psp(gan, tiny_targets).image
    copy = pickle.loads(pickle.dumps(gan))
    copy.encoders.clear()  # the weights are in it, not read again on the other side
    assert torch.equal(psp(copy, tiny_targets).image, expected)


def test_workers_get_the_encoders(gan, photos, monkeypatch, tmp_path):
    monkeypatch.setitem(METHODS, "psp", Method(psp, Encode("psp"), ""))
    alone = compare(gan, photos, ["psp"], samples=0, cache=tmp_path / "alone")
    spread = compare(gan, photos, ["psp"], samples=0, jobs=2, cache=tmp_path / "spread")
    assert spread.failures == []
    assert [row.mse for row in spread.rows] == pytest.approx([row.mse for row in alone.rows])
