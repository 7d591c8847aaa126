"""What tests of the sealer share: one whose turns the test takes, on a real log, and damage done behind its back."""

import contextlib
import threading
from collections.abc import Iterator

import psycopg
from prometheus_client import CollectorRegistry
from psycopg import sql

from event_store.consumers.driver import ConsumerSession, Hosted
from event_store.consumers.health import ConsumerHealth
from event_store.consumers.lease import Lease, new_owner
from event_store.consumers.metrics import ConsumerMetrics
from event_store.consumers.news import News
from event_store.log import reading
from event_store.proofs import checkpoint, ledger, note, policy, sealer
from event_store.proofs.checkpoint import Checkpoint
from event_store.proofs.ledger import SealedTree
from event_store.proofs.note import SignerKey
from event_store.proofs.tiles import Store
from runtime import database

ORIGIN = "counterfoil.test/log"
KEY, NEXT, STRANGER = (SignerKey(ORIGIN, bytes([number] * 32)) for number in (1, 2, 3))


class Clock:
    def __init__(self):
        self.now_s = 0.0

    def __call__(self):
        return self.now_s


@contextlib.contextmanager
def sealing(
    url: str,
    store: Store,
    *keys: SignerKey,
    clock: Clock | None = None,
    owner: str | None = None,
    registry: CollectorRegistry | None = None,
    **how: object,
) -> Iterator[Hosted]:
    """A sealer that makes a turn when the test says so."""
    registry = registry or CollectorRegistry()
    options = {"keys": lambda: list(keys or [KEY]), "clock": clock or Clock(), **how}
    consumer = sealer.consumer(sealer.Sealing(store=store, **options), registry=registry)
    with database.connect(url, role=consumer.role, name="sealer", settings=dict(consumer.settings)) as conn:
        session = ConsumerSession(
            conn=conn,
            lease=Lease(conn, name=ledger.LEASE, owner=owner or new_owner()),
            stop=threading.Event(),
            news=News(),
            metrics=ConsumerMetrics(registry),
            database_url=url,
        )
        hosted = Hosted(consumer, session, health=ConsumerHealth())
        try:
            yield hosted
        finally:
            hosted.close()


def seal(url: str, store: Store, *keys: SignerKey) -> SealedTree:
    """Seal all that there is, by a sealer that begins and ends here."""
    with sealing(url, store, *keys) as hosted:
        while hosted.round() not in {"idle", "standby"}:
            pass
    return sealed(url)


def sealed(url: str) -> SealedTree:
    with database.connect(url, role="counterfoil_reader", name="test") as conn:
        found = ledger.latest(conn)
    assert found is not None, "something was sealed"
    return found


def leaves(url: str) -> list[bytes]:
    with database.connect(url, role="counterfoil_reader", name="test") as conn:
        return [event.leaf for event in reading.copy_log(conn)]


def published(store: Store, *keys: SignerKey) -> Checkpoint:
    """The checkpoint next to the tiles, verified by a client that trusts these keys."""
    content, listed = store.read("checkpoint"), store.read(policy.FILE)
    assert content is not None
    assert listed is not None
    ranges = policy.trusted(policy.parse(listed), [key.verifier for key in keys or (KEY,)])
    return policy.verified(note.parse(content), ranges)


def remembered(url: str) -> Checkpoint:
    return checkpoint.parse(note.parse(sealed(url).checkpoint).text)


def damage(url: str, statement: str, *given: object) -> None:
    """A superuser's SQL."""
    with psycopg.connect(url, autocommit=True) as admin:
        admin.execute(sql.SQL(statement), given or None)


RELEAF = """
update log.event e set leaf = sha256(
    '\\x0001'::bytea
    || int8send((select max(x.epoch) from log.epoch x where x.first_position <= e.position))
    || int4send(octet_length(stream)) || convert_to(stream, 'UTF8') || int8send(version)
    || int4send(octet_length(type)) || convert_to(type, 'UTF8')
    || int8send((extract(epoch from recorded_at) * 1000000)::bigint)
    || sha256(convert_to(metadata::text, 'UTF8')) || sha256(convert_to(payload::text, 'UTF8')))
"""
"""What somebody who knows the format does after changing rows: then the log agrees with itself."""
