"""What tests of both verifiers share: a sealed log with tags and requests of several events, and what is done to it."""

import asyncio
import hashlib
import json

from event_store.log.appending.writer import Writer
from event_store.log.envelope import (
    ANY,
    AppendRequest,
    Expectation,
    Metadata,
    NewEvent,
    encode_metadata,
    new_nonce,
)
from event_store.proofs import exporting, proving
from runtime import database
from tests.event_store.proofs.sealing import RELEAF, damage

REQUESTS = 20


def request(number: int) -> AppendRequest:
    """Every third has three events in two streams; each event has a tag of its own and one of its stream."""
    digest = hashlib.sha256(b"%d" % number).digest()
    streams = [f"stock-{number % 5}"] * (2 if number % 3 == 0 else 1)
    streams += [f"order-{number}"] if number % 3 == 0 else []
    events = []
    for place, stream in enumerate(streams):
        tags = (f"number:{number}.{place}", f"of:{stream}")
        metadata = Metadata(
            actor="tester",
            command="test",
            correlation_id="c",
            nonce=new_nonce(),
            idempotency=digest[:16].hex(),
            tags=tags,
            fingerprint=None if place else digest,
        )
        payload = b'{"number": %d}' % number
        events.append(NewEvent(stream, "shop.happened.v1", payload, encode_metadata(metadata), tags=tags))
    expectations = tuple(Expectation(stream, ANY) for stream in dict.fromkeys(streams))
    return AppendRequest(digest[:16], digest, tuple(events), expectations)


def fill(url):
    async def append():
        async with Writer.open(url) as writer:
            for number in range(REQUESTS):
                await writer.append(request(number))

    asyncio.run(append())


def exported(log, *, first=1, last=None, stream=None):
    url, store = log
    tree = proving.published(store)
    with database.connect(url, role="counterfoil_reader", name="test") as conn:
        if stream is not None:
            return list(exporting.of_stream(conn, tree, stream=stream))
        return list(exporting.of_range(conn, tree, first=first, last=last or tree.checkpoint.size))


DAMAGE = {
    "payload": (
        "update log.event set payload = '{\"number\": 99}' where position = 7",
        {(7, "event-changed")},
    ),
    "actor": (
        "update log.event set metadata = replace(metadata::text, 'tester', 'nobody')::json where position = 7",
        {(7, "event-changed")},
    ),
    "type": ("update log.event set type = 'shop.counted.v1' where position = 7", {(7, "event-changed")}),
    "stream": ("update log.event set stream = 'stock-99' where position = 7", {(7, "event-changed")}),
    "version": ("update log.event set version = version + 50 where position = 7", None),
    "time of all": ("update log.event set recorded_at = recorded_at + interval '1 day'", None),
    "rows swapped": (
        (
            "update log.event set position = -7 where position = 7;"
            " update log.event set position = 7 where position = 8;"
            " update log.event set position = 8 where position = -7"
        ),
        None,
    ),
    "event deleted": ("delete from log.event where position = 7", {(7, "event-missing")}),
    "event deleted and the rest renumbered": (
        (
            "delete from log.event where position = 7; update log.event set position = -position where position > 7;"
            " update log.event set position = -position - 1 where position < 0;"
            " update log.head set position = position - 1"
        ),
        None,
    ),
    "end cut off": (
        (
            "delete from log.outcome where last_position > 30; delete from log.event where position > 30;"
            " update log.head set position = 30"
        ),
        None,
    ),
    "epoch": ("update log.epoch set epoch = 3; update log.head set epoch = 3", None),
    "tag changed": (
        "update log.tag set tag = 'forged' where position = 7 and tag like 'of:%%'",
        {(7, "tags-changed")},
    ),
    "tag deleted": ("delete from log.tag where position = 7 and tag like 'of:%%'", {(7, "tags-changed")}),
    "tag added": (
        "insert into log.tag (tag, type, position) values ('of:x', 'shop.happened.v1', 7)",
        {(7, "tags-changed")},
    ),
    "outcome deleted": ("delete from log.outcome where first_position <= 7 and last_position >= 7", None),
    "outcome's key": (
        "update log.outcome set key = '\\x00000000000000000000000000000000' where first_position = 1",
        None,
    ),
    "outcome's fingerprint": (
        "update log.outcome set fingerprint = sha256('forged') where first_position = 1",
        {(1, "outcome-changed")},
    ),
    "outcome's versions": (
        "update log.outcome set versions = '{9,9}' where first_position = 1",
        {(3, "outcome-changed")},
    ),
    "outcome's first position": ("update log.outcome set first_position = 2 where first_position = 1", None),
    "outcome's last position": ("update log.outcome set last_position = 4 where first_position = 1", None),
    "outcome added": (
        (
            "insert into log.outcome (key, fingerprint, first_position, last_position, versions)"
            " values ('\\x00000000000000000000000000000000', sha256('forged'), 7, 7, '{1}')"
        ),
        None,
    ),
}
TOUCHES_TAGS = {"rows swapped", "event deleted", "event deleted and the rest renumbered", "end cut off"}


def changed(line, **members):
    return json.dumps({**json.loads(line), **members}).encode() + b"\n"


def harm(log, kind):
    """Do one kind of damage, and compute all leaves anew."""
    url, _ = log
    if kind in TOUCHES_TAGS:
        damage(url, "alter table log.tag drop constraint tag_position_fkey")
    damage(url, DAMAGE[kind][0])
    damage(url, RELEAF)
