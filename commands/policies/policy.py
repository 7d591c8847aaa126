"""What a policy is: "whenever this event, then decide over these streams", as pure functions without I/O.

A reaction names the streams its decision reads before it decides, so that the pipeline can have their
states at hand and carry the exact version of every one of them in the append.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from msgspec import Struct

from domain.aggregate import Aggregate, category_of
from domain.event import Event, type_name
from domain.ids import Sku
from domain.inventory.stock_item import STOCK, StockItem
from domain.ordering.order import ORDER, Order

State = StockItem | Order
"""The state of a stream that policies decide over."""

States = Mapping[str, State | None]
"""State by stream name; None: the stream has no event."""


class Decision(Struct, frozen=True):
    """The events to append, each with its stream, in order.

    `refused_by` names the streams whose states speak against what the trigger asks for. Such a decision is
    believed only when all states it was reached on were read after the trigger arrived, with nothing of
    ours on top that is not acknowledged.
    """

    events: tuple[tuple[str, Event], ...] = ()
    refused_by: tuple[str, ...] = ()


NOTHING = Decision()
"""What a trigger asks for is nothing, whatever the states are."""


class Reaction(Struct, frozen=True):
    """One "whenever, then": the event it waits for, the streams it reads, the decision.

    `reads` never names a stream twice. `decide` gets a state (or None) for each of them, and the time.
    """

    name: str
    trigger: type[Event]
    reads: Callable[[Any], tuple[str, ...]]
    decide: Callable[[Any, States, datetime], Decision]


class Policy(Struct, frozen=True):
    """A process manager: its name is for ever, since it is part of every outcome's key."""

    name: str
    reactions: tuple[Reaction, ...]

    def reaction_to(self) -> dict[str, Reaction]:
        """Its reactions by the type name of their trigger."""
        return {type_name(reaction.trigger): reaction for reaction in self.reactions}


def stock_in(states: States, sku: Sku) -> StockItem | None:
    """The stock of a code; None: it never moved."""
    item = states[STOCK.stream(sku)]
    assert item is None or isinstance(item, StockItem), "a stock stream holds something else"
    return item


def evolve(stream: str, state: State | None, event: Event) -> State:
    """The state of a stream after one more of its events.

    Raises:
        KeyError: no policy decides over streams of this category.
    """
    evolved: State = _AGGREGATES[category_of(stream)].evolve(state, event)
    return evolved


_AGGREGATES: Mapping[str, Aggregate[Any]] = {each.category: each for each in (ORDER, STOCK)}
