"""GET of one thing by its id: parameters and headers in, bytes of the view out.

These are the hot routes, so they read the request as it came instead of having the framework solve dependencies, and
hand the view's bytes through. What they accept is described once, for the OpenAPI document, in `documentation`.
"""

from typing import Final
from urllib.parse import parse_qsl, quote

from msgspec import Struct
from starlette.responses import Response

from event_store.transport.partitioning import partition_of
from event_store.transport.position_token import PositionToken
from read_api import freshness, parameters, reveal
from read_api.admission import Admission
from read_api.audit.past import Past
from read_api.checkpoints import applied_text
from read_api.freshness import ANYTHING, Wish
from read_api.including import INCLUDE, Including
from read_api.polling import CheckpointPoller
from read_api.reading.keyed import KeyedReader
from read_api.reading.resource import Found
from read_api.reveal import Reveal
from runtime.http.compression import COMPRESSED_BYTES_MIN, plain_tag
from runtime.http.exchange import Exchange
from runtime.http.headers import REVALIDATED, SHARED, STANDARD, SURROGATE_KEY, Header
from runtime.http.pipeline import lines
from runtime.http.principal import Requirement, confined_to
from runtime.http.routes import Prepared
from runtime.problems import ProblemError

AS_OF: Final = "as_of"

_CONDITIONS: Final = frozenset({b"min-position", b"if-none-match"})
_JSON: Final = (b"content-type", b"application/json")
_LINES_OF_ALL: Final = lines([_JSON, *STANDARD])
_REVALIDATED: Final = lines([REVALIDATED])
_VARIES: Final = (b"vary", b"authorization, min-position")
"""Callers who are known, or name a position, are answered by the query API itself."""


class RawResponse(Response):
    """A response whose headers are written already: assembling them again would cost as much as the read."""

    def __init__(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
        """Take the parts over as they are."""
        self.status_code = status
        self.body = body
        self.background = None
        self.raw_headers = headers


class ReadHeaders(Struct, frozen=True):
    """What the headers of a request ask for."""

    wish: Wish
    if_none_match: bytes | None


NOTHING_ASKED: Final = ReadHeaders(ANYTHING, None)


def asked(headers: list[tuple[bytes, bytes]]) -> ReadHeaders:
    """The headers that matter to a read.

    Raises:
        ProblemError: `malformed-token`.
    """
    min_position: str | None = None
    preferences: list[str] = []
    if_none_match: bytes | None = None
    for name, value in headers:
        if name == b"min-position":
            min_position = value.decode("latin-1")
        elif name == b"prefer":
            preferences.append(value.decode("latin-1"))
        elif name == b"if-none-match":
            if_none_match = value
    if min_position is None and if_none_match is None:
        return NOTHING_ASKED
    return ReadHeaders(freshness.wish(min_position, ",".join(preferences)), if_none_match)


class KeyedEndpoint:
    """Answers GET of one resource by its id."""

    def __init__(
        self,
        reader: KeyedReader,
        *,
        poller: CheckpointPoller,
        admission: Admission,
        parameter: str,
        past: Past | None,
        requires: Requirement,
        reveal: Reveal,
        including: Including | None = None,
    ) -> None:
        """Serve what `reader` reads for the id in path parameter `parameter`.

        With `past` also as it was, with `including` also together with what belongs to it.
        """
        self._reader = reader
        self._resource = reader.resource
        self._poller = poller
        self._admission = admission
        self._parameter = parameter
        self._past = past
        self.requires = requires
        self._reveal = reveal
        self._including = including
        self._shared = SHARED % self._resource.shared_s if self._resource.shared_s else None

    async def __call__(self) -> Response:
        """Only declares that it can be called; requests come to `answer`."""
        raise AssertionError("the pipeline calls `answer`")

    async def answer(self, exchange: Exchange) -> Response:
        """Answer one request."""
        scope = exchange.scope
        key = self._resource.id_of(exchange.parameters[self._parameter])
        if not parameters.is_id(key):
            raise ProblemError("not-found", f"No {self._resource.noun} can have this id.")
        only_of = confined_to(exchange.principal, self.requires)
        if scope["query_string"]:
            given = self._query(scope["query_string"])
            if INCLUDE in given and self._including is not None:
                return await self._answer_including(exchange, key, given, self._including)
            as_of = given.get(AS_OF)
            if as_of is not None and self._past is not None:
                exchange.is_replay = True
                await self._require_own(key, only_of)
                return await self._answer_past(exchange, key, as_of, self._past)
        wanted = asked(scope["headers"])
        wish = wanted.wish
        if wish.token is not None:
            wish = await self._admission.admit(wish, views=(self._resource.view.name,))
        found = await self._find(key, only_of, token=wish.token)
        if self._reveal.hides:
            return await self._revealed(exchange, self._answer(key, found, wish, None), key)
        answer = self._answer(key, found, wish, wanted.if_none_match)
        if wish.token is None:
            answer.raw_headers.extend(self._shared_headers(exchange, key))
        return answer

    def _shared_headers(self, exchange: Exchange, key: str) -> list[Header]:
        """What lets shared caches keep an answer; nothing where its caller is known."""
        if self._shared is None or exchange.principal.kind != "anonymous":
            return []
        tag = f"{self._resource.noun}-{quote(key, safe='')}"  # an id may have blanks, which part keys
        return [
            (b"cache-control", self._shared),
            (SURROGATE_KEY.encode("ascii"), tag.encode("ascii")),
            _VARIES,
        ]

    async def _revealed(self, exchange: Exchange, answer: RawResponse, key: str) -> RawResponse:
        """An answer as its caller may see it. Another caller sees another one, so it is whole each time."""
        own = confined_to(exchange.principal, self.requires) is not None
        body = await self._reveal.body(exchange, bytes(answer.body), own=own, detail=key)
        kept = [header for header in answer.raw_headers if header[0] != b"content-length"]
        headers = [*kept, (b"content-length", b"%d" % len(body)), *reveal.HEADERS]
        return RawResponse(answer.status_code, headers, body)

    async def _find(self, key: str, only_of: str | None, *, token: PositionToken | None = None) -> Found:
        if only_of is None:
            return await self._reader.read(key, token=token)
        return await self._reader.read_own(key, owner=only_of, token=token)

    async def _require_own(self, key: str, only_of: str | None) -> None:
        """Refuse the past of what is not the caller's: folding it would take its time, and so tell that it is there."""
        if only_of is not None:
            found = await self._find(key, only_of)
            if found.body is None:
                raise self._not_found(key, found, [])

    def immediate(self, exchange: Exchange) -> Prepared | None:
        """The answer to a GET without conditions, if the client-side cache has it."""
        for name, _ in exchange.headers:
            if name in _CONDITIONS:
                return None
        key = self._resource.id_of(exchange.parameters[self._parameter])
        if self._reveal.hides:
            return None
        if exchange.scope["method"] != "GET" or not parameters.is_id(key):
            return None
        found = self._reader.cached(key)
        if found is None or found.body is None or len(found.body) >= COMPRESSED_BYTES_MIN:
            return None
        only_of = confined_to(exchange.principal, self.requires)
        if only_of is not None and not self._reader.is_own(found, only_of):
            return None
        applied = applied_text(found.checkpoints, self._poller.latest)
        return Prepared(
            b'applied-position: %b\r\netag: "%d.%b.%d"\r\ncontent-length: %d\r\n%b%b'
            % (
                applied.encode("ascii"),
                found.checkpoints.epoch,
                found.build.label.encode("ascii"),
                found.position,
                len(found.body),
                _LINES_OF_ALL,
                lines(shared) if (shared := self._shared_headers(exchange, key)) else _REVALIDATED,
            ),
            found.body,
        )

    def _query(self, query: bytes) -> dict[str, str]:
        known = (*(() if self._past is None else (AS_OF,)), *(() if self._including is None else (INCLUDE,)))
        given = parse_qsl(query.decode("latin-1"), keep_blank_values=True)
        parameters.refuse_unknown(given, known=known)
        return dict(given)

    async def _answer_including(
        self, exchange: Exchange, key: str, given: dict[str, str], including: Including
    ) -> RawResponse:
        if AS_OF in given:
            detail = (
                "Documents are included as they are now: leave out as_of, or ask for each by its own path"
            )
            raise parameters.invalid_parameter(INCLUDE, detail)
        names = including.chosen(given[INCLUDE])
        answered = await including.read(exchange, key, names, asked(exchange.headers).wish)
        headers = _fresh_headers(answered.applied, answered.parked_at, answered.wish)
        if answered.read.main.body is None:
            raise self._not_found(key, answered.read.main, headers)
        return _json(200, await including.body(exchange, key, answered.read), headers)

    async def _answer_past(self, exchange: Exchange, key: str, as_of: str, past: Past) -> Response:
        seen = await past.row(self._resource, key, as_of=as_of)
        headers = [(b"applied-position", seen.applied.encode("ascii"))]
        if seen.body is None:
            detail = f"There was no {self._resource.noun} {key!r} at position {seen.as_of}."
            raise ProblemError("not-found", detail, headers=_text(headers), as_of=seen.as_of)
        answer = _json(200, seen.body, headers)
        return await self._revealed(exchange, answer, key) if self._reveal.hides else answer

    def _answer(self, key: str, found: Found, wish: Wish, if_none_match: bytes | None) -> RawResponse:
        snapshot = self._poller.latest
        parked = self._parked(key, found)
        applied = applied_text(found.checkpoints, snapshot, parked=parked)
        freshness.require(wish, (found.checkpoints,), snapshot, parked_at=found.parked_at, applied=applied)
        headers = _fresh_headers(applied, found.parked_at, wish)
        if found.body is None:
            raise self._not_found(key, found, headers)
        etag = b'"%d.%s.%d"' % (found.checkpoints.epoch, found.build.label.encode("ascii"), found.position)
        headers.append((b"etag", etag))
        if if_none_match is not None and matches(if_none_match, etag):
            return RawResponse(304, headers, b"")
        return _json(200, found.body, headers)

    def _parked(self, key: str, found: Found) -> tuple[int, int] | None:
        """Partition and position at which the id stands still."""
        partition_key = self._resource.partition_key(key)
        if found.parked_at is None or partition_key is None:
            return None
        return partition_of(partition_key, len(found.checkpoints.positions)), found.parked_at

    def _not_found(self, key: str, found: Found, headers: list[tuple[bytes, bytes]]) -> ProblemError:
        noun = self._resource.noun
        if found.position:
            detail = f"The {noun} {key!r} is gone since position {found.position}."
            return ProblemError("not-found", detail, headers=_text(headers), deleted_at=found.position)
        return ProblemError("not-found", f"There is no {noun} {key!r}.", headers=_text(headers))


def _fresh_headers(applied: str, parked_at: int | None, wish: Wish) -> list[tuple[bytes, bytes]]:
    """How fresh an answer is."""
    headers = [(b"applied-position", applied.encode("ascii"))]
    if parked_at is not None:
        headers.append((b"parked-position", b"%d" % parked_at))
    if wish.applied:
        headers.append((b"preference-applied", wish.applied.encode("ascii")))
    if wish.settled:
        headers.append((b"settled", wish.settled.encode("ascii")))
    return headers


def _json(status: int, body: bytes, headers: list[tuple[bytes, bytes]]) -> RawResponse:
    headers.append(_JSON)
    headers.append((b"content-length", b"%d" % len(body)))
    return RawResponse(status, headers, body)


def _text(headers: list[tuple[bytes, bytes]]) -> dict[str, str]:
    return {name.decode("ascii"): value.decode("ascii") for name, value in headers}


def matches(if_none_match: bytes, etag: bytes) -> bool:
    """Weak comparison with any of the listed tags (RFC 9110, 13.1.2)."""
    return any(
        tag in (b"*", etag)
        for tag in (plain_tag(each.strip().removeprefix(b"W/")) for each in if_none_match.split(b","))
    )
