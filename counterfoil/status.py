"""`counterfoil status`: where everybody stands, which servers answer, and the addresses of both APIs."""

from typing import Any, Final

import msgspec
import psycopg

from counterfoil import addresses, runfile, sealing, timers
from counterfoil.context import Contexts
from event_store.consumers import parking
from event_store.consumers.parking import Scope
from read_api.status import READ_STATUS, Status, decode_status
from runtime import database
from runtime.masking import masked_address
from runtime.settings import Settings

UNDECLARED: Final = "DECLARED BY NO CONTEXT: nobody feeds it"


def read(database_url: str) -> Status:
    """Every consumer's position, in one snapshot.

    Raises:
        psycopg.Error: the database cannot be reached, or was never migrated.
    """
    with database.connect(database_url, role="counterfoil_reader", name="status") as connection:
        row = connection.execute(READ_STATUS).fetchone()
    assert row is not None, "an expression answers one row"
    return decode_status(str(row[0]))


def parked(database_url: str, status: Status) -> dict[Scope, int]:
    """How many keys are parked: of every consumer, whether it has a checkpoint or not, and of live builds of views."""
    with database.connect(database_url, role="counterfoil_reader", name="status") as connection:
        found = parking.counts(connection)
    live = {Scope(view.name, view.shape, view.build) for view in status.views}
    return {scope: keys for scope, keys in sorted(found.items()) if not scope.build or scope in live}


def as_json(settings: Settings, *, contexts: Contexts) -> dict[str, Any]:
    """The object that `status --json` prints.

    Raises:
        addresses.NoAddress, psycopg.Error: the log cannot be read.
    """
    url = addresses.database_url(settings)
    read_status = read(url)
    with database.connect(url, role="counterfoil_reader", name="status") as connection:
        waiting = timers.overdue(connection, settings, contexts)
        sealed = sealing.summary(connection)
    found = addresses.resolve(settings)
    running = runfile.read(settings.home)
    shown = msgspec.to_builtins(read_status)
    for view in shown["views"]:
        view["declared"] = contexts.view(view["name"], shape=view["shape"]) is not None
    return {
        **shown,
        "timers": msgspec.to_builtins(waiting),
        "seal": sealed,
        "servers": {
            "postgres": _server("postgres", found.database_url, running, settings),
            "redis": _server("redis", found.redis_url, running, settings),
            "kafka": _server("kafka", found.kafka_bootstrap, running, settings),
            "keys": _server("keys", found.keys_database_url, running, settings),
        },
        "urls": {"command_api": found.command_api, "query_api": found.query_api},
        "mode": running.mode if running else None,
        "processes": running.processes if running else {},
        "home": str(settings.home),
    }


def lines(status: dict[str, Any]) -> list[str]:
    """The same for people."""
    log = status["log"]
    shown = [
        f"log      position {log['position']:,}, epoch {log['epoch']}, installation {log['installation']}"
    ]
    relay = status["relay"]
    shown.append(
        f"relay    {position_of(relay)}  (generation {relay['generation']}, {relay['carrier'] or 'not started'})"
    )
    for view in status["views"]:
        label = f"{view['name']} s{view['shape']} b{view['build']}"
        unknown = "" if view["declared"] else f"  {UNDECLARED}"
        shown.append(f"view     {label:<28} {position_of(view)}{_parked(view)}{unknown}")
    shown += [
        f"process  {process['name']:<28} {position_of(process)}{_parked(process)}"
        for process in status["process_managers"]
    ]
    shown += [
        f"consumer {consumer['name']:<28} {position_of(consumer)}{_parked(consumer)}"
        for consumer in status["consumers"]
    ]
    shown += [
        f"timer    {'.'.join((timer['process'], timer['timer'])):<28} {timer['overdue']:,} overdue{_parked(timer)}"
        for timer in status["timers"]
    ]
    shown += [
        f"paused   {paused['name']:<28} since {paused['paused_at']}, by the act at {paused['act']:,}"
        for paused in status["paused"]
    ]
    if (sealed := status["seal"]) is not None:
        shown.append(f"seal     {sealed['origin']:<28} {position_of(sealed)}")
        shown.append(f"audit    {'next to the sealer':<28} {sealing.audits_in_words(sealed['audits'])}")
        shown += [
            f"witness  {witness['name']:<28} {sealing.witnessed_in_words(witness)}"
            for witness in sealed["witnesses"]
        ]
    for name, server in status["servers"].items():
        shown.append(f"server   {name:<10} {server['address'] or 'none'}  {server['version'] or ''}".rstrip())
    shown += [f"url      {name:<10} {url}" for name, url in status["urls"].items()]
    return shown


def _server(
    name: str, address: str | None, running: runfile.Running | None, settings: Settings
) -> dict[str, Any]:
    return {
        "address": None if address is None else masked_address(address),
        "version": running.servers.get(name) if running else None,
        "pid": running.processes.get(name) if running else None,
        "answers": None if address is None else _answers(name, address, settings),
    }


def _answers(name: str, address: str, settings: Settings) -> bool:
    from counterfoil.servers import unmanaged
    from counterfoil.servers.errors import ServerError

    try:
        match name:
            case "postgres" | "keys":
                unmanaged.postgres_at(address)
            case "redis":
                unmanaged.redis_at(address)
            case _:
                unmanaged.kafka_at(address, security=addresses.kafka_security(settings))
    except (ServerError, psycopg.Error):
        return False
    return True


def position_of(consumer: dict[str, Any]) -> str:
    """Where a consumer stands, in words: that it was stopped comes first, before how far it is behind."""
    position = f"at {consumer['position']:,}"
    if consumer["lag_events"]:
        seconds = f", {consumer['lag_seconds']:.1f} s" if consumer.get("lag_seconds") else ""
        position += f", {consumer['lag_events']:,} events{seconds} behind"
    return f"STOPPED {position}: {consumer['stopped']}" if consumer.get("stopped") else position


def _parked(consumer: dict[str, Any]) -> str:
    return f"  PARKED {consumer['parked']}" if consumer["parked"] else ""
