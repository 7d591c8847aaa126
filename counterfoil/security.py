"""The context that every installation has: what callers were refused, and what they took away."""

from typing import Final

from counterfoil.context import Context
from domain.security import events, trail

_READ_BY_AUDITORS: Final = "auditors read it in the caller's stream"

SECURITY: Final = Context(
    name="security",
    aggregates=(trail.SECURITY,),
    unshown={
        trail.SECURITY: "auditors read it with `counterfoil replay security-account~…` and GET /v1/streams",
        events.RequestsDenied: _READ_BY_AUDITORS,
        events.LoginsRefused: _READ_BY_AUDITORS,
        events.HistoryRead: _READ_BY_AUDITORS,
        events.RowsExported: _READ_BY_AUDITORS,
        events.FieldsRevealed: _READ_BY_AUDITORS,
    },
)
