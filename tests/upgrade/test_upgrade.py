"""A database of every released version, under this one: migrated, in order, and answering as it did."""

import asyncio
import base64
import gzip
import itertools
import json
from pathlib import Path

import psycopg
import pytest
from msgspec import Struct
from msgspec.structs import replace
from psycopg import sql

from counterfoil import auditing, migrating, parking, timers, viewing
from counterfoil.context import Contexts
from counterfoil.contexts import SHOP_CONTEXTS
from counterfoil.operations import OPERATIONS
from counterfoil.security import SECURITY
from counterfoil.testing import http, queries
from counterfoil.testing.http import Answered
from event_store.log import codec, reading
from projections import rebuild
from runtime.settings import Settings
from runtime.version import version as version_of_this
from tests.projections.feeding import feeding
from tests.upgrade.kept import DUMPS, PARKED_NOTE, WAITING_ORDER, missing_from
from tests.upgrade.notes import NOTES

VERSIONS = sorted(
    (path.name.removesuffix(".json.gz") for path in DUMPS.glob("*.json.gz")),
    key=lambda version: [int(part) for part in version.split(".")],
)
WITH_ACCOUNTS = [version for version in VERSIONS if (DUMPS / f"{version}.keys.sql.gz").exists()]
"""Those of which a dump has accounts, and a database of keys: the first ones had neither."""
SERVED = (*SHOP_CONTEXTS, NOTES)
CONTEXTS = Contexts(*SERVED, OPERATIONS, SECURITY)
EVENTS = {event for aggregate in CONTEXTS.aggregates for event in aggregate.events}

UNRELEASED = set()
"""Events of which no release has one: the dump of the next release has them, and this is empty then."""

_numbers = itertools.count(1)


def unpacked(name):
    return gzip.decompress(Path(DUMPS / name).read_bytes()).decode()


@pytest.fixture(scope="module", params=VERSIONS)
def version(request):
    return request.param


@pytest.fixture(scope="module")
def kept(version):
    """What was answered and shown when the dump was made."""
    return json.loads(unpacked(f"{version}.json.gz"))


class Upgraded(Struct, frozen=True):
    """An installation of a released version, under this one: the address of its log, and what else leads to it."""

    url: str
    settings: dict[str, str]


@pytest.fixture(scope="module")
def load(version, kept, postgres, new_database, tmp_path_factory):
    """Loads the databases of a dump and migrates them; the first releases had none of keys."""
    new_database()  # makes the roles, which belong to the server and are in no dump
    made = []

    def migrated(dump, **of):
        name = f"upgrade_{next(_numbers)}"
        url = psycopg.conninfo.make_conninfo(postgres.url, dbname=name)
        with psycopg.connect(postgres.url, autocommit=True) as admin:
            admin.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
        made.append(name)
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(unpacked(f"{version}.{dump}.gz"))
        migrating.migrate(url, **of)
        return url

    def loaded():
        url, home = migrated("sql"), tmp_path_factory.mktemp("home")
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("delete from runtime.lease")  # those who held them ended long ago
        settings = {"home": str(home)}
        if secrets := kept.get("secrets"):
            for name, content in secrets.items():
                (home / name).write_bytes(base64.b64decode(content))
                (home / name).chmod(0o600)
            settings["keys_database_url"] = migrated("keys.sql", of=migrating.components_of_keys)
        return Upgraded(url, settings)

    yield loaded
    with psycopg.connect(postgres.url, autocommit=True) as admin:
        for name in made:
            admin.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))


@pytest.fixture(scope="module")
def upgraded(load):
    """One that no test writes new events to."""
    return load()


def released(url):
    """Contexts with the views, and processes with the timers, that the version of a dump had built."""
    with psycopg.connect(url) as connection:
        built = {view for (view,) in connection.execute("select view from views.build")}
    return Contexts(
        *(
            replace(
                each,
                views=tuple(view for view in each.views if view.name in built),
                processes=tuple(
                    process
                    for process in each.processes
                    if built.issuperset(timer.view_name for timer in process.timers.values())
                ),
            )
            for each in CONTEXTS
        )
    )


def test_there_is_a_dump_of_this_version():
    assert version_of_this() == VERSIONS[-1]


def test_nothing_is_left_to_migrate_and_all_is_in_order(upgraded):
    report = auditing.verify(upgraded.url, contexts=released(upgraded.url), full=True)

    assert [] == migrating.due(upgraded.url)
    assert report.ok, report.as_json()
    assert 1 == report.parked
    assert report.snapshots > 0


def test_every_event_is_read_in_its_newest_shape(upgraded):
    with psycopg.connect(upgraded.url) as connection:
        recorded = list(reading.copy_log(connection))

    assert recorded
    assert {type(codec.decode(each.type, each.payload)) for each in recorded} <= EVENTS


def test_the_newest_dump_has_an_event_of_every_type_that_was_released():
    text = unpacked(f"{VERSIONS[-1]}.sql.gz")

    assert UNRELEASED == missing_from(text, EVENTS)


@pytest.mark.anyio
async def test_the_same_key_is_answered_as_it_was(upgraded, kept):
    singles = [each for each in kept["exchanges"] if each["key"] is not None and "by" not in each]
    [batch] = [each for each in kept["exchanges"] if each["key"] is None]
    [product] = [each for each in singles if each["key"] == "product-0"]
    async with commands_of(upgraded) as api:
        before = api.position
        await require_answered(api, singles)
        results = (await api.batch(*batch["body"]["commands"])).body["results"]
        reused = await api.post(product["path"], {**product["body"], "title": "Other"}, key=product["key"])
        after = api.position

    assert "idempotency-key-reused" == reused.body["code"]
    for then, now in zip(json.loads(batch["answer"])["results"], results, strict=True):
        assert now.pop("replayed", None) is (True if now["status"] == 201 else None)
        assert {**then, "correlation_id": ""} == {**now, "correlation_id": ""}
    assert before == after


@pytest.mark.parametrize("version", WITH_ACCOUNTS, indirect=True, scope="module")
@pytest.mark.anyio
async def test_the_owner_logs_in_and_is_answered_as_before(load, kept):
    async with commands_of(load(), identity="accounts") as api:
        session = Answered(await api.client.post("/v1/sessions", json=kept["owner"]))
        before = api.position
        headers = {"authorization": f"Bearer {session.body['access_token']}"}
        await require_answered(api, [each for each in kept["exchanges"] if "by" in each], headers=headers)
        after = api.position

    assert before == after


@pytest.mark.parametrize("version", WITH_ACCOUNTS, indirect=True, scope="module")
@pytest.mark.anyio
async def test_a_customer_is_found_by_their_address(upgraded):
    async with queries.opened(upgraded.url, *SERVED, **upgraded.settings) as api:
        found = await api.get("/v1/customer-search", headers={"customer-email": "ADA@example.org"})

    found.then_shown({"customer_ids": ["ada"]})


@pytest.mark.anyio
async def test_views_show_what_they_showed(upgraded, kept):
    await require_shown(upgraded, kept)


def test_views_are_rebuilt_and_show_the_same(load, kept):
    upgraded = load()
    views = released(upgraded.url).views
    with feeding(upgraded.url, CONTEXTS.views) as feeder:
        # All others are built here for the first time, from the whole log, while these are brought up to date.
        builds = {view.name: list(rebuild.rebuild(upgraded.url, view))[-1].build for view in views}
        feeder.catch_up()
    for name, build in builds.items():
        rebuild.promote(upgraded.url, viewing.named(name, CONTEXTS), build)

    asyncio.run(require_shown(upgraded, kept))
    assert auditing.verify(upgraded.url, contexts=CONTEXTS).ok


def test_what_waited_waits_still_and_trade_goes_on(load, kept):
    upgraded = load()
    settings = Settings.model_construct(undecided_after_s=86_400)
    waiting = [each["stream"] for each in timers.listed(upgraded.url, settings, CONTEXTS)]
    [parked] = parking.listed(upgraded.url)

    assert kept.get("timers", [f"order-{WAITING_ORDER}"]) == waiting
    assert ("notes", f"note-{PARKED_NOTE}", 1) == (
        parked["consumer"],
        parked["partition_key"],
        parked["queued"],
    )
    asyncio.run(trade_on(upgraded))


async def trade_on(upgraded):
    async with commands_of(upgraded) as api:
        cancelled = await api.post(f"/v1/orders/{WAITING_ORDER}/cancellation", {"reason": "customer"})
        cancelled.then_accepted(stream=f"order-{WAITING_ORDER}", version=2)
        shipped = await api.post("/v1/orders/order-1/shipment")
        assert "true" != shipped.headers.get("idempotent-replayed")


def commands_of(upgraded, **settings):
    """A command API on what was upgraded."""
    given = {**upgraded.settings, "query_api_url": "http://queries.example", **settings}
    return http.opened(upgraded.url, *SERVED, **given)


async def require_answered(api, exchanges, **sent):
    """Each command is answered as it was, byte for byte, and a refusal is refused for the same reason."""
    for each in exchanges:
        answer = await api.post(each["path"], each["body"], key=each["key"], **sent)
        assert each["status"] == answer.status, each["key"]
        if answer.status == 201:
            assert each["answer"].encode() == answer.bytes
            assert each["headers"] == {name: answer.headers[name] for name in each["headers"]}
            assert "true" == answer.headers["idempotent-replayed"]
        else:
            assert json.loads(each["answer"])["code"] == answer.body["code"]


async def require_shown(upgraded, kept):
    async with queries.opened(upgraded.url, *SERVED, **upgraded.settings) as api:
        for path, body in kept["shown"].items():
            assert body == (await api.get(path)).body, path
