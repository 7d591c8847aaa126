"""Writing bundles: what the log holds now, next to what was sealed, for people who do not trust it."""

from collections.abc import Iterator, Sequence
from typing import Any, Final, LiteralString

from msgspec import structs

from event_store.log import paging, reading, unreadable
from event_store.log.envelope import RecordedEvent
from event_store.log.reading import Connection, Epoch
from event_store.log.shapes import schema_of
from event_store.proofs import bundle, evidence, ledger, merkle
from event_store.proofs.bundle import BundleKind, End, EventLine, Header, Outcome, PageLine, Shape, Shapes
from event_store.proofs.merkle import Frontier
from event_store.proofs.page import Page
from event_store.proofs.proving import NotSealedYet, Tree, TreeDamaged
from event_store.proofs.tiles import TilesDamaged

EVENTS_PER_PAGE: Final = 1_000
CASE_EVENTS_MAX: Final = 100_000
"""Events of one case."""
OUTCOMES_PER_FETCH: Final = 1_000

# No index knows positions of outcomes, so the table is read once. `with hold` lets the snapshot go at once.
_OUTCOMES: Final = """
select encode(o.key, 'hex'), coalesce(encode(o.fingerprint, 'hex'), ''), o.first_position, o.last_position,
    coalesce(array_remove(o.versions, null), '{}')
from log.outcome o where o.first_position > 0 and o.last_position >= %s and o.first_position <= %s
order by greatest(o.first_position, %s), o.last_position, o.key
"""
_OUTCOMES_OF: Final = """
select p.position, encode(o.key, 'hex'), coalesce(encode(o.fingerprint, 'hex'), ''), o.first_position, o.last_position,
    coalesce(array_remove(o.versions, null), '{}')
from log.outcome o join unnest(%s::bigint[]) as p (position) on p.position between o.first_position and o.last_position
order by p.position, o.key
"""
_TAGS: Final = "select position, tag from log.tag where position between %s and %s order by position, tag"
_TAGS_OF: Final = "select position, tag from log.tag where position = any(%s) order by position, tag"
_OF_STREAM: Final = (
    "select position from log.event where stream = %s and position <= %s order by position limit %s"
)
_BY_ACTOR: Final = (
    "select position from log.event where position > %s and position <= %s and metadata->>'actor' = %s"
    " order by position limit %s"
)
_NAMING: Final = """
select distinct coalesce(partition_key, stream) from log.event
where position > %s and position <= %s and payload->>%s = %s limit %s
"""
_OF_KEYS: Final = """
select position from log.event where stream = any(%(keys)s) and partition_key is null and position <= %(upto)s
union all select position from log.event where partition_key = any(%(keys)s) and position <= %(upto)s
order by position limit %(limit)s
"""


def of_range(
    connection: Connection, tree: Tree, *, first: int, last: int, certificates: Sequence[str] = ()
) -> Iterator[bytes]:
    """The lines of a bundle of every event from one position to another.

    Args:
        connection: in autocommit mode, in a role that may read schemas log and seal.
        tree: the sealed tree.
        first: position of the first event.
        last: that of the last.
        certificates: of views, to be held against it.

    Raises:
        NotSealedYet: the range is empty or is not sealed as a whole.
        TreeDamaged: the tiles do not lead to the root that was signed.
    """
    sealed, tiles = tree.checkpoint, tree.tiles
    if not 1 <= first <= last <= sealed.size:
        raise NotSealedYet(f"events 1 to {sealed.size:,} are sealed, and {first:,} to {last:,} are asked for")
    try:
        before = Frontier.at(first - 1, tiles).peaks
        after = tree.consistency(last)[1]
        header = _header(connection, tree, first=first, last=last, before=before, after=after)
        yield _line(structs.replace(header, certificates=tuple(certificates)))
        with connection.cursor(name="outcomes", withhold=True) as cursor:
            cursor.itersize = OUTCOMES_PER_FETCH
            shapes = _ShapesAhead()
            outcomes = _Ahead(iter(cursor.execute(_OUTCOMES, [first, last, first])), first=first)
            for start in range(first - 1, last, EVENTS_PER_PAGE):
                end = min(last, start + EVENTS_PER_PAGE)
                rows, tags = (
                    _rows(connection, after=start, upto=end),
                    _tags(connection, _TAGS, [start + 1, end]),
                )
                epochs = reading.epochs(connection)
                for position in range(start + 1, end + 1):
                    yield from shapes.before(rows.get(position))
                    yield _line(
                        EventLine(
                            position=position,
                            leaf=tiles.leaf(position - 1).hex(),
                            event=_shown(rows.get(position), epochs),
                            tags=tuple(tags.get(position, ())),
                            outcomes=tuple(outcomes.at(position)),
                        )
                    )
    except TilesDamaged as error:
        raise TreeDamaged(str(error)) from error
    yield _line(End(events=last - first + 1, shapes=shapes.digest))


def of_stream(connection: Connection, tree: Tree, *, stream: str) -> Iterator[bytes]:
    """The lines of a case: the events of one stream that are sealed.

    Raises:
        NotSealedYet: it has none, or too many for a bundle.
        TreeDamaged: the tiles do not lead to the root that was signed.
    """
    given = [stream, tree.checkpoint.size, CASE_EVENTS_MAX + 1]
    positions = [position for (position,) in connection.execute(_OF_STREAM, given)]
    return _case(connection, tree, positions, kind="case", stream=stream)


def of_actor(connection: Connection, tree: Tree, *, actor: str) -> Iterator[bytes]:
    """The lines of a case: the sealed events that one actor caused. The whole log is looked through, in segments.

    Raises:
        NotSealedYet, TreeDamaged: see `of_stream`.
    """
    positions: list[int] = []
    for after, upto in _segments(tree.checkpoint.size):
        given = [after, upto, actor, CASE_EVENTS_MAX + 1 - len(positions)]
        positions += [position for (position,) in connection.execute(_BY_ACTOR, given)]
    return _case(connection, tree, positions, kind="actor", subject=actor)


def of_customer(connection: Connection, tree: Tree, *, customer: str, member: str) -> Iterator[bytes]:
    """The lines of a case: the sealed events of all that one customer is named in. The whole log is looked through.

    An event that names the customer in a member of its payload brings all events of its partition key: the order, with
    its payments and shipments.

    Raises:
        NotSealedYet, TreeDamaged: see `of_stream`.
    """
    size, keys = tree.checkpoint.size, set[str]()
    for after, upto in _segments(size):
        given = [after, upto, member, customer, CASE_EVENTS_MAX + 1 - len(keys)]
        keys |= {key for (key,) in connection.execute(_NAMING, given)}
    wanted = {"keys": sorted(keys), "upto": size, "limit": CASE_EVENTS_MAX + 1}
    positions = [position for (position,) in connection.execute(_OF_KEYS, wanted)]
    return _case(connection, tree, positions, kind="customer", subject=customer)


def _segments(size: int) -> Iterator[tuple[int, int]]:
    for after in range(0, size, reading.POSITIONS_PER_SEGMENT):
        yield after, min(size, after + reading.POSITIONS_PER_SEGMENT)


def _case(
    connection: Connection,
    tree: Tree,
    positions: Sequence[int],
    *,
    kind: BundleKind,
    stream: str | None = None,
    subject: str | None = None,
) -> Iterator[bytes]:
    sealed, tiles = tree.checkpoint, tree.tiles
    if not positions or len(positions) > CASE_EVENTS_MAX:
        raise NotSealedYet(
            f"{stream or subject!r} has {len(positions):,} sealed events: a case takes 1 to {CASE_EVENTS_MAX:,}"
        )
    header = structs.replace(
        _header(connection, tree, first=positions[0], last=positions[-1], stream=stream),
        kind=kind,
        subject=subject,
    )
    yield _line(header)
    tags, outcomes = _tags(connection, _TAGS_OF, [positions]), _outcomes_of(connection, positions)
    epochs, shapes, shown = reading.epochs(connection), _ShapesAhead(), Page(header)
    for start in range(0, len(positions), EVENTS_PER_PAGE):
        for event in _pages(connection, positions[start : start + EVENTS_PER_PAGE]):
            index = event.position - 1
            try:
                leaf, proof = tiles.leaf(index), merkle.inclusion_proof(index, sealed.size, tiles)
            except TilesDamaged as error:
                raise TreeDamaged(str(error)) from error
            yield from shapes.before(event)
            line = EventLine(
                position=event.position,
                leaf=leaf.hex(),
                event=_shown(event, epochs),
                tags=tuple(tags.get(event.position, ())),
                outcomes=tuple(outcomes.get(event.position, ())),
                proof=tuple(each.hex() for each in proof),
            )
            shown.add(line)
            yield _line(line)
    yield _line(PageLine(html=shown.text()))
    yield _line(End(events=len(positions), shapes=shapes.digest))


class _ShapesAhead:
    """The shape of each type, ahead of its first event."""

    def __init__(self) -> None:
        self._shapes = Shapes()
        self._seen: set[str] = set()

    def before(self, event: RecordedEvent | None) -> Iterator[bytes]:
        """What has to be written before an event."""
        if event is None or event.type in self._seen:
            return
        self._seen.add(event.type)
        if (schema := schema_of(event.type)) is not None:
            shape = Shape(type=event.type, schema=schema)
            self._shapes.add(shape)
            yield _line(shape)

    @property
    def digest(self) -> str | None:
        """What the last line says of them."""
        return self._shapes.digest


class _Ahead:
    """Outcomes in the order of the first event that they claim in a range, taken as that comes."""

    def __init__(self, rows: Iterator[tuple[Any, ...]], *, first: int) -> None:
        self._rows = rows
        self._first = first
        self._next = self._take()

    def at(self, position: int) -> Iterator[Outcome]:
        """Those that claim this event and no earlier one."""
        while self._next is not None and max(self._next.first, self._first) <= position:
            yield self._next
            self._next = self._take()

    def _take(self) -> Outcome | None:
        row = next(self._rows, None)
        return None if row is None else _outcome(*row)


def _header(
    connection: Connection,
    tree: Tree,
    *,
    first: int,
    last: int,
    stream: str | None = None,
    before: Sequence[bytes] = (),
    after: Sequence[bytes] = (),
) -> Header:
    return Header(
        format=bundle.FORMAT,
        kind="range" if stream is None else "case",
        origin=tree.checkpoint.origin,
        first=first,
        last=last,
        stream=stream,
        checkpoint=tree.signed.encode(),
        keys=ledger.policy(connection, tree.checkpoint.origin),
        before=tuple(each.hex() for each in before),
        after=tuple(each.hex() for each in after),
    )


def _rows(connection: Connection, *, after: int, upto: int) -> dict[int, RecordedEvent]:
    return {event.position: event for event in unreadable.events(connection, after=after, upto=upto)[0]}


def _pages(connection: Connection, positions: Sequence[int]) -> Iterator[RecordedEvent]:
    left = list(positions)
    while left and (page := paging.page_at(connection, left)):
        yield from page
        left = left[len(page) :]


def _tags(connection: Connection, statement: LiteralString, given: list[Any]) -> dict[int, list[str]]:
    found: dict[int, list[str]] = {}
    for position, tag in connection.execute(statement, given):
        found.setdefault(position, []).append(tag)
    return found


def _outcomes_of(connection: Connection, positions: Sequence[int]) -> dict[int, list[Outcome]]:
    found: dict[int, list[Outcome]] = {}
    for position, *row in connection.execute(_OUTCOMES_OF, [list(positions)]):
        found.setdefault(position, []).append(_outcome(*row))
    return found


def _outcome(key: str, fingerprint: str, first: int, last: int, versions: Sequence[int]) -> Outcome:
    return Outcome(key, fingerprint, first, last, tuple(versions))


def _shown(event: RecordedEvent | None, epochs: Sequence[Epoch]) -> evidence.Evidence | None:
    if event is None:
        return None
    return evidence.of(event, epoch=reading.epoch_of(epochs, event.position))


def _line(content: bundle.Line) -> bytes:
    return bundle.encode(content) + b"\n"
