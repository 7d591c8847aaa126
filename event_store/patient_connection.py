"""A connection for plain threads that does not wait for a frozen server for ever."""

from typing import Any, Final, TypeVar

import psycopg
from psycopg.abc import PQGen
from psycopg.pq import TransactionStatus

from runtime import database

RV = TypeVar("RV")

WAKE_EVERY_S: Final = 0.1
"""How often a waiting thread looks whether it was interrupted."""


class PatientConnection(psycopg.Connection[tuple[Any, ...]]):
    """Closes itself when the server has not answered within `answer_timeout_s`; the call raises OperationalError.

    A server that is stopped or cut off sends nothing, not even that it is gone, so only a clock on this side tells.
    """

    answer_timeout_s: float = 30.0

    def wait(self, gen: PQGen[RV], interval: float = WAKE_EVERY_S, timeout: float | None = None) -> RV:
        """Wait for an answer, as psycopg does, but not longer than the limit."""
        try:
            return super().wait(gen, interval, self.answer_timeout_s if timeout is None else timeout)
        except psycopg.OperationalError:
            if self.pgconn.transaction_status == TransactionStatus.ACTIVE:
                self.pgconn.finish()  # whatever the server says now, it would answer an earlier question
            raise


def connect(
    url: str,
    *,
    role: database.Role,
    name: str,
    answer_timeout_s: float,
    settings: dict[str, str] | None = None,
) -> PatientConnection:
    """A connection in autocommit mode whose statements are all prepared.

    Raises:
        psycopg.OperationalError: the server cannot be reached or refuses the login.
    """
    connection = PatientConnection.connect(
        database.address(url, role=role, name=name, settings=settings), autocommit=True, prepare_threshold=0
    )
    connection.answer_timeout_s = answer_timeout_s
    return connection
