"""What somebody can do to an installation who has the database's password and knows its formats; and who finds it.

Each is done behind the application's back, and everything that is computed from what was changed is computed again:
leaves, and the leaves that checkpoints note. docs/audit.md has the same table.
"""

from typing import Final

from tests.event_store.proofs.sealing import RELEAF
from tests.tampering.around import AROUND
from tests.tampering.tampering import Manipulation, Tampering

_RENUMBERED: Final = """
update log.tag set position = -position where position > {after};
update log.event set position = -position where position > {after};
update log.event set position = -position + {by} where position < 0;
update log.tag set position = -position + {by} where position < 0;
update log.head set position = position + {by}
"""
_OUTCOMES_RENUMBERED: Final = """
update log.outcome set first_position = first_position + {by}, last_position = last_position + {by}
where first_position > {after}
"""
_CHECKPOINTS_RENUMBERED: Final = """
update consumers.checkpoint set position = position + {by} where position > {after};
update consumers.registration set registered_position = registered_position + {by} where registered_position > {after};
update views.build_checkpoint set position = position + {by} where position > {after};
update views.shared_checkpoint set position = position + {by} where position > {after};
update transport.relay set position = position + {by} where position > {after};
update transport.relay_partition set position = position + {by} where position > {after};
update transport.generation set start_position = start_position + {by} where start_position > {after};
update log.epoch set first_position = first_position + {by} where first_position > {after}
"""
_SWAPPED: Final = """
update log.tag set position = position - {one} - {other} where position in ({one}, {other});
update log.event set position = position - {one} - {other} where position in ({one}, {other});
update log.event set position = -position where position < 0;
update log.tag set position = -position where position < 0;
update log.event e set recorded_at = (select max(x.recorded_at) from log.event x where x.position < e.position)
where e.position in ({one}, {other}) and e.position > 1
"""

# The twelve kinds of changes to an event, or to the order of events.

_RECEIVED: Final = "type = 'inventory.stock_received.v1' and payload::text like '%\"delivery %'"


def shown_member(on: Tampering) -> None:
    at = on.pick(_RECEIVED)
    on.sql(
        "update log.event set payload = replace(payload::text, '\"quantity\":100', '\"quantity\":{less}')::json"
        " where position = {at}",
        at=at,
        less=on.chance.randint(60, 99),
    )


def hidden_member(on: Tampering) -> None:
    on.sql(
        "update log.event set payload = replace(payload::text, '\"delivery ', '\"return {number} of ')::json"
        " where position = {at}",
        at=on.pick(_RECEIVED),
        number=on.chance.randint(1, 99),
    )


def actor(on: Tampering) -> None:
    on.sql(
        """update log.event set metadata = regexp_replace(
            metadata::text, '"actor":"[^"]*"', '"actor":"user:{who}"'
        )::json where position = {at}""",
        at=on.pick(),
        who=on.chance.randint(1, 99),
    )


def time_of_one(on: Tampering) -> None:
    at = on.pick(
        "recorded_at + interval '2 microseconds'"
        " < (select x.recorded_at from log.event x where x.position = event.position + 1)"
    )
    on.sql(
        "update log.event set recorded_at = recorded_at + interval '1 microsecond' where position = {at}",
        at=at,
    )


def type_of_one(on: Tampering) -> None:
    on.sql(
        "update log.event set type = 'inventory.stock_shipped.v1' where position = {at}",
        at=on.pick(_RECEIVED),
    )


def stream_of_one(on: Tampering) -> None:
    on.sql(
        "update log.event set stream = 'stock-elsewhere' where position = {at}",
        at=on.pick("stream like 'stock-%'"),
    )


def version_of_one(on: Tampering) -> None:
    on.sql("update log.event set version = version + 50 where position = {at}", at=on.pick())


def swapped(on: Tampering) -> None:
    """Of two requests: whether a view shows which event of one request came first depends on what follows."""
    last = f"(select metadata ->> 'idempotency' from log.event where position = {on.head})"
    one = on.pick(f"metadata ->> 'idempotency' is distinct from {last}")
    of_it = f"(select metadata ->> 'idempotency' from log.event where position = {one})"
    other = on.pick(f"position > {one} and metadata ->> 'idempotency' is distinct from {of_it}")
    on.sql(_SWAPPED, one=one, other=other)


def deleted(on: Tampering) -> None:
    at = on.pick(f"position < {on.head}")
    on.sql("delete from log.tag where position = {at}; delete from log.event where position = {at}", at=at)


def deleted_and_renumbered(on: Tampering) -> None:
    at = on.pick(f"position < {on.head}")
    on.sql("delete from log.tag where position = {at}; delete from log.event where position = {at}", at=at)
    on.sql(_RENUMBERED, after=at, by=-1)


def added_and_renumbered(on: Tampering) -> None:
    at = on.pick(f"position < {on.head}")
    on.sql(_RENUMBERED, after=at, by=1)
    on.sql(
        "insert into log.event (position, version, recorded_at, stream, type, partition_key, leaf, metadata, payload)"
        " select position + 1, version + 50, recorded_at, stream, type, partition_key, leaf, metadata, payload"
        " from log.event where position = {at}",
        at=at,
    )


def cut(on: Tampering) -> None:
    upto = on.head - on.chance.randint(1, 20)
    on.sql(
        "delete from log.tag where position > {upto}; delete from log.event where position > {upto}",
        upto=upto,
    )
    on.sql("update log.head set position = {upto}", upto=upto)


KINDS: Final = (
    Manipulation("a member of a payload that a view shows", True, True, shown_member),
    Manipulation("a member of a payload that no view keeps", False, True, hidden_member),
    Manipulation("the actor, or anything else in the metadata", False, True, actor),
    Manipulation("the time of one event, between those of its neighbours", False, True, time_of_one),
    Manipulation("an event's type", True, True, type_of_one),
    Manipulation("an event's stream", True, True, stream_of_one),
    Manipulation("an event's version", True, True, version_of_one),
    Manipulation("two events of two requests change places", True, True, swapped),
    Manipulation("an event is deleted", True, True, deleted),
    Manipulation("an event is deleted and the rest renumbered", True, True, deleted_and_renumbered),
    Manipulation("an event is added and the rest renumbered", True, True, added_and_renumbered),
    Manipulation("the end is cut off and the head set back", True, True, cut),
)


# What reaches further: several tables together, or those next to the events.


def with_its_view_rows(on: Tampering) -> None:
    at = on.pick(_RECEIVED)
    less = on.chance.randint(60, 99)
    [(sku,)] = on.rows(f"select payload ->> 'sku' from log.event where position = {at}")
    stock_table, located_table, search_table = (
        on.rows(f"select view || '_s' || shape || '_b' || build from views.live where view = '{view}'")[0][0]
        for view in ("stock_level", "located_stock", "product_search")
    )
    on.sql(
        "update log.event set payload = replace(payload::text, '\"quantity\":100', '\"quantity\":{less}')::json"
        " where position = {at}",
        at=at,
        less=less,
    )
    on.sql(
        f"update views.{stock_table} set on_hand = on_hand - 100 + {{less}}, available = available - 100 + {{less}},"
        f" received = received - 100 + {{less}}"
        f" where sku = '{sku}'",
        less=less,
    )
    on.sql(
        f"update views.{located_table} set on_hand = on_hand - 100 + {{less}}, available = available - 100 + {{less}}"
        f" where sku = '{sku}'",
        less=less,
    )
    on.sql(
        f"update views.{search_table} set available = available - 100 + {{less}} where sku = '{sku}'",
        less=less,
    )


def payload_alone(on: Tampering) -> None:
    on.leaves = False
    hidden_member(on)


def metadata_alone(on: Tampering) -> None:
    on.leaves = False
    actor(on)


def leaf_alone(on: Tampering) -> None:
    on.leaves = False
    on.sql(
        "update log.event set leaf = sha256('{number}') where position = {at}",
        at=on.pick(),
        number=on.chance.randint(1, 99),
    )


def another_form(on: Tampering) -> None:
    on.sql("update log.event set payload = (payload::text || ' ')::json where position = {at}", at=on.pick())


def tag_changed(on: Tampering) -> None:
    on.sql(
        "update log.tag set tag = tag || '{number}' where position = {at}",
        at=_tagged(on),
        number=on.chance.randint(1, 9),
    )


def tag_deleted(on: Tampering) -> None:
    on.sql("delete from log.tag where position = {at}", at=_tagged(on))


def tag_added(on: Tampering) -> None:
    on.sql(
        "insert into log.tag (tag, type, position)"
        " select 'order:{number}', type, position from log.event where position = {at}",
        at=on.pick(),
        number=on.chance.randint(5_000, 6_000),
    )


def _tagged(on: Tampering) -> int:
    return int(on.chance.choice(on.rows("select position from log.tag order by position"))[0])


def _outcome(on: Tampering, where: str = "true") -> int:
    """The first position of an outcome, by chance."""
    query = (
        f"select first_position from log.outcome where first_position > 0 and {where} order by first_position"
    )
    return int(on.chance.choice(on.rows(query))[0])


def fingerprint(on: Tampering) -> None:
    on.sql(
        "update log.outcome set fingerprint = sha256('{number}') where first_position = {at}",
        at=_outcome(on),
        number=on.chance.randint(1, 99),
    )


def fingerprint_and_metadata(on: Tampering) -> None:
    at, number = _outcome(on), on.chance.randint(1, 99)
    on.sql(
        "update log.outcome set fingerprint = sha256('{number}') where first_position = {at}",
        at=at,
        number=number,
    )
    on.sql(
        'update log.event set metadata = regexp_replace(metadata::text, \'"fingerprint":"[^"]*"\','
        " '\"fingerprint\":\"' || encode(sha256('{number}'), 'base64') || '\"')::json where position = {at}",
        at=at,
        number=number,
    )


def versions(on: Tampering) -> None:
    on.sql(
        "update log.outcome set versions = array[{number}::bigint] where first_position = {at}",
        at=_outcome(on),
        number=on.chance.randint(500, 600),
    )


def outcome_key(on: Tampering) -> None:
    on.sql(
        "update log.outcome set key = substring(sha256('{number}') for 16) where first_position = {at}",
        at=_outcome(on),
        number=on.chance.randint(1, 99),
    )


def outcome_deleted(on: Tampering) -> None:
    on.sql("delete from log.outcome where first_position = {at}", at=_outcome(on))


def outcome_added(on: Tampering) -> None:
    on.sql(
        "insert into log.outcome (key, fingerprint, first_position, last_position, versions)"
        " select substring(sha256('{number}') for 16), sha256('{number}'), position, position, array[version]"
        " from log.event where position = {at}",
        at=on.pick(),
        number=on.chance.randint(1, 99),
    )


def outcome_moved(on: Tampering) -> None:
    on.sql(
        "update log.outcome set last_position = last_position + 1 where first_position = {at}",
        at=_outcome(on),
    )


def empty_outcome_deleted(on: Tampering) -> None:
    """Of a trigger about which nothing was to be done."""
    keys = on.rows(
        "select encode(o.key, 'hex') from log.outcome o join log.event e on o.key = substring(sha256(convert_to("
        "'policy:restock:' || (select max(x.epoch) from log.epoch x where x.first_position <= e.position) || '.'"
        " || e.position, 'UTF8')) for 16) where e.type = 'ordering.credit_note_issued.v1' order by 1"
    )
    on.sql(f"delete from log.outcome where key = '\\x{on.chance.choice(keys)[0]}'")


def last_deleted(on: Tampering) -> None:
    _delete_last(on)
    on.sql(
        "update consumers.checkpoint set position = {head} + 1 where consumer = 'fulfilment'", head=on.head
    )


def last_deleted_and_checkpoints(on: Tampering) -> None:
    """Nobody but the sealer had come to the last event yet."""
    _delete_last(on)
    on.sql("update log.head h set recorded_at = e.recorded_at from log.event e where e.position = h.position")
    on.sql("update seal.tree set size = {head}", head=on.head)


def _delete_last(on: Tampering) -> None:
    at = on.head
    on.sql(
        "delete from log.outcome where last_position = {at}; delete from log.event where position = {at}",
        at=at,
    )
    on.sql("update log.head set position = {at} - 1", at=at)


def middle_deleted(on: Tampering) -> None:
    """The last event of a stream, in front of triggers that were answered, with whatever names positions."""
    at = on.pick("type = 'ordering.order_cancelled.v1'")
    on.sql(
        "delete from log.event where position = {at}; delete from log.outcome where last_position = {at}",
        at=at,
    )
    on.sql(_RENUMBERED + ";" + _OUTCOMES_RENUMBERED + ";" + _CHECKPOINTS_RENUMBERED, after=at, by=-1)


_DAY: Final = """
update log.event set recorded_at = recorded_at - interval '{days} days';
update log.head set recorded_at = recorded_at - interval '{days} days';
update log.epoch set started_at = started_at - interval '{days} days';
update views.timers_purchases_s1_b1 set due_at = due_at - interval '{days} days'
"""
"""Timers count from when events were recorded: those that wait move with them."""


def moved_by_days(on: Tampering) -> None:
    on.sql(_DAY, days=on.chance.randint(1, 9))


def moved_by_days_but_checkpoints(on: Tampering) -> None:
    on.leaves = False
    on.sql(_DAY, days=on.chance.randint(1, 9))
    on.sql(RELEAF)


def epoch_number(on: Tampering) -> None:
    by = on.chance.randint(1, 9)
    on.sql(
        "update log.epoch set epoch = epoch + {by} where epoch = 2; update log.head set epoch = epoch + {by}",
        by=by,
    )


def epoch_moved(on: Tampering) -> None:
    on.sql(
        "update log.epoch set first_position = {at} where epoch = 2",
        at=on.pick(
            "type = 'ordering.order_placed.v3' and position < (select first_position from log.epoch where epoch = 2)"
        ),
    )


def epoch_added(on: Tampering) -> None:
    at = on.pick("type = 'ordering.credit_note_issued.v1'")
    on.sql(
        "insert into log.epoch (epoch, first_position, started_at, reason) values (3, {at}, now(), 'a drill');"
        " update log.head set epoch = 3",
        at=at,
    )


def view_unregistered(on: Tampering) -> None:
    names = [name for (name,) in on.rows("select view from views.live order by view")]
    on.sql(f"delete from views.live where view = '{on.chance.choice(names)}'")


def views_unregistered(on: Tampering) -> None:
    on.sql("delete from views.live")


def process_moved_ahead(on: Tampering) -> None:
    on.sql(
        "update consumers.checkpoint c set position = h.position from log.head h where c.consumer = 'fulfilment'"
    )


def relay_moved_ahead(on: Tampering) -> None:
    on.sql("update transport.relay set position = {at}", at=on.head + on.chance.randint(1, 99))


def _table(on: Tampering, view: str = "stock_level") -> str:
    [(table,)] = on.rows(
        f"select view || '_s' || shape || '_b' || build from views.live where view = '{view}'"
    )
    return str(table)


def row_changed(on: Tampering) -> None:
    skus = [sku for (sku,) in on.rows(f"select sku from views.{_table(on)} order by sku")]
    on.sql(
        f"update views.{_table(on)} set on_hand = on_hand + {{more}} where sku = '{on.chance.choice(skus)}'",
        more=on.chance.randint(1, 99),
    )


def row_deleted(on: Tampering) -> None:
    skus = [sku for (sku,) in on.rows(f"select sku from views.{_table(on)} order by sku")]
    on.sql(f"delete from views.{_table(on)} where sku = '{on.chance.choice(skus)}'")


def row_added(on: Tampering) -> None:
    forged = f"forged-{on.chance.randint(1, 99)}"
    on.sql(
        f"create temp table forged as select * from views.{_table(on)} limit 1; update forged set sku = '{forged}';"
        f" insert into views.{_table(on)} select * from forged"
    )


def view_moved_ahead(on: Tampering) -> None:
    on.sql(
        "update views.shared_checkpoint c set position = e.position, leaf = e.leaf"
        " from log.event e where e.position = (select position from log.head)"
    )


def head_set_back(on: Tampering) -> None:
    on.sql("update log.head set position = position - {by}", by=on.chance.randint(1, 9))


FURTHER: Final = (
    Manipulation("payload and leaf together with the rows of the views", False, True, with_its_view_rows),
    Manipulation("a payload, and not its leaf", True, True, payload_alone),
    Manipulation("metadata, and not the leaf", True, True, metadata_alone),
    Manipulation("a leaf alone", True, False, leaf_alone),
    Manipulation("a payload in another form that says the same", False, True, another_form),
    Manipulation("a tag's text", True, True, tag_changed),
    Manipulation("a tag is deleted", True, True, tag_deleted),
    Manipulation("a false tag is added", True, True, tag_added),
    Manipulation("an outcome's fingerprint", True, True, fingerprint),
    Manipulation(
        "an outcome's fingerprint, and the one in the metadata", False, True, fingerprint_and_metadata
    ),
    Manipulation("an outcome's versions", True, True, versions),
    Manipulation("an outcome's key", True, True, outcome_key),
    Manipulation("an outcome is deleted", True, True, outcome_deleted),
    Manipulation("a second outcome claims an event", True, True, outcome_added),
    Manipulation("an outcome's positions", True, True, outcome_moved),
    Manipulation("the outcome of a trigger is deleted", True, True, empty_outcome_deleted),
    Manipulation("the last event and its outcome are deleted, the head set back", True, True, last_deleted),
    Manipulation("the same, and every checkpoint set back", False, True, last_deleted_and_checkpoints),
    Manipulation("an event is deleted, and all that names positions renumbered", True, True, middle_deleted),
    Manipulation("the whole log moved by a day", False, True, moved_by_days),
    Manipulation(
        "the same, without the leaves that checkpoints note", True, True, moved_by_days_but_checkpoints
    ),
    Manipulation("an epoch's number", True, True, epoch_number),
    Manipulation("an epoch's first position", True, True, epoch_moved),
    Manipulation("an epoch is added", True, True, epoch_added),
    Manipulation("a live view is unregistered", True, False, view_unregistered),
    Manipulation("all views are unregistered", True, False, views_unregistered),
    Manipulation("the checkpoint of a process manager moved ahead", True, False, process_moved_ahead),
    Manipulation("the relay's checkpoint moved beyond the head", True, False, relay_moved_ahead),
    Manipulation("a row of a view", True, False, row_changed),
    Manipulation("a row of a view is deleted", True, False, row_deleted),
    Manipulation("a row is added to a view", True, False, row_added),
    Manipulation("the checkpoints of views moved ahead", True, False, view_moved_ahead),
    Manipulation("the head is set back", True, True, head_set_back),
)

ALL: Final = (*KINDS, *FURTHER, *AROUND)
