"""Personal data of a customer goes through every flow, and is searched for in every store after it was erased."""

import base64
import contextlib
import random
import secrets
import subprocess

import httpx
import psutil
import psycopg
import pytest
import redis
from kafka import KafkaConsumer, TopicPartition
from pydantic import SecretStr

from counterfoil import accounts
from counterfoil.testing import consumers
from devservers import mailbox
from domain.customers.events import ProfileChanged
from event_store.consumers.consumer import LogConsumer
from event_store.consumers.starting import ORIGIN
from runtime.keyring import master
from tests import forking, parked
from tests.acceptance import running
from tests.acceptance.running import PROJECT, command, environment, wait_until
from tests.files_of_tables import files_of
from tests.identity.conftest import accounts_on
from tests.identity.shop import EMAIL, ORDER, PASSWORD, PRODUCT, bearer

pytestmark = pytest.mark.slow

ROLES = ("consumers", "command-api", "query-api")
WITHIN_S = 120.0
"""A minute is promised from the request to the last trace; another for a machine that runs other tests meanwhile."""

WAL_SINCE = (
    "select pg_read_binary_file('pg_wal/' || name) from pg_ls_waldir() where name >= pg_walfile_name(%s)"
)


class Shop:
    """Every role in a process of its own, on real servers, with accounts, mails and keys."""

    def __init__(self, home, servers, mails):
        self.home, self.servers = home, servers
        self.settings = {
            **{f"COUNTERFOIL_{name.upper()}": value for name, value in servers.items()},
            "COUNTERFOIL_TRANSPORT": "kafka",
            "COUNTERFOIL_IDENTITY": "accounts",
            "COUNTERFOIL_PASSWORD_MEMORY_MB": "19",
            "COUNTERFOIL_MAIL_HOST": "127.0.0.1",
            "COUNTERFOIL_MAIL_PORT": str(mails.port),
            "COUNTERFOIL_MAIL_TLS": "none",
            "COUNTERFOIL_MAIL_FROM": "no-reply@shop.example",
            "COUNTERFOIL_MAIL_LINKS": "https://shop.example/account",
            "COUNTERFOIL_SEAL_KEY": str(home / "seal.key"),
        }
        self.mails = mails
        self.urls, self.http = {}, httpx.Client(trust_env=False, timeout=60)

    @contextlib.contextmanager
    def running(self):
        """All roles, until the end of the block."""
        processes = {role: self._started(role) for role in ROLES}
        try:
            for role, process in processes.items():
                wait_until(lambda role=role, pid=process.pid: self._ready(role, pid), within_s=240, what=role)
            yield
        finally:
            for process in processes.values():
                process.terminate()
            for process in processes.values():
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(60)
                process.kill()
            self.http.close()

    def _started(self, role):
        at_work = environment(self.home, **self.settings)
        with self.log(role).open("ab") as output:
            return forking.popen(command(role), env=at_work, cwd=PROJECT, stdout=output, stderr=output)

    def log(self, role):
        return self.home / f"{role}.log"

    def _ready(self, role, pid):
        assert psutil.pid_exists(pid), self.log(role).read_text()[-3000:]
        with contextlib.suppress(StopIteration, httpx.TransportError):
            found = psutil.Process(pid).net_connections(kind="tcp")
            port = next(each.laddr.port for each in found if each.status == psutil.CONN_LISTEN)
            self.urls[role] = f"http://127.0.0.1:{port}"
            return self.http.get(f"{self.urls[role]}/readyz").status_code == 200
        return False

    def run(self, *arguments, code=0):
        done = running.run(self.home, *arguments, **self.settings)
        assert code == done.returncode, done.stdout + done.stderr
        return done.stdout + done.stderr

    def post(self, path, body, token=None, *, expected=201):
        headers = {"idempotency-key": secrets.token_hex(8), **bearer(token)}
        answer = self.http.post(f"{self.urls['command-api']}/v1{path}", json=body, headers=headers)
        assert expected == answer.status_code, answer.text
        return answer.json() if answer.content else None

    def get(self, path, token, **headers):
        return self.http.get(f"{self.urls['query-api']}/v1{path}", headers={**bearer(token), **headers}).text

    def token(self, email, password=PASSWORD):
        return self.post("/sessions", {"email": email, "password": password})["access_token"]

    def connected(self, name="database_url"):
        return psycopg.connect(self.servers[name], autocommit=True)


def traces(shop, *, since):
    """(store, bytes) of all that an installation keeps and says."""
    for name in ("database_url", "keys_database_url"):
        with shop.connected(name) as conn:
            conn.execute("checkpoint")
            yield from files_of(conn)
    with shop.connected() as conn:
        for (content,) in conn.execute(WAL_SINCE, [since], binary=True):
            yield "wal", content
        for (row,) in conn.execute("select p::text from consumers.parked p"):
            yield "parked", row.encode()
        (installation,) = conn.execute("select id::text from log.installation").fetchone()
    yield from (("topic", content) for content in records(shop, installation))
    with contextlib.closing(redis.Redis.from_url(shop.servers["redis_url"])) as documents:
        for key in documents.scan_iter(count=1000):
            value = documents.get(key) if documents.type(key) == b"string" else documents.hgetall(key)
            yield "redis", key + repr(value).encode()
    for role in ROLES:
        yield f"log of {role}", shop.log(role).read_bytes()
        yield f"metrics of {role}", shop.http.get(f"{shop.urls[role]}/metrics").content
    bundle = shop.home / f"{secrets.token_hex(4)}.bundle"
    sealed = shop.run("audit", "checkpoint").splitlines()[1]
    shop.run("audit", "export", bundle, "--from", 1, "--to", sealed)
    yield "bundle", bundle.read_bytes()


def records(shop, installation):
    """What the broker brings of the topics of an installation: key, value and headers; on disk they are compressed."""
    with contextlib.closing(KafkaConsumer(bootstrap_servers=shop.servers["kafka_bootstrap"])) as consumer:
        topics = [each for each in consumer.topics() if installation in each]
        partitions = [
            TopicPartition(each, number) for each in topics for number in consumer.partitions_for_topic(each)
        ]
        consumer.assign(partitions)
        consumer.seek_to_beginning(*partitions)
        for partition, end in consumer.end_offsets(partitions).items():
            while consumer.position(partition) < end:
                for found in consumer.poll(timeout_ms=1000).values():
                    yield from (repr((each.key, each.value, each.headers)).encode() for each in found)


def spellings(mark):
    """A text as bytes, in hexadecimal, and in base64 wherever in a longer text it begins."""
    raw = mark.encode()
    shifted = [base64.b64encode(bytes(shift) + raw)[4 if shift else 0 :] for shift in range(3)]
    return [
        each.lower()
        for each in (raw, raw.hex().encode(), *(each[: len(each) // 4 * 4 - 4] for each in shifted))
    ]


def found_in(shop, marks, *, since):
    """The stores in which each text stands, in whatever case and spelling."""
    stores = {mark: set() for mark in marks}
    for store, content in traces(shop, since=since):
        lowered = content.lower()
        for mark, names in stores.items():
            if any(spelled in lowered for spelled in spellings(mark)):
                names.add(store)
    return stores


@pytest.fixture
def shop(database_url, keys_database_url, redis_url, kafka, tmp_path):
    servers = {
        "database_url": database_url,
        "keys_database_url": keys_database_url,
        "redis_url": redis_url,
        "kafka_bootstrap": kafka,
    }
    owned = accounts_on(database_url, home=tmp_path).model_copy(
        update={"keys_database_url": SecretStr(keys_database_url)}
    )
    master.create(owned.master_key_path)
    accounts.create_owner(owned, email=EMAIL, password=PASSWORD)
    with mailbox.opened() as mails:
        shop = Shop(tmp_path, servers, mails)
        shop.run("seal-key", "generate", tmp_path / "seal.key")
        with shop.running():
            yield shop


def test_p13_what_was_sealed_of_an_erased_customer_is_nowhere_in_plain_text(shop):
    canary, login, control = (
        f"{word}{random.randrange(10**11, 10**12)}" for word in ("", "login", "control")
    )
    with shop.connected() as conn:
        (since,) = conn.execute("select pg_current_wal_lsn()").fetchone()
    owner = shop.token(EMAIL)
    shop.post("/products", {**PRODUCT, "title": control, "stocked": False}, owner)
    customer, customer_id = signed_up(shop, f"{login}@example.org")
    goes_through_every_flow(shop, canary, customer, customer_id, owner)
    notify(shop, works=False)

    shop.post(f"/customers/{customer_id}/erasure", {}, customer)
    read = f"/customers/{customer_id}"
    wait_until(
        lambda: '"status":"erased"' in shop.get(read, owner), within_s=WITHIN_S, what="the customer is erased"
    )
    wait_until(
        lambda: '"shown":"erased"' in shop.get(read, owner), within_s=WITHIN_S, what="no reader opens it"
    )
    wait_until(lambda: sealed_all(shop), within_s=WITHIN_S, what="all of it is sealed")
    stores = found_in(shop, (canary, login, control), since=since)

    assert {"log.event", "wal", "topic", "redis", "bundle"} <= stores[control], (
        "the search finds what is there"
    )
    assert set() == stores[canary]
    assert set() == stores[login]
    retries_what_is_parked(shop)
    assert "everything is in order" in shop.run("audit", "verify")


def signed_up(shop, address):
    """The token and the id of a customer who registered by a link in a mail."""
    shop.post("/registrations", {"email": address}, expected=202)
    link = shop.mails.link_to(address, within_s=WITHIN_S)
    shop.post("/registrations/completion", {"token": link, "password": PASSWORD})
    shop.post("/password-resets", {"email": address.upper()}, expected=202)
    wait_until(
        lambda: link != shop.mails.link_to(address, within_s=1), within_s=WITHIN_S, what="another link"
    )
    reset = {"token": shop.mails.link_to(address, within_s=1), "password": f"{PASSWORD} two"}
    shop.post("/password-resets/completion", reset, expected=204)
    token = shop.token(address, reset["password"])
    made = shop.post("/customers", {"country": "Italy"}, token)
    return token, made["stream"].removeprefix("customer-")


def goes_through_every_flow(shop, canary, customer, customer_id, owner):
    """Everything that takes or shows personal data, or refuses it."""
    person = {
        "name": f"Ada {canary}",
        "email": f"ada-{canary}@example.org",
        "phone": f"+39 {canary}",
        "country": "Italy",
    }
    home = {
        "address_id": "home",
        "recipient": f"Ada {canary}",
        "lines": f"Via {canary} 7",
        "country": "Italy",
    }
    path = f"/customers/{customer_id}"
    shop.post(f"{path}/profile", person, customer)
    shop.post(f"{path}/addresses", home, customer)
    shop.post(f"{path}/addresses", home, customer, expected=409)
    shop.post(f"{path}/profile", {**person, "email": f"{canary} is no address"}, customer, expected=422)
    shop.post("/customers", {**person, "customer_id": "guest"}, owner)
    shop.post(f"{path}/merges", {"other_id": "guest"}, owner)
    shop.post(f"{path}/profile", {**person, "name": f"Ada King {canary}"}, customer)
    wait_until(lambda: f"King {canary}" in shop.get(path, customer), within_s=WITHIN_S, what="it is shown")
    contact = {"name": person["name"], "email": person["email"], "address": home["lines"]}
    order = {name: ORDER[name] for name in ("country", "currency", "lines")}
    order_id = shop.post("/orders", {**order, "contact": contact}, customer)["id"]
    placed = f"/orders/{order_id}"
    wait_until(
        lambda: canary in shop.get(f"{placed}/contact", customer), within_s=WITHIN_S, what="it has a contact"
    )
    shop.post(f"{placed}/cancellation", {"reason": "customer"}, customer)

    def found():
        return shop.get("/customer-search", owner, **{"customer-email": person["email"]})

    # Each is another view than those that were waited for.
    wait_until(lambda: customer_id in found(), within_s=WITHIN_S, what="the customer is found")
    wait_until(lambda: canary in shop.get("/customers", owner), within_s=WITHIN_S, what="it is listed")
    wait_until(
        lambda: canary in shop.get(f"{path}/export", customer), within_s=WITHIN_S, what="it is exported"
    )


def notify(shop, *, works):
    """A consumer of somebody's works off profiles, or fails on them, and says why with all that it was given."""
    consumer = LogConsumer("newsletter", start=ORIGIN)

    @consumer.on(ProfileChanged)
    def handle(_conn, event):
        assert works, f"nobody can be notified of {event}"

    consumers.consume(shop.servers["database_url"], consumer)


def retries_what_is_parked(shop):
    with shop.connected() as conn:
        (key,) = conn.execute("select partition_key from consumers.parked").fetchone()
        parked.request_retry(conn, "newsletter", key)
        notify(shop, works=True)
        assert (0,) == conn.execute("select count(*) from consumers.parked").fetchone()


def sealed_all(shop):
    with shop.connected() as conn:
        (head,) = conn.execute("select position from log.head").fetchone()
    (size,) = [int(line) for line in shop.run("audit", "checkpoint").splitlines()[1:2]]
    return size >= head
