"""The adapter for applications of the `eventsourcing` library: PERSISTENCE_MODULE names this module.

What such an application records stands in Counterfoil's log and is carried to Kafka, projected and audited like every
other event. The log gives each event its place in one order, so a reader of notifications never skips one, and saves of
many threads share flushes (`appending.threaded`).

Environment, each variable also with the application's name and `_` before it, as everywhere in the library:

    COUNTERFOIL_DATABASE_URL          where the log is; without it POSTGRES_DBNAME, POSTGRES_HOST, POSTGRES_PORT,
                                      POSTGRES_USER and POSTGRES_PASSWORD, as for eventsourcing.postgres; any other
                                      POSTGRES_ variable is refused then
    COUNTERFOIL_DATABASE_POOL_SIZE    connections for reading that one application may open
    ORIGINATOR_ID_TYPE                `uuid` (default), or `text` if the ids of aggregates are text
    APPLICATION_RECORDER_TOPIC, TRACKING_RECORDER_TOPIC, PROCESS_RECORDER_TOPIC
                                      subclasses of the recorders to use instead

Applications of `eventsourcing.dcb` are served as well, by the same variables (`eventsourcing.boundaries`).

Tables are not created here: `counterfoil migrate` does that.
"""

import re
from types import TracebackType
from typing import Final, TypeVar, cast

from eventsourcing.dcb.api import DCBRecorder
from eventsourcing.dcb.persistence import DCBInfrastructureFactory
from eventsourcing.persistence import (
    AggregateRecorder,
    ApplicationRecorder,
    BaseInfrastructureFactory,
    InfrastructureFactory,
    InfrastructureFactoryError,
    ProcessRecorder,
)
from eventsourcing.utils import Environment, EnvType, resolve_topic
from psycopg import conninfo

from event_store.eventsourcing import streams
from event_store.eventsourcing.boundaries import LogDCBRecorder
from event_store.eventsourcing.datastore import Datastore
from event_store.eventsourcing.recorders import (
    LogAggregateRecorder,
    LogApplicationRecorder,
    LogProcessRecorder,
    LogTrackingRecorder,
    SnapshotRecorder,
)
from event_store.eventsourcing.streams import Namespace, OriginatorIdType

DATABASE_URL: Final = "COUNTERFOIL_DATABASE_URL"
DATABASE_POOL_SIZE: Final = "COUNTERFOIL_DATABASE_POOL_SIZE"
ORIGINATOR_ID_TYPE: Final = "ORIGINATOR_ID_TYPE"
TRACKING_RECORDER_TOPIC: Final = InfrastructureFactory.TRACKING_RECORDER_TOPIC

READERS_MAX: Final = 8
"""Connections for reading, where the environment does not say."""

EVENTS: Final = "events"
"""What the library calls the purpose of the recorder that keeps facts; every other purpose keeps snapshots."""

_POSTGRES: Final = {
    "POSTGRES_DBNAME": "dbname",
    "POSTGRES_HOST": "host",
    "POSTGRES_PORT": "port",
    "POSTGRES_USER": "user",
    "POSTGRES_PASSWORD": "password",  # nosec B105 - the name of a parameter
}

_INJECTED: Final = re.compile(r"POSTGRES_(SERVICE_(HOST|PORT)|PORT_\d+_)")
"""What Kubernetes says of a service that is called postgres."""

R = TypeVar("R")


class _OnTheLog(BaseInfrastructureFactory[LogTrackingRecorder]):
    """What the factories of both kinds of applications share: the environment, the connections, tracking."""

    def __init__(self, env: Environment | EnvType | None) -> None:
        """Read the environment; nothing is connected yet.

        Raises:
            OSError: a variable is missing or wrong, as in the library's own modules.
        """
        super().__init__(env)
        self.namespace = Namespace(streams.category_of(self.env.name), self._originator_id_type())
        self.datastore = Datastore(
            self._database_url(),
            application=self.namespace.category,
            readers_max=self._readers_max(),
        )

    def tracking_recorder(
        self, tracking_recorder_class: type[LogTrackingRecorder] | None = None
    ) -> LogTrackingRecorder:
        """A recorder of how far another application's events have been processed."""
        cls = tracking_recorder_class or self._class_named(TRACKING_RECORDER_TOPIC, LogTrackingRecorder)
        self._refuse_rows_elsewhere(cls)
        return cls(self.datastore, namespace=self.namespace)

    def close(self) -> None:
        """Send what waits to be recorded and disconnect."""
        if hasattr(self, "datastore"):
            self.datastore.close()

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        super().__exit__(exc_type, exc_val, exc_tb)
        self.close()

    def _refuse_rows_elsewhere(self, cls: type[object]) -> None:
        """A projection hands over its own class, whatever module that was written for."""
        if issubclass(cls, LogTrackingRecorder):
            return
        variable = f"{self.env.name.upper()}_PERSISTENCE_MODULE" if self.env.name else "PERSISTENCE_MODULE"
        raise InfrastructureFactoryError(
            f"{cls.__qualname__} is no subclass of LogTrackingRecorder: it keeps rows of its own, so {variable} must"
            " name the module that it was written for, like eventsourcing.postgres"
        )

    def _class_named(self, variable: str, parent: type[R]) -> type[R]:
        topic = self.env.get(variable)
        if not topic:
            return parent
        named = resolve_topic(topic)
        if not (isinstance(named, type) and issubclass(named, parent)):
            raise InfrastructureFactoryError(f"{variable}: {topic} is no subclass of {parent.__qualname__}")
        return named

    def _database_url(self) -> str:
        url = self.env.get(DATABASE_URL)
        if url:
            return url
        given = {word: self.env.get(variable) for variable, word in _POSTGRES.items()}
        if not given["dbname"]:
            raise OSError(
                f"{DATABASE_URL} is not set: the address of the log, like postgresql://user:password@host/name"
            )
        self._refuse_other_postgres_variables()
        return conninfo.make_conninfo(**{word: value for word, value in given.items() if value})

    def _refuse_other_postgres_variables(self) -> None:
        """What the library's own module would heed, or a typing mistake, must not be passed over in silence."""
        own = f"{self.env.name.upper()}_" if self.env.name else ""
        for variable in sorted(self.env):
            name = variable.removeprefix(own)
            if name.startswith("POSTGRES_") and name not in _POSTGRES and not _INJECTED.match(name):
                raise OSError(
                    f"{variable} means nothing to this module, which takes {', '.join(_POSTGRES)}: unset it, or say"
                    f" where the log is by {DATABASE_URL}, which leaves every POSTGRES_ variable to others"
                )

    def _readers_max(self) -> int:
        text = self.env.get(DATABASE_POOL_SIZE) or str(READERS_MAX)
        if not text.isascii() or not text.isdigit() or int(text) < 1:
            raise OSError(f"{DATABASE_POOL_SIZE} is a number of connections from 1, not {text!r}")
        return int(text)

    def _originator_id_type(self) -> OriginatorIdType:
        given = (self.env.get(ORIGINATOR_ID_TYPE) or "uuid").lower()
        if given not in {"uuid", "text"}:
            raise OSError(f"{ORIGINATOR_ID_TYPE} is 'uuid' or 'text', not {given!r}")
        return cast("OriginatorIdType", given)


class Factory(_OnTheLog, InfrastructureFactory[LogTrackingRecorder]):
    """Makes the recorders of one application; they share its connections and its place in the log."""

    def aggregate_recorder(self, purpose: str = EVENTS) -> AggregateRecorder:
        """A recorder of the application's events, or, for another purpose, of snapshots."""
        if purpose == EVENTS:
            return LogAggregateRecorder(self.datastore, namespace=self.namespace)
        return SnapshotRecorder(self.datastore, namespace=self.namespace, purpose=purpose)

    def application_recorder(self) -> ApplicationRecorder:
        """A recorder of the application's events that also tells of them in order."""
        cls = self._class_named(self.APPLICATION_RECORDER_TOPIC, LogApplicationRecorder)
        return cls(self.datastore, namespace=self.namespace)

    def process_recorder(self) -> ProcessRecorder:
        """A recorder of events together with how far their causes have been processed."""
        cls = self._class_named(self.PROCESS_RECORDER_TOPIC, LogProcessRecorder)
        return cls(self.datastore, namespace=self.namespace)


class DCBFactory(_OnTheLog, DCBInfrastructureFactory[LogTrackingRecorder]):
    """The same for an application of `eventsourcing.dcb`."""

    def dcb_recorder(self) -> DCBRecorder:
        """A recorder of the application's events under append conditions."""
        return LogDCBRecorder(self.datastore, category=self.namespace.category)
