"""Spectra of waves whose frequency is known, and Parseval's theorem."""

import math

import pytest
import torch

from ganinv.perception.spectra import octave_shares, power_spectrum, radial_spectrum


def wave(cycles_across, cycles_down=0, size=64):
    t = torch.arange(size, dtype=torch.float64) * (2 * math.pi / size)
    return torch.cos(cycles_down * t[:, None] + cycles_across * t[None, :]).expand(1, 3, -1, -1)


def test_the_powers_sum_to_the_mean_square():
    torch.manual_seed(0)
    x = torch.randn(2, 3, 20, 33, dtype=torch.float64)
    power, frequency = power_spectrum(x)
    assert power.shape == (2, 20, 33)
    torch.testing.assert_close(power.sum(dim=(1, 2)), x.square().mean(dim=(1, 2, 3)))
    assert frequency.max() == pytest.approx(math.hypot(0.5, 16 / 33))


def test_the_windowed_power_of_white_noise_is_its_variance():
    x = 3 * torch.randn(8, 3, 64, 64, generator=torch.Generator().manual_seed(0)) + 5
    assert power_spectrum(x, window=True)[0].sum(dim=(1, 2)).mean() == pytest.approx(9, rel=0.02)


@pytest.mark.parametrize("cycles", [1, 5, 16, 31])
def test_a_wave_is_one_ring(cycles):
    frequencies, power = radial_spectrum(wave(cycles), window=False)
    assert len(frequencies) == 32
    assert frequencies[0] == 1 / 64
    assert frequencies[-1] == 1 / 2
    others = power[0, torch.arange(32) != cycles - 1]
    assert others.max() < 1e-20 * power[0, cycles - 1]
    windowed = radial_spectrum(wave(cycles))[1][0]
    # the window spreads it to the neighbours
    assert windowed[max(cycles - 2, 0) : cycles + 1].sum() > 0.99 * windowed.sum()


def test_a_ring_is_a_mean_over_its_frequencies():
    """White noise has the same power everywhere, however many frequencies a ring holds."""
    x = torch.randn(200, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(
        radial_spectrum(x, window=False)[1].mean(dim=0), torch.full([16], 1 / 32**2), rtol=0.1, atol=0
    )


def test_the_window_hides_the_jump_between_opposite_borders():
    ramp = torch.linspace(-1, 1, 64, dtype=torch.float64).expand(1, 3, 64, 64)
    plain, windowed = (radial_spectrum(ramp, window)[1][0, -1] for window in (False, True))
    assert windowed < 1e-3 * plain


@pytest.mark.parametrize(
    ("cycles", "octave"), [(31, 0), (17, 0), (16, 1), (9, 1), (8, 2), (5, 2), (4, 3), (3, 3), (2, 4), (1, 4), (0, 4)]
)
def test_octaves(cycles, octave):
    shares = octave_shares(wave(cycles), 4)
    assert shares.shape == (1, 5)
    assert shares[0, octave] == pytest.approx(1)


def test_shares_follow_energy_and_add_up():
    shares = octave_shares(3 * wave(20) + wave(2, 1), 3)[0]
    torch.testing.assert_close(shares, torch.tensor([0.9, 0, 0, 0.1], dtype=torch.float64), atol=1e-12, rtol=0)
    assert octave_shares(torch.rand(4, 3, 16, 16)).sum(dim=1).tolist() == pytest.approx([1] * 4)
    assert torch.equal(octave_shares(torch.zeros(1, 3, 8, 8)), torch.zeros(1, 5))
