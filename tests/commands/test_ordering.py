"""POST /v1/orders, /orders/{order_id}/cancellation, /holds, /hold-liftings and /shipment, and /credit-notes."""

import asyncio
import uuid
from collections import Counter
from collections.abc import Mapping
from datetime import timedelta

import pytest

from domain.ordering.events import OrderPlaced, PaymentTerms
from event_store.log import envelope
from tests.commands.conftest import opened
from tests.examples import (
    LONG_AGO,
    NOW,
    POSTAGE,
    cancelled,
    confirmed,
    credit_note_issued,
    placed,
    price_changed,
    product_created,
    rejected,
    shipped,
)
from tests.payment_examples import (
    TILL,
    authorisation_requested,
    authorisation_voided,
    payment_authorised,
    payment_created,
    void_requested,
)
from tests.purchase_examples import hold_lifted, order_held, payment_added, purchase_begun

pytestmark = pytest.mark.anyio

CATALOGUE = (product_created(), product_created(sku=POSTAGE, stocked=False, unit_price=None, currency=None))
LINES = [
    {"sku": "85123A", "quantity": 2, "unit_price": "2.55"},
    {"sku": "POST", "quantity": 1, "unit_price": "5"},
    {"sku": "85123A", "quantity": 1, "unit_price": "2.550"},
]
SALE = {
    "order_id": "536365",
    "customer_id": "17850",
    "country": "United Kingdom",
    "currency": "GBP",
    "placed_at": "2010-12-01T08:26:00Z",
    "lines": LINES,
}
CREDIT = {
    "credit_note_id": "C536379",
    "order_id": "536365",
    "customer_id": "17850",
    "country": "United Kingdom",
    "currency": "GBP",
    "issued_at": "2010-12-01T08:26:00Z",
}


def without(body: Mapping[str, object], *names: str) -> dict[str, object]:
    return {name: value for name, value in body.items() if name not in names}


async def test_an_order_records_a_sale_as_it_was(given):
    shop = await given(*CATALOGUE)

    answer = await shop.post("/v1/orders", SALE)

    answer.then_accepted(stream="order-536365", version=1)
    assert "http://127.0.0.1:8081/v1/orders/536365" == answer.headers["location"]
    assert [placed()] == shop.events("order-536365")


async def test_an_order_now_without_id_customer_or_prices_gets_uuid_time_and_list_prices(given):
    shop = await given(*CATALOGUE)

    answer = await shop.post(
        "/v1/orders",
        {"country": "France", "currency": "GBP", "lines": [{"sku": "85123A", "quantity": 2}]},
    )

    order_id = answer.body["id"]
    assert 7 == uuid.UUID(order_id).version
    [order] = shop.events(f"order-{order_id}")
    assert isinstance(order, OrderPlaced)
    assert (NOW, None, "2.55", 510) == (
        order.placed_at,
        order.customer_id,
        order.lines[0].unit_price,
        order.total,
    )


async def test_the_newest_list_price_counts_although_this_process_knew_an_older_one(given):
    shop = await given(*CATALOGUE)
    body = {"country": "France", "currency": "GBP", "lines": [{"sku": "85123A", "quantity": 1}]}
    await shop.post("/v1/orders", {**body, "order_id": "before"})
    await given(price_changed())

    await shop.post("/v1/orders", {**body, "order_id": "after"})

    assert ["2.55", "2.95"] == [
        shop.events(f"order-{order}")[0].lines[0].unit_price for order in ("before", "after")
    ]


async def test_a_sale_with_its_own_prices_does_not_care_about_the_list_price(given):
    shop = await given(*CATALOGUE)
    await shop.post("/v1/orders", {**SALE, "order_id": "first"})
    await given(price_changed())

    (await shop.post("/v1/orders", SALE)).then_accepted(stream="order-536365", version=1)


async def test_unknown_codes_are_named_by_their_lines(given):
    shop = await given(*CATALOGUE)
    lines = [*LINES, {"sku": "85123a", "quantity": 1}, {"sku": "else", "quantity": 1}]

    answer = await shop.post("/v1/orders", {**SALE, "lines": lines})

    answer.then_refused(422, "unknown-sku", at=["/lines/3/sku", "/lines/4/sku"])
    assert 2 == shop.position


async def test_a_code_that_was_unknown_a_moment_ago_is_read_again(given):
    shop = await given()
    (await shop.post("/v1/orders", SALE)).then_refused(422, "unknown-sku")
    await given(*CATALOGUE)

    (await shop.post("/v1/orders", SALE)).then_accepted(stream="order-536365", version=1)


@pytest.mark.parametrize("currency", ["GBP", "EUR"])
async def test_a_line_without_price_needs_a_list_price_in_the_orders_currency(given, currency):
    shop = await given(*CATALOGUE)
    sku = "POST" if currency == "GBP" else "85123A"

    answer = await shop.post(
        "/v1/orders", {"country": "x", "currency": currency, "lines": [{"sku": sku, "quantity": 1}]}
    )

    answer.then_refused(422, "no-list-price", at=["/lines/0/unit_price"])


async def test_an_order_id_is_taken_once(given):
    shop = await given(*CATALOGUE, placed())

    (await shop.post("/v1/orders", SALE)).then_refused(409, "order-id-taken", order_id="536365")


async def test_a_total_beyond_what_a_document_carries_is_refused(given):
    shop = await given(*CATALOGUE)
    lines = [{"sku": "85123A", "quantity": 10_000_000, "unit_price": "999999999"}]

    (await shop.post("/v1/orders", {**SALE, "lines": lines})).then_refused(422, "amount-too-large")


async def test_an_order_of_1500_lines_is_one_event(given):
    shop = await given(*(product_created(sku=f"S{number}") for number in range(1_500)))
    lines = [{"sku": f"S{number}", "quantity": 1} for number in range(1_500)]

    (await shop.post("/v1/orders", {**SALE, "lines": lines})).then_accepted(stream="order-536365", version=1)
    [order] = shop.events("order-536365")
    assert (1_500, 1_500 * 255) == (len(order.lines), order.total)


async def test_what_callers_claim_about_time_is_kept_next_to_what_is_recorded(given):
    shop = await given(*CATALOGUE)
    await shop.post("/v1/orders", SALE, key="claimed", headers={"correlation-id": "import-1"})

    [recorded] = shop.recorded("order-536365")
    metadata = envelope.decode_metadata(recorded.metadata)
    assert (LONG_AGO, "import-1", "place_order") == (
        metadata.occurred_at,
        metadata.correlation_id,
        metadata.command,
    )
    assert 16 == len(metadata.nonce)


@pytest.mark.parametrize("was_confirmed", [False, True])
async def test_an_order_is_cancelled_until_it_is_shipped(given, was_confirmed):
    facts = (placed(), *([confirmed()] if was_confirmed else []))
    shop = await given(*facts)

    answer = await shop.post("/v1/orders/536365/cancellation", {"reason": "customer"})

    answer.then_accepted(stream="order-536365", version=len(facts) + 1)
    assert cancelled(was_confirmed=was_confirmed, cancelled_at=NOW) == shop.events("order-536365")[-1]


async def test_a_cancelled_order_stays_cancelled_whoever_asks_again(given):
    shop = await given(placed(), cancelled(was_confirmed=False))

    answer = await shop.post("/v1/orders/536365/cancellation", {"reason": "other"})

    answer.then_accepted(stream="order-536365", version=2)
    assert 2 == answer.body["position"] == shop.position


async def test_a_shipped_order_cannot_be_cancelled(given):
    shop = await given(placed(), confirmed(), shipped())

    answer = await shop.post("/v1/orders/536365/cancellation", {"reason": "customer"})

    answer.then_refused(409, "already-shipped", order_id="536365", status="shipped")


async def test_a_rejected_order_cannot_be_cancelled(given):
    shop = await given(placed(), rejected())

    answer = await shop.post("/v1/orders/536365/cancellation", {"reason": "customer"})

    answer.then_refused(409, "already-rejected")


async def test_a_held_order_is_shipped_once_its_hold_is_lifted(given):
    shop = await given(placed(), confirmed())
    reason = {"reason": "fraud"}

    (await shop.post("/v1/orders/536365/holds", reason)).then_accepted(stream="order-536365", version=3)
    (await shop.post("/v1/orders/536365/holds", reason)).then_accepted(stream="order-536365", version=3)
    refused = await shop.post("/v1/orders/536365/shipment")
    refused.then_refused(409, "order-is-held", order_id="536365", reasons=["fraud"])

    (await shop.post("/v1/orders/536365/hold-liftings", reason)).then_accepted(
        stream="order-536365", version=4
    )
    (await shop.post("/v1/orders/536365/shipment")).then_accepted(stream="order-536365", version=5)
    assert [order_held(reason="fraud", held_at=NOW), hold_lifted(reason="fraud", lifted_at=NOW)] == (
        shop.events("order-536365")[2:4]
    )


async def test_an_order_whose_payment_is_being_voided_is_refused_before_it_is_held(given):
    own = {"payment_id": "536365"}
    shop = await given(
        placed(payment=PaymentTerms(method_ref="pm_visa")),
        confirmed(),
        *(each(**own) for each in (payment_created, authorisation_requested, payment_authorised)),
    )
    (await shop.post("/v1/payments/536365/void")).then_accepted(stream="payment-536365", version=4)

    refused = await shop.post("/v1/orders/536365/shipment")

    refused.then_refused(409, "order-is-held", order_id="536365", reasons=["payment"])


async def test_an_order_is_refused_once_what_pays_instead_of_its_payment_is_being_voided(given):
    own, other = ({"payment_id": each} for each in ("536365", TILL))
    paid = (payment_created, authorisation_requested, payment_authorised)
    shop = await given(
        placed(payment=PaymentTerms(method_ref="pm_visa")),
        confirmed(),
        purchase_begun(),
        *(each(**own) for each in paid),
        void_requested(**own, requested_at=NOW - timedelta(hours=1)),
        authorisation_voided(**own, voided_at=NOW - timedelta(hours=1)),
        order_held(),
        *(each(**other) for each in paid),
        payment_added(),
        hold_lifted(lifted_at=NOW - timedelta(minutes=1)),
    )
    (await shop.post(f"/v1/payments/{TILL}/void")).then_accepted(stream=f"payment-{TILL}", version=4)

    refused = await shop.post("/v1/orders/536365/shipment")

    refused.then_refused(409, "order-is-held", order_id="536365", reasons=["payment"])


async def test_a_confirmed_order_is_shipped(given):
    shop = await given(placed(), confirmed())

    answer = await shop.post("/v1/orders/536365/shipment")

    answer.then_accepted(stream="order-536365", version=3)
    assert shipped(shipped_at=NOW) == shop.events("order-536365")[-1]


async def test_a_shipment_needs_no_body_at_all(given):
    shop = await given(placed(), confirmed())

    (await shop.post("/v1/orders/536365/shipment", b"")).then_accepted(stream="order-536365", version=3)


async def test_z4_an_order_that_is_not_confirmed_is_not_shipped(given):
    shop = await given(placed())

    answer = await shop.post("/v1/orders/536365/shipment")

    answer.then_refused(409, "not-confirmed", order_id="536365", status="placed")


@pytest.mark.parametrize(
    ("path", "body"),
    [("/v1/orders/none/cancellation", {"reason": "customer"}), ("/v1/orders/none/shipment", {})],
)
async def test_an_order_that_does_not_exist_is_not_found(shop, path, body):
    (await shop.post(path, body)).then_refused(404, "order-unknown", order_id="none")


async def test_a_credit_note_is_issued_with_or_without_an_order(given):
    shop = await given(*CATALOGUE, placed(), confirmed(), shipped())
    lines = [{"sku": "85123A", "quantity": 1, "unit_price": "2.55"}]

    answer = await shop.post("/v1/credit-notes", {**CREDIT, "lines": lines})

    answer.then_accepted(stream="credit_note-C536379", version=1)
    assert "http://127.0.0.1:8081/v1/streams/credit_note-C536379/events" == answer.headers["location"]
    assert [credit_note_issued()] == shop.events("credit_note-C536379")

    other = {**without(CREDIT, "order_id", "customer_id"), "credit_note_id": "C2", "lines": lines}
    (await shop.post("/v1/credit-notes", other)).then_accepted(stream="credit_note-C2", version=1)


async def test_z4_a_credit_note_is_held_against_its_order_and_all_earlier_notes_on_it(given):
    shop = await given(*CATALOGUE, placed(), confirmed(), shipped(), credit_note_issued(credit_note_id="C1"))
    lines = [{"sku": "85123A", "quantity": 3, "unit_price": "2.55"}]

    (await shop.post("/v1/credit-notes", {**CREDIT, "lines": lines})).then_refused(
        409,
        "more-credited-than-shipped",
        excess=[{"sku": "85123A", "requested": 3, "shipped": 3, "credited": 1}],
    )
    (await shop.post("/v1/credit-notes", {**CREDIT, "lines": lines, "currency": "EUR"})).then_refused(
        409, "credited-in-another-currency", sold_in="GBP"
    )
    (await shop.post("/v1/credit-notes", {**CREDIT, "lines": lines, "order_id": "none"})).then_refused(
        404, "order-unknown", order_id="none"
    )
    assert 6 == shop.position
    unnamed = {**without(CREDIT, "order_id"), "lines": lines}
    (await shop.post("/v1/credit-notes", unnamed)).then_accepted(stream="credit_note-C536379", version=1)


async def test_a_credit_note_that_took_the_last_pieces_is_answered_again(given):
    shop = await given(*CATALOGUE, placed(), confirmed(), shipped())
    note = {
        **without(CREDIT, "credit_note_id"),
        "lines": [{"sku": "85123A", "quantity": 3, "unit_price": "1"}],
    }

    first, again = [await shop.post("/v1/credit-notes", note, key="all-of-it") for _ in range(2)]

    assert (201, first.bytes) == (again.status, again.bytes)
    assert first.headers["position"] == again.headers["position"]


async def test_z4_racing_credit_notes_never_credit_more_than_was_shipped(given, database_url):
    shop = await given(*CATALOGUE, placed(), confirmed(), shipped())

    def note(number: int) -> dict[str, object]:
        lines = [{"sku": "85123A", "quantity": 1, "unit_price": "1"}]
        return {**CREDIT, "credit_note_id": f"C{number}", "lines": lines}

    async with opened(database_url) as other:
        answers = await asyncio.gather(
            *((shop, other)[number % 2].post("/v1/credit-notes", note(number)) for number in range(64))
        )

    codes = Counter(answer.body.get("code", "accepted") for answer in answers)
    assert {"accepted": 3, "more-credited-than-shipped": 61} == dict(codes)


async def test_a_credit_note_names_only_known_codes_and_an_id_once(given):
    shop = await given(*CATALOGUE, credit_note_issued(order_id=None))
    lines = [{"sku": "85123A", "quantity": 1, "unit_price": "1"}]

    (await shop.post("/v1/credit-notes", {**CREDIT, "lines": lines})).then_refused(
        409, "credit-note-id-taken", credit_note_id="C536379"
    )
    lines[0]["sku"] = "else"
    other = {**without(CREDIT, "credit_note_id", "order_id"), "lines": lines}
    (await shop.post("/v1/credit-notes", other)).then_refused(422, "unknown-sku", at=["/lines/0/sku"])
