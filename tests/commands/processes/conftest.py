"""A log in which the shop's process managers are registered, as the command API finds or leaves it."""

import pytest

from tests.commands.processes.running import register


@pytest.fixture
def database_url(database_url: str) -> str:
    register(database_url)
    return database_url
