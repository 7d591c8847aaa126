"""What tests of sealed logs share."""

import pytest

from event_store.proofs.tiles import Directory
from tests.event_store.proofs.bundling import fill
from tests.event_store.proofs.sealing import seal


@pytest.fixture
def log(database_url, tmp_path):
    """A log of every kind of event, sealed, and its tiles."""
    store = Directory(tmp_path / "tiles")
    fill(database_url)
    seal(database_url, store)
    return database_url, store
