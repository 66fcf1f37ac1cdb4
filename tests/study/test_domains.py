"""Pictures at a growing distance from faces."""

import warnings

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from ganinv import GanInvError, load
from ganinv.perception.features import feature_extractor
from ganinv.perception.frechet import feature_statistics
from ganinv.photos import from_uint8
from ganinv.study.domains import (
    STYLES,
    domain_distance,
    domains,
    drawing,
    stone,
    style_position,
    styled_reference,
)


@pytest.fixture(scope="module")
def faces64():
    return load("faces64")


@pytest.fixture(scope="module")
def pictures(faces64):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return domains(faces64)


def test_every_picture_fits_the_generator(pictures):
    names = ["held-out", "portrait", "grey", "stone", "drawing", "coin", "cat", "motorbike", "bricks", "noise"]
    assert list(pictures) == names
    for picture in pictures.values():
        assert picture.shape == (1, 3, 64, 64)
        assert picture.abs().max() <= 1
        assert picture.std() > 0.1
    assert pictures["grey"][:, 0].equal(pictures["grey"][:, 2])


def test_they_move_away_from_the_faces(pictures, faces64):
    found = dict(zip(pictures, domain_distance(faces64)(torch.cat(list(pictures.values()))), strict=True))
    assert max(found["held-out"], found["portrait"]) < found["grey"] < min(found["stone"], found["drawing"])
    assert max(found["stone"], found["drawing"]) < min(
        found[name] for name in ("coin", "cat", "motorbike", "bricks", "noise")
    )


def test_it_is_one_on_average_for_training_images(faces64):
    distance = domain_distance(faces64)
    assert distance(from_uint8(faces64.reference[:64])).mean() == pytest.approx(1, abs=0.25)
    assert distance(from_uint8(faces64.heldout)).mean() == pytest.approx(1, abs=0.25)


def test_the_distance_is_mahalanobis(make_bundle, tiny_targets):
    """By a diagonal form: independent of how the linear system is solved."""
    gan = make_bundle(0)
    statistics = feature_statistics(gan.reference)
    features = (
        feature_extractor(statistics.features)(from_uint8((tiny_targets * 127.5 + 127.5).round().to(torch.uint8)))
        .double()
        .numpy()
    )
    d, n = 320, len(gan.reference)
    share = d / (d + n)
    values, vectors = np.linalg.eigh(statistics.cov)
    values = (1 - share) * values + share * values.sum() / d
    expected = (((features - statistics.mean) @ vectors) ** 2 / values).sum(axis=1) / d
    np.testing.assert_allclose(domain_distance(gan)(tiny_targets), expected, rtol=1e-4)


def test_a_drawing_is_dark_on_one_side_of_an_edge():
    edge = torch.full((1, 3, 64, 64), 0.5)
    edge[..., 32:] = -0.5
    lines = drawing(edge)
    assert lines[..., :31].min() > 0.98  # paper
    assert lines[0, 0, 32, 32] < 0  # pencil
    assert lines[0, 0, 32, 63] > 0.9  # a dark plane is not hatched


def test_stone_is_lit_from_the_upper_left():
    y, x = torch.meshgrid(torch.linspace(-1, 1, 64), torch.linspace(-1, 1, 64), indexing="ij")
    hill = (0.8 - 1.6 * (x.square() + y.square()).clamp(max=1))[None, None].expand(1, 3, -1, -1)
    relief = F.avg_pool2d(stone(hill), 8)[0, 0]
    assert relief[2, 2] > relief[5, 5] + 0.2


def test_a_bundle_without_images_of_its_own(make_bundle):
    gan = make_bundle(0)
    gan.heldout = None
    pictures = domains(gan)
    assert "held-out" not in pictures
    assert pictures["cat"].shape == (1, 3, 32, 32)


@pytest.mark.parametrize("style", STYLES)
def test_the_position_is_zero_for_photos_and_one_for_the_style(faces64, style):
    position = style_position(faces64, style, 256)
    photos = from_uint8(faces64.heldout[:32])
    assert position(photos).mean() == pytest.approx(0, abs=0.05)
    assert position(STYLES[style](photos)).mean() == pytest.approx(1, abs=0.1)


def test_of_equal_sets_the_position_is_that_of_their_means(make_bundle):
    gan = make_bundle(0)
    position = style_position(gan, "stone")
    assert position(from_uint8(gan.reference)).mean() == pytest.approx(0, abs=1e-4)
    assert position(from_uint8(styled_reference(gan, "stone"))).mean() == pytest.approx(1, abs=1e-4)


def test_what_has_no_style(make_bundle):
    gan = make_bundle(0)
    assert styled_reference(gan, "drawing", 3).equal(styled_reference(gan, "drawing")[:3])
    with pytest.raises(GanInvError, match="drawing, stone"):
        styled_reference(gan, "oil")
    gan.reference = None
    with pytest.raises(GanInvError, match="without training images"):
        style_position(gan, "stone")
