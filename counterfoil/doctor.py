"""`counterfoil doctor`: which servers were found or would be taken, migrations, processes, quick invariants."""

from collections.abc import Generator, Iterator, Mapping, Sequence
from typing import Any, Final, Literal

import psycopg
from msgspec import Struct

from counterfoil import (
    addresses,
    declared,
    disks,
    migrating,
    open_shops,
    optional,
    probing,
    runfile,
    sealing,
    sizing,
    status,
    timers,
)
from counterfoil.context import Contexts
from event_store.consumers import noted
from event_store.consumers.parking import Scope
from event_store.log.findings import Finding
from event_store.transport.transport import TransportUnavailable
from read_api.status import Status
from runtime import database, migrations, production
from runtime.keyring import master
from runtime.keyring.errors import KeyringError
from runtime.migrations import Differences
from runtime.settings import Settings

_COUNT: Final = """
select h.position, (select count(*) from log.event), (select coalesce(max(position), 0) from log.event)
from log.head h
"""
_THIN_STREAMS: Final = """
select count(*) from (
    select from log.event group by stream having count(*) <> max(version) - min(version) + 1 or min(version) > 1
) broken
"""
AUDIT_AGE_S_MAX: Final = 600.0
"""Seconds after which new events should have been examined."""

_VARIABLES: Final = {"postgres": "DATABASE_URL", "redis": "REDIS_URL", "kafka": "KAFKA_BOOTSTRAP"}

Verdict = Literal["ok", "note", "bad"]


class Check(Struct, frozen=True):
    """One line of the report; `bad` makes the exit code 1."""

    name: str
    verdict: Verdict
    message: str


def examine(settings: Settings) -> Iterator[Check]:
    """Run every check, one after the other."""
    yield Check("home", "ok", str(settings.home))
    yield from _profile(settings)
    yield from _servers(settings)
    yield from _keys(settings)
    try:
        url = addresses.database_url(settings)
    except addresses.NoAddress as error:
        yield Check("shop", "note", f"no further checks: {error}")
        return
    try:
        contexts = declared.contexts(settings)
        if (yield from _database(url, settings)):
            yield from _disks(url, settings)
            yield from _undeclared(url, contexts)
            yield from _timers(url, settings, contexts)
            yield from _seal(url, settings)
        yield from _gateways(settings, contexts)
    except psycopg.Error as error:
        yield Check("postgres", "bad", f"the log cannot be read: {str(error).strip()}")
        return
    yield from _processes(settings)


def _profile(settings: Settings) -> Iterator[Check]:
    """What keeps an installation from running in production; in development nothing does."""
    if settings.profile != "production":
        return
    found = list(production.findings(settings))
    for each in found:
        yield Check(each.variable, "bad", each.message)
    if not found:
        yield Check("profile", "ok", "production: every connection to other machines is encrypted")


def _servers(settings: Settings) -> Iterator[Check]:
    running = runfile.read(settings.home)
    if running is not None:
        for name, version in running.servers.items():
            yield Check(name, "ok", f"running: {version}")
        return
    by_address = {
        "postgres": settings.database_url,
        "redis": settings.redis_url,
        "kafka": settings.kafka_bootstrap,
    }
    for name, address in by_address.items():
        if name == "redis" and settings.redis_url is not None:
            yield _redis(settings.redis_url.get_secret_value())
        elif address is not None:
            yield Check(name, "ok", f"address from COUNTERFOIL_{_VARIABLES[name]}")
        else:
            yield _would_start(name)


def _redis(url: str) -> Check:
    """Whether the Redis of the environment answers."""
    from counterfoil.servers import unmanaged
    from counterfoil.servers.errors import ServerUnreachable

    try:
        unmanaged.ping_redis(url)
    except ServerUnreachable as error:
        return Check("redis", "bad", str(error))
    return Check("redis", "ok", "answers at the address from COUNTERFOIL_REDIS_URL")


def _would_start(name: str) -> Check:
    """Which program `up` would start, since no address is set."""
    missing: Verdict = "bad" if name == "postgres" else "note"
    try:
        optional.require("devservers", what=f"starting a {name}")
    except optional.NotInstalled:
        return Check(name, missing, f"no address: set COUNTERFOIL_{_VARIABLES[name]}")
    from devservers import available

    what = "java for kafka" if name == "kafka" else name
    program = available.would_start(name)
    if program is None:
        return Check(name, missing, f"no {what} found; install the extra `servers`")
    return Check(name, "ok", f"would start {what} {program.version} from {program.origin}")


def _database(url: str, settings: Settings) -> Generator[Check, None, bool]:
    """What the log and its readers are like; returns whether more can be read of them."""
    try:
        comparison = migrating.compare(url, of=migrating.components)
        migrations.require(comparison)
    except migrations.MigrationError as error:
        yield Check("migrations", "bad", str(error))
        return False
    yield _migrations(comparison)
    found = status.read(url)
    yield Check("installation", "ok", found.log.installation)
    yield from _invariants(url)
    yield from _consumers(found, status.parked(url, found))
    if (warning := open_shops.warning(settings, url)) is not None:
        yield Check("identity", "note", warning)
    return True


def _keys(settings: Settings) -> Iterator[Check]:
    """Whether personal data can be sealed: the key database, and the master key."""
    url = addresses.keys_database_url(settings)
    if url is None:
        yield Check("keys", "note", "personal data is refused: set COUNTERFOIL_KEYS_DATABASE_URL")
        return
    try:
        migrations.require(migrating.compare(url, of=migrating.components_of_keys))
    except (psycopg.OperationalError, migrations.MigrationError) as error:
        yield Check("keys", "bad", str(error).strip())
        return
    try:
        yield Check("keys", "ok", f"master key {master.of_settings(settings).first}")
    except KeyringError as error:
        yield Check("keys", "note", f"only machines of the APIs and processes need it: {error}")


def _migrations(comparison: Differences) -> Check:
    """What is left to do about a database on which this version runs."""
    if comparison.unknown:
        return Check("migrations", "note", f"the database is ahead: {', '.join(comparison.unknown)}")
    if pending := comparison.of("post"):
        names = ", ".join(migration.label for migration in pending)
        return Check(
            "migrations",
            "note",
            f"pending: {names}; run `counterfoil migrate --post` once no process of the release before runs",
        )
    return Check("migrations", "ok", "all applied")


def _invariants(url: str) -> Iterator[Check]:
    """What can be counted quickly; `audit verify` proves the rest."""
    with database.connect(url, role="counterfoil_reader", name="doctor") as connection:
        head, count, last = connection.execute(_COUNT).fetchone() or (0, 0, 0)
        whole = head == count == last
        message = f"head {head}, events {count}, last position {last}"
        yield Check("positions", "ok" if whole else "bad", message)
        (thin,) = connection.execute(_THIN_STREAMS).fetchone() or (0,)
        yield Check("versions", "bad" if thin else "ok", f"{thin} streams with a hole in their versions")
        ahead = list(noted.checkpoints(connection))
        yield Check("checkpoints", "bad" if ahead else "ok", _of_checkpoints(ahead))


def _of_checkpoints(ahead: Sequence[Finding]) -> str:
    """What contradicts the log. A fence would bless a log that was cut off, so that comes second."""
    if not ahead:
        return "none that the log contradicts"
    remedy = "compare the log with a checkpoint that was kept (`audit verify --against`)"
    return f"{len(ahead)}: {ahead[0].message}; {remedy}; was it restored, run `counterfoil log fence`"


def _consumers(found: Status, parked: Mapping[Scope, int]) -> Iterator[Check]:
    stopped = {view.name: view.stopped for view in found.views if view.stopped}
    for name, reason in stopped.items():
        yield Check(f"view {name}", "bad", f"stopped: {reason}")
    processes = {process.name for process in found.process_managers}
    for scope, keys in parked.items():
        if scope.consumer not in stopped:
            kind = "view" if scope.build else "process" if scope.consumer in processes else "consumer"
            yield Check(f"{kind} {scope.consumer}", "bad", f"{keys} parked keys: `counterfoil parked list`")
    behind = {each.name: each.lag_events for each in found.all_consumers if each.lag_events}
    lags = ", ".join(f"{name} {lag:,}" for name, lag in behind.items())
    yield Check("lag", "note" if behind else "ok", f"events behind the head: {lags}" if behind else "none")


def _disks(url: str, settings: Settings) -> Iterator[Check]:
    """Whether the log and the topics have room, before they have none."""
    yield _disk_of_postgres(url)
    try:
        client = disks.kafka_client(settings)
        if client is None:
            return
        found = disks.kafka(client)
    except TransportUnavailable as error:
        yield Check("disk of kafka", "note", str(error))
        return
    if found is None:
        yield Check("disk of kafka", "ok", "on other machines: set an alarm on those of the brokers")
    for each in found or ():
        yield _room("disk of kafka", each, days=None)


def _disk_of_postgres(url: str) -> Check:
    try:
        disk = disks.postgres(url)
    except disks.NotShown:
        remedy = f"an administrator runs `grant {disks.READERS_OF_SETTINGS} to` this login, or sets an alarm"
        return Check("disk of postgres", "note", f"this login may not read where it is: {remedy}")
    if disk is None:
        return Check("disk of postgres", "ok", "on another machine: set an alarm there")
    return _room("disk of postgres", disk, days=sizing.days_for(url, free=disk.free))


def _room(name: str, disk: disks.Disk, *, days: float | None) -> Check:
    verdict: Verdict = "ok"
    if disk.used >= disks.USED_NOTE or (days is not None and days < disks.DAYS_NOTE):
        verdict = "note"
    if disk.used >= disks.USED_BAD or (days is not None and days < disks.DAYS_BAD):
        verdict = "bad"
    until = "" if days is None else f", full in {days:,.0f} days at the growth of the last week"
    return Check(name, verdict, f"{disk.used:.0%} of {disk.directory} are used{until}")


def _undeclared(url: str, contexts: Contexts) -> Iterator[Check]:
    for view in status.read(url).views:
        if contexts.view(view.name, shape=view.shape) is None:
            yield Check(
                f"view {view.name}",
                "bad",
                f"live in shape {view.shape}, which no context declares: nobody feeds it",
            )


def _timers(url: str, settings: Settings, contexts: Contexts) -> Iterator[Check]:
    """Timers that nobody fires although they are due: they wait for their process, or for an operator."""
    with database.connect(url, role="counterfoil_reader", name="doctor") as connection:
        found = timers.overdue(connection, settings, contexts)
    for each in found:
        name = f"timer {each.process}.{each.timer}"
        if each.parked:
            yield Check(name, "bad", f"{each.parked} parked timers: `counterfoil parked list`")
        if each.overdue:
            yield Check(name, "bad", f"{each.overdue} are overdue: `counterfoil timers list`")


def _seal(url: str, settings: Settings) -> Iterator[Check]:
    """Whether the log is sealed, where that is wanted or was begun."""
    with database.connect(url, role="counterfoil_reader", name="doctor") as connection:
        found = sealing.summary(connection)
    if found is None:
        if settings.seal_key is not None:
            yield Check("seal", "note", "a key is set and nothing is sealed yet: start `counterfoil sealer`")
        return
    verdict: Verdict = "bad" if found["stopped"] else "note" if found["lag_events"] else "ok"
    yield Check("seal", verdict, f"{found['origin']} {status.position_of(found)}")
    yield _audits(found["audits"])
    yield from _witnesses(found, settings)


def _audits(audits: dict[str, Any]) -> Check:
    """Whether the audit next to the sealer goes on, and finds all in order."""
    new = audits.get("new", {"age_seconds": None})["age_seconds"]
    verdict: Verdict = "note" if new is None or new > AUDIT_AGE_S_MAX else "ok"
    if any(each["findings"] for each in audits.values()):
        verdict = "bad"
    return Check("audit", verdict, sealing.audits_in_words(audits))


def _witnesses(sealed: dict[str, Any], settings: Settings) -> Iterator[Check]:
    """Whether those who cosign do; and whether what is published waits for them."""
    for witness in sealed["witnesses"]:
        name, words = f"witness {witness['name']}", sealing.witnessed_in_words(witness)
        if witness["refusal"]:
            yield Check(name, "bad", words)
        else:
            yield Check(name, "note" if witness["failure"] else "ok", words)
    waiting = sealed["position"] - sealed["published"]
    if settings.require_witness and waiting and any(each["failure"] for each in sealed["witnesses"]):
        yield Check(
            "published", "bad", f"{waiting:,} sealed events wait for cosignatures: no receipts for them"
        )


def _gateways(settings: Settings, contexts: Contexts) -> Iterator[Check]:
    """Whether the outside can be spoken to, where that is known without asking for anything."""
    for gateway in contexts.gateways_of(settings):
        if (found := gateway.checked(settings)) is not None:
            yield Check(f"gateway {gateway.name}", "ok" if found[0] else "bad", found[1])


def _processes(settings: Settings) -> Iterator[Check]:
    running = runfile.read(settings.home)
    if running is None:
        yield Check("processes", "note", f"no `counterfoil up` runs in {settings.home}")
        return
    for name, url in (
        ("command-api", running.addresses.command_api),
        ("query-api", running.addresses.query_api),
    ):
        ready = probing.answers_ok(f"{url}/readyz")
        yield Check(name, "ok" if ready else "bad", f"{url} is {'ready' if ready else 'not ready'}")
