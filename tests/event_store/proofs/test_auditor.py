"""The auditor: new events soon after they are sealed, the whole log again and again, and what it notes of both."""

import asyncio
import contextlib
import threading

import pytest
from prometheus_client import CollectorRegistry

from event_store.consumers.driver import ConsumerSession, Hosted
from event_store.consumers.health import ConsumerHealth
from event_store.consumers.lease import Lease, new_owner
from event_store.consumers.metrics import ConsumerMetrics
from event_store.consumers.news import News
from event_store.log.appending.writer import Writer
from event_store.proofs import auditor
from event_store.proofs.auditor import NEW_EVERY_S, WHOLE_EVERY_S
from event_store.proofs.tiles import Directory
from runtime import database
from tests.event_store.proofs.bundling import DAMAGE, TOUCHES_TAGS, fill, request
from tests.event_store.proofs.sealing import RELEAF, Clock, damage, seal


class Auditing:
    """An auditor whose rounds and whose clock the test moves."""

    def __init__(self, hosted, clock, registry):
        self.hosted, self.clock, self.registry = hosted, clock, registry

    def go_on(self, seconds):
        self.clock.now_s += seconds
        for _ in range(2):  # new events first, then the whole log
            self.hosted.round()

    def count(self, name, **labels):
        return self.registry.get_sample_value(name, labels)


@contextlib.contextmanager
def auditing(log):
    url, store = log
    registry, clock = CollectorRegistry(), Clock()
    consumer = auditor.consumer(store, registry=registry, clock=clock)
    with database.connect(url, role=consumer.role, name="auditor", settings=dict(consumer.settings)) as conn:
        session = ConsumerSession(
            conn=conn,
            lease=Lease(conn, name="auditor", owner=new_owner()),
            stop=threading.Event(),
            news=News(),
            metrics=ConsumerMetrics(registry),
            database_url=url,
        )
        hosted = Hosted(consumer, session, health=ConsumerHealth())
        try:
            yield Auditing(hosted, clock, registry)
        finally:
            hosted.close()


def audited(log):
    with database.connect(log[0], role="counterfoil_reader", name="test") as conn:
        return auditor.audited(conn)


def harm(log, kind):
    if kind in TOUCHES_TAGS:
        damage(log[0], "alter table log.tag drop constraint tag_position_fkey")
    damage(log[0], DAMAGE[kind][0])
    damage(log[0], RELEAF)


def test_a_log_that_nobody_touched_is_examined_and_examined_again(log):
    with auditing(log) as at_work:
        at_work.go_on(0)
        found = audited(log)

        assert (34, 34) == (found["new"].position, found["whole"].position)
        assert found["new"].age_s < 60
        assert 34 == at_work.count("counterfoil_audit_position")
        assert 0 == at_work.count("counterfoil_audit_age_seconds", part="whole")

        at_work.go_on(100)
        assert 0 == at_work.count("counterfoil_audit_age_seconds", part="new")
        assert 100 == at_work.count("counterfoil_audit_age_seconds", part="whole")


def test_only_what_is_new_is_read_for_it(log):
    with auditing(log) as at_work:
        at_work.go_on(0)
    harm(log, "payload")  # below what was examined
    append_one(log)
    with auditing(log) as at_work:
        at_work.go_on(NEW_EVERY_S)
        found = audited(log)

    assert (35, 0) == (found["new"].position, found["new"].findings)


def append_one(log):
    async def append():
        async with Writer.open(log[0]) as writer:
            await writer.append(request(1_000))

    asyncio.run(append())
    seal(*log)


@pytest.mark.parametrize(
    "kind", ["payload", "tag added", "outcome added", "outcome deleted", "event deleted", "epoch"]
)
def test_the_pass_over_the_whole_log_finds(kind, log):
    with auditing(log) as at_work:
        at_work.go_on(0)
        harm(log, kind)
        at_work.go_on(WHOLE_EVERY_S)
        found = audited(log)

        assert found["whole"].findings > 0, found
        assert found["whole"].finding
        assert at_work.count("counterfoil_audit_findings", part="whole") > 0


def test_what_was_put_right_is_in_order_again(log):
    with auditing(log) as at_work:
        at_work.go_on(0)
        harm(log, "tag deleted")
        at_work.go_on(WHOLE_EVERY_S)
        damaged = audited(log)["whole"]
        damage(
            log[0],
            "insert into log.tag select 'of:' || stream, type, position from log.event where position = 7",
        )
        at_work.go_on(WHOLE_EVERY_S)

    assert (1, 0) == (damaged.findings, audited(log)["whole"].findings)
    assert audited(log)["whole"].finding is None


def test_a_tile_in_which_a_bit_flipped_is_no_damage_of_the_log(log):
    [name] = [each for each in (log[1].root / "tile" / "0").rglob("*") if each.is_file()]
    content = bytearray(name.read_bytes())
    content[40] ^= 1
    name.write_bytes(content)
    with auditing(log) as at_work:
        at_work.go_on(0)

    assert "tile-damaged" in audited(log)["whole"].finding
    assert "seal-broken" not in audited(log)["whole"].finding


def test_events_are_examined_anew_where_another_history_stands_at_the_position_reached(log):
    with auditing(log) as at_work:
        at_work.go_on(0)
    damage(log[0], "update log.event set payload = '{\"number\": 0}' where position = 34")
    damage(log[0], RELEAF)
    with auditing(log) as at_work:
        at_work.go_on(NEW_EVERY_S)

    assert "position 34: seal-broken" in audited(log)["new"].finding


def test_a_log_that_was_never_sealed_is_left_alone(database_url, tmp_path):
    fill(database_url)
    log = (database_url, Directory(tmp_path / "tiles"))
    with auditing(log) as at_work:
        at_work.go_on(0)

    assert {} == audited(log)
