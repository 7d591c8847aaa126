"""What log, topic, views and documents hold, as plain values: read with the drivers alone, round every proxy."""

import contextlib
import json
import struct
import threading
import time
from collections import defaultdict

import psycopg
from kafka import KafkaConsumer, TopicPartition

from tests.chaos import arithmetic, checker
from tests.chaos.laboratory import wait_until

SETTLED_WITHIN_S = 240.0
STANDS_STILL_S = 1.5
COUNT_EVERY_S = 0.25
"""Each count of the orders is a connection of its own: more often it would take part of what it waits for."""
PAGE_ROWS = 500
TAIL_EVERY_S = 0.02
DOCUMENTS = {
    "product_page": "catalogue:product",
    "stock_level": "inventory:stock",
    "order_details": "ordering:order",
}

_EVENTS = """
select event.position, stream, version, type, coalesce(partition_key, stream), encode(leaf, 'hex'),
    convert_to(metadata::text, 'UTF8'), convert_to(payload::text, 'UTF8'),
    (extract(epoch from recorded_at) * 1000000)::bigint,
    (select max(epoch.epoch) from log.epoch where epoch.first_position <= event.position)
from log.event order by event.position
"""
_BEHIND = """
select (select position from log.head) - (
        select position from transport.relay order by generation desc limit 1
    ),
    (select count(*) from consumers.parked), (select count(*) from views.build where stopped is not null)
"""
_UNDECIDED = """
select count(*) from log.event placed where placed.type = 'ordering.order_placed.v3' and not exists (
    select from log.event later where later.stream = placed.stream and later.type in
        ('ordering.order_confirmed.v1', 'ordering.order_rejected.v2', 'ordering.order_cancelled.v1')
)
"""
_VIEWS_BEHIND = """
select checkpoint.view, checkpoint.partition, checkpoint.position, coalesce(published.position, head.position)
from log.head
cross join views.checkpoint
join views.live using (view, shape, build)
left join transport.relay_partition published using (generation, partition)
where checkpoint.position < coalesce(published.position, head.position)
    and generation in (0, (select max(generation) from transport.generation))
"""


class Tail:
    """A reader that goes on from the last position it saw, as every reader of the log may."""

    def __init__(self, laboratory):
        self.positions = []
        self._laboratory = laboratory
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._read, name="tail", daemon=True)
        self._thread.start()

    def finish(self):
        """Read to the end of the log; what was seen, in order."""
        self._stop.set()
        self._thread.join()
        with self._laboratory.admin() as conn:
            self._page(conn)
        return self.positions

    def _read(self):
        while not self._stop.wait(TAIL_EVERY_S):
            try:
                with self._laboratory.admin() as conn:
                    while not self._stop.wait(TAIL_EVERY_S):
                        self._page(conn)
            except psycopg.OperationalError:  # killed, restarting: then on from where it was
                time.sleep(0.2)

    def _page(self, conn):
        query = "select position from log.event where position > %s order by position limit %s"
        while True:
            last = self.positions[-1] if self.positions else 0
            rows = conn.execute(query, (last, PAGE_ROWS)).fetchall()
            self.positions += [position for (position,) in rows]
            if len(rows) < PAGE_ROWS:
                return


def settle(laboratory, *, within_s=SETTLED_WITHIN_S):
    """Wait until nothing moves any more: every consumer at the head and no new event for a while."""
    still = {"head": -1, "since": 0.0}

    def done():
        with laboratory.admin() as conn:
            (head,) = conn.execute("select position from log.head").fetchone()
            behind = conn.execute(_VIEWS_BEHIND).fetchall()
            (undecided,) = conn.execute(_UNDECIDED).fetchone()
            relay, parked, stopped = conn.execute(_BEHIND).fetchone()
        still["answered"] = (
            f"relay {relay} behind, {behind[:4]} behind, {undecided} orders undecided, {parked} parked, "
            f"{stopped} stopped"
        )
        if head != still["head"] or behind or undecided or relay > 0:
            still.update(head=head, since=time.monotonic())
            return False
        return time.monotonic() - still["since"] >= STANDS_STILL_S

    try:
        wait_until(done, within_s=within_s, what="settled", every_s=COUNT_EVERY_S)
    except TimeoutError:
        return f"not settled within {within_s:.0f} s: {still['answered']}"
    return None


def log_of(laboratory):
    """Every event of the log."""
    with laboratory.admin() as conn:
        rows = conn.execute(_EVENTS).fetchall()
    events = []
    for position, stream, version, name, key, leaf, metadata, payload, recorded_at, epoch in rows:
        about = json.loads(metadata)
        events.append({
            "position": position,
            "stream": stream,
            "version": version,
            "type": name,
            "partition_key": key,
            "leaf": leaf,
            "epoch": epoch,
            "entry": (recorded_at, bytes(metadata), bytes(payload)),
            "payload": json.loads(payload),
            **{part: about.get(part) for part in ("correlation_id", "causation", "idempotency", "actor")},
        })  # fmt: skip
    return events


def outcomes_of(laboratory):
    """The key of every outcome that the log keeps."""
    with laboratory.admin() as conn:
        return [key for (key,) in conn.execute("select encode(key, 'hex') from log.outcome").fetchall()]


def views_of(laboratory):
    """The rows of the live build of every view, tombstones left out."""
    with laboratory.admin() as conn:
        live = conn.execute("select view, shape, build from views.live").fetchall()
        return {
            view: [
                row
                for (row,) in conn.execute(
                    f"select to_json(row) from views.{view}_s{shape}_b{build} as row where not deleted"
                )
            ]
            for view, shape, build in live
            if view in arithmetic.KEYS
        }


def documents_of(laboratory):
    """View → id → (position, row) of every document of the live builds; checkpoints left out."""
    with laboratory.admin() as conn:
        (epoch,) = conn.execute("select epoch from log.head").fetchone()
        installation = _installation(conn)
        live = conn.execute("select view, shape, build from views.live").fetchall()
    found = defaultdict(dict)
    with laboratory.cache() as cache:
        for view, shape, build in live:
            if view not in DOCUMENTS:
                continue
            beginning = f"{installation}:{DOCUMENTS[view]}:e{epoch}:s{shape}_b{build}:"
            keys = [key for key in cache.scan_iter(f"{beginning}*", count=1_000) if b":@" not in key]
            for key, value in zip(keys, cache.mget(keys) if keys else [], strict=True):
                body = value[20:]
                id_ = key.decode().removeprefix(beginning)
                found[view][id_] = (int(value[:20]), json.loads(body) if body else None)
    return found


def _installation(conn):
    return conn.execute("select id::text from log.installation").fetchone()[0]


def topic_name(laboratory, *, generation):
    """What the topic of a generation is called."""
    with laboratory.admin() as conn:
        return f"counterfoil.{_installation(conn)}.events.g{generation}"


def _places(laboratory, generation):
    """The partitions of one generation's topic."""
    name = topic_name(laboratory, generation=generation)
    return [TopicPartition(name, number) for number in range(checker.PARTITIONS)]


def ends_of(laboratory, *, generation):
    """The offset behind the last record of every partition."""
    with contextlib.closing(KafkaConsumer(bootstrap_servers=laboratory.kafka.bootstrap)) as consumer:
        return consumer.end_offsets(_places(laboratory, generation))


def topic_of(laboratory, *, generation=1):
    """Every record on the topic, in the order of offsets."""
    consumer = KafkaConsumer(bootstrap_servers=laboratory.kafka.bootstrap, enable_auto_commit=False)
    try:
        places = _places(laboratory, generation)
        consumer.assign(places)
        ends = consumer.end_offsets(places)
        consumer.seek_to_beginning()
        records = []
        while any(consumer.position(place) < end for place, end in ends.items()):
            for messages in consumer.poll(timeout_ms=500).values():
                records += [_record(message) for message in messages]
        return records
    finally:
        consumer.close()


def _record(message):
    headers = dict(message.headers)
    version, prev, leaf = struct.unpack(">qq32s", headers["cf_link"])
    return {
        "partition": message.partition,
        "position": int(headers["ce_id"].split(b".")[1]),
        "prev": prev,
        "version": version,
        "stream": headers["ce_subject"].decode(),
        "key": message.key.decode(),
        "leaf": leaf.hex(),
    }
