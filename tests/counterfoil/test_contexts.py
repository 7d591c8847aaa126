"""What is declared of a context, and what derives from all of them together."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from commands.gateways.labels import CARRIER
from commands.processes.process import Process
from counterfoil.applications import query_app
from counterfoil.context import Context, ContextError, Contexts
from counterfoil.contexts import CATALOGUE, CONTEXTS, INVENTORY, ORDERING, SHIPPING
from counterfoil.declared import ContextsError
from domain.aggregate import Aggregate
from domain.catalogue.events import ProductCreated
from domain.catalogue.product import PRODUCT
from domain.money import UnknownCurrency
from domain.ordering.events import CreditNoteIssued
from domain.ordering.order import ORDER
from domain.ordering.purchase import PURCHASE
from domain.rejection import Unknown
from event_store.consumers.consumer import LogConsumer
from event_store.consumers.starting import HEAD
from projections.catalogue.views import ProductPage
from projections.view import View
from runtime.settings import Settings
from tests.counterfoil import context_tables

PAGES = Path(__file__).parents[2] / "docs" / "contexts"

WITHOUT_TABLE = frozenset(
    ("ordering", "inventory", "totals", "shipping", "customers", "mail", "identity", "operations", "security")
)
"""Contexts from before pages had the table of `context_tables`; none is added."""

NAMESAKE = Process("product_page", writes=(ORDER,), start=HEAD)


def handling(name):
    """A consumer that does nothing about every event."""
    consumer = LogConsumer(name, start=HEAD)
    consumer.on_all(lambda _conn, _event: None)
    return consumer


def test_an_aggregate_that_is_shown_by_id_has_the_address_of_its_resource():
    addresses = {
        "order": "/v1/orders/",
        "stock": "/v1/stock/",
        "product": "/v1/products/",
        "shipment": "/v1/shipments/",
        "mail": "/v1/mails/",
        "account": "/v1/accounts/",
        "payment": "/v1/payments/",
        "store_credit": "/v1/store-credits/",
        "customer": "/v1/customers/",
        "price": "/v1/prices/",
        "price_lists": "/v1/channel-price-lists/",
        "customer_group": "/v1/customer-groups/",
        "tax_table": "/v1/tax-tables/",
        "promotion": "/v1/promotions/",
        "coupon": "/v1/coupons/",
        "cart": "/v1/carts/",
        "listing": "/v1/listings/",
        "category": "/v1/categories/",
        "channel": "/v1/channels/",
        **dict.fromkeys(("builds", "retries", "skips", "pauses"), "/v1/operations/acts/{position}"),
    }

    assert addresses == CONTEXTS.locations


def test_the_kind_of_a_stream_is_found_by_its_category():
    assert ORDER is CONTEXTS.aggregate_of("order-536365")
    assert CONTEXTS.aggregate_of("thing-1") is None


def test_the_events_of_a_context_are_those_of_its_aggregates():
    assert {*ORDER.events, *PURCHASE.events, CreditNoteIssued} == set(ORDERING.events)


def test_a_view_without_folds_is_refused():
    bare = View(name="bare", row=ProductPage, key=("sku",), shape=1)

    with pytest.raises(ContextError, match="the view 'bare' has no folds"):
        Contexts(Context(name="other", views=(bare,)))


def test_a_consumer_that_handles_nothing_is_refused():
    with pytest.raises(ContextError, match="the consumer 'idle' handles no event"):
        Contexts(Context(name="other", consumers=(LogConsumer("idle", start=HEAD),)))


@pytest.mark.parametrize("name", ["Counts", "event counts", "event--counts", "a" * 65, "counts:1", ""])
def test_a_name_that_could_not_name_a_stream_of_skips_is_refused(name: str):
    with pytest.raises(ValueError, match="is no name of a consumer"):
        LogConsumer(name, start=HEAD)


@pytest.mark.parametrize(
    ("other", "complaint"),
    [
        (replace(CATALOGUE, views=(), queries=None, aggregates=()), "the context 'catalogue'"),
        (Context(name="other", aggregates=(Aggregate("product", PRODUCT.evolve),)), "the stream category 'product'"),
        (Context(name="other", views=CATALOGUE.views), "the view, process or consumer 'product_page'"),
        (Context(name="other", processes=ORDERING.processes[1:2]), "the view, process or consumer 'restock'"),
        (Context(name="other", processes=(NAMESAKE,)), "the view, process or consumer 'product_page'"),
        (Context(name="other", consumers=(handling("fulfilment"),)), "the view, process or consumer 'fulfilment'"),
        (Context(name="other", consumers=(handling("relay"),)), "the view, process or consumer 'relay'"),
        (Context(name="other", consumers=(handling("sealer"),)), "the view, process or consumer 'sealer'"),
        (Context(name="other", consumers=(handling("a"), handling("a"))), "the view, process or consumer 'a'"),
        (Context(name="other", gateways=(CARRIER, CARRIER)), "the gateway 'carrier'"),
        (Context(name="other", gateways=(CARRIER, replace(CARRIER, name="dhl"))), "the intent 'LabelRequested'"),
    ],
    ids=lambda given: given if isinstance(given, str) else "",
)  # fmt: skip
def test_no_two_contexts_use_one_name(other: Context, complaint: str):
    with pytest.raises(ContextError, match=complaint):
        Contexts(ORDERING, INVENTORY, CATALOGUE, other)


def test_a_process_that_needs_a_gateway_that_is_not_declared_is_refused():
    with pytest.raises(ContextError, match="'labels' needs an unknown gateway 'carrier'"):
        Contexts(replace(SHIPPING, gateways=()))


def test_one_context_may_declare_several_shapes_of_a_view_and_each_once():
    old, new = (View(name="page", row=ProductPage, key=("sku",), shape=shape) for shape in (1, 2))
    for view in (old, new):
        view.on(ProductCreated)(lambda _page, _event: None)
    both = Contexts(Context(name="other", views=(new, old)))

    assert (new, old, None) == (both.view("page"), both.view("page", shape=1), both.view("page", shape=3))
    with pytest.raises(ContextError, match="the view 'page in shape 1' is declared twice"):
        Contexts(Context(name="other", views=(old, old)))
    with pytest.raises(ContextError, match="consumer 'page' is declared twice"):
        Contexts(Context(name="other", views=(old,)), Context(name="another", views=(new,)))


def test_two_addresses_for_one_kind_of_stream_are_refused():
    again = Contexts(CATALOGUE, Context(name="other", queries=CATALOGUE.queries))

    with pytest.raises(ContextError, match="the address for 'product'"):
        again.locations  # noqa: B018 - reading it is what fails


@pytest.mark.parametrize(
    ("place", "said"),
    [
        (
            "read_api.nowhere:QUERIES",
            "the queries of 'other' are not at 'read_api.nowhere:QUERIES': No module",
        ),
        ("read_api.totals:NOTHING", "has no attribute 'NOTHING'"),
        ("read_api.totals", "the queries of 'other' are not at 'read_api.totals'"),
        ("commands.catalogue:router", "commands.catalogue:router is a APIRouter, not Queries"),
    ],
)
def test_queries_that_are_not_where_they_are_declared_are_refused_by_the_api_that_serves_them(place, said):
    other = Contexts(Context(name="other", queries=place))

    with pytest.raises(ContextsError, match=re.escape(said)):
        query_app(Settings(), contexts=other)


def test_a_refusal_that_several_contexts_know_is_one_problem():
    both = Contexts(*(Context(name=name, problems=(UnknownCurrency,)) for name in ("one", "other")))

    [shared] = both.problems

    assert ("There is no such currency", 422) == (shared.title, shared.status)


def test_a_refusal_cannot_take_the_code_of_another_problem():
    class NotFound(Unknown):
        title = meaning = remedy = "another one"

    with pytest.raises(ContextError, match="the problem 'not-found'"):
        Contexts(Context(name="other", problems=(NotFound,)))


def page(context: Context) -> str:
    """Its page in docs/contexts."""
    return (PAGES / f"{context.name}.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("context", [*CONTEXTS], ids=lambda context: context.name)
def test_the_table_of_a_page_has_all_commands_events_and_refusals_each_with_a_test(context: Context):
    if context.name in WITHOUT_TABLE:
        assert [] == context_tables.rows(page(context))
    else:
        assert [] == context_tables.findings(context, page(context))


def without(text: str) -> Callable[[str], str]:
    """A page in which this is not."""
    return lambda page: page.replace(text, "")


def with_row(row: str) -> Callable[[str], str]:
    """A page whose table has one row more."""
    head = "| command | event | refuses | test |\n|---|---|---|---|\n"
    return lambda page: page.replace(head, f"{head}{row}\n")


WRONG = {
    "no table": (without("| command | event | refuses | test |"), "no table with the head"),
    "a command without a row": (without("`change_price`"), "no row has the command change_price"),
    "a command that there is not": (
        with_row("| `paint` | | | `test_a_code_is_taken_once` |"),
        "there is no command paint",
    ),
    "an event without a row": (without("`PriceChanged`"), "no row has the event PriceChanged"),
    "an event of others": (
        with_row("| | `OrderPlaced` | | `test_a_code_is_taken_once` |"),
        "it has no event OrderPlaced",
    ),
    "a refusal without a row": (
        without("`sku-taken`"),
        "create_product refuses sku-taken, and no row says so",
    ),
    "a refusal that no row has": (without("`sku-taken`"), "no row refuses sku-taken"),
    "a refusal that the route does not document": (
        with_row("| `change_price` | | `sku-taken` | `test_a_code_is_taken_once` |"),
        "the route of change_price does not document that it refuses sku-taken",
    ),
    "a row without a test": (
        with_row("| `change_price` | | | |"),
        "the row of change_price: it names no test",
    ),
    "a test that there is not": (
        with_row("| `change_price` | | | `test_nothing` |"),
        "the row of change_price: 0 tests have the name test_nothing",
    ),
    "a test at another place": (
        with_row("| `change_price` | | | `tests/conftest.py::test_a_code_is_taken_once` |"),
        "0 tests have the name tests/conftest.py::test_a_code_is_taken_once",
    ),
    "a test of other things": (
        with_row(
            "| `change_price` | `PriceChanged` | | `test_a_line_total_is_the_exact_product_rounded_half_even` |"
        ),
        "the row of change_price, PriceChanged: no module of its tests names PriceChanged",
    ),
    "an invariant without a test": (
        lambda page: f"{page}\n\n| invariant | test |\n|---|---|\n| it holds | |\n",
        "the invariant 'it holds' names no test",
    ),
    "an invariant whose test there is not": (
        lambda page: f"{page}\n\n| invariant | test |\n|---|---|\n| it holds | `test_nothing` |\n",
        "0 tests have the name test_nothing",
    ),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_it_is_found_that_a_page_has(wrong: str):
    planted, finding = WRONG[wrong]

    found = context_tables.findings(CATALOGUE, planted(page(CATALOGUE)))

    assert any(finding in each for each in found), found
