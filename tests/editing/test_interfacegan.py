import math

import numpy as np
import pytest
import torch

from ganinv import GanInvError
from ganinv.editing import boundary, dci, interfacegan
from ganinv.editing.interfacegan import correlated


@pytest.fixture(scope="module")
def attribute(unit):
    return unit(7)


@pytest.fixture(scope="module")
def round_codes():
    """Codes as far in every direction."""
    return torch.randn(20_000, 16, generator=torch.Generator().manual_seed(1))


def test_a_known_attribute_is_found(codes, attribute, angle):
    """Labels that are linear in w: the plane's normal is the attribute's gradient, and steps are standard deviations of the codes along it."""
    found = boundary(codes, 3 * codes @ attribute + 1, "smile", share=0.3)
    assert angle(found.step, attribute) < 5
    assert found.step @ attribute > 0
    assert found.length == pytest.approx((codes @ attribute).std().item(), rel=0.05)
    assert (found.name, found.method, found.space) == ("smile", "interfacegan", "w")
    assert found.facts["found_from"]["accuracy"] > 0.999


def test_two_in_a_hundred_do_where_codes_are_as_far_in_every_direction(codes, round_codes, attribute, angle):
    found = boundary(round_codes, round_codes @ attribute)
    assert angle(found.step, attribute) < 5
    assert found.facts["found_from"]["trained_on"] == 2 * round(0.7 * 400)
    assert angle(boundary(codes, codes @ attribute).step, attribute) > 10  # and where not, the plane leans


def test_labels_of_two_values(round_codes, attribute, angle):
    """One in a hundred has it, which is less than two in a hundred."""
    labels = (round_codes @ attribute > (round_codes @ attribute).quantile(0.99)).float()
    found = boundary(round_codes, labels)
    assert found.facts["found_from"]["trained_on"] == 2 * round(0.7 * 200)
    assert angle(found.step, attribute) < 25
    assert angle(boundary(round_codes, -labels).step, -attribute) < 25


def test_the_coordinate_is_the_distance_from_the_plane(round_codes, attribute):
    """The plane lies between the two ends, where the coordinate is zero; its unit is a standard deviation."""
    labels = round_codes @ attribute + 5
    coordinate = boundary(round_codes, labels).coordinate(round_codes[:, None].expand(-1, 8, -1))
    torch.testing.assert_close(coordinate, (labels - 5) / labels.std(), atol=0.3, rtol=0)


def test_labels_that_are_not_known_are_left_out(codes, attribute):
    labels = codes @ attribute
    some = labels.clone()
    some[::3] = math.nan
    rest = torch.arange(len(codes)) % 3 != 0
    assert torch.equal(boundary(codes, some).step, boundary(codes[rest], labels[rest]).step)
    other = codes @ attribute.flip(0)
    assert correlated({"a": some, "b": other}, 0) == correlated({"a": labels, "b": other}, 0)


def test_correlated_attributes_are_held(round_codes, unit, angle):
    """Beards come with men; a third attribute with neither."""
    codes = round_codes
    male, beard = codes @ unit(7), codes @ (unit(7) + unit(8))
    independent = torch.randn(len(codes), generator=torch.Generator().manual_seed(2))
    labels = {"male": male, "beard": beard, "noise": independent}
    assert correlated(labels, 0.2)["beard"] == ["male"]
    assert correlated(labels, 0.2)["noise"] == []
    found = interfacegan(codes, labels)
    plain = interfacegan(codes, labels, threshold=1)
    plane = plain["male"].step
    assert abs(found["beard"].step @ plane) < 1e-3 * plane.norm()
    assert abs(plain["beard"].step @ plane) > 0.1 * plane.norm() * plain["beard"].length
    assert torch.equal(found["noise"].step, plain["noise"].step)
    coordinate = found["beard"].coordinate(codes[:, None])
    assert (coordinate.mean().item(), coordinate.std().item()) == pytest.approx((0, 1), abs=1e-2)
    own = unit(8) - (unit(8) @ unit(7)) * unit(7)
    assert angle(found["beard"].step, own) < 10


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (torch.zeros(100), "all the same"),
        (torch.full([100], math.nan), "too few"),
        (torch.full([100], math.inf), "not all finite"),
        (torch.zeros(99), r"one number for each of the codes \[N, w_dim\], not \[99\]"),
    ],
)
def test_labels_that_say_nothing(codes, labels, said):
    with pytest.raises(GanInvError, match=said):
        boundary(codes[:100], labels)


def test_dci_of_a_space_that_is_the_attributes():
    x = torch.randn(4000, 6, generator=torch.Generator().manual_seed(0))
    rotation = torch.linalg.qr(torch.randn(6, 6, generator=torch.Generator().manual_seed(1)))[0]
    labels = {f"a{i}": x[:, i] for i in range(6)}
    own, mixed = dci(x, labels), dci(x @ rotation, labels)
    assert min(own.disentanglement, own.completeness) > 0.95
    assert own.informativeness > 0.95
    assert mixed.disentanglement < own.disentanglement - 0.1
    assert mixed.completeness < own.completeness - 0.05


def test_dci_by_hand(monkeypatch):
    """Importances that are known: coordinate 0 serves both attributes alike, coordinate 1 one of them."""
    import sklearn.ensemble

    rows = iter([[0.5, 0.5, 0.0], [1.0, 0.0, 0.0]])

    class Trees:
        def __init__(self, **settings):
            self.feature_importances_ = np.array(next(rows))

        def fit(self, x, y):
            return self

        def score(self, x, y):
            return 0.75

    monkeypatch.setattr(sklearn.ensemble, "GradientBoostingClassifier", Trees)
    x = torch.randn(500, 3, generator=torch.Generator().manual_seed(0))
    found = dci(x, {"a": x[:, 0], "b": x[:, 1]})
    entropy = -(1 / 3 * math.log2(1 / 3) + 2 / 3 * math.log2(2 / 3))
    assert found.disentanglement == pytest.approx((1 - entropy) * 0.75 + 1 * 0.25)
    assert found.completeness == pytest.approx(((1 - math.log(2) / math.log(3)) + 1) / 2)
    assert found.informativeness == 0.75
