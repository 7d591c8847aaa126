"""A connection for plain threads that does not wait for a frozen server for ever.

psycopg.ProgrammingError
└── RoleRefused    the cluster has no such role, or the login is not a member of it
"""

import contextlib
from typing import Any, Final, TypeVar

import psycopg
from psycopg.abc import PQGen
from psycopg.pq import TransactionStatus

from runtime import database

RV = TypeVar("RV")

_TAKE_ROLE: Final = "select set_config('role', %s, false)"

WAKE_EVERY_S: Final = 0.1
"""How often a waiting thread looks whether it was interrupted."""


class RoleRefused(psycopg.ProgrammingError):
    """The session cannot take the role it needs."""


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
    role: database.Role | None,
    name: str,
    answer_timeout_s: float,
    settings: dict[str, str] | None = None,
) -> PatientConnection:
    """A connection in autocommit mode whose statements are all prepared; `role` None: with the login's own rights.

    The role is taken by a statement, not at login: a refusal then has an SQLSTATE that tells it from a lost server.

    Raises:
        psycopg.OperationalError: the server cannot be reached or refuses the login.
        RoleRefused: the cluster was never migrated, or the login is not a member of the role.
    """
    connection = PatientConnection.connect(
        database.address(url, role=None, name=name, settings=settings), autocommit=True, prepare_threshold=0
    )
    connection.answer_timeout_s = answer_timeout_s
    with contextlib.ExitStack() as until_usable:
        until_usable.callback(connection.close)
        if role is not None:
            _take_role(connection, role)
        until_usable.pop_all()
    return connection


def _take_role(connection: PatientConnection, role: database.Role) -> None:
    try:
        connection.execute(_TAKE_ROLE, [role])
    except psycopg.errors.InvalidParameterValue as error:
        raise RoleRefused(f"{str(error).strip()}: run `counterfoil migrate`") from error
    except psycopg.errors.InsufficientPrivilege as error:
        raise RoleRefused(f"{str(error).strip()}: run `grant {role} to {connection.info.user}`") from error
