"""All that a package outside this one may import to declare a context, besides `counterfoil.testing`.

What stands here, under these names, is kept as docs/compatibility.md promises; every other module of the installation
may change in any release. Names are exported a second time here and nowhere else (ADR 39).
"""

from counterfoil import shadowing

shadowing.refuse()  # before the first import by a name that others use too

from commands.decision import Appended, Decision, DecisionView, Stated, Tagged, events_of
from commands.documentation import Caller
from commands.gateways.gateway import Effect, Gateway, GatewayError, NoAnswer, Port, Refused, Unaskable
from commands.payloads import (
    SECRET,
    Country,
    Currency,
    Delta,
    Id,
    Moment,
    Note,
    Payload,
    Quantity,
    Reference,
    Title,
    UnitPrice,
)
from commands.processes.process import Process, Rejected
from commands.processes.timer import Timer
from commands.recording import Answer
from commands.routing import command, command_router
from counterfoil.context import Context
from domain.aggregate import Aggregate
from domain.event import Event, event_type, foreign_event_type, upcasts
from domain.ids import composite, validate_id
from domain.rejection import Conflict, Place, Rejection, Unacceptable, Unknown
from event_store.consumers.consumer import LogConsumer
from event_store.consumers.starting import HEAD, ORIGIN
from event_store.log.envelope import Condition, RecordedEvent
from event_store.log.reading import Connection
from projections.view import DEFERRED, GLOBAL, KEYED, CachedDocument, Key, Kind, Row, View
from read_api.lists.declaring import (
    Comparison,
    Filter,
    Listed,
    ListOf,
    Sort,
    by_day,
    by_member,
    by_number,
    by_value,
)
from read_api.reading.resource import Resource, RowDict, only_row
from read_api.routing import ById, Documented, Include, Queries
from runtime.http.deprecation import Deprecation, deprecated
from runtime.http.principal import Browsable, Known, Owned, Public
from runtime.settings import Settings

__all__ = [
    "DEFERRED",
    "GLOBAL",
    "HEAD",
    "KEYED",
    "ORIGIN",
    "SECRET",
    "Aggregate",
    "Answer",
    "Appended",
    "Browsable",
    "ById",
    "CachedDocument",
    "Caller",
    "Comparison",
    "Condition",
    "Conflict",
    "Connection",
    "Context",
    "Country",
    "Currency",
    "Decision",
    "DecisionView",
    "Delta",
    "Deprecation",
    "Documented",
    "Effect",
    "Event",
    "Filter",
    "Gateway",
    "GatewayError",
    "Id",
    "Include",
    "Key",
    "Kind",
    "Known",
    "ListOf",
    "Listed",
    "LogConsumer",
    "Moment",
    "NoAnswer",
    "Note",
    "Owned",
    "Payload",
    "Place",
    "Port",
    "Process",
    "Public",
    "Quantity",
    "Queries",
    "RecordedEvent",
    "Reference",
    "Refused",
    "Rejected",
    "Rejection",
    "Resource",
    "Row",
    "RowDict",
    "Settings",
    "Sort",
    "Stated",
    "Tagged",
    "Timer",
    "Title",
    "Unacceptable",
    "Unaskable",
    "UnitPrice",
    "Unknown",
    "View",
    "by_day",
    "by_member",
    "by_number",
    "by_value",
    "command",
    "command_router",
    "composite",
    "deprecated",
    "event_type",
    "events_of",
    "foreign_event_type",
    "only_row",
    "upcasts",
    "validate_id",
]
