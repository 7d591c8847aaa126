"""One ordinary case of each event of security streams."""

from datetime import UTC, datetime
from typing import Any, Final

from msgspec.structs import replace

from domain.event import Event
from domain.identity.events import SigningKeyRotated
from domain.security.events import (
    FieldsRevealed,
    HistoryRead,
    LoginsRefused,
    RequestsDenied,
    RequestSum,
    RowsExported,
)

NOW: Final = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def requests_denied(**changes: Any) -> RequestsDenied:
    example = RequestsDenied(
        caller="account:jo",
        process="query-api",
        since=NOW,
        requests=(RequestSum("GET /v1/sales", "forbidden", 3),),
    )
    return replace(example, **changes)


def logins_refused(**changes: Any) -> LoginsRefused:
    example = LoginsRefused(
        account="account:jo",
        process="command-api",
        since=NOW,
        requests=(RequestSum("POST /v1/sessions", "bad-credentials", 10),),
    )
    return replace(example, **changes)


def history_read(**changes: Any) -> HistoryRead:
    example = HistoryRead(
        caller="account:auditor-1",
        process="query-api",
        since=NOW,
        requests=(RequestSum("GET /v1/events", "", 7),),
    )
    return replace(example, **changes)


def rows_exported(**changes: Any) -> RowsExported:
    example = RowsExported(
        caller="account:jo", process="query-api", route="GET /v1/orders", query="country=Italy", asked_at=NOW
    )
    return replace(example, **changes)


def fields_revealed(**changes: Any) -> FieldsRevealed:
    example = FieldsRevealed(
        caller="service:crm-1",
        process="query-api",
        route="GET /v1/customers/{customer_id}",
        query="c-17",
        asked_at=NOW,
    )
    return replace(example, **changes)


def signing_key_rotated(**changes: Any) -> SigningKeyRotated:
    example = SigningKeyRotated(
        kid="0f8fad5bd9cb469fa16570867728950e", distrusted=False, reason="it is March", rotated_at=NOW
    )
    return replace(example, **changes)


OF_KEYS: Final[tuple[Event, ...]] = (signing_key_rotated(),)

ONE_OF_EACH: Final[tuple[Event, ...]] = (
    requests_denied(),
    logins_refused(),
    history_read(),
    rows_exported(),
    fields_revealed(),
)
