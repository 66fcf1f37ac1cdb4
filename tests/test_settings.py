"""Configurations as trees: listing, changing, and what is said of settings that do not exist."""

from dataclasses import dataclass, field

import pytest

from ganinv.settings import SettingError, configured, encoder_names, put, seeded, shortened, walk


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
        ("branch.stage=pti", r"stage is the name of a method \(leaf, other\), or has settings, such as branch.stage.steps"),
        ("branch.steps=many", "branch.steps=many: a whole number is needed"),
        ("fixed.lr=fast", "fixed.lr=fast: a number is needed"),
        ("switch=perhaps", "switch=perhaps: it is a switch, true or false"),
        ("limit=-1", "limit=-1: limit is at least 0"),
    ],
)
def test_what_does_not_fit_is_said(change, said):
    with pytest.raises(SettingError, match=f"^{said}$"):
        configured(Tree(), [change], STAGES)
