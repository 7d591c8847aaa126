"""The doctor's quick look at a database: fine, never migrated, or damaged."""

import contextlib
import socket
import time
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from counterfoil import disks, doctor, sizing
from counterfoil.servers import unmanaged
from devservers.redis import start_redis
from runtime.settings import Settings


def verdicts(tmp_path, url):
    settings = Settings(home=tmp_path, database_url=url)
    return {check.name: check.verdict for check in doctor.examine(settings)}


def test_an_empty_migrated_database_is_fine(database_url, tmp_path):
    found = verdicts(tmp_path, database_url)

    assert [found[name] for name in ("migrations", "positions", "versions", "checkpoints")] == ["ok"] * 4
    assert "bad" not in found.values()


def test_a_database_that_was_never_migrated_is_reported(postgres, tmp_path):
    with psycopg.connect(postgres.url, autocommit=True) as admin:
        admin.execute("drop database if exists counterfoil_never_migrated")
        admin.execute("create database counterfoil_never_migrated")
        url = psycopg.conninfo.make_conninfo(postgres.url, dbname="counterfoil_never_migrated")
        found = verdicts(tmp_path, url)
        admin.execute("drop database counterfoil_never_migrated")

    assert [name for name, verdict in found.items() if verdict == "bad"] == ["migrations"]


DAMAGES = {
    "positions": "update log.head set position = 3",
    "versions": (
        "insert into log.event (position, version, recorded_at, stream, type, leaf, metadata, payload)"
        " values (1, 5, now(), 'stock-1', 't', '', '{}', '{}')"
    ),
    "checkpoints": (
        "with b as (insert into views.build (view, shape, build, state) values ('v', 1, 1, 'following') returning 1)"
        " insert into views.build_checkpoint (view, shape, build, generation, partition, position)"
        " select 'v', 1, 1, 1, 0, 9 from b"
    ),
    "checkpoints of consumers": (
        "with r as (insert into consumers.registration (consumer, registered_position) values ('c', 0) returning 1)"
        " insert into consumers.checkpoint (consumer, position) select 'c', 9 from r"
    ),
}


def redis_of(tmp_path, url):
    settings = Settings(home=tmp_path, database_url=None, redis_url=url)
    (check,) = (each for each in doctor.examine(settings) if each.name == "redis")
    return check


def test_a_redis_that_does_not_answer_is_reported_without_its_password(tmp_path):
    found = redis_of(tmp_path, "redis://:s3cret@127.0.0.1:1/0")

    assert "bad" == found.verdict
    assert "redis does not answer at redis://:***@127.0.0.1:1/0 (from COUNTERFOIL_REDIS_URL)" in found.message
    assert "s3cret" not in found.message


def test_a_redis_that_accepts_and_says_nothing_is_given_up_soon(tmp_path):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        started = time.monotonic()
        found = redis_of(tmp_path, f"redis://127.0.0.1:{silent.getsockname()[1]}/0")

    assert "bad" == found.verdict
    assert time.monotonic() - started < unmanaged.TIMEOUT_S


def test_a_redis_that_answers_is_fine(tmp_path):
    with start_redis(tmp_path / "redis") as server:
        found = redis_of(tmp_path, server.url)

    assert ("ok", "answers at the address from COUNTERFOIL_REDIS_URL") == (found.verdict, found.message)


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_reported(database_url, tmp_path, damage):
    with psycopg.connect(database_url, autocommit=True) as admin:
        admin.execute(sql.SQL(DAMAGES[damage]))

    assert verdicts(tmp_path, database_url)[damage.split(" ", maxsplit=1)[0]] == "bad"


def test_nothing_to_examine_is_no_failure(tmp_path):
    found = {
        check.name: check.verdict for check in doctor.examine(Settings(home=tmp_path, database_url=None))
    }

    assert found["postgres"] == "ok"
    assert found["shop"] == "note"


@pytest.mark.parametrize(
    ("free", "days", "expected"),
    [
        (50, None, "ok"),
        (50, 40, "ok"),
        (20, None, "note"),
        (50, 29, "note"),
        (5, None, "bad"),
        (50, 2, "bad"),
    ],
)
def test_a_disk_that_fills_is_reported_before_it_is_full(
    database_url, tmp_path, monkeypatch, free, days, expected
):
    monkeypatch.setattr(disks, "postgres", lambda _: disks.Disk("/data", total=100, free=free))
    monkeypatch.setattr(sizing, "days_for", lambda _, **__: days)

    assert verdicts(tmp_path, database_url)["disk of postgres"] == expected


def test_the_disk_of_a_postgres_elsewhere_is_left_to_an_alarm(database_url, tmp_path, monkeypatch):
    monkeypatch.setattr(disks, "_LOOPBACK", ("10.",))
    settings = Settings(home=tmp_path, database_url=database_url)
    (check,) = (each for each in doctor.examine(settings) if each.name == "disk of postgres")

    assert ("ok", True) == (check.verdict, "alarm" in check.message)


def test_the_disk_of_a_postgres_on_this_machine_is_measured(database_url):
    disk = disks.postgres(database_url)

    assert disk is not None
    assert (Path(disk.directory) / "PG_VERSION").exists()
    assert 0 <= disk.used <= 1


def test_the_disk_of_a_postgres_that_does_not_show_it_to_a_login_is_not_said_to_be_fine(
    database_url, tmp_path
):
    with psycopg.connect(database_url, autocommit=True) as admin, a_login(admin, database_url) as url:
        before = {each.name: each for each in doctor.examine(Settings(home=tmp_path, database_url=url))}
        admin.execute("grant pg_read_all_settings to only_reads")
        after = {each.name: each for each in doctor.examine(Settings(home=tmp_path, database_url=url))}

    assert "note" == before["disk of postgres"].verdict
    assert "grant pg_read_all_settings to" in before["disk of postgres"].message
    assert str(disks.postgres(database_url).directory) in after["disk of postgres"].message


@contextlib.contextmanager
def a_login(admin, url):
    """The address of one as `counterfoil roles --sql` makes those of auditors."""
    admin.execute("create role only_reads login noinherit password 'only-reads'")
    admin.execute("grant counterfoil_reader to only_reads")
    try:
        yield psycopg.conninfo.make_conninfo(url, user="only_reads", password="only-reads")
    finally:
        admin.execute("drop role only_reads")


def test_a_broker_that_does_not_answer_is_reported_with_the_disks(database_url, tmp_path):
    settings = Settings(home=tmp_path, database_url=database_url, kafka_bootstrap="127.0.0.1:9")
    (check,) = (each for each in doctor.examine(settings) if each.name == "disk of kafka")

    assert "note" == check.verdict
