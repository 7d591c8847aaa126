import pytest

from counterfoil.contexts import CONTEXTS
from tests.projections.feeding import settle


@pytest.fixture
def shop_url(database_url):
    """A database whose transport is settled for the product's views, with an empty log."""
    settle(database_url, CONTEXTS.views)
    return database_url
