"""The study of inverse problems: cached and spread like every study, with the papers' curves."""

import json
import sys

import pytest
import torch

from ganinv import GanInvError
from ganinv.inverse import CSGM, Lasso, Solver, Tuning, recover
from ganinv.inverse.register import SOLVERS
from ganinv.study import crossover, recovery
from ganinv.study.recovery import CURVES

TUNING = Tuning(steps=2, initial=CSGM(space="w_plus", steps=2, restarts=1))
QUICK = {"csgm": CSGM(steps=2), "lasso-dct": Lasso(steps=20)}
SETTINGS = dict(solvers=list(QUICK), configs=QUICK)


@pytest.fixture
def counted(monkeypatch):
    """How often each solver is called, in this process."""
    calls = dict.fromkeys(QUICK, 0)

    def wrap(name, entry):
        def function(*arguments):
            calls[name] += 1
            return entry.function(*arguments)

        return Solver(function, entry.config, entry.summary, entry.prior)

    for name in QUICK:
        monkeypatch.setitem(SOLVERS, name, wrap(name, SOLVERS[name]))
    return calls


def test_rows_are_those_of_the_solvers(tiny_bundle, photos, counted):
    study = recovery(tiny_bundle, photos, ["gaussian:40", "gaussian:400", "inpaint:half"], **SETTINGS)
    assert study.failures == study.warnings == []
    assert list(study.variants) == [
        f"{solver} {problem}" for solver in QUICK for problem in ("gaussian:40", "gaussian:400", "inpaint:half")
    ]
    assert len(study.rows) == 12
    (row,) = [row for row in study.rows if (row.image, row.method) == ("second", "csgm gaussian:400")]
    alone = recover(tiny_bundle, photos["second"], "gaussian:400", "csgm", QUICK["csgm"])
    assert row.mse == alone.scores_each[0]["mse"]
    assert row.frechet_after is None
    curve = study.curves()["lasso-dct"]
    assert curve == (
        [40, 400],
        [study.mean("lasso-dct gaussian:40", "mse"), study.mean("lasso-dct gaussian:400", "mse")],
    )
    assert set(study.curves()) == set(QUICK)


def test_nothing_is_worked_out_twice(tiny_bundle, photos, counted):
    first = {"first": photos["first"]}
    for options in ({}, {}, {"noise": 0.1}, {"seed": 3}, {"configs": QUICK | {"csgm": CSGM(steps=1)}}):
        recovery(tiny_bundle, first, ["gaussian:40"], **{**SETTINGS, "solvers": ["csgm"], **options})
    assert counted["csgm"] == 4
    recovery(tiny_bundle, first, ["gaussian:40", "gaussian:41"], **{**SETTINGS, "solvers": ["csgm"]})
    assert counted["csgm"] == 5


def test_files(tiny_bundle, photos, tmp_path):
    study = recovery(tiny_bundle, photos, ["gaussian:40", "gaussian:400"], noise=0.01, source="two patches", **SETTINGS)
    study.save(tmp_path / "out")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "results.csv",
        "summary.json",
        "summary.md",
        "grid.png",
        "curves.png",
    }
    facts = json.loads((tmp_path / "out" / "summary.json").read_text(encoding="utf-8"))
    assert facts["command"] == "study recovery"
    found = facts["methods"]["csgm gaussian:400"]
    assert (found["solver"], found["problem"], found["measurements"], found["noise"]) == (
        "csgm",
        "gaussian:400",
        400,
        0.01,
    )
    assert facts["curves"]["csgm"]["40"] == study.mean("csgm gaussian:40", "mse")
    assert "noise: 0.01" in study.markdown()
    alone = recovery(tiny_bundle, photos, ["gaussian:40"], **SETTINGS)
    alone.save(tmp_path / "one")
    assert not (tmp_path / "one" / "curves.png").exists()


def test_the_default_problems_are_the_papers_as_far_as_they_fit(tiny_bundle, photos, monkeypatch):
    asked = {}
    module = sys.modules["ganinv.study.recovery"]  # the package has a function of that name
    monkeypatch.setattr(module, "run_study", lambda study, *rest: asked.update(study.variants))
    recovery(tiny_bundle, photos)
    assert {name.split(" ")[1] for name in asked} == set(CURVES) - {"gaussian:5000", "gaussian:10000"}  # of 3,072
    assert {name.split(" ")[0] for name in asked} == {"csgm", "pgd-gan", "lasso-dct", "lasso-wavelet"}
    asked.clear()
    recovery(tiny_bundle, photos, profile="fast")
    assert len(asked) == 8
    assert asked["csgm gaussian:100"].config.steps == 20


def test_what_cannot_be_done_is_said_at_once(tiny_bundle, photos):
    with pytest.raises(GanInvError, match="no solver 'magic'"):
        recovery(tiny_bundle, photos, solvers=["magic"])
    with pytest.raises(GanInvError, match="no problem 'mri'"):
        recovery(tiny_bundle, photos, ["mri"])


def test_a_tuned_generator_is_measured_where_asked(tiny_bundle, photos):
    study = recovery(
        tiny_bundle, {"a": photos["first"]}, ["inpaint:half"], ["near-perfect"], {"near-perfect": TUNING}, samples=8
    )
    assert study.rows[0].frechet_after is not None
    assert study.frechet["samples"] == 8


@pytest.mark.parametrize(
    ("ours", "theirs", "where"),
    [
        ([0.1, 0.05, 0.04], [0.4, 0.1, 0.01], 215.4),
        ([0.1, 0.05, 0.04], [0.4, 0.3, 0.2], None),
        ([0.1, 0.1, 0.1], [0.01, 0.01, 0.01], 0.0),
        ([0.1, 0.1, 0.1], [0.01, 0.2, 0.05], 316.2),
    ],
)
def test_crossover(ours, theirs, where):
    ms = [10, 100, 1000]
    found = crossover((ms, ours), (ms, theirs))
    if where is None:
        assert found is None
    else:
        assert found == pytest.approx(where, rel=0.05)


def test_a_problem_travels_without_its_matrix(tiny_bundle, photos):
    import pickle

    study = recovery(tiny_bundle, {"a": photos["first"]}, ["gaussian:400"], ["lasso-dct"], QUICK)
    (variant,) = study.variants.values()
    assert len(pickle.dumps((variant, variant.function, variant.operator(32)))) < 5000
    assert torch.equal(
        variant.operator(32).A(photos["first"]), pickle.loads(pickle.dumps(variant.operator(32))).A(photos["first"])
    )
