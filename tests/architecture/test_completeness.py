"""A context is complete, and each thing that could be forgotten of one is found when it is."""

from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from commands.gateways.labels import CARRIER
from commands.payloads import Payload
from commands.routing import command, command_router
from counterfoil.context import Context, Contexts
from counterfoil.contexts import CATALOGUE, CONTEXTS, INVENTORY, ORDERING, SHIPPING, TOTALS
from counterfoil.operations import OPERATIONS
from domain.aggregate import Aggregate
from domain.ordering.credit_note import CREDIT_NOTE
from domain.ordering.order import ORDER, AlreadyConfirmed, OrderUnknown
from projections.ordering import folds
from read_api.ordering import QUERIES
from tests.architecture.completeness import Project, missing, this_project

OTHERS = (INVENTORY, CATALOGUE, TOTALS, SHIPPING, OPERATIONS)


def test_every_context_is_complete():
    assert [] == missing(this_project())


def ordering(**changes: Any) -> Callable[[Project], Project]:
    """The project in which ordering is declared otherwise."""
    return lambda project: replace(project, contexts=Contexts(replace(ORDERING, **changes), *OTHERS))


def shipping(**changes: Any) -> Callable[[Project], Project]:
    """The project in which shipping is declared otherwise."""
    others = (ORDERING, INVENTORY, CATALOGUE, TOTALS, OPERATIONS)
    return lambda project: replace(project, contexts=Contexts(replace(SHIPPING, **changes), *others))


def unknown_to_the_list(project: Project) -> Project:
    return replace(project, contexts=Contexts(ORDERING, INVENTORY, TOTALS, SHIPPING, OPERATIONS))


def with_a_silent_command(project: Project) -> Project:
    router = command_router("other")

    class Silent(Payload):
        pass

    async def be_silent(body: Silent, caller: Any) -> Any: ...

    command(router, "/silence", requires="silence")(be_silent)
    return replace(project, contexts=Contexts(*CONTEXTS, Context(name="other", commands=router)))


def without_the_page(project: Project) -> Project:
    return replace(project, pages={**project.pages, "contexts/ordering.md": ""})


def without_the_contract(project: Project) -> Project:
    pages = {name: text for name, text in project.pages.items() if name != "contracts/carrier.md"}
    return replace(project, pages=pages)


def without_the_link(project: Project) -> Project:
    index = project.pages["index.md"].replace("(contexts/ordering.md)", "")
    return replace(project, pages={**project.pages, "index.md": index})


def without_guard(module: str, *, of: str) -> Callable[[Project], Project]:
    """The project in which a module is in no contract of imports."""

    def planted(project: Project) -> Project:
        contracts = [
            {**each, of: [name for name in each[of] if name != module]} if of in each else each
            for each in project.contracts
        ]
        return replace(project, contracts=contracts)

    return planted


ORDER_WITHOUT_STATES: Aggregate[Any] = Aggregate("order", CREDIT_NOTE.evolve, ORDER.events)

OMISSIONS = {
    "a context is not on the list": (unknown_to_the_list, "domain/catalogue: no context of this name"),
    "an aggregate is not declared": (ordering(aggregates=(ORDER,)), "the aggregate 'credit_note'"),
    "an event is recorded by no aggregate": (
        ordering(aggregates=(replace(ORDER, events=ORDER.events[1:]), CREDIT_NOTE)),
        "no aggregate declares that it records ordering.order_placed.v3",
    ),
    "an event leads to no state": (
        ordering(aggregates=(ORDER_WITHOUT_STATES, CREDIT_NOTE)),
        "order: ordering.order_placed.v3 leads to no state",
    ),
    "all events of an aggregate lead to nothing": (
        ordering(aggregates=(ORDER, replace(CREDIT_NOTE, evolve=lambda _note, _event: None))),
        "credit_note: its events lead to no state",
    ),
    "an event has no fold and no reason": (
        ordering(views=()),
        "ordering: ordering.order_placed.v3 has no fold",
    ),
    "an aggregate has no address and no reason": (
        ordering(unshown={}),
        "ordering: no query shows 'credit_note' by id",
    ),
    "commands are not served": (ordering(commands=None), "the commands of commands.ordering are not served"),
    "a command has no example": (with_a_silent_command, "be_silent: Silent has no example"),
    "a command says nothing": (with_a_silent_command, "be_silent: nothing says what it does"),
    "a command documents a refusal without a page": (
        ordering(problems=tuple(each for each in ORDERING.problems if each is not OrderUnknown)),
        "/v1/orders/{order_id}/shipment: the refusal order-unknown is declared by no context",
    ),
    "a refusal is declared that HTTP never answers": (
        ordering(problems=(*ORDERING.problems, AlreadyConfirmed)),
        "ordering: no command documents that it refuses already-confirmed",
    ),
    "a process does not run": (
        ordering(processes=ORDERING.processes[:1]),
        "no context declares the process 'restock'",
    ),
    "a gateway is not declared": (
        shipping(gateways=(), processes=()),
        "commands.gateways.labels: no context declares the gateway 'carrier'",
    ),
    "a gateway has no contract": (without_the_contract, "nothing says what is spoken with 'carrier'"),
    "a gateway answers intents of others": (
        shipping(gateways=(replace(CARRIER, effects=(replace(CARRIER.effects[0], aggregate=ORDER),)),)),
        "shipping: shipping.label_requested.v1 is no event of its aggregates",
    ),
    "a view is not declared": (ordering(views=folds.VIEWS), "ordering: the view 'sales_daily'"),
    "queries are not served": (ordering(queries=None), "the queries of read_api.ordering are not served"),
    "a resource is not served": (
        ordering(queries=replace(QUERIES, by_id=QUERIES.by_id[:1])),
        "ordering: the SKU with a sale is not served by id",
    ),
    "routes stand under another name": (
        ordering(commands=command_router("orders")),
        "ordering: its routes have the tags ['orders']",
    ),
    "a page does not tell of an aggregate": (
        without_the_page,
        "docs/contexts/ordering.md: the streams of 'order' are not on it",
    ),
    "the index does not link to a page": (without_the_link, "docs/index.md: no link to contexts/ordering.md"),
    "a context is not kept apart": (
        without_guard("read_api.ordering", of="modules"),
        "read_api.ordering is in no contract of independence",
    ),
    "the query API may know a fold": (
        without_guard("projections.ordering.sales", of="forbidden_modules"),
        "the query API may import projections.ordering.sales",
    ),
}


@pytest.mark.parametrize("omission", OMISSIONS)
def test_it_is_found_that(omission: str):
    planted, finding = OMISSIONS[omission]

    assert any(finding in found for found in missing(planted(this_project())))
