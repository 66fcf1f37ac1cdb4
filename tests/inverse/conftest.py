import pytest
from linear_double import QUICK, LinearGenerator

from ganinv.zoo import Bundle


@pytest.fixture(scope="session")
def linear():
    return Bundle("linear", LinearGenerator())


@pytest.fixture
def quick():
    """A configuration of milliseconds for every solver."""
    return QUICK
