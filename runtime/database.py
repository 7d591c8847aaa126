"""Connections to Postgres: every session says its role, its name and how long it may wait.

The address is one login; what a session may do is decided by the group role it takes (`set role` at connection), so a
process holds exactly the rights of its part.

Errors, in addition to those of psycopg:
    psycopg.OperationalError
    └── RoleRefused
        ├── RoleMissing      this server has no such role
        └── RoleNotGranted   the login may not take it
"""

import select
import time
from typing import Any, Final, Literal

import psycopg
from psycopg import conninfo
from psycopg_pool import AsyncConnectionPool

Role = Literal[
    "counterfoil_owner",
    "counterfoil_writer",
    "counterfoil_reader",
    "counterfoil_relay",
    "counterfoil_projector",
    "counterfoil_sealer",
    "counterfoil_vault",
    "counterfoil_recorder",
    "counterfoil_keys",
    "counterfoil_revealer",
]

CONNECT_TIMEOUT_S: Final = 5
KEEPALIVE_IDLE_S: Final = 10
USER_TIMEOUT_MS: Final = 15_000
"""How long sent bytes may stay unacknowledged before the kernel gives a connection up."""

OWN_NAMES: Final = {"search_path": "pg_catalog"}
"""Settings of a session for which a name without a schema is Postgres' own, whatever the database or the role says."""

LOOKUPS: Final = {"enable_seqscan": "off"}
"""Settings of a session that looks up what a few keys name.

A prepared statement keeps its plan while a table grows: one that was made over fifty rows went on to read tens of
thousands for each look-up, until the server took statistics again.
"""

POOL_IDLE: Final = 2
"""Connections that a pool keeps open while nobody asks."""

POOL_WAIT_S: Final = 5.0
POOL_RECONNECT_S: Final = 60.0


_ROLE_EXISTS: Final = "select to_regrole(%s) is not null"


class RoleRefused(psycopg.OperationalError):
    """The session could not take its role."""


class RoleMissing(RoleRefused):
    """The server has no such role, so no database of it was migrated."""

    def __init__(self, role: str) -> None:
        super().__init__(f"the server has no role {role}: no database of it was migrated yet")


class RoleNotGranted(RoleRefused):
    """The login is not a member of the role."""

    def __init__(self, role: str, *, login: str) -> None:
        super().__init__(f"the login {login} may not take the role {role}")
        self.role = role
        self.login = login


def address(url: str, *, role: Role | None, name: str, settings: dict[str, str] | None = None) -> str:
    """A connection string with role, application name, UTC and session settings filled in.

    Args:
        url: libpq connection string or URI.
        role: group role that the session takes, None for the login's own rights.
        name: shown in `pg_stat_activity`.
        settings: server settings of the session, each value as Postgres writes it (`"5s"`).
    """
    chosen = {"timezone": "UTC", **({"role": role} if role else {}), **(settings or {})}
    given = str(conninfo.conninfo_to_dict(url).get("options") or "")
    options = " ".join([given, *(f"-c {key}={value}" for key, value in chosen.items())]).strip()
    return conninfo.make_conninfo(
        url,
        options=options,
        application_name=f"counterfoil {name}",
        connect_timeout=CONNECT_TIMEOUT_S,
        keepalives_idle=KEEPALIVE_IDLE_S,
        tcp_user_timeout=USER_TIMEOUT_MS,
    )


def connect(
    url: str, *, role: Role | None, name: str, settings: dict[str, str] | None = None
) -> psycopg.Connection[tuple[Any, ...]]:
    """A connection in autocommit mode; use it as a context manager.

    Raises:
        RoleRefused: the login may not take the role, or nobody has it.
        psycopg.OperationalError: the server cannot be reached or refuses the login.
    """
    try:
        return psycopg.Connection.connect(
            address(url, role=role, name=name, settings=settings), autocommit=True, prepare_threshold=2
        )
    except psycopg.OperationalError as error:
        # The server's texts come in its language, but they name the role; why, it says to the login alone.
        if role is None or role not in str(error):
            raise
        raise _refused(url, role, name=name) from error


def _refused(url: str, role: Role, *, name: str) -> RoleRefused:
    with connect(url, role=None, name=name) as connection:
        if connection.execute(_ROLE_EXISTS, [role]).fetchone() == (False,):
            return RoleMissing(role)
        return RoleNotGranted(role, login=connection.info.user)


async def connect_async(
    url: str, *, role: Role | None, name: str, settings: dict[str, str] | None = None
) -> psycopg.AsyncConnection[tuple[Any, ...]]:
    """The same for async callers."""
    return await psycopg.AsyncConnection.connect(
        address(url, role=role, name=name, settings=settings), autocommit=True, prepare_threshold=2
    )


def pool(
    url: str,
    *,
    role: Role | None,
    name: str,
    size: int,
    idle: int = POOL_IDLE,
    settings: dict[str, str] | None = None,
) -> "Pool":
    """A pool of up to `size` async connections in autocommit mode, not yet open: use it as an async context manager."""
    return Pool(
        address(url, role=role, name=name, settings=settings),
        kwargs={"autocommit": True, "prepare_threshold": 2},
        min_size=min(idle, size),
        max_size=size,
        timeout=POOL_WAIT_S,
        reconnect_timeout=POOL_RECONNECT_S,
        name=name,
        open=False,
    )


class Pool(AsyncConnectionPool[psycopg.AsyncConnection[tuple[Any, ...]]]):
    """Gives no connection that the server ended while it was idle, as it does with all of them when it restarts.

    The pool's own check asks the server each time, which would cost every read a round trip, and pauses for a second
    behind a connection that has ended.
    """

    async def getconn(  # the signature of the class above
        self,
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> psycopg.AsyncConnection[tuple[Any, ...]]:
        """A connection, as that of the class above."""
        deadline = time.monotonic() + (self.timeout if timeout is None else timeout)
        while True:
            connection = await super().getconn(deadline - time.monotonic())
            if not await _has_ended(connection):
                return connection
            await self.putconn(connection)  # which replaces it


async def _has_ended(connection: psycopg.AsyncConnection[tuple[Any, ...]]) -> bool:
    """Whether nobody is at the other end. Something to read on an idle connection is nearly always its end."""
    try:
        looking = select.poll()
        looking.register(connection.fileno(), select.POLLIN)
        if looking.poll(0):
            await AsyncConnectionPool.check_connection(connection)
    except psycopg.OperationalError:
        return True
    return False
