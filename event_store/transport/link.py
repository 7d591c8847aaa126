"""The link rule: what a consumer may apply, given where it stands and what the transport brought."""

from collections.abc import Sequence

import msgspec

from event_store.transport.transport import Record


class Gap(msgspec.Struct, frozen=True):
    """Positions (after, upto] of one partition that must be read from the log before going on."""

    after: int
    upto: int


class Linked(msgspec.Struct):
    """Verdict over records of one partition: apply `apply`, then read `missing`, then link `rest` again."""

    apply: list[Record]
    missing: Gap | None
    rest: list[Record]
    duplicates: int


def link(last: int, *, records: Sequence[Record]) -> Linked:
    """Split records of one partition into what continues `last`, what is missing, what waits, and repeats.

    A record at or below `last` is a repeat and dropped. A record whose `prev` is above `last` proves that
    something was lost or overtaken: everything from it on waits until (last, prev] was read from the log.
    """
    apply: list[Record] = []
    duplicates = 0
    for index, record in enumerate(records):
        if record.position <= last:
            duplicates += 1
        elif record.prev <= last:
            apply.append(record)
            last = record.position
        else:
            missing = Gap(after=last, upto=record.prev)
            return Linked(apply=apply, missing=missing, rest=list(records[index:]), duplicates=duplicates)
    return Linked(apply=apply, missing=None, rest=[], duplicates=duplicates)
