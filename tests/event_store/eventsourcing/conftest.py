"""An empty log, the environment in which applications of the `eventsourcing` library find it, and what is moved."""

from collections.abc import Callable, Iterator

import psycopg
import pytest
from eventsourcing.persistence import InfrastructureFactory
from eventsourcing.utils import Environment

from event_store.eventsourcing_module import Factory
from tests.event_store.eventsourcing.moved_applications import Parcels, counting, following, in_postgres

MODULE = "event_store.eventsourcing_module"


@pytest.fixture
def log_address(database_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
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


@pytest.fixture
def half_followed(database_url: str) -> str:
    """Nine of nineteen parcels are followed, in a database whose notification ids have gaps."""
    old = in_postgres(database_url)
    with following(old) as (parcels, _), counting(old) as runner:
        for number in range(9):
            parcels.send(number)
            parcels.stop(number, "Leeds")
            skip_notification_ids(database_url, 3)
        runner.wait(parcels.recorder.max_notification_id(), timeout=120)
    with Parcels(env=old) as parcels:  # while nobody follows
        for number in range(9, 19):
            parcels.send(number)
            skip_notification_ids(database_url, 2)
        for place in ("York", "Hull", "Bath"):
            parcels.stop(0, place)
    return database_url


def skip_notification_ids(url: str, count: int) -> None:
    """What transactions that were rolled back leave behind."""
    with psycopg.connect(url, autocommit=True) as admin:
        admin.execute(
            "select nextval(pg_get_serial_sequence('parcels_events', 'notification_id'))"
            " from generate_series(1, %s)",
            [count],
        )
