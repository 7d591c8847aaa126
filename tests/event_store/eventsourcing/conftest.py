"""An empty log, and the environment in which applications of the `eventsourcing` library find it."""

from collections.abc import Callable, Iterator

import pytest
from eventsourcing.persistence import InfrastructureFactory
from eventsourcing.utils import Environment

from event_store.eventsourcing_module import Factory

MODULE = "event_store.eventsourcing_module"


@pytest.fixture
def door(database_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Address of the log that every application of this test finds in the environment."""
    monkeypatch.setenv("PERSISTENCE_MODULE", MODULE)
    monkeypatch.setenv("COUNTERFOIL_DATABASE_URL", database_url)
    return database_url


@pytest.fixture
def new_factory(database_url: str) -> Iterator[Callable[..., Factory]]:
    """Makes the factory of an application by name, with more variables if need be; closed after the test."""
    made: list[Factory] = []

    def make(name: str = "Bank", **variables: str) -> Factory:
        given = {"PERSISTENCE_MODULE": MODULE, "COUNTERFOIL_DATABASE_URL": database_url, **variables}
        factory = InfrastructureFactory.construct(Environment(name, given))
        assert isinstance(factory, Factory)
        made.append(factory)
        return factory

    yield make
    for factory in made:
        factory.close()
