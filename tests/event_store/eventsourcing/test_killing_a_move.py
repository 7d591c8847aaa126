"""A move that is killed anywhere and run again ends as if it had never been killed."""

import contextlib
import os
import random
import secrets
import signal
import subprocess
import sys
import time
from typing import Any, LiteralString

import psycopg
import pytest
from psycopg import conninfo

from event_store.eventsourcing import moving, sources
from event_store.eventsourcing.datastore import Datastore
from event_store.eventsourcing.recorders import SnapshotRecorder
from tests import forking
from tests.event_store.eventsourcing.moved_applications import counting, following, on_the_log
from tests.event_store.eventsourcing.moves import everything, move
from tests.event_store.transport.carrying import head, wait_until

SCANS = 600
MORE_HISTORY: LiteralString = """
    with scan as materialized (
        select n, md5(mod(n, 60)::text)::uuid as parcel, n / 60 * 2 as version,
            convert_to('{"scan": "' || repeat(md5(n::text), 280) || '"}', 'utf8') as state
        from generate_series(1, %s) as n),
    kept as (
        insert into parcels_snapshots (originator_id, originator_version, topic, state)
        select parcel, version, 'parcels:Kept', state from scan where mod(n, 9) = 0)
    insert into parcels_events (originator_id, originator_version, topic, state, notification_id)
    select parcel, version, 'parcels:Scanned', state, behind + 3 * n
    from scan, (select max(notification_id) + 1 as behind from parcels_events) as newest
"""
"""Scans of 9 kB, with gaps between versions and between notifications, and snapshots; several appends' worth."""
CHANGES: LiteralString = """
    select (select position from log.head), (select count(*) from application.snapshot),
        (select count(*) from log.tracking), (select count(*) from counts_tracking)
"""
SESSIONS: LiteralString = """
    select count(*) from pg_stat_activity
    where datname = current_database() and backend_type = 'client backend' and pid <> pg_backend_pid()
"""
LATER_S_MAX = 0.1
"""How long a process may go on after a change before it is killed; in half of the cases not at all."""


class Killed(BaseException):
    """As if the process had been killed."""


def test_killed_at_any_row_and_run_again_it_ends_the_same(
    half_followed: str, postgres: Any, monkeypatch: pytest.MonkeyPatch
):
    undisturbed = copied(postgres.url, half_followed)
    move(undisturbed, "Parcels", "Mails", followers=["counts"])
    runs, killed = 0, True
    with monkeypatch.context() as patched:
        patched.setattr(moving, "EVENTS_PER_APPEND", 1)
        kills = [
            kill_after_each_change(patched, owner, name)
            for owner, name in (
                (Datastore, "append"),
                (SnapshotRecorder, "bring"),
                (sources._Postgres, "translate"),
            )
        ]
        while killed:
            runs += 1
            with contextlib.suppress(Killed):
                move(half_followed, "Parcels", "Mails", followers=["counts"])
                killed = False

    assert runs > 31 + 9
    assert all(kills)
    assert all_that_is_left(undisturbed) == all_that_is_left(half_followed)
    new = on_the_log(half_followed)
    with following(new) as (parcels, mails), counting(new) as runner:
        parcels.send(19)
        runner.wait(parcels.recorder.max_notification_id(), timeout=120)
        assert list(range(20)) == mails.posted()
        assert list(range(20)) == runner.projection.view.seen()


def copied(admin_url: str, url: str) -> str:
    name = str(conninfo.conninfo_to_dict(url)["dbname"])
    with psycopg.connect(admin_url, autocommit=True) as admin:
        admin.execute(f"create database {name}_copy template {name} strategy file_copy")
    return conninfo.make_conninfo(url, dbname=f"{name}_copy")


def kill_after_each_change(monkeypatch: pytest.MonkeyPatch, owner: type, name: str) -> set[str]:
    """Have a method end the run after what it did; the same thing is not done by it twice."""
    done: set[str] = set()
    original = getattr(owner, name)

    def changed(self: object, *arguments: Any) -> object:
        answer = original(self, *arguments)
        if arguments and (change := repr(arguments[0])[:2_000]) not in done:
            done.add(change)
            raise Killed
        return answer

    monkeypatch.setattr(owner, name, changed)
    return done


def test_a_process_killed_at_random_moments_and_run_again_ends_the_same(half_followed: str, postgres: Any):
    with psycopg.connect(half_followed, autocommit=True) as admin:
        admin.execute(MORE_HISTORY, [SCANS])
    undisturbed = copied(postgres.url, half_followed)
    with importing(undisturbed) as process:
        assert 0 == process.wait()
    seed = secrets.randbits(32)
    print(f"seed of the moments: {seed}")
    chance = random.Random(seed)
    heads = []
    while killed_after_a_change(half_followed, later_s=max(0, chance.uniform(-LATER_S_MAX, LATER_S_MAX))):
        heads.append(head(half_followed))

    with psycopg.connect(half_followed) as admin:
        moved = admin.execute(
            "select count(*) from log.event where metadata ->> 'source_position' <> ''"
            " and metadata ->> 'on_behalf_of' = 'operator:jo'"
        ).fetchone()
    print(f"killed at positions {heads} of {head(half_followed)}")
    assert any(position < head(half_followed) for position in heads)
    assert (31 + 9 + SCANS,) == moved
    assert all_that_is_left(undisturbed) == all_that_is_left(half_followed)


def importing(url: str) -> forking.Forked:
    """The command, in a process of its own."""
    arguments = ["Parcels", "Mails", "--follower", "counts", "--from", url, "--as", "jo"]
    return forking.popen(
        [sys.executable, "-m", "counterfoil", "import", "eventsourcing", *arguments],
        env={**os.environ, "COUNTERFOIL_DATABASE_URL": url},
        stdout=subprocess.DEVNULL,
    )


def killed_after_a_change(url: str, *, later_s: float) -> bool:
    """Import, and kill the process a little later than it has changed something; False if it ended by itself."""
    with psycopg.connect(url, autocommit=True) as admin, importing(url) as process:

        def one(query: LiteralString) -> Any:
            return admin.execute(query).fetchone()

        before = one(CHANGES)
        wait_until(lambda: process.poll() is not None or before != one(CHANGES), what="a change")
        time.sleep(later_s)
        process.kill()
        code = process.wait()
        wait_until(lambda: (0,) == one(SESSIONS), what="the end of what Postgres still did for it")
    assert code in {0, -signal.SIGKILL}
    return code != 0


def all_that_is_left(url: str) -> list[tuple[Any, ...]]:
    """In the log, and in the table of the projection that stays."""
    with psycopg.connect(url, autocommit=True) as admin:
        return [*everything(url), *admin.execute("select * from counts_tracking order by 1, 2")]
