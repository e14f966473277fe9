"""Real data for the tests of the tasks."""

import needed
import pytest


@pytest.fixture
def real_data():
    """The folder of one real data set; see `needed`."""
    return needed.real_data
