"""Applications of the library that stand in its own databases: one that is followed, and three that follow it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar
from uuid import NAMESPACE_URL, UUID, uuid5

from eventsourcing.application import Application, ProcessingEvent
from eventsourcing.dispatch import singledispatchmethod
from eventsourcing.domain import Aggregate, DomainEventProtocol, event
from eventsourcing.persistence import Tracking
from eventsourcing.postgres import PostgresDatastore, PostgresTrackingRecorder
from eventsourcing.projection import Projection, ProjectionRunner
from eventsourcing.system import ProcessApplication, SingleThreadedRunner, System
from psycopg import conninfo
from psycopg.sql import SQL, Identifier


class Parcel(Aggregate):
    class Sent(Aggregate.Created):
        number: int

    @event(Sent)
    def __init__(self, number: int) -> None:
        self.number = number
        self.stops: list[str] = []

    @staticmethod
    def create_id(number: int) -> UUID:
        return uuid5(NAMESPACE_URL, f"/parcels/{number}")

    @event("Stopped")
    def stop(self, place: str) -> None:
        self.stops.append(place)


class Parcels(Application[UUID]):
    snapshotting_intervals: ClassVar = {Parcel: 3}

    def send(self, number: int) -> None:
        self.save(Parcel(number))

    def stop(self, number: int, place: str) -> None:
        parcel: Parcel = self.repository.get(Parcel.create_id(number))
        parcel.stop(place)
        self.save(parcel)


class Mail(Aggregate):
    @event("Posted")
    def __init__(self, number: int) -> None:
        self.number = number


class Mails(ProcessApplication[UUID]):
    """Posts a mail for each parcel that is sent."""

    @singledispatchmethod
    def policy(
        self, domain_event: DomainEventProtocol[UUID], processing_event: ProcessingEvent[UUID]
    ) -> None:
        """Nothing follows from other events."""

    @policy.register
    def _(self, domain_event: Parcel.Sent, processing_event: ProcessingEvent[UUID]) -> None:
        processing_event.collect_events(Mail(domain_event.number))

    def posted(self) -> list[int]:
        """The numbers of parcels, in the order of their mails."""
        found = []
        for notification in self.recorder.select_notifications(None, 1_000):
            mail: Mail = self.repository.get(notification.originator_id)
            found.append(mail.number)
        return found


class CountRecorder(PostgresTrackingRecorder):
    """Rows of a projection that stay in the library's own Postgres module."""

    def __init__(self, datastore: PostgresDatastore, **kwargs: str) -> None:
        super().__init__(datastore, **kwargs)
        self.table = Identifier(self.datastore.schema, f"{self.tracking_table_name}_seen")
        self.sql_create_statements.append(
            SQL("create table if not exists {} (number int, nth serial)").format(self.table)
        )

    def see(self, number: int, tracking: Tracking) -> None:
        with self.datastore.transaction(commit=True) as cursor:
            self._insert_tracking(cursor, tracking)
            cursor.execute(SQL("insert into {} (number) values (%s)").format(self.table), [number])

    def seen(self) -> list[int]:
        with self.datastore.get_connection() as connection, connection.cursor() as cursor:
            cursor.execute(SQL("select number from {} order by nth").format(self.table))
            return [row["number"] for row in cursor.fetchall()]


class Counts(Projection[CountRecorder]):
    name = "counts"

    def process_event(self, domain_event: DomainEventProtocol[UUID], tracking: Tracking) -> None:
        if isinstance(domain_event, Parcel.Sent):
            self.view.see(domain_event.number, tracking)
        else:
            self.view.insert_tracking(tracking)


def in_postgres(url: str) -> dict[str, str]:
    """The environment of applications in the library's own Postgres module."""
    address = {name: str(value) for name, value in conninfo.conninfo_to_dict(url).items()}
    return {
        "PERSISTENCE_MODULE": "eventsourcing.postgres",
        "POSTGRES_DBNAME": address["dbname"],
        "POSTGRES_HOST": address["host"],
        "POSTGRES_PORT": address["port"],
        "POSTGRES_USER": address["user"],
        "POSTGRES_PASSWORD": address.get("password", ""),
    }


def on_the_log(url: str) -> dict[str, str]:
    """The environment after the move: the projection stays where it was."""
    stays = {f"COUNTS_{name}": value for name, value in in_postgres(url).items()}
    return {
        "PERSISTENCE_MODULE": "event_store.eventsourcing_module",
        "COUNTERFOIL_DATABASE_URL": url,
        **stays,
    }


@contextmanager
def counting(environment: dict[str, str]) -> Iterator[ProjectionRunner[Parcels, CountRecorder]]:
    """The projection, running."""
    with ProjectionRunner(
        application_class=Parcels, projection_class=Counts, view_class=CountRecorder, env=environment
    ) as runner:
        yield runner


@contextmanager
def following(environment: dict[str, str]) -> Iterator[tuple[Parcels, Mails]]:
    """The parcels, and the mails that follow them at once."""
    with SingleThreadedRunner[UUID](System(pipes=[[Parcels, Mails]]), environment) as runner:
        yield runner.get(Parcels), runner.get(Mails)
