"""Refusals, reads and exports of callers: sums by minute, and single events where a sum is not enough."""

from typing import Annotated

from msgspec import Struct

from domain.event import Event, event_type
from domain.moment import Moment
from domain.text import Actor, PublicText, Word

Query = Annotated[str, PublicText("an id, or filters of a list: no address takes personal data")]


class RequestSum(Struct, frozen=True):
    """How often a route was asked for in a minute; `code` is that of the problem which was answered, empty for none."""

    route: Word
    code: Word
    count: int


@event_type("security.requests_denied.v1")
class RequestsDenied(Event, frozen=True, kw_only=True):
    """Requests of a caller were refused because of who the caller is, or is not, in the minute from `since` on.

    `caller` is an actor such as `account:…`, or `anonymous` for callers who did not prove who they are; `process` is
    the API that refused.
    """

    caller: Actor
    process: Word
    since: Moment
    requests: tuple[RequestSum, ...]


@event_type("security.logins_refused.v1")
class LoginsRefused(Event, frozen=True, kw_only=True):
    """Somebody tried to log in as this account and was refused: they did not prove to be the account."""

    account: Actor
    process: Word
    since: Moment
    requests: tuple[RequestSum, ...]


@event_type("security.history_read.v1")
class HistoryRead(Event, frozen=True, kw_only=True):
    """A caller read the log, or replayed what was, in the minute from `since` on."""

    caller: Actor
    process: Word
    since: Moment
    requests: tuple[RequestSum, ...]


@event_type("security.fields_revealed.v1")
class FieldsRevealed(Event, frozen=True, kw_only=True):
    """A program was shown personal data, by its key's scope. Recorded before; `query` is the id or what was asked."""

    caller: Actor
    process: Word
    route: Word
    query: Query
    asked_at: Moment


@event_type("security.rows_exported.v1")
class RowsExported(Event, frozen=True, kw_only=True):
    """A caller was given a whole list. Recorded before the first row left; `query` is what was asked of the list."""

    caller: Actor
    process: Word
    route: Word
    query: Query
    asked_at: Moment
