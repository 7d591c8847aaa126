"""Gateways: a call to the outside, the intents that request it, and the outcomes that record its answers.

An intent is an event. Its answer is three-valued: done, refused, or not known; only the first two are ever recorded.

Errors of a call:

GatewayError
├── NoAnswer     whether it was done is not known: it is asked for again under the same key
└── Unaskable    the other side can never take it as it stands: an operator has to act
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Any, Protocol

from msgspec import Struct

from commands.calls import key_digest
from domain.aggregate import Aggregate
from domain.event import Event
from runtime.settings import Settings


class GatewayError(Exception):
    """A call that brought no answer to record."""


class NoAnswer(GatewayError):
    """Whether the other side did it is not known; `wait_s` is how long it wants to be left alone, in seconds."""

    def __init__(self, reason: str, *, wait_s: float = 0.0) -> None:
        super().__init__(reason)
        self.wait_s = wait_s


class Unaskable(GatewayError):
    """The other side can never take the call as it stands, however often it is made."""


class Refused(Struct, frozen=True):
    """The other side will not do it, and says why; it has done nothing."""

    reason: str


class Port(Protocol):
    """The other side, as a sender sees it. `intent` is one of those that the gateway's effects declare."""

    async def find(self, key: str, intent: Any) -> object | None:
        """Its earlier answer under this key; None if it is certain that it has no request with the key.

        Raises:
            GatewayError: it does not say.
        """
        ...

    async def ask(self, key: str, intent: Any) -> object:
        """Have it do what the intent asks for; under a key that it knows it does nothing, and answers the same.

        Raises:
            GatewayError: it does not say whether it did.
        """
        ...


class Effect(Struct, frozen=True, eq=False, kw_only=True):
    """One kind of call: the intent that asks for it, and what is recorded about the answer.

    `step` names it in keys for ever. `concerns` gives the aggregate's id and the attempt. `record` decides
    on the freshly loaded state what the answer comes to: nothing, if the attempt has one already.
    """

    step: str
    aggregate: Aggregate[Any]
    intent: type[Event]
    concerns: Callable[[Any], tuple[str, int]]
    record: Callable[[Any, Any, Any, datetime], Sequence[Event]]


class Gateway(Struct, frozen=True, eq=False, kw_only=True):
    """A way to the outside. Its name is for ever, since it is part of every key.

    `opened` gives the port for as long as a block runs; None: no setting says where it leads. A sender's settings name
    the log's database. `check` connects to where it leads, asks for nothing, and says what it found, or raises a
    GatewayError; None: nothing can be said without asking for something.
    """

    name: str
    effects: tuple[Effect, ...]
    opened: Callable[[Settings], AbstractAsyncContextManager[Port] | None]
    check: Callable[[Settings], Coroutine[Any, Any, str]] | None = None

    @property
    def sender(self) -> str:
        """The name of its sender among all consumers of the log."""
        return f"sender-{self.name}"

    def key(self, effect: Effect, intent: Event, *, installation: str) -> str:
        """The key under which the other side is asked: of what the intent says, never of where it stands."""
        identifier, attempt = effect.concerns(intent)
        return f"{installation}:{self.name}:{effect.aggregate.stream(identifier)}:{effect.step}:{attempt}"

    def outcome_key(self, key: str) -> bytes:
        """The key of the log under which the answer to a key is recorded."""
        return key_digest(self.sender, key)

    def is_configured(self, settings: Settings) -> bool:
        """Whether settings say where it leads."""
        return self.opened(settings) is not None

    def checked(self, settings: Settings) -> tuple[bool, str] | None:
        """Whether it can be used now, and what was found; None: it is not known how to find that out."""
        if self.check is None:
            return None
        try:
            return True, asyncio.run(self.check(settings))
        except GatewayError as error:
            return False, str(error)
