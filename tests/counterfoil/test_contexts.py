"""What is declared of a context, and what derives from all of them together."""

import re

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
from domain.rejection import Unknown
from event_store.consumers.consumer import LogConsumer
from event_store.consumers.starting import HEAD
from projections.catalogue.views import ProductPage
from projections.view import View
from runtime.settings import Settings

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
        "customer": "/v1/customers/",
        **dict.fromkeys(("builds", "retries", "skips", "pauses"), "/v1/operations/acts/{position}"),
    }

    assert addresses == CONTEXTS.locations


def test_the_kind_of_a_stream_is_found_by_its_category():
    assert ORDER is CONTEXTS.aggregate_of("order-536365")
    assert CONTEXTS.aggregate_of("thing-1") is None


def test_the_events_of_a_context_are_those_of_its_aggregates():
    assert {*ORDER.events, CreditNoteIssued} == set(ORDERING.events)


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
        (Context(name="other", processes=ORDERING.processes[1:]), "the view, process or consumer 'restock'"),
        (Context(name="other", processes=(NAMESAKE,)), "the view, process or consumer 'product_page'"),
        (Context(name="other", consumers=(handling("fulfilment"),)), "the view, process or consumer 'fulfilment'"),
        (Context(name="other", consumers=(handling("relay"),)), "the view, process or consumer 'relay'"),
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
