import pytest

from ganinv.training.gan import GanConfig, Stage


@pytest.fixture
def tiny_config():
    """Three stages of a few milliseconds a step: 6, 10 and 10 steps."""
    return GanConfig(
        z_dim=8,
        w_dim=8,
        num_layers=1,
        channel_base=64,
        channel_max=8,
        stages=[Stage(8, 48, 0.05), Stage(16, 80, 0.1), Stage(32, 80, 0.2)],
        batch=8,
        r1_interval=4,
        ema_images=40,
        snapshot_images=40,
    )
