"""A context: a part of the business, declared once. All that serves, decides, folds or replays derives from it.

Routes may be declared by the place where they are: only the APIs import them then, and with them FastAPI, which no
worker and hardly any command needs.
"""

import importlib
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, TypeVar

from msgspec import Struct

from commands import refusals
from commands.gateways import reacting as gateways_reacting
from commands.gateways.gateway import Gateway
from commands.processes import reacting, timer
from commands.processes.process import Process
from domain.aggregate import Aggregate, category_of
from domain.event import Event
from domain.rejection import Rejection
from event_store.consumers.consumer import LogConsumer
from event_store.consumers.reserved import RESERVED
from event_store.consumers.settling import ReactingConsumers
from projections.measure import Measure
from projections.view import View
from runtime.problem_types import CATALOGUE, ProblemType
from runtime.settings import Settings

if TYPE_CHECKING:
    from fastapi import APIRouter

    from commands.receiving import Receiver
    from read_api.routing import Queries

T = TypeVar("T")

_NOTHING: Final[Mapping[Any, str]] = MappingProxyType({})


class ContextError(Exception):
    """Contexts do not fit together; the text says which declaration has to change."""


class Context(Struct, frozen=True, kw_only=True, eq=False):
    """One part of the business, by what it declares; `name` is that of its modules in every package.

    `commands`, `queries` and `receiver` are the objects, or `package.module:NAME` of each, which is imported once it is
    served. `receiver` and `measures` are for the product's own contexts: their types are not in `counterfoil.api`.

    `unshown` holds aggregates without a resource of their own and events without a fold, each with the reason:
    the test of completeness names one that is forgotten.
    """

    name: str
    aggregates: tuple[Aggregate[Any], ...] = ()
    commands: "APIRouter | str | None" = None
    processes: tuple[Process, ...] = ()
    gateways: tuple[Gateway, ...] = ()
    receiver: "Receiver | str | None" = None
    consumers: tuple[LogConsumer, ...] = ()
    views: tuple[View[Any], ...] = ()
    measures: tuple[Measure, ...] = ()
    queries: "Queries | str | None" = None
    problems: tuple[type[Rejection], ...] = ()
    unshown: Mapping[Aggregate[Any] | type[Event], str] = _NOTHING

    @property
    def events(self) -> tuple[type[Event], ...]:
        """What its aggregates record."""
        return tuple(event for aggregate in self.aggregates for event in aggregate.events)

    @property
    def served_commands(self) -> "APIRouter | None":
        """The router of its commands.

        Raises:
            ContextError: there is none where it is declared to be.
        """
        from fastapi import APIRouter

        return self._found(self.commands, APIRouter, what="commands")

    @property
    def served_receiver(self) -> "Receiver | None":
        """What takes in what another system says.

        Raises:
            ContextError: it is not where it is declared to be.
        """
        if self.receiver is None:
            return None
        from commands.receiving import Receiver

        return self._found(self.receiver, Receiver, what="receiver")

    @property
    def served_queries(self) -> "Queries | None":
        """What it can be asked.

        Raises:
            ContextError: that is not where it is declared to be.
        """
        from read_api.routing import Queries

        return self._found(self.queries, Queries, what="queries")

    def _found(self, declared: T | str | None, kind: type[T], *, what: str) -> T | None:
        if not isinstance(declared, str):
            return declared
        module, _, name = declared.partition(":")
        try:
            found = getattr(importlib.import_module(module), name)
        except (ImportError, AttributeError, ValueError) as error:
            raise ContextError(f"the {what} of {self.name!r} are not at {declared!r}: {error}") from error
        if not isinstance(found, kind):
            raise ContextError(
                f"the {what} of {self.name!r}: {declared} is a {type(found).__name__}, not {kind.__name__}"
            )
        return found


class Contexts:
    """All contexts of one installation, in the order in which routes are tried."""

    def __init__(self, *declared: Context) -> None:
        """Take contexts together.

        Raises:
            ContextError: two of them use one name for different things, a view has no folds, a consumer no handler,
                or a process needs a gateway that there is not.
        """
        self._declared = declared
        self.timers = tuple(timer.view_of(process) for process in self.processes if process.timers)
        """A view for each process that has timers, of those that are set."""
        for view in self.views:
            if not view.folds:
                raise ContextError(f"the view {view.name!r} has no folds: declare it by their module")
        _require_single("context", (context.name for context in declared))
        _require_single("stream category", (aggregate.category for aggregate in self.aggregates))
        for consumer in self.consumers:
            if not consumer.handles:
                raise ContextError(f"the consumer {consumer.name!r} handles no event")
        _require_single("gateway", (gateway.name for gateway in self.gateways))
        # All of them are consumers: what an operator skips for one stands in `skips-<name>`.
        _require_single(
            "view, process or consumer",
            (
                *RESERVED,
                *self._view_names(),
                *(process.name for process in self.processes),
                *(consumer.name for consumer in self.consumers),
                *(gateway.sender for gateway in self.gateways),
                *(timer.consumer for process in self.processes for timer in process.timers.values()),
            ),
        )
        _require_single("view", (f"{view.name} in shape {view.shape}" for view in self.views))
        _require_single(
            "intent", (effect.intent.__name__ for gateway in self.gateways for effect in gateway.effects)
        )
        for process in self.processes:
            if process.gateway not in {None, *(gateway.name for gateway in self.gateways)}:
                raise ContextError(
                    f"the process {process.name!r} needs an unknown gateway {process.gateway!r}"
                )
        _require_single("problem", (*CATALOGUE, *(problem.slug for problem in self.problems)))
        self._aggregates = {aggregate.category: aggregate for aggregate in self.aggregates}
        self._views = {view.name: view for view in sorted(self.views, key=lambda view: view.shape)}

    def __iter__(self) -> Iterator[Context]:
        return iter(self._declared)

    @property
    def aggregates(self) -> tuple[Aggregate[Any], ...]:
        """Every kind of stream."""
        return tuple(aggregate for context in self._declared for aggregate in context.aggregates)

    @property
    def commands(self) -> "tuple[APIRouter, ...]":
        """The routes of the command API, which are imported by this.

        Raises:
            ContextError: they are not where a context declares them to be.
        """
        return tuple(router for context in self._declared if (router := context.served_commands) is not None)

    @property
    def receivers(self) -> "tuple[Receiver, ...]":
        """What takes in what other systems say; it is imported by this.

        Raises:
            ContextError: it is not where a context declares it to be.
        """
        return tuple(found for context in self._declared if (found := context.served_receiver) is not None)

    @property
    def processes(self) -> tuple[Process, ...]:
        """Every process manager."""
        return tuple(process for context in self._declared for process in context.processes)

    @property
    def gateways(self) -> tuple[Gateway, ...]:
        """Every way to the outside."""
        return tuple(gateway for context in self._declared for gateway in context.gateways)

    def gateways_of(self, settings: Settings) -> tuple[Gateway, ...]:
        """The gateways of which the settings say where they lead."""
        return tuple(gateway for gateway in self.gateways if gateway.is_configured(settings))

    def processes_of(self, settings: Settings) -> tuple[Process, ...]:
        """The process managers that run: those that need a gateway only where it is configured."""
        there = {None, *(gateway.name for gateway in self.gateways_of(settings))}
        return tuple(process for process in self.processes if process.gateway in there)

    def followers_of(self, settings: Settings) -> ReactingConsumers:
        """The consumers that answer events in the log, by the type of the event."""
        return _followers(self.processes_of(settings), self.gateways_of(settings))

    @property
    def followers(self) -> ReactingConsumers:
        """The same of all that are declared, whether or not they run here."""
        return _followers(self.processes, self.gateways)

    @property
    def consumers(self) -> tuple[LogConsumer, ...]:
        """Every declared consumer of the log."""
        return tuple(consumer for context in self._declared for consumer in context.consumers)

    @property
    def views(self) -> tuple[View[Any], ...]:
        """Every view, with its folds."""
        return (*(view for context in self._declared for view in context.views), *self.timers)

    @property
    def measures(self) -> tuple[Measure, ...]:
        """What workers of views count."""
        return tuple(measure for context in self._declared for measure in context.measures)

    @property
    def queries(self) -> "dict[str, Queries]":
        """What the query API serves, by the name of the context; it is imported by this.

        Raises:
            ContextError: it is not where a context declares it to be.
        """
        return {
            context.name: queries
            for context in self._declared
            if (queries := context.served_queries) is not None
        }

    @property
    def problems(self) -> tuple[ProblemType, ...]:
        """What the business refuses, each once: several contexts may refuse the same, such as an odd currency."""
        declared = dict.fromkeys(refusal for context in self._declared for refusal in context.problems)
        return tuple(map(refusals.problem_type, declared))

    @property
    def locations(self) -> dict[str, str]:
        """Under which address the query API shows the aggregates of a category that it shows by id."""
        found = [location for queries in self.queries.values() for location in queries.locations()]
        _require_single("address for", (category for category, _ in found))
        return dict(found)

    def aggregate_of(self, stream: str) -> Aggregate[Any] | None:
        """The kind of a stream; None for one that an application of its own writes."""
        return self._aggregates.get(category_of(stream))

    def view(self, name: str, *, shape: int | None = None) -> View[Any] | None:
        """The view of this name in its newest shape, or in the one that is asked for; None: it is not declared."""
        if shape is None:
            return self._views.get(name)
        return next((view for view in self.views if (view.name, view.shape) == (name, shape)), None)

    def _view_names(self) -> Iterator[str]:
        """The names of views, once for each context: one may declare several shapes of a view."""
        for context in self._declared:
            yield from dict.fromkeys(view.name for view in context.views)
        yield from (view.name for view in self.timers)


def _followers(processes: Iterable[Process], gateways: Iterable[Gateway]) -> ReactingConsumers:
    deciding, sending = reacting.followers(processes), gateways_reacting.followers(gateways)
    return {name: (*deciding.get(name, ()), *sending.get(name, ())) for name in {**deciding, **sending}}


def _require_single(what: str, names: Iterable[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise ContextError(f"the {what} {name!r} is declared twice")
        seen.add(name)
