"""Labels: their file, the codes that they belong to, and those that ship."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import ganinv
from ganinv import GanInvError
from ganinv.attributes import ATTRIBUTES, Labels, load_labels
from ganinv.attributes.labels import FOLDER, sample_codes

STAGED = Path(__file__).parents[2] / "benchmarks" / "next" / "faces64"


@pytest.fixture
def labels(tiny_bundle):
    values = np.random.default_rng(0).normal(size=(6, len(ATTRIBUTES))).astype(np.float32)
    values[2, 3] = np.nan
    return Labels(values, ATTRIBUTES, tiny_bundle.sha256, 5, {"date": "today"})


def test_a_file_gives_back_what_went_in(labels, tmp_path):
    found = load_labels(labels.save(tmp_path / "labels.npz"))
    np.testing.assert_allclose(found.values, labels.values, rtol=1e-3)
    assert found.values.dtype == np.float32
    assert (found.attributes, found.generator, found.seed, found.provenance) == (
        labels.attributes, labels.generator, 5, {"date": "today"},
    )  # fmt: skip
    assert len(found) == 6
    np.testing.assert_array_equal(found["smile"], found.values[:, 0])


def test_codes_are_those_of_the_seed(labels, tiny_bundle):
    z = labels.z(tiny_bundle)
    assert torch.equal(z, tiny_bundle.randn([6, 16], torch.Generator().manual_seed(5)))
    assert torch.equal(labels.ws(tiny_bundle), tiny_bundle.G.mapping(z))
    assert torch.equal(sample_codes(tiny_bundle, 4, 5), z[:4])  # fewer are the first of more


def test_labels_of_another_generator_are_refused(labels, another_bundle):
    with pytest.raises(GanInvError, match="ganinv train labels"):
        labels.z(another_bundle)


def test_no_such_attribute(labels):
    with pytest.raises(GanInvError, match=r"'moustache'; choose from smile, "):
        labels["moustache"]


@pytest.mark.parametrize("content", ["nothing", "text", "no card", "pickle", "too few names", "a name that is a list"])
def test_other_files_are_refused(content, labels, tmp_path):
    path = tmp_path / "labels.npz"
    card = {"attributes": [vars(a) for a in ATTRIBUTES], "generator": "", "seed": 0, "provenance": {}}
    values = labels.values.astype(np.float16)
    if content == "text":
        path.write_text("labels", encoding="utf-8")
    elif content == "no card":
        np.savez(path, values=values)
    elif content == "pickle":
        np.savez(path, values=np.array([{}], dtype=object), card=np.array(json.dumps(card)))
    elif content == "too few names":
        np.savez(path, values=values[:, :3], card=np.array(json.dumps(card)))
    elif content == "a name that is a list":
        card["attributes"][0] = {**card["attributes"][0], "name": ["smile"]}
        np.savez(path, values=values, card=np.array(json.dumps(card)))
    with pytest.raises(GanInvError, match=r"labels\.npz.*ganinv train labels"):
        load_labels(path)


@pytest.fixture(scope="module")
def shipped():
    return load_labels()


def test_the_labels_that_ship_say_where_they_come_from(shipped):
    assert shipped.names == tuple(attribute.name for attribute in ATTRIBUTES)
    assert len(shipped.units) == shipped.values.shape[1] == len(ATTRIBUTES)
    assert all(source["licence"] and source["package"] for source in shipped.provenance["labellers"].values())
    card = (FOLDER / "MODEL_CARD.md").read_text(encoding="utf-8")
    for source in shipped.provenance["labellers"].values():
        assert source["package"] in card
        assert source["licence"].split(";")[0].split(",")[0] in card
    assert all(f"| {name} |" in card for name in shipped.names)


def test_the_labels_that_ship_are_plausible(shipped):
    assert np.isfinite(shipped.values).mean() > 0.9
    assert 0 <= np.nanmin(shipped["smile"]) < np.nanmax(shipped["smile"]) <= 1
    assert 15 < np.nanmean(shipped["age"]) < 50
    for a, b in ("smile", "anger"), ("beard", "gender"):  # a smile is not angry; beards are men's
        correlation = np.corrcoef(shipped[a], shipped[b])[0, 1]
        assert (correlation > 0.2) == (b == "gender")


def test_the_labels_that_ship_belong_to_the_second_edition(shipped):
    editions = [ganinv.load("faces64"), *([ganinv.load(STAGED)] if STAGED.is_dir() else [])]
    assert shipped.generator in {gan.sha256 for gan in editions}
