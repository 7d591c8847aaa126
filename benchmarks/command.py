"""How many orders a second does one command API process take, and how many do two: five lines, outcome and leaf stored,
durable?

The peer is FastAPI in front of the library's Application, as many processes. The limit is pgbench, which inserts one
row a transaction and knows nothing of HTTP.
"""

import contextlib
import secrets
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import msgspec

from benchmarks import library, pgbench, shop_events
from benchmarks.http_load import CONNECTIONS, Found
from benchmarks.laboratory import Laboratory
from benchmarks.measuring import alternating
from benchmarks.slow_disk import NoCompiler
from benchmarks.table import OWN_DISK, SLOW_DISK, Goal, Row
from devservers import child
from domain.catalogue import product
from domain.ids import Sku
from domain.money import UnitPrice

NAME: Final = "command"
CODES: Final = 500
GOALS: Final = (Goal("ratio_to_limit", at_least=5_000 / 16_000), Goal("ratio_to_peer", at_least=8))
OF_TWO: Final = (Goal("ratio_to_limit", at_least=0.30), Goal("ratio_to_peer", at_least=8))


def rows(laboratory: Laboratory) -> Iterator[Row]:
    """One process on this machine's disk, two of them, and one on a slow disk."""
    yield _measured(laboratory, disk=OWN_DISK)
    if laboratory.size.tiny:
        return
    yield _measured(laboratory, disk=OWN_DISK, processes=2)
    try:
        laboratory.postgres(SLOW_DISK)
    except NoCompiler as reason:
        print(f"without the slow disk: {reason}", file=sys.stderr)
        return
    yield _measured(laboratory, disk=SLOW_DISK)


def _measured(laboratory: Laboratory, *, disk: str, processes: int = 1) -> Row:
    shape = shop_events.reservation(secrets.token_hex(8))
    loads: list[Found] = []

    def ours() -> float:
        loads.append(_ours(laboratory, disk=disk, processes=processes))
        return loads[-1].rate

    found = alternating(
        {
            "ours": ours,
            "limit": lambda: pgbench.rate(laboratory, disk=disk, shape=shape) or 0.0,
            "peer": lambda: _of_library(laboratory, disk=disk, processes=processes).rate,
        },
        rounds=laboratory.size.rounds,
    )
    last = loads[-1]
    case = f"POST /v1/orders, {shop_events.LINES} lines, {CONNECTIONS} connections"
    goals = OF_TWO if processes == 2 else GOALS
    return Row(
        name=NAME,
        case=case if processes == 1 else f"{case}, {processes} processes",
        disk=disk,
        unit="orders/s",
        ours=found["ours"],
        limit=found["limit"] or None,
        limit_name=pgbench.NAME if found["limit"] else pgbench.ABSENT,
        peer=found["peer"],
        peer_name=f"FastAPI + {library.NAME}",
        goals=goals if disk == OWN_DISK else (),
        note=(
            f"p50 {last.p50_ms:.1f} ms, p99 {last.p99_ms:.1f} ms; the client took {last.cpu_share:.0%} of one core"
        ),
    )


def _ours(laboratory: Laboratory, *, disk: str, processes: int) -> Found:
    with laboratory.database(disk) as url:
        shop_events.fill(url, products())
        environment = {"COUNTERFOIL_DATABASE_URL": url}
        return _served(
            laboratory,
            ["counterfoil", "command-api"],
            environment,
            port_variable="COUNTERFOIL_COMMAND_API_PORT",
            processes=processes,
        )


def _of_library(laboratory: Laboratory, *, disk: str, processes: int) -> Found:
    with laboratory.database(disk, migrated=False) as url:
        return _served(
            laboratory,
            ["benchmarks.library_shop"],
            library.environment(url),
            port_variable="LIBRARY_SHOP_PORT",
            processes=processes,
        )


def _served(
    laboratory: Laboratory,
    program: Sequence[str],
    environment: Mapping[str, str],
    *,
    port_variable: str,
    processes: int,
) -> Found:
    """The load on some processes of a server, among which the connections are divided."""
    ports = [child.free_port() for _ in range(processes)]
    with contextlib.ExitStack() as servers:
        for port in ports:
            given = {**environment, port_variable: str(port)}
            servers.enter_context(laboratory.http(program, port=port, environment=given))
        return load(laboratory, "orders", *ports, codes=CODES)


def load(laboratory: Laboratory, what: str, *ports: int, **given: int | str) -> Found:
    """Put load on servers, once to warm them up and once to measure; every answer has to be the expected one."""
    options = {"warm": laboratory.size.seconds / 4, "seconds": laboratory.size.seconds, **given}
    arguments = [part for name, value in options.items() for part in (f"--{name}", str(value))]
    arguments += [part for port in ports for part in ("--port", str(port))]
    with laboratory.python("benchmarks.http_load", what, *arguments) as process:
        printed, _ = process.communicate()
    found = msgspec.json.decode(printed, type=Found)
    assert not found.unexpected, f"{found.unexpected} answers were not what they should be"
    return found


def products() -> Iterator[shop_events.Happened]:
    """The products that orders are drawn from."""
    for number in range(CODES):
        sku = Sku(shop_events.code(number))
        (created,) = product.create(
            None,
            sku=sku,
            title=f"Thing {number}",
            stocked=True,
            unit_price=UnitPrice("2.55"),
            currency=shop_events.GBP,
            now=shop_events.NOW,
        )
        yield f"product-{sku}", created
