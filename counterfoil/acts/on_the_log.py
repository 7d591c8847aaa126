"""Operators' acts without an API: by the same commands on the log, carried out here where nothing else runs."""

import asyncio
import logging
import sys
import threading
import uuid
from datetime import UTC, datetime
from typing import Any, Final, Self

import structlog
from prometheus_client import CollectorRegistry
from pydantic import ValidationError

from commands.calls import Call, fingerprint, key_digest
from commands.dispatcher import Command
from commands.execution import Caller
from commands.log_access import opened
from commands.log_reading import LogUnreachable
from commands.operations import operator_routes
from commands.payloads import canonical
from commands.recording import Answer
from commands.routing import CommandRoute
from counterfoil.acts.errors import Refused
from counterfoil.context import Contexts
from domain.ids import validate_id
from domain.rejection import Rejection
from event_store.consumers import driver
from event_store.log import fingerprints
from projections import acts
from read_api.operations import ONE, Act
from runtime import database
from runtime.actors import actor
from runtime.database import Role
from runtime.decoders import json_decoder
from runtime.documents import RedisDocuments
from runtime.problems import ProblemError

EVERY_S: Final = 0.05
"""Pause between two rounds of what carries acts out: somebody waits for one."""

ROLES: Final[tuple[Role, ...]] = ("counterfoil_reader", "counterfoil_writer", "counterfoil_projector")
"""What the login must be able to take."""

READERS: Final = 2
"""Connections of the command's reader."""

COMMANDS: Final = {
    route.command.name: route.command
    for route in operator_routes.router.routes
    if isinstance(route, CommandRoute)
}


class OnTheLog:
    """Acts of an operator who has the database's login. While it is open this process stands by to carry them out."""

    def __init__(
        self, database_url: str, contexts: Contexts, *, redis_url: str | None, operator: str
    ) -> None:
        """Nothing is opened yet; `operator` is the name of who acts."""
        self._url, self._contexts = database_url, contexts
        self._actor = actor("operator", operator)
        self._documents = None if redis_url is None else RedisDocuments(redis_url)
        self._logging = structlog.get_config()
        self._stop = threading.Event()
        self._carrying: threading.Thread | None = None

    def __enter__(self) -> Self:
        """Make sure that the login may append acts and carry them out, before any is asked for.

        Raises:
            RoleRefused: it may not.
        """
        for role in ROLES:
            with database.connect(self._url, role=role, name="operator"):
                pass
        # Standard output is the command's answer.
        structlog.configure(
            wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR),
            logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        if self._carrying is not None:
            self._carrying.join()
        if self._documents is not None:
            self._documents.close()
        structlog.configure(**self._logging)

    def ask(self, command: str, target: str, body: dict[str, Any]) -> int:
        """See ActsClient.

        Raises:
            Refused: it was refused, or the log does not answer.
        """
        try:
            position = asyncio.run(self._appended(COMMANDS[command], target, body)).position
        except (ProblemError, Rejection) as refused:
            raise Refused(refused.detail if isinstance(refused, ProblemError) else str(refused)) from refused
        except LogUnreachable as error:
            raise Refused(f"the log does not answer: {error}") from error
        except ValidationError as error:
            raise Refused("; ".join(f"{each['loc'][0]}: {each['msg']}" for each in error.errors())) from error
        self._carrying = threading.Thread(target=self._carry_out, name=acts.NAME)
        self._carrying.start()
        return position

    def came_of(self, position: int) -> Act:
        """See ActsClient."""
        with database.connect(self._url, role="counterfoil_reader", name="operator") as connection:
            row = connection.execute(ONE, {"position": position}).fetchone()
        assert row is not None, "the act was appended"
        return json_decoder(Act).decode(row[0])

    async def _appended(self, command: Command, target: str, body: dict[str, Any]) -> Answer:
        payload = command.payload(**body)
        validate_id(target)
        with database.connect(self._url, role="counterfoil_writer", name="operator secret") as conn:
            made_by = fingerprints.read(conn)
        key = str(uuid.uuid4())
        asked = fingerprint(made_by, key, command=command.name, target=target, canonical=canonical(payload))
        call = Call(
            command=command.name,
            key=key_digest(self._actor, key),
            fingerprint=asked,
            correlation_id=uuid.uuid4().hex,
            actor=self._actor,
        )
        async with opened(self._url, role="counterfoil_reader", name="operator", readers=READERS) as on:
            (slot,) = on.execution.reserve(1)
            caller = Caller(on.execution, call=call, slot=slot, now=datetime.now(UTC), fingerprints=made_by)
            return await command.endpoint(**{str(command.target): target}, body=payload, caller=caller)

    def _carry_out(self) -> None:
        hosted = [acts.consumer(self._contexts.views, documents=self._documents, every_s=EVERY_S)]
        driver.run(hosted, database_url=self._url, stop=self._stop, registry=CollectorRegistry())
