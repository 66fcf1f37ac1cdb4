"""The directions that ship: what was measured of them when they were found is what is measured now."""

import math

import pytest

import ganinv
from ganinv.editing import Direction, directions
from ganinv.editing.files import direction_scores
from ganinv.editing.measure import GOAL, MOST_DEPENDENCY, networks, walk


@pytest.fixture(scope="module")
def gan():
    return ganinv.load("faces64")


@pytest.fixture(scope="module")
def known(gan):
    return directions(gan)


def test_each_has_its_facts(gan, known):
    table = direction_scores(gan)
    assert set(known) == {name for name, facts in table.items() if facts["ships"]}
    assert set(table) == set(networks()[0].names)  # what did not pass is listed, with its numbers
    for name, facts in table.items():
        score = facts["scores"]
        assert score["passes"] == facts["ships"]
        assert bool(score["reason"]) == (not facts["ships"])
        assert {"interfacegan", "gradients"} == set(facts["tried"])
        if facts["ships"]:
            assert score["mean_ad"] <= MOST_DEPENDENCY
            assert score["identity"] <= networks()[1].same
            assert isinstance(known[name], Direction)
            assert known[name].generator == gan.sha256


def test_they_still_do_what_was_measured(gan, known):
    """On other samples, at the strength where each had moved its attribute by the goal."""
    judges = networks()
    for name in ("smile", "eyeglasses", "age", "gender"):
        if name not in known:
            continue
        score = direction_scores(gan)[name]["scores"]
        found = walk(gan, known[name], *judges, strengths=(score["strength"],), samples=24, seed=23)
        assert math.isclose(found.shift[0], GOAL, rel_tol=0.25), name
        assert found.mean_ad[0] < score["mean_ad"] + 0.1, name


def test_the_names_of_the_page_are_there(known):
    assert {"smile", "mouth_open", "age", "gender", "gaze", "eyeglasses", "beard", "hat", "lip_redness"} <= set(known)
