"""Several documents in one answer: what belongs to a thing, of other contexts, as of the same moment.

A context declares with its queries what of it may be included where; the document that is asked for says the ids.
All of it is read in one snapshot, so one Applied-Position holds for the whole answer.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType, structs

from event_store.transport.partitioning import partition_of
from event_store.transport.position_token import PositionToken
from read_api import freshness, parameters
from read_api.checkpoints import CheckpointSnapshot, applied_by_all
from read_api.connections import AsyncConnection
from read_api.freshness import Wish
from read_api.reading.keyed import KeyedReader
from read_api.reading.resource import Found
from read_api.reads import Reads, live
from read_api.reveal import Reveal, shape_of
from runtime.http.exchange import Exchange
from runtime.http.pipeline import permit_to
from runtime.http.principal import Requirement, confined_to

if TYPE_CHECKING:
    from read_api.routing import Include

INCLUDE: Final = "include"
INCLUDED: Final = "included"
"""Member of the answer that has what was included."""

IDS_MAX: Final = 2_000
"""Documents of one kind in an answer: as many as an order has lines."""

Ids = Callable[[Mapping[str, Any]], Sequence[str]]
"""The ids of what belongs to a document, from what is shown of it; each once."""

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(dict[str, Any]).decode


def member(name: str) -> Ids:
    """The id in a member, if it is not null."""
    return lambda document: [] if document[name] is None else [document[name]]


def each_of(name: str, inner: str) -> Ids:
    """The ids in a member of the objects in another one."""
    return lambda document: list(dict.fromkeys(each[inner] for each in document[name]))


class IncludedPart(Struct, frozen=True):
    """One thing of an answer: what it is and whose it may be, its reader, and the step that shows personal data."""

    requires: Requirement
    reader: KeyedReader
    reveal: Reveal

    @property
    def view(self) -> str:
        """The name of its view."""
        return self.reader.resource.view.name


class Read(Struct, frozen=True):
    """What one snapshot holds: the thing, and by name of the include what belongs to it, by id."""

    main: Found
    included: Mapping[str, Mapping[str, Found]]

    @property
    def found(self) -> list[Found]:
        """All of it."""
        return [self.main, *(each for found in self.included.values() for each in found.values())]


class Including:
    """Reads of one resource together with what may be included in it."""

    def __init__(self, main: IncludedPart, includes: "Sequence[Include]", *, reads: Reads) -> None:
        """Serve these includes of `main`."""
        self._main = main
        self._includes = {each.name: each for each in includes}
        self._parts = {
            each.name: IncludedPart(
                each.shown.requires, reads.keyed(each.shown.resource), reads.reveal(each.shown.resource.view)
            )
            for each in includes
        }
        self._reads = reads

    def chosen(self, given: str) -> Sequence[str]:
        """The names in the parameter, each once.

        Raises:
            ProblemError: `invalid-parameter`: one of them is unknown.
        """
        names = dict.fromkeys(given.split(","))
        if unknown := [name for name in names if name not in self._includes]:
            shown = unknown[0][: parameters.NAME_LENGTH_MAX]
            known = ", ".join(sorted(self._includes))
            detail = f"{shown!a} cannot be included here; there are: {known}"
            raise parameters.invalid_parameter(INCLUDE, detail)
        return list(names)

    async def read(self, exchange: Exchange, key: str, names: Sequence[str], wish: Wish) -> "WholeAnswer":
        """The thing and what is included, in one snapshot.

        Raises:
            ProblemError: `forbidden`: an include requires what the caller lacks; `stale-read`.
            TooManyReads, ViewUnavailable: as every read by id.
        """
        parts = {name: self._parts[name] for name in names}
        for part in parts.values():
            permit_to(exchange.principal, part.requires)
        views = list(dict.fromkeys([self._main.view, *(part.view for part in parts.values())]))
        wish = await self._reads.admission.admit(wish, views=views)

        async def together(connection: AsyncConnection, snapshot: CheckpointSnapshot) -> Read:
            async def of(part: IncludedPart, ids: Sequence[str]) -> Mapping[str, Found]:
                only_of = confined_to(exchange.principal, part.requires)
                build = live(snapshot, part.view).id
                return await part.reader.read_on(connection, build, ids, owner=only_of)

            main = (await of(self._main, [key]))[key]
            if main.body is None:
                return Read(main, {})
            document = _decode(main.body)
            return Read(main, {name: await of(parts[name], self._ids(name, document)) for name in names})

        snapshot, read = await self._reads.snapshot(together)
        builds = [live(snapshot, view).checkpoints for view in views]
        applied = self._applied(read, key, applied_by_all(builds, snapshot)).encode()
        parked_at = min((each.parked_at for each in read.found if each.parked_at is not None), default=None)
        freshness.require(wish, builds, snapshot, parked_at=parked_at, applied=applied)
        return WholeAnswer(read, applied, parked_at, wish)

    async def body(self, exchange: Exchange, key: str, read: Read) -> bytes:
        """The document with the member `included`, as its caller may see it."""
        assert read.main.body is not None, "what is not there includes nothing"
        document = await _shown(exchange, self._main, key, read.main.body)
        included: dict[str, object] = {}
        for name, found in read.included.items():
            documents = {
                each: Raw(await _shown(exchange, self._parts[name], each, thing.body))
                for each, thing in found.items()
                if thing.body is not None
            }
            included[name] = documents if self._includes[name].many else next(iter(documents.values()), None)
        return b'%b,"%b":%b}' % (document[:-1], INCLUDED.encode(), _encode(included))

    def _ids(self, name: str, document: Mapping[str, Any]) -> Sequence[str]:
        ids = self._includes[name].ids(document)
        if len(ids) > IDS_MAX:
            detail = (
                f"{len(ids)} {name} belong to this, and {IDS_MAX} at most are included: read them as a list"
            )
            raise parameters.invalid_parameter(INCLUDE, detail)
        return ids

    def _applied(self, read: Read, key: str, token: PositionToken) -> PositionToken:
        """The token of an answer in which keys may be parked: their partitions are only as far as those."""
        partitions = dict(token.partitions)
        readers = {name: self._parts[name].reader for name in read.included}
        found_by = [(self._main.reader, {key: read.main})]
        found_by += [(readers[name], dict(found)) for name, found in read.included.items()]
        for reader, found in found_by:
            for each, thing in found.items():
                partition_key = reader.resource.partition_key(each)
                if thing.parked_at is None or partition_key is None:
                    continue
                partition = partition_of(partition_key, len(partitions))
                partitions[partition] = min(partitions[partition], thing.parked_at - 1)
        return structs.replace(token, partitions=partitions)


class WholeAnswer(Struct, frozen=True):
    """A read that is fresh enough: its Applied-Position, where its first parked key stands, and the wish it fulfils."""

    read: Read
    applied: str
    parked_at: int | None
    wish: Wish


async def _shown(exchange: Exchange, part: IncludedPart, key: str, body: bytes) -> bytes:
    own = confined_to(exchange.principal, part.requires) is not None
    return await part.reveal.body(exchange, body, own=own, detail=key)


def shape_with(shape: Any, includes: "Sequence[Include]") -> Any:
    """The shape of a document with what may be included."""
    if not includes:
        return shape
    return _shape_with(
        shape, tuple((each.name, shape_of(each.shown.documented.shape), each.many) for each in includes)
    )


@functools.cache
def _shape_with(shape: Any, kinds: tuple[tuple[str, Any, bool], ...]) -> Any:
    """One type for the same members: its schema is made once, however many applications a process opens."""
    members: list[Any] = [
        (name, dict[str, kind] | UnsetType if many else kind | None | UnsetType, UNSET)  # type: ignore[valid-type]
        for name, kind, many in kinds
    ]
    included = msgspec.defstruct(f"IncludedIn{shape.__name__}", members)
    own: list[Any] = [(each.name, each.type) for each in structs.fields(shape)]
    return msgspec.defstruct(
        shape.__name__,
        [*own, (INCLUDED, included | UnsetType, UNSET)],
        namespace={"__doc__": shape.__doc__},
    )
