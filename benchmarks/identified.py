"""What does it cost that callers are known: commands and reads with a verified token, next to the same without?

A process verifies a token once and remembers it; what was revoked it finds among the denials that it polls. An append
names the keys of its program as well: one program sends all of the load, then sixteen share it. Logins hash passwords
in the same process.
"""

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, Literal

import httpx
import uvloop
from msgspec import Struct
from pydantic import SecretStr

from benchmarks import command, pgbench, shop_events, workers
from benchmarks.http_load import CONNECTIONS
from benchmarks.laboratory import Laboratory
from benchmarks.measuring import alternating
from benchmarks.reaching import wait_for_documents, wait_for_orders
from benchmarks.table import OWN_DISK, Goal, Row
from counterfoil import accounts
from devservers import child
from runtime import database
from runtime.identity.trust import Trust
from runtime.settings import Settings

NAME: Final = "identified"
EMAIL: Final = "owner@example.org"
PASSWORD: Final = "correct horse battery"
PROGRAMS: Final = 16
SCOPES: Final = ("orders:place", "orders:read")
EVENTS: Final = 20_000
VIEW: Final = "order_details"
VERIFICATIONS: Final = 100_000
"""Of a token that is remembered; a hundredth as many of one that is not."""

LOGINS: Final = 8
"""Under way at once: more than are hashed at once, and fewer than an account may fail."""
UNDER_LOGINS: Final = 4
"""Connections whose answers are timed meanwhile: what is in question is how long one takes, not how many fit."""

OF_LIMIT: Final = Goal("ratio_to_limit", at_least=0.27)
AS_WITHOUT: Final = Goal("ratio_to_peer", at_least=0.9)


def rows(laboratory: Laboratory) -> Iterator[Row]:
    """Commands by one program and by sixteen, commands while others log in, reads, and one verification."""
    with laboratory.database() as url:
        shop_events.fill(url, command.products())
        with _opened(laboratory, "command-api", url) as apis:
            yield from _commands(laboratory, apis)
            yield _next_to_logins(laboratory, port=apis.known[0], tokens=apis.tokens)
    with laboratory.database() as url:
        events = laboratory.size.count(EVENTS, tiny=2_000)
        shop_events.fill(url, shop_events.history(events))
        yield from _reads(laboratory, url, orders=shop_events.orders_in(events))


class _Apis(Struct, frozen=True):
    """Ports of processes of an API that know their callers, the port of one that does not, and a file of tokens."""

    known: Sequence[int]
    unknown: int
    tokens: Path


def _commands(laboratory: Laboratory, apis: _Apis) -> Iterator[Row]:
    def by(programs: int, *, processes: int = 1) -> Callable[[], float]:
        ports = apis.known[:processes] if programs else [apis.unknown]
        given: dict[str, int | str] = {"tokens": str(apis.tokens), "callers": programs} if programs else {}
        return lambda: command.load(laboratory, "orders", *ports, codes=command.CODES, **given).rate

    shape = shop_events.reservation("identified")
    found = alternating(
        {
            "one": by(1),
            "without": by(0),
            "many": by(PROGRAMS),
            "two": by(PROGRAMS, processes=2),
            "limit": lambda: pgbench.rate(laboratory, disk=OWN_DISK, shape=shape) or 0.0,
        },
        rounds=laboratory.size.rounds,
    )
    case = f"POST /v1/orders, {shop_events.LINES} lines, {CONNECTIONS} connections"
    yield Row(
        name=NAME,
        case=f"{case}, with a token",
        unit="orders/s",
        ours=found["one"],
        limit=found["limit"] or None,
        limit_name=pgbench.NAME if found["limit"] else pgbench.ABSENT,
        peer=found["without"],
        peer_name="the same without",
        goals=(OF_LIMIT,),
    )
    yield Row(
        name=NAME,
        case=f"{case}, with a token, 2 processes",
        unit="orders/s",
        ours=found["two"],
        limit=found["limit"] or None,
        limit_name=pgbench.NAME if found["limit"] else pgbench.ABSENT,
        goals=(OF_LIMIT,),
    )
    yield Row(
        name=NAME,
        case=f"{case}, all by one program",
        unit="orders/s",
        ours=found["one"],
        peer=found["many"],
        peer_name=f"by {PROGRAMS} programs",
        goals=(AS_WITHOUT,),
    )


def _next_to_logins(laboratory: Laboratory, *, port: int, tokens: Path) -> Row:
    logins = laboratory.size.count(LOGINS, tiny=1)
    given: dict[str, int | str] = {
        "connections": UNDER_LOGINS,
        "codes": command.CODES,
        "tokens": str(tokens),
        "callers": 1,
    }

    def alone() -> float:
        return command.load(laboratory, "orders", port, **given).p99_ms

    def next_to() -> float:
        credentials = ("--email", EMAIL, "--password", PASSWORD)
        numbers = ("--port", str(port), "--connections", str(logins), "--seconds", "600")
        with laboratory.python("benchmarks.http_load", "logins", *numbers, *credentials):
            return alone()

    found = alternating({"ours": next_to, "peer": alone}, rounds=laboratory.size.rounds)
    return Row(
        name=NAME,
        case=f"p99 of POST /v1/orders, {UNDER_LOGINS} connections, while {logins} callers log in again and again",
        unit="ms",
        ours=found["ours"],
        peer=found["peer"],
        peer_name="the same without logins",
        goals=(Goal("ratio_to_peer", at_most=2),),
    )


def _reads(laboratory: Laboratory, url: str, *, orders: int) -> Iterator[Row]:
    redis_url = laboratory.redis_url()
    workers.settle(url)
    with (
        workers.projections(url, views=[VIEW], redis_url=redis_url),
        _opened(laboratory, "query-api", url, redis_url=redis_url) as apis,
    ):
        wait_for_orders(url, orders=orders)
        wait_for_documents(url, redis_url, VIEW)
        given: dict[str, int | str] = {"orders": orders, "tokens": str(apis.tokens), "callers": 1}
        known, unknown = apis.known[0], apis.unknown
        found = alternating(
            {
                "ours": lambda: command.load(laboratory, "order", known, **given).rate,
                "peer": lambda: command.load(laboratory, "order", unknown, orders=orders).rate,
            },
            rounds=laboratory.size.rounds,
        )
        yield Row(
            name=NAME,
            case=f"one order of {shop_events.LINES} lines from Redis, {CONNECTIONS} connections, with a token",
            unit="reads/s",
            ours=found["ours"],
            peer=found["peer"],
            peer_name="the same without",
            goals=(AS_WITHOUT,),
        )
        token = apis.tokens.read_text().split()[0].encode()
        yield uvloop.run(_verification(url, token, count=laboratory.size.count(VERIFICATIONS, tiny=1_000)))


async def _verification(url: str, token: bytes, *, count: int) -> Row:
    trust = Trust()
    async with database.pool(url, role="counterfoil_reader", name="benchmark", size=1, idle=1) as pool:
        await trust.poll(pool)
    trust.trusted(token)
    began = time.perf_counter()
    for _ in range(count):
        trust.trusted(token)
    remembered = time.perf_counter()
    for _ in range(count // 100):
        trust.claims(token)
    ended = time.perf_counter()
    return Row(
        name=NAME,
        case="verification of a token that was verified before",
        unit="µs",
        ours=(remembered - began) / count * 1e6,
        peer=(ended - remembered) / (count // 100) * 1e6,
        peer_name="the first time",
        goals=(Goal("ours", at_most=100),),
    )


@contextlib.contextmanager
def _opened(
    laboratory: Laboratory, role: Literal["command-api", "query-api"], url: str, *, redis_url: str = ""
) -> Iterator[_Apis]:
    """Three processes of an API, two of which know their callers."""
    home = laboratory.directory / f"identified-{role}"
    home.mkdir()
    accounts.create_owner(
        Settings(database_url=SecretStr(url), home=home, identity="accounts", password_memory_mb=46),
        email=EMAIL,
        password=PASSWORD,
    )
    given = {
        "COUNTERFOIL_DATABASE_URL": url,
        "COUNTERFOIL_REDIS_URL": redis_url,
        "COUNTERFOIL_HOME": str(home),
        "COUNTERFOIL_PASSWORD_MEMORY_MB": "46",
    }
    accounts_on = given | {"COUNTERFOIL_IDENTITY": "accounts"}
    with contextlib.ExitStack() as stack:
        known = [stack.enter_context(_api(laboratory, role, accounts_on)) for _ in range(2)]
        tokens = home / "tokens"
        if role == "command-api":
            tokens.write_text("\n".join(_tokens(known[0])))
        else:
            with _api(laboratory, "command-api", accounts_on) as issuing:
                tokens.write_text("\n".join(_tokens(issuing)))
        unknown = stack.enter_context(_api(laboratory, role, given | {"COUNTERFOIL_IDENTITY": "anonymous"}))
        yield _Apis(known, unknown, tokens)


@contextlib.contextmanager
def _api(laboratory: Laboratory, role: str, given: Mapping[str, str]) -> Iterator[int]:
    port = child.free_port()
    environment = {**given, f"COUNTERFOIL_{role.upper().replace('-', '_')}_PORT": str(port)}
    with laboratory.http(["counterfoil", role], port=port, environment=environment):
        yield port


def _tokens(port: int) -> Iterator[str]:
    """Access tokens of programs that are registered now."""
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=60) as client:
        credentials = {"email": EMAIL, "password": PASSWORD}
        login = client.post("/v1/sessions", json=credentials).raise_for_status().json()
        for number in range(PROGRAMS):
            name = f"till-{number}"
            issued = client.post(
                "/v1/clients",
                json={"client_id": name, "name": name, "scopes": SCOPES},
                headers={"authorization": f"Bearer {login['access_token']}", "idempotency-key": name},
            ).raise_for_status()
            key = issued.json()["secret"]
            form = {"grant_type": "client_credentials", "client_id": name, "client_secret": key}
            yield client.post("/oauth/token", data=form).raise_for_status().json()["access_token"]
