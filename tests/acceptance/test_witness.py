"""A log that was restored from an older backup, under a witness that remembers more, is carried no further."""

import contextlib
import json
import shutil
import signal
import subprocess
import time

import httpx
import psycopg
import pytest
from psycopg import sql

from counterfoil import sealing
from devservers import child
from event_store.proofs import key_file, witness
from event_store.proofs.note import SignerKey
from event_store.proofs.resuming import origin_of
from event_store.proofs.tiles import Directory
from event_store.proofs.witness_list import Witness
from runtime import database
from tests import forking
from tests.acceptance.running import PROJECT, command, environment
from tests.event_store.proofs.sealing import sealing as sealing_here
from tests.event_store.transport.carrying import append, head, published, wait_until

pytestmark = pytest.mark.faults


@contextlib.contextmanager
def process(home, *arguments, **settings):
    """A command of the product until the end of the block."""
    with (
        (home / f"{arguments[0]}.log").open("ab") as errors,
        forking.popen(
            command(*arguments),
            env=environment(home, **settings),
            cwd=PROJECT,
            stdout=subprocess.PIPE,
            stderr=errors,
        ) as running,
    ):
        try:
            yield running
        finally:
            running.send_signal(signal.SIGCONT)
            running.kill()


@pytest.fixture
def restored_url(database_url):
    """Address of a database that does not exist yet."""
    url = psycopg.conninfo.make_conninfo(database_url, dbname="counterfoil_test_restored")
    yield url
    with psycopg.connect(database_url, autocommit=True) as admin:
        admin.execute("drop database if exists counterfoil_test_restored with (force)")


def back_up(url):
    """A copy of the database as it is now."""
    name = psycopg.conninfo.conninfo_to_dict(url)["dbname"]
    elsewhere = psycopg.conninfo.make_conninfo(url, dbname="postgres")
    with psycopg.connect(elsewhere, autocommit=True) as admin:
        admin.execute(
            sql.SQL("create database counterfoil_test_restored template {}").format(sql.Identifier(name))
        )


def state(url):
    with database.connect(url, role="counterfoil_reader", name="test") as conn:
        return sealing.summary(conn)


def probe(port):
    try:
        answer = httpx.get(f"http://127.0.0.1:{port}/readyz", trust_env=False, timeout=60)
    except httpx.TransportError:
        return None, ""
    return answer.status_code, answer.text


def test_a_log_restored_under_a_running_witness_is_carried_no_further(database_url, restored_url, tmp_path):
    with database.connect(database_url, role="counterfoil_reader", name="test") as conn:
        (installation,) = conn.execute("select id::text from log.installation").fetchone()
    key, tiles = SignerKey(origin_of(installation), bytes(range(32))), tmp_path / "seal"
    key_file.create(tmp_path / "seal.key", [key])
    cosigning = witness.create(tmp_path / "witness", name="witness.test/w1")
    witness.trust(tmp_path / "witness", key.verifier)
    with process(tmp_path, "witness", "serve", tmp_path / "witness") as witnessing:
        address = json.loads(witnessing.stdout.readline())["url"]

        def seal_and_have_it_cosigned(size):
            append(database_url, 200)
            with sealing_here(
                database_url, Directory(tiles), key, witnesses=[Witness(cosigning, address)]
            ) as hosted:
                wait_until(
                    lambda: hosted.round() and state(database_url)["witnesses"][0]["position"] == size,
                    what="a cosignature",
                )

        seal_and_have_it_cosigned(200)
        back_up(database_url)
        shutil.copytree(tiles, tmp_path / "backup")
        seal_and_have_it_cosigned(400)

        append(restored_url, 300)  # the backup is restored, and work goes on
        port = child.free_port()
        settings = {
            "COUNTERFOIL_DATABASE_URL": restored_url,
            "COUNTERFOIL_SEAL_KEY": str(tmp_path / "seal.key"),
            "COUNTERFOIL_SEAL_TILES": str(tmp_path / "backup"),
            "COUNTERFOIL_WITNESSES": f"{cosigning} {address}",
            "COUNTERFOIL_RELAY_HEALTH_PORT": str(port),
        }
        witnessing.send_signal(signal.SIGSTOP)
        with process(tmp_path, "relay", **settings), process(tmp_path, "sealer", **settings):
            wait_until(lambda: state(restored_url)["position"] == 500, what="sealing without the witness")
            wait_until(lambda: probe(port)[0] == 200, what="a relay at work")
            wait_until(lambda: published(restored_url).position == 500, what="everything is carried")
            witnessing.send_signal(signal.SIGCONT)
            wait_until(lambda: state(restored_url)["witnesses"][0]["refusal"], what="a refusal")
            wait_until(lambda: probe(port)[0] == 503, what="the relay to stop")
            append(restored_url, 100)
            time.sleep(0.6)
            found, (_, detail) = state(restored_url), probe(port)

    assert (600, 500, 500) == (head(restored_url), published(restored_url).position, found["position"])
    assert "relay fork: nothing is carried: witness.test/w1 " in detail
    assert "restored from an older backup, or forked; docs/audit.md says what to do" in detail
    assert "witness.test/w1 " in found["stopped"]
