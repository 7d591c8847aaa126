import pytest

from tests.projections.feeding import settle


@pytest.fixture
def shop_url(database_url):
    """A database whose transport is settled for the product's views, with an empty log."""
    settle(database_url)
    return database_url
