"""Every metric against its formula; the Fréchet distance against closed forms and SciPy."""

import math

import numpy as np
import pytest
import scipy.linalg
import torch

from ganinv.errors import GanInvError
from ganinv.perception import frechet
from ganinv.perception.features import feature_extractor
from ganinv.perception.frechet import (
    FrechetStatistics,
    feature_statistics,
    frechet_distance,
    generator_statistics,
    sample_images,
)
from ganinv.perception.perceptual import perceptual
from ganinv.perception.scores import batch_scores, mse, psnr, scores, ssim
from ganinv.stylegan2 import Generator


@pytest.fixture
def pair():
    torch.manual_seed(0)
    x = torch.nn.functional.interpolate(torch.rand(3, 3, 8, 8) * 2 - 1, size=64, mode="bilinear")
    return x, (x + 0.1 * torch.randn_like(x)).clamp(-1, 1)


@pytest.fixture(name="G")
def tiny_generator():
    torch.manual_seed(0)
    G = Generator(8, 8, 16, 2, channel_base=128, channel_max=8).eval()
    with torch.no_grad():
        for name in G.synthesis.conv_names:
            G.synthesis.get_submodule(name).noise_strength.fill_(0.5)
    return G


def test_mse_and_psnr(pair):
    x, y = pair
    expected = ((x.double() - y.double()) ** 2).mean(dim=(1, 2, 3)).numpy()
    np.testing.assert_allclose(mse(x, y).numpy(), expected, rtol=1e-5)
    np.testing.assert_allclose(psnr(x, y).numpy(), 10 * np.log10(4 / expected), rtol=1e-5)
    assert mse(torch.full((1, 3, 4, 4), -1.0), torch.ones(1, 3, 4, 4)).item() == 4
    assert psnr(torch.full((1, 3, 4, 4), -1.0), torch.ones(1, 3, 4, 4)).item() == 0
    assert psnr(x, x).eq(math.inf).all()


def reference_ssim(x, y):
    """Wang et al. 2004 in plain loops over one channel, in [-1, 1]."""
    taps = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
    window = np.outer(taps, taps) / taps.sum() ** 2
    c1, c2 = (0.01 * 2) ** 2, (0.03 * 2) ** 2
    values = []
    for i in range(x.shape[0] - 10):
        for j in range(x.shape[1] - 10):
            a, b = x[i : i + 11, j : j + 11], y[i : i + 11, j : j + 11]
            ma, mb = (window * a).sum(), (window * b).sum()
            va, vb = (window * a * a).sum() - ma**2, (window * b * b).sum() - mb**2
            cov = (window * a * b).sum() - ma * mb
            values.append((2 * ma * mb + c1) * (2 * cov + c2) / ((ma**2 + mb**2 + c1) * (va + vb + c2)))
    return np.mean(values)


def test_ssim(pair):
    x, y = pair
    expected = np.mean(
        [reference_ssim(a.double().numpy(), b.double().numpy()) for a, b in zip(x[0], y[0], strict=True)]
    )
    assert ssim(x, y)[0].item() == pytest.approx(expected, abs=1e-6)
    np.testing.assert_allclose(ssim(x, x).numpy(), 1)
    with pytest.raises(ValueError, match="11x11"):
        ssim(x[..., :10, :], y[..., :10, :])


def test_scores_name_their_trunk(pair):
    x, y = pair
    report = scores(x[0], y[0])
    assert set(report) == {"mse", "psnr", "ssim", "perceptual"}
    assert set(report["perceptual"]) == {"efficientnet-lite0"}
    assert report["perceptual"]["efficientnet-lite0"] == pytest.approx(perceptual(x[:1], y[:1]).item(), rel=1e-4)
    assert report["mse"] == pytest.approx(mse(x[:1], y[:1]).item())
    assert scores(x[:1], y[:1]) == report
    every = batch_scores(x, y)
    assert len(every) == 3
    assert every[2]["ssim"] == pytest.approx(ssim(x[2:], y[2:]).item())


def test_scores_are_those_of_the_shown_image(pair):
    x, _ = pair
    assert scores(torch.full((3, 64, 64), 3.0), torch.ones(3, 64, 64))["mse"] == 0
    with pytest.raises(ValueError, match="batch_scores"):
        scores(x, x)
    with pytest.raises(ValueError, match="differ in shape"):
        scores(x[0], x[0, :, :32])


def gaussian(mean, cov, n=100):
    return FrechetStatistics(np.asarray(mean, dtype=float), np.asarray(cov, dtype=float), n, "test")


def test_frechet_distance_of_known_gaussians():
    a, b = gaussian([0, 1, 2], np.diag([1, 4, 9])), gaussian([1, 1, 0], np.diag([4, 4, 1]))
    # |difference of means|^2 + (sigma - sigma')^2
    assert frechet_distance(a, b) == pytest.approx(1 + 4 + (1 - 2) ** 2 + 0 + (3 - 1) ** 2)
    assert frechet_distance(b, a) == pytest.approx(frechet_distance(a, b))
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-12)


def test_frechet_distance_agrees_with_scipy():
    rng = np.random.default_rng(0)
    x, y = (
        rng.normal(size=(200, 12)) @ rng.normal(size=(12, 12)),
        rng.normal(size=(300, 12)) @ rng.normal(size=(12, 12)) + 0.5,
    )
    a, b = (gaussian(v.mean(axis=0), np.cov(v, rowvar=False), len(v)) for v in (x, y))
    root = scipy.linalg.sqrtm(a.cov @ b.cov)
    expected = ((a.mean - b.mean) ** 2).sum() + np.trace(a.cov + b.cov - 2 * root.real)
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-9)


def test_frechet_distance_of_singular_covariances():
    x = np.random.default_rng(0).normal(size=(10, 50))  # fewer images than features
    a = gaussian(x.mean(axis=0), np.cov(x, rowvar=False), 10)
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(a, gaussian(a.mean + 2, a.cov, 10)) == pytest.approx(200)


def test_frechet_distance_of_a_diverged_generator_is_nan():
    assert math.isnan(frechet_distance(gaussian([0, 0], np.eye(2)), gaussian([0, math.nan], np.full((2, 2), math.nan))))


def test_different_features_are_not_compared():
    with pytest.raises(ValueError, match="cannot be compared"):
        frechet_distance(gaussian([0], [[1]]), FrechetStatistics(np.zeros(1), np.eye(1), 10, "inception"))


def test_feature_statistics(pair):
    images = (torch.cat(pair) * 127.5 + 127.5).round().to(torch.uint8)
    as_floats = images / 127.5 - 1
    rows = feature_extractor()(as_floats).double().numpy()
    stats = feature_statistics(images)
    assert (stats.n, stats.features) == (6, "efficientnet-lite0")
    np.testing.assert_allclose(stats.mean, rows.mean(axis=0), atol=1e-4)
    np.testing.assert_allclose(stats.cov, np.cov(rows, rowvar=False), atol=1e-4)
    for other in (
        feature_statistics(as_floats),
        feature_statistics(iter(images.split(4))),
        feature_statistics([images[:1], images[1:]]),
    ):
        np.testing.assert_allclose(other.mean, stats.mean, atol=1e-4)
        np.testing.assert_allclose(other.cov, stats.cov, atol=1e-4)
    assert frechet_distance(stats, stats) < 1e-9


def test_frechet_distance_tells_sets_apart(pair):
    torch.manual_seed(0)
    coarse = torch.nn.functional.interpolate(torch.rand(48, 3, 4, 4) * 2 - 1, size=32, mode="bilinear")
    fine = torch.nn.functional.interpolate(torch.rand(24, 3, 16, 16) * 2 - 1, size=32, mode="bilinear")
    a, b, c = (feature_statistics(x) for x in (coarse[:24], coarse[24:], fine))
    assert 0 < frechet_distance(a, b) < 0.5 * frechet_distance(a, c)


def test_feature_statistics_need_two_images():
    with pytest.raises(GanInvError, match="at least two images, not 1"):
        feature_statistics(torch.zeros(1, 3, 32, 32))


def test_statistics_survive_a_file(tmp_path):
    stats = feature_statistics(torch.rand(3, 3, 32, 32))
    stats.save(tmp_path / "stats.npz")
    loaded = FrechetStatistics.load(tmp_path / "stats.npz")
    assert np.array_equal(loaded.mean, stats.mean)
    assert np.array_equal(loaded.cov, stats.cov)
    assert (loaded.n, loaded.features) == (3, "efficientnet-lite0")
    assert [p.name for p in tmp_path.iterdir()] == ["stats.npz"]


def test_files_that_are_no_statistics(tmp_path):
    path = tmp_path / "stats.npz"
    with pytest.raises(GanInvError, match="does not exist"):
        FrechetStatistics.load(path)
    gaussian([0, 0], np.eye(2)).save(path)
    whole = path.read_bytes()
    np.savez(tmp_path / "other.npz", a=1)
    np.savez(tmp_path / "pickled.npz", mean=np.array([print, len]), cov=np.eye(2), n=1, features="x")
    np.savez(tmp_path / "shapes.npz", mean=np.zeros(2), cov=np.eye(3), n=1, features="x")
    np.save(tmp_path / "array.npy", np.zeros(3))
    contents = [
        whole[: len(whole) // 2],
        b"",
        b"text",
        *((tmp_path / n).read_bytes() for n in ("other.npz", "pickled.npz", "shapes.npz", "array.npy")),
    ]
    for content in contents:
        path.write_bytes(content)
        with pytest.raises(GanInvError, match=r"stats\.npz holds no feature statistics"):
            FrechetStatistics.load(path)


def test_samples_depend_on_the_seed_and_not_on_the_batch(G):
    one = torch.cat(list(sample_images(G, 10, seed=1, batch=10)))
    assert one.shape == (10, 3, 16, 16)
    torch.testing.assert_close(torch.cat(list(sample_images(G, 10, seed=1, batch=3))), one, atol=1e-5, rtol=1e-4)
    assert torch.equal(torch.cat(list(sample_images(G, 10, seed=1, batch=10))), one)
    assert not torch.allclose(torch.cat(list(sample_images(G, 10, seed=2, batch=10))), one)


@pytest.mark.parametrize("noise_mode", ["random", "const", "none"])
def test_samples_are_the_generators(G, noise_mode):
    z = torch.randn(4, 8, generator=torch.Generator().manual_seed(3))
    sampled = torch.cat(list(sample_images(G, 4, seed=3, noise_mode=noise_mode, truncation_psi=0.5)))
    direct = G(z, truncation_psi=0.5, noise_mode=noise_mode)
    assert torch.allclose(sampled, direct, atol=1e-5) == (noise_mode != "random")


def test_random_noise_hides_tuned_noise_maps(G):
    before = generator_statistics(G, 8)
    tuned = generator_statistics(G, 8, noise_mode="const")
    for name in G.synthesis.conv_names:
        G.synthesis.get_submodule(name).noise_const.fill_(3.0)
    assert np.array_equal(generator_statistics(G, 8).mean, before.mean)
    assert not np.allclose(generator_statistics(G, 8, noise_mode="const").mean, tuned.mean)


def test_generator_statistics_are_reproducible(G):
    state = torch.get_rng_state()
    a = generator_statistics(G, 20, seed=5)
    assert np.array_equal(generator_statistics(G, 20, seed=5).cov, a.cov)
    other = generator_statistics(G, 20, seed=5, batch=7)
    np.testing.assert_allclose(other.mean, a.mean, atol=2e-2)  # a pixel may round to the other of two 8-bit values
    assert frechet_distance(a, other) < 1e-3 * frechet_distance(a, generator_statistics(G, 20, seed=6))
    assert torch.equal(torch.get_rng_state(), state)
    assert a.n == 20


def test_images_are_rounded_to_8_bits():
    levels = torch.arange(256.0).reshape(1, 1, 16, 16).expand(1, 3, -1, -1)
    (rounded,) = frechet._batches([(levels + 0.4) / 127.5 - 1])
    torch.testing.assert_close(rounded, levels / 127.5 - 1, atol=1e-6, rtol=0)
    (clamped,) = frechet._batches([torch.tensor([-5.0, 5.0]).reshape(1, 1, 1, 2)])
    assert clamped.flatten().tolist() == [-1, 1]


def test_batches_of_any_size(G):
    assert [len(b) for b in sample_images(G, 20, batch=16)] == [16, 4]
    assert (
        sum(len(b) for b in frechet._batches([torch.zeros(20, 3, 4, 4), torch.zeros(3, 3, 4, 4, dtype=torch.uint8)]))
        == 23
    )
