"""Row G1: every denial, login, key, role and replay action is on a security stream of the log, whatever is killed."""

import asyncio
import contextlib
from collections import Counter

import httpx
import pytest

from commands import security
from commands.security import SecurityStreams
from counterfoil.contexts import CONTEXTS
from counterfoil.testing import consumers
from devservers import child
from domain.event import type_name
from domain.security.events import HistoryRead, LoginsRefused, RequestsDenied, RowsExported
from projections import builds
from runtime import database
from tests import forking
from tests.acceptance.running import command, environment
from tests.identity.shop import EMAIL, ORDER, PRODUCT, bearer

pytestmark = pytest.mark.anyio

ADA = {"account_id": "ada", "email": "ada@example.org", "password": "a long enough one", "roles": ["auditor"]}
STARTED_WITHIN_S = 240.0
NDJSON = {"accept": "application/x-ndjson"}


async def recorded(shop):
    """Have what both APIs counted so far in the log."""
    for app in (shop.command_app, shop.query_app):
        await app.state.callers.trail.flush(minutes_over=False)
    await asyncio.to_thread(consumers.work_off, shop.url, security.consumer())


def requests(events):
    """What events say of requests: how many of each route and code."""
    counts = Counter()
    for event in events:
        for each in event.requests:
            counts[each.route, each.code] += each.count
    return counts


def of(shop, stream, kind):
    return [event for event in shop.events(stream) if isinstance(event, kind)]


def give_builds(url):
    with database.connect(url, role="counterfoil_projector", name="test") as conn:
        builds.ensure_builds(conn, CONTEXTS.views)


async def test_G1_every_denial_login_key_role_and_replay_action_is_on_a_security_stream(shop):  # noqa: N802
    give_builds(shop.url)
    owner = (await shop.session())["access_token"]
    account = (await shop.session())["account_id"]
    assert 201 == (await shop.post("/v1/accounts", ADA, owner)).status_code
    assert 201 == (await shop.post("/v1/accounts/ada/roles", {"role": "support"}, owner)).status_code
    program = {"client_id": "till-1", "name": "Till 1", "scopes": ["orders:read"]}
    key = (await shop.post("/v1/clients", program, owner)).json()["secret"]
    ada = (await shop.session(email=ADA["email"], password=ADA["password"]))["access_token"]

    for _ in range(3):
        assert 403 == (await shop.post("/v1/products", PRODUCT, ada)).status_code
    batch = {"commands": [{"command": "create_product", "key": "k", "body": PRODUCT}]}
    assert 403 == (await shop.post("/v1/commands", batch, ada)).json()["results"][0]["status"]
    assert 403 == (await shop.get("/v1/events", key)).status_code
    for _ in range(2):
        assert 401 == (await shop.get("/v1/orders")).status_code
    for email in (EMAIL, EMAIL, "nobody@example.org"):
        assert 401 == (await shop.log_in(email=email, password="another one")).status_code
    assert 400 == (await shop.refresh("cfr_x.1.x")).status_code
    assert 200 == (await shop.get("/v1/events?limit=1", ada)).status_code
    assert 404 == (await shop.get("/v1/orders/1001?as_of=1", key)).status_code
    exported = await shop.queries.get("/v1/orders?country=Italy", headers={**bearer(ada), **NDJSON})
    assert 200 == exported.status_code
    await recorded(shop)

    assert {"session_opened", "account_registered", "role_granted", "client_registered", "key_issued"} <= {
        name.split(".")[1] for name in shop.types()
    }
    create = ("POST /v1/products", "forbidden")
    assert {create: 4} == requests(of(shop, "security-account~ada", RequestsDenied))
    assert {("GET /v1/events", "forbidden"): 1} == requests(
        of(shop, "security-service~till-1", RequestsDenied)
    )
    assert {
        ("GET /v1/orders", "unauthenticated"): 2,
        ("POST /v1/sessions", "bad-credentials"): 1,
        ("POST /oauth/token", "token-refused"): 1,
    } == requests(of(shop, "security-anonymous", RequestsDenied))
    assert {("POST /v1/sessions", "bad-credentials"): 2} == requests(
        of(shop, f"security-account~{account}", LoginsRefused)
    )
    assert {("GET /v1/events", ""): 1} == requests(of(shop, "security-account~ada", HistoryRead))
    assert [("GET /v1/orders", "country=Italy")] == [
        (each.route, each.query) for each in of(shop, "security-account~ada", RowsExported)
    ]
    metadata = shop.metadata("security-account~ada")
    assert {("system:security", "account:ada")} == {(each.actor, each.on_behalf_of) for each in metadata}


async def test_what_belongs_to_somebody_else_is_recorded_as_denied_like_what_there_is_not(shop):
    give_builds(shop.url)
    owner = await shop.session()
    assert 201 == (await shop.post("/v1/products", PRODUCT, owner["access_token"])).status_code
    assert 201 == (await shop.post("/v1/orders", ORDER, owner["access_token"])).status_code
    guest = (await shop.commands.post("/v1/guest-tokens")).json()
    token, why = guest["access_token"], {"reason": "customer"}

    await shop.query_app.state.reads.poller.next_snapshot()
    for order_id in ("1001", "1002"):
        assert 404 == (await shop.get(f"/v1/orders/{order_id}", token)).status_code
        assert 404 == (await shop.post(f"/v1/orders/{order_id}/cancellation", why, token)).status_code
        entry = {"command": "cancel_order", "key": order_id, "target": order_id, "body": why}
        batch = await shop.post("/v1/commands", {"commands": [entry]}, token)
        assert 404 == batch.json()["results"][0]["status"]
    assert 404 == (await shop.get("/v1/orders/1002", owner["access_token"])).status_code
    await recorded(shop)

    denied = of(shop, f"security-guest~{guest['guest_id']}", RequestsDenied)
    assert {
        ("GET /v1/orders/{order_id}", "not-found"): 2,
        ("POST /v1/orders/{order_id}/cancellation", "order-unknown"): 4,
    } == requests(denied)
    assert [] == of(shop, f"security-account~{owner['account_id']}", RequestsDenied)


async def test_rows_that_were_appended_when_the_consumer_died_are_appended_once(shop, monkeypatch):
    append = SecurityStreams._append

    async def killed(self, group):
        await append(self, group)
        raise KeyboardInterrupt

    assert 401 == (await shop.get("/v1/orders")).status_code
    with monkeypatch.context() as patch:
        patch.setattr(SecurityStreams, "_append", killed)
        with pytest.raises(KeyboardInterrupt):
            await recorded(shop)
    assert 1 == shop.types()["security.requests_denied.v1"]
    await recorded(shop)

    assert 1 == shop.types()["security.requests_denied.v1"]
    with shop.reader() as connection:
        assert [] == connection.execute("select from security.pending").fetchall()


async def test_rows_of_a_newer_version_wait_for_it(shop):
    with database.connect(shop.url, role="counterfoil_recorder", name="test") as conn:
        conn.execute(
            "insert into security.pending (batch, number, kind, actor, process, route, code, detail, correlation_id,"
            " since, count) values (gen_random_uuid(), 1, 'erased', 'x', 'x', 'x', '', '', '', now(), 1)"
        )
    assert 401 == (await shop.get("/v1/orders")).status_code

    await recorded(shop)

    assert 1 == shop.types()["security.requests_denied.v1"]
    with shop.reader() as connection:
        assert 1 == len(connection.execute("select from security.pending").fetchall())


async def test_an_export_that_cannot_be_recorded_is_not_answered(shop):
    give_builds(shop.url)
    owner = (await shop.session())["access_token"]
    with database.connect(shop.url, role="counterfoil_owner", name="test") as connection:
        connection.execute("revoke insert on security.pending from counterfoil_recorder")

    refused = await shop.queries.get("/v1/orders", headers={**bearer(owner), **NDJSON})

    assert (503, "identity-unavailable") == (refused.status_code, refused.json()["code"])
    assert 200 == (await shop.get("/v1/orders", owner)).status_code


class QueryApi:
    """A query API in a process of its own, on the installation of a test."""

    def __init__(self, settings, log_file):
        self.port = child.free_port()
        given = environment(
            settings.home,
            COUNTERFOIL_QUERY_API_PORT=str(self.port),
            COUNTERFOIL_DATABASE_URL=settings.database_url.get_secret_value(),
            COUNTERFOIL_IDENTITY="accounts",
        )
        with log_file.open("ab") as output:
            self.process = forking.popen(command("query-api"), env=given, stdout=output, stderr=output)

    async def get(self, path, **headers):
        async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
            return await client.get(f"http://127.0.0.1:{self.port}{path}", headers=headers)

    async def ready(self):
        async with asyncio.timeout(STARTED_WITHIN_S):
            while True:
                with contextlib.suppress(httpx.TransportError):
                    if (await self.get("/readyz")).status_code == 200:
                        return
                assert self.process.poll() is None
                await asyncio.sleep(0.05)


async def test_G1_kill_9_takes_counts_of_a_minute_and_no_export(shop, tmp_path):  # noqa: N802
    give_builds(shop.url)
    owner = await shop.session()
    killed = QueryApi(shop.settings, tmp_path / "killed.log")
    try:
        await killed.ready()
        assert 401 == (await killed.get("/v1/orders")).status_code
        exported = await killed.get("/v1/orders", **bearer(owner["access_token"]), **NDJSON)
    finally:
        killed.process.kill()
        code = await asyncio.to_thread(killed.process.wait, 60)
    await recorded(shop)

    assert (200, -9) == (exported.status_code, code)
    stream = f"security-account~{owner['account_id']}"
    assert ["security.rows_exported.v1"] == [type_name(each) for each in shop.events(stream)]
    # The count of the minute is lost, unless the minute was over in between.
    assert {("GET /v1/orders", "unauthenticated")} >= requests(
        of(shop, "security-anonymous", RequestsDenied)
    ).keys()
