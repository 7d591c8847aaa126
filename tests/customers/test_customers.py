"""Customers through both APIs: sealed in the log, shown by role, found by the whole address."""

import pytest

from counterfoil.testing import http
from read_api.audit import subject
from tests.customers.conftest import opened

pytestmark = pytest.mark.anyio

ADA = {"customer_id": "17850", "name": "Ada Lovelace", "email": "Ada@Example.org", "country": "Italy"}
HOME = {
    "address_id": "home",
    "recipient": "Ada Lovelace",
    "lines": "12 St James's Square",
    "country": "Italy",
}


def plain(text):
    return {"shown": "plain", "text": text}


async def test_a_customer_is_sealed_in_the_log_and_shown_as_given(shop):
    (await shop.commands.post("/v1/customers", ADA)).then_accepted(stream="customer-17850", version=1)
    await shop.post("/v1/customers/17850/addresses", HOME)
    shown = (await shop.queries.get("/v1/customers/17850")).body

    assert (plain("Ada Lovelace"), plain("Ada@Example.org")) == (shown["name"], shown["email"])
    assert plain("12 St James's Square") == shown["addresses"][0]["lines"]
    with shop.commands.reader() as connection:
        recorded = str(connection.execute("select string_agg(payload::text, '') from log.event").fetchall())
    for text in ("Ada", "Lovelace", "xample", "James"):
        assert text not in recorded


async def test_customers_are_listed_by_country_day_and_consent(shop):
    await shop.commands.post("/v1/customers", ADA)
    await shop.commands.post("/v1/customers", {"customer_id": "17851", "country": "Norway"})
    await shop.post("/v1/customers/17850/consents", {"purpose": "marketing", "policy_version": "2026-01"})

    async def ids(query):
        listed = await shop.queries.get(f"/v1/customers?{query}")
        return [row["customer_id"] for row in listed.body["items"]]

    assert ["17850"] == await ids("marketing=true")
    assert ["17851"] == await ids("country=Norway&marketing=false")
    assert [] == await ids("analytics=true")
    assert ["17851", "17850"] == await ids("from=2020-01-01")
    (row,) = (await shop.queries.get("/v1/customers?ids=17850")).body["items"]
    assert plain("Ada Lovelace") == row["name"]


async def test_a_customer_is_found_by_the_whole_address_however_it_is_written(shop):
    await shop.post("/v1/customers", ADA)

    async def found(address):
        return (await shop.queries.get("/v1/customer-search", headers={"customer-email": address})).body

    assert {"customer_ids": ["17850"]} == await found("ada@example.ORG")
    assert {"customer_ids": []} == await found("ada@example.com")
    await shop.post("/v1/customers/17850/profile", {"country": "Italy", "email": "ada@example.com"})
    assert {"customer_ids": ["17850"]} == await found("ada@example.com")
    assert {"customer_ids": []} == await found("ada@example.org")
    missing = await shop.queries.get("/v1/customer-search")
    missing.then_refused(400, "invalid-parameter", at=["Customer-Email"])


async def test_an_address_is_taken_from_no_query(shop):
    (await shop.queries.get("/v1/customers?email=ada@example.org")).then_refused(400, "invalid-parameter")


async def test_the_same_key_is_the_same_request_and_the_log_has_no_hash_of_a_name(shop):
    first = await shop.commands.post("/v1/customers", ADA, key="ada")
    again = await shop.commands.post("/v1/customers", {**ADA, "name": "Ada King"}, key="ada")

    again.then_accepted(stream="customer-17850", version=1, replayed=True)
    assert first.bytes == again.bytes


async def test_a_merged_record_stays_readable_and_is_found_no_more(shop):
    await shop.commands.post("/v1/customers", ADA)
    await shop.commands.post("/v1/customers", {**ADA, "customer_id": "guest"})
    (await shop.post("/v1/customers/17850/merges", {"other_id": "guest"})).then_accepted(
        stream="customer-17850", version=2
    )
    closed = (await shop.queries.get("/v1/customers/guest")).body
    found = await shop.queries.get("/v1/customer-search", headers={"customer-email": "ada@example.org"})

    assert ("closed", "17850", plain("Ada Lovelace")) == (
        closed["status"],
        closed["merged_into"],
        closed["name"],
    )
    assert {"customer_ids": ["17850"]} == found.body


async def test_commands_of_a_batch_are_sealed_alike(shop):
    entry = {"key": http.new_key(), "command": "register_customer", "body": ADA}
    (result,) = (await shop.commands.batch(entry)).body["results"]
    await shop.queries.carried()

    assert 201 == result["status"]
    assert plain("Ada Lovelace") == (await shop.queries.get("/v1/customers/17850")).body["name"]


async def test_without_a_key_database_nothing_personal_is_taken_and_all_else_is(database_url):
    async with opened(database_url) as shop:
        refused = await shop.commands.post("/v1/customers", ADA)
        taken = await shop.commands.post("/v1/customers", {"customer_id": "17851", "country": "Italy"})
        found = await shop.queries.get("/v1/customer-search", headers={"customer-email": "a@b"})

        refused.then_refused(409, "no-key-database")
        assert "COUNTERFOIL_KEYS_DATABASE_URL" in refused.body["detail"]
        taken.then_accepted(stream="customer-17851", version=1)
        found.then_refused(409, "no-key-database")


async def test_an_export_has_everything_of_a_customer_up_to_a_position(shop):
    await shop.commands.post("/v1/customers", ADA)
    await shop.commands.post("/v1/customers", {**ADA, "customer_id": "guest", "name": "A. L."})
    await shop.commands.post("/v1/customers", {**ADA, "customer_id": "other"})
    await shop.commands.post("/v1/customers/17850/addresses", HOME)
    await shop.commands.post("/v1/customers/17850/merges", {"other_id": "guest"})
    export = (await shop.queries.get("/v1/customers/17850/export")).body
    payloads = [event["payload"] for event in export["events"]]

    assert (6, True) == (export["position"], export["complete"])
    assert {"customer-17850", "customer-guest"} == {event["stream"] for event in export["events"]}
    assert [plain("Ada Lovelace"), plain("A. L.")] == [payloads[0]["name"], payloads[1]["name"]]
    assert plain("12 St James's Square") == payloads[2]["lines"]
    (await shop.queries.get("/v1/customers/nobody/export")).then_refused(404, "not-found")
    (await shop.queries.get("/v1/customers/17850/export?a=1")).then_refused(400, "invalid-parameter")


async def test_an_export_of_very_many_events_has_the_first_and_says_so(shop, monkeypatch):
    monkeypatch.setattr(subject, "EVENTS_MAX", 2)
    await shop.commands.post("/v1/customers", ADA)
    for number in range(2):
        await shop.commands.post("/v1/customers/17850/addresses", {**HOME, "address_id": f"home-{number}"})
    export = (await shop.queries.get("/v1/customers/17850/export")).body

    assert (3, False) == (export["position"], export["complete"])
    assert [1, 2] == [event["position"] for event in export["events"]]
