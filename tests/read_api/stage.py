"""A stage for the query API: live builds whose rows, checkpoints, documents and relay stand where a test says."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import psycopg
from psycopg.types.json import Json

from counterfoil.contexts import CONTEXTS
from event_store.log import reading
from event_store.transport.partitioning import PARTITIONS, partition_of
from event_store.transport.position_token import PositionToken
from projections import builds
from projections.folding import Versioned
from projections.mirroring import body_of, id_of
from projections.ordering.views import OrderDetails, OrderSummary
from projections.storing import BuildId, Table
from projections.view import GLOBAL, Row, View
from runtime import database
from runtime.documents import (
    Document,
    MirrorPoint,
    Move,
    RedisDocuments,
    checkpoint_key,
    document_key,
    prefix,
)

PLACED_AT = datetime(2026, 1, 31, 8, 26, tzinfo=UTC)
ALL = range(PARTITIONS)


def order(order_id: str = "536365", *, status: Any = "placed", total: int = 1530) -> OrderDetails:
    return OrderDetails(
        order_id=order_id,
        status=status,
        customer_id="17850",
        country="United Kingdom",
        currency="GBP",
        placed_at=PLACED_AT,
        total=total,
        units=6,
        lines=msgspec.convert(
            [
                {
                    "line_id": 1,
                    "sku": "85123A",
                    "quantity": 6,
                    "unit_price": "2.55",
                    "total": total,
                    "stocked": True,
                }
            ],
            OrderDetails.__annotations__["lines"],
        ),
    )


def summary(number: int, *, customer: str | None = "17850", status: Any = "confirmed") -> OrderSummary:
    """Order number n, placed n minutes after the first."""
    return OrderSummary(
        order_id=f"{536365 + number}",
        customer_id=customer,
        status=status,
        placed_at=PLACED_AT + timedelta(minutes=number),
        country="United Kingdom",
        currency="GBP",
        total=100 + number,
        lines=1,
    )


def partition_of_order(order_id: str) -> int:
    return partition_of(f"order-{order_id}", PARTITIONS)


def token(partitions: dict[int, int], *, epoch: int = 1, generation: int = 1) -> str:
    return PositionToken(epoch, generation, partitions).encode()


class Stage:
    """Writes what workers would have written."""

    def __init__(self, database_url: str, redis_url: str) -> None:
        self.database_url = database_url
        self.redis_url = redis_url
        self.conn = psycopg.connect(database_url, autocommit=True)
        self.documents = RedisDocuments(redis_url)
        with database.connect(database_url, role="counterfoil_projector", name="stage") as projector:
            builds.ensure_builds(projector, CONTEXTS.views)

    def close(self) -> None:
        self.conn.close()
        self.documents.close()

    def live(self, view: View[Any]) -> BuildId:
        return builds.live(self.conn, view.name)

    def write(
        self, view: View[Any], rows: Iterable[Row], *, position: int, build: BuildId | None = None
    ) -> None:
        """Rows, written by the event at `position`."""
        table = Table(view, build or self.live(view))
        table.write(self.conn, {view.key_of(row): Versioned(row, position) for row in rows})

    def bury(self, view: View[Any], key: tuple[Any, ...], *, position: int) -> None:
        Table(view, self.live(view)).write(self.conn, {key: Versioned(None, position)})

    def stand(self, view: View[Any], position: int, *, partitions: Iterable[int] = ALL) -> None:
        """Move checkpoints of the live build, as the commit that writes rows does."""
        build = self.live(view)
        self.conn.execute(
            "update views.build_checkpoint set position = %s, updated_at = clock_timestamp()"
            " where view = %s and shape = %s and build = %s and partition = any(%s)",
            [
                position,
                build.view,
                build.shape,
                build.build,
                [0] if view.kind is GLOBAL else list(partitions),
            ],
        )

    def everybody_stands(self, position: int) -> None:
        """The log, the relay and all views at one position."""
        self.head(position)
        self.publish(position)
        for view in CONTEXTS.views:
            self.stand(view, position)

    def head(self, position: int, *, epoch: int = 1) -> None:
        self.conn.execute("update log.head set position = %s, epoch = %s", [position, epoch])

    def fence(self, *, epoch: int, first_position: int) -> None:
        """The log was restored: a new epoch begins."""
        self.head(first_position - 1, epoch=epoch)
        self.conn.execute(
            "insert into log.epoch (epoch, first_position, started_at, reason)"
            " values (%s, %s, clock_timestamp(), 'restored')",
            [epoch, first_position],
        )

    def publish(self, position: int, *, last: dict[int, int] | None = None) -> None:
        """Move the relay; `last` are the last positions of single partitions, all others stand at `position`."""
        self.conn.execute("update transport.relay set position = %s", [position])
        self.conn.execute("update transport.relay_partition set position = %s", [position])
        for partition, at in (last or {}).items():
            self.conn.execute(
                "update transport.relay_partition set position = %s where partition = %s",
                [at, partition],
            )

    def park(self, view: View[Any], partition_key: str, *, position: int) -> None:
        build = self.live(view)
        self.conn.execute(
            "insert into consumers.parked"
            " (consumer, shape, build, partition_key, position, stream, version, type, reason, last_position)"
            " values (%s, %s, %s, %s, %s, %s, 1, 'x.y.v1', 'boom', %s)",
            [
                build.view,
                build.shape,
                build.build,
                partition_key,
                position,
                partition_key,
                position,
            ],
        )

    def mirror(
        self,
        view: View[Any],
        rows: Iterable[Row] = (),
        *,
        position: int,
        upto: int | None = None,
        partitions: Iterable[int] = ALL,
        epoch: int = 1,
    ) -> None:
        """Documents of rows at `position`, and the mirror's checkpoints at `upto` (or the same)."""
        beginning = self.prefix(view, epoch=epoch)
        self.documents.put_if_newer(
            [
                Document(
                    document_key(beginning, id_of(view.key_of(row))),
                    position,
                    body_of(row),
                    view.document_ttl_s,
                )
                for row in rows
            ]
        )
        self.mirror_points(view, upto or position, partitions=partitions, epoch=epoch)

    def prefix(self, view: View[Any], *, epoch: int = 1) -> str:
        """What the keys of the live build's documents begin with."""
        assert view.document is not None
        return prefix(
            view.document,
            installation=reading.history(self.conn).installation,
            epoch=epoch,
            build=self.live(view).label,
        )

    def mirror_points(
        self, view: View[Any], position: int, *, partitions: Iterable[int] = ALL, epoch: int = 1
    ) -> None:
        beginning = self.prefix(view, epoch=epoch)
        keys = [checkpoint_key(beginning, partition=partition) for partition in partitions]
        held = self.documents.get_many(keys)
        value = MirrorPoint(position, b"\x01" * 32).value
        self.documents.move_checkpoints(
            [Move(key, found, value) for key, found in zip(keys, held, strict=True)]
        )

    def append(
        self, stream: str, *, version: int, position: int, payload: dict[str, Any], type_: str = "a.b.v1"
    ) -> None:
        """One event, written without the log's function: for tests that read the log only."""
        self.conn.execute(
            "insert into log.event (position, stream, version, type, payload, metadata, recorded_at, leaf)"
            " values (%s, %s, %s, %s, %s, %s, %s, %s)",
            [
                position,
                stream,
                version,
                type_,
                Json(payload),
                Json({"actor": "tests"}),
                PLACED_AT + timedelta(seconds=position),
                position.to_bytes(32, "big"),
            ],
        )
        self.conn.execute("update log.head set position = greatest(position, %s)", [position])
