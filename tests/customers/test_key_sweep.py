"""Keys that no event uses are swept, and no other one is."""

from datetime import timedelta

import psycopg
import pytest

from commands.key_sweep import sweep
from commands.log_access import opened
from tests.customers.test_contact import FOR_ADA, prepare

pytestmark = pytest.mark.anyio

AT_ONCE = timedelta(0)
ADA = {"customer_id": "17850", "name": "Ada Lovelace", "country": "Italy"}


async def swept(shop, **given):
    keyring = shop.commands.app.state.dispatcher._personal._keyring
    async with opened(shop.commands.url, role="counterfoil_reader", name="test", readers=1) as on:
        return await sweep(keyring, on.reader, **given)


async def test_a_key_that_a_refused_command_made_is_swept_and_one_that_is_used_stays(shop, keys_database_url):
    await shop.commands.post("/v1/customers", ADA)
    await shop.commands.post("/v1/customers/nobody/profile", {"name": "Ada", "country": "Italy"})

    assert [] == await swept(shop), "somebody may be about to append what was sealed"
    assert 1 == len(await swept(shop, older_than=AT_ONCE))
    assert [] == await swept(shop, older_than=AT_ONCE)
    with psycopg.connect(keys_database_url) as connection:
        rows = connection.execute("select subject, used from keys.subject").fetchall()
    assert [("customer-17850", True)] == rows


async def test_a_key_that_only_an_order_uses_stays(shop, keys_database_url):
    await prepare(shop)  # the customer gives a country and nothing personal
    await shop.commands.post("/v1/orders", FOR_ADA)

    assert [] == await swept(shop, older_than=AT_ONCE)
    with psycopg.connect(keys_database_url) as connection:
        rows = connection.execute("select subject, used from keys.subject").fetchall()
    assert [("customer-17850", True)] == rows


async def test_a_key_that_is_sealed_under_again_is_not_swept_from_under_it(shop, keys_database_url):
    await shop.commands.post("/v1/customers/17850/profile", {"name": "Ada", "country": "Italy"})
    with psycopg.connect(keys_database_url) as connection:
        connection.execute("update keys.subject set made_at = made_at - interval '1 hour'")
    keyring = shop.commands.app.state.dispatcher._personal._keyring
    ((key_id, _),) = waiting = await keyring.rows.not_known_to_be_used(older_than=timedelta(minutes=10))
    await shop.commands.post("/v1/customers", ADA)

    assert [] == await keyring.rows.drop_unused([key_id], older_than=timedelta(minutes=10)), waiting
    assert key_id == await keyring.key_of("customer-17850")
