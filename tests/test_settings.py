"""Configurations as trees: listing, changing, and what is said of settings that do not exist."""

from dataclasses import dataclass, field, replace
from typing import Annotated

import numpy as np
import pytest

from ganinv import GanInvError
from ganinv.inversion import HFGI, METHODS, PTI, NearPerfect, Projection, ReStyle
from ganinv.settings import (
    ENCODERS,
    Batch,
    Checked,
    Count,
    SettingError,
    Share,
    Weight,
    configured,
    encoder_names,
    one_of,
    put,
    seeded,
    shortened,
    walk,
)
from ganinv.training.gan import GanConfig, Stage
from ganinv.training.recipes import RECIPES
from ganinv.training.toy import ToyConfig


@dataclass(frozen=True)
class Leaf:
    steps: int = 100
    seed: int = 1
    encoder: str = "psp"


@dataclass(frozen=True)
class Other:
    steps: int = 7
    lr: float = 0.1


@dataclass(frozen=True)
class Branch:
    stage: Leaf | Other = Leaf()
    base_encoder: str | None = None
    steps: int = 50


@dataclass(frozen=True)
class Tree:
    branch: Branch = field(default_factory=Branch)
    fixed: Other = Other()
    switch: bool = False
    limit: int | None = None

    def __post_init__(self):
        if self.limit is not None and self.limit < 0:
            raise ValueError("limit is at least 0")


STAGES = {"leaf": Leaf(steps=3), "other": Other()}


def test_every_setting_is_listed_once_in_order():
    keys = [".".join(key) for key, _ in walk(Tree())]
    assert keys == [
        *("branch.stage.steps", "branch.stage.seed", "branch.stage.encoder", "branch.base_encoder", "branch.steps"),
        *("fixed.steps", "fixed.lr", "switch", "limit"),
    ]
    assert dict(walk(Tree()))["branch", "stage", "seed"] == 1
    assert list(walk("no dataclass")) == list(walk(None)) == []


def test_a_copy_has_the_new_values_and_the_rest_of_the_old():
    tree = Tree()
    changed = put(tree, {("branch", "stage", "seed"): 5, ("branch", "steps"): 6, ("switch",): True})
    assert changed == Tree(Branch(Leaf(seed=5), steps=6), switch=True)
    assert tree == Tree()
    assert put(tree, {}) == tree


def test_whole_trees_are_shortened_and_seeded():
    assert shortened(Tree(), 20) == Tree(Branch(Leaf(steps=20), steps=20), Other(steps=7))
    assert seeded(Tree(), 9) == Tree(Branch(Leaf(seed=9)))
    assert encoder_names(Tree(Branch(base_encoder="e4e"))) == ["psp", "e4e"]
    assert encoder_names(Tree(Branch(stage=Other()))) == []


def test_changes_of_the_command_line():
    changes = ["branch.stage.steps = 4", "fixed.lr=1e-3", "switch=yes", "limit=3"]
    assert configured(Tree(), changes, STAGES) == Tree(Branch(Leaf(steps=4)), Other(lr=1e-3), True, 3)
    assert configured(Tree(limit=3), ["limit=None"], STAGES).limit is None
    assert configured(Tree(), ["branch.stage=other", "branch.stage.lr=2"], STAGES).branch.stage == Other(lr=2.0)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("steps", "'steps' should read KEY=VALUE"),
        ("stps=3", "there is no setting 'stps'; Tree has branch, fixed, switch, limit"),
        ("branch.stage.x=3", "there is no setting 'branch.stage.x'; Leaf has steps, seed, encoder"),
        ("switch.x=3", "switch has no settings of its own"),
        ("fixed=other", "fixed has settings of its own, such as fixed.steps"),
        ("branch=leaf", "branch has settings of its own, such as branch.stage"),
        (
            "branch.stage=pti",
            r"stage is the name of a method \(leaf, other\), or has settings, such as branch.stage.steps",
        ),
        ("branch.steps=many", "branch.steps=many: a whole number is needed"),
        ("fixed.lr=fast", "fixed.lr=fast: a number is needed"),
        ("switch=perhaps", "switch=perhaps: it is a switch, true or false"),
        ("limit=-1", "limit=-1: limit is at least 0"),
    ],
)
def test_what_does_not_fit_is_said(change, said):
    with pytest.raises(SettingError, match=f"^{said}$"):
        configured(Tree(), [change], STAGES)


# -- limits ---------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Limited(Checked):
    steps: Count = 1
    levels: Count | None = None
    rate: Weight = 0.1
    part: Share = 0.5
    words: Annotated[str, one_of("a", "b", "c")] = "a"
    batch: Batch = 4
    free: object = None


@pytest.mark.parametrize(
    "values",
    [
        dict(steps=0, rate=0, part=1),
        dict(steps=np.int64(3), rate=np.float32(0.5), part=0.0),
        dict(levels=None),
        dict(levels=2, words="c", free=-1),
        *[dict(batch=batch) for batch in (1, 2, 3, 4, 8, 64)],
    ],
)
def test_values_within_the_limits_are_taken(values):
    assert [getattr(Limited(**values), name) for name in values] == list(values.values())


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (dict(steps=-1), "steps must be a whole number, at least 0, not -1"),
        (dict(steps=2.5), "steps must be a whole number, at least 0, not 2.5"),
        (dict(steps="3"), "steps must be a whole number, at least 0, not '3'"),
        (dict(steps=None), "steps must be a whole number, at least 0, not None"),
        (dict(levels=-1), "levels must be a whole number, at least 0, not -1"),
        (dict(rate=-0.1), "rate must be a number, at least 0, not -0.1"),
        (dict(rate=float("nan")), "rate must be a number, at least 0, not nan"),
        (dict(rate=float("inf")), "rate must be a number, at least 0, not inf"),
        (dict(part=1.1), "part must be a number, at least 0 and at most 1, not 1.1"),
        (dict(words="d"), "words must be 'a', 'b' or 'c', not 'd'"),
        *[
            (dict(batch=batch), f"batch must be 1 to 4, or a multiple of 4: .*, not {batch}")
            for batch in (0, 5, 6, 7, 10)
        ],
    ],
)
def test_values_outside_are_refused_when_the_configuration_is_made(values, said):
    with pytest.raises(ValueError, match=f"^{said}$"):
        Limited(**values)
    with pytest.raises(GanInvError, match=f"^{said}$"):
        replace(Limited(), **values)


def test_a_stage_within_a_tree_is_named_by_the_way_to_it():
    with pytest.raises(SettingError, match=r"^initial\.steps=-1: steps must be a whole number, at least 0, not -1$"):
        configured(
            METHODS["near-perfect"].config,
            ["initial=projection-w", "initial.steps=-1"],
            {"projection-w": METHODS["projection-w"].config},
        )


CONFIGURATIONS = [entry.config for entry in METHODS.values()] + [recipe.config for recipe in RECIPES.values()]
CONFIGURATIONS += [GanConfig(), ToyConfig(), Projection(), *GanConfig().stages]


@pytest.mark.parametrize("config", CONFIGURATIONS, ids=lambda config: type(config).__name__)
def test_every_number_of_every_configuration_has_a_limit(config):
    numbers = [key[0] for key, value in walk(config) if len(key) == 1 and isinstance(value, int | float)]
    for name in numbers:
        with pytest.raises(SettingError, match=f"^{name} "):
            replace(config, **{name: float("nan")})


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: NearPerfect(batch=0), "batch must be 1 to 4"),
        (lambda: NearPerfect(batch=6), "batch must be 1 to 4"),
        (lambda: GanConfig(batch=5), "batch must be 1 to 4"),
        (lambda: NearPerfect(global_interval=0), "global_interval must be a whole number, at least 1"),
        (lambda: NearPerfect(levels=-1), "levels must be"),
        (lambda: Projection(steps=-1), "steps must be"),
        (lambda: PTI(lr=-1e-3), "lr must be"),
        (
            lambda: HFGI(encoder="psp"),
            r"encoder psp is not of the kind that hfgi takes: train one with `ganinv train encoder hfgi`",
        ),
        (lambda: HFGI(basic_encoder="hfgi"), "basic_encoder hfgi is not of the kind that psp and e4e take: train one"),
        (lambda: Stage(48, 1, 0.1), "resolution must be a power of two"),
    ],
)
def test_what_no_run_could_do(make, said):
    with pytest.raises(SettingError, match=f"^{said}"):
        make()


def test_an_encoder_of_ones_own_goes_by_its_name_or_file():
    assert HFGI(encoder="mine").encoder == "mine"
    assert ReStyle(encoder="folder/psp.safetensors").encoder == "folder/psp.safetensors"
    assert set(ENCODERS) == set(RECIPES)
