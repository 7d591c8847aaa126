"""What a list declares wrongly is said when its module is imported; what it declares is what it takes."""

from typing import Any
from urllib.parse import urlencode

import pytest
from msgspec.structs import replace

from counterfoil.contexts import CONTEXTS
from counterfoil.testing.spec import folded
from domain.ids import ID_LENGTH_MAX, composite
from projections.errors import DeclarationError
from projections.payments import ledger
from read_api.lists import requests
from read_api.lists.declaring import Sort, by_number, by_value
from read_api.ordering import DAILY_SALES, ORDERS
from read_api.payments import LEDGER
from runtime.problems import ProblemError
from tests.payment_examples import credit_expired, manual_refund_recorded

BY_IDS = [each for queries in CONTEXTS.queries.values() for each in queries.lists if each.takes_ids]


@pytest.mark.parametrize(
    ("planted", "complaint"),
    [
        ({"sorts": ()}, "no sort"),
        ({"sorts": (Sort("total", ("total", "order_id"), ("nobody",)),)}, "unknown filters"),
        ({"sorts": (Sort("total", ("total",)), *ORDERS.sorts)}, "share a place"),
        ({"sorts": (Sort("customer", ("customer_id", "order_id")), *ORDERS.sorts)}, "may be null"),
        ({"sorts": (Sort("colour", ("colour", "order_id")), *ORDERS.sorts)}, "no plain column"),
        ({"filters": (*ORDERS.filters, *by_number("total", said="pence", example=1))}, "no sort takes"),
        (
            {"filters": (*ORDERS.filters, by_value("limit", "total", description="", example=1))},
            "duplicate parameter",
        ),
    ],
)
def test_a_list_that_cannot_be_is_refused(planted: Any, complaint: str):
    with pytest.raises(DeclarationError, match=complaint):
        replace(ORDERS, **planted)


def test_only_what_is_of_the_key_is_pinned_where_nothing_can_be_folded_back():
    by_revenue = Sort("revenue", ("revenue", *DAILY_SALES.view.key))

    assert ORDERS.can_be_pinned
    assert DAILY_SALES.can_be_pinned
    assert not replace(DAILY_SALES, sorts=(*DAILY_SALES.sorts, by_revenue)).can_be_pinned


def asked_ids(listed, *ids):
    asked = requests.read(listed, urlencode({"ids": ",".join(ids)}).encode(), whole=False)
    assert isinstance(asked, requests.ByIds)
    return asked.ids


@pytest.mark.parametrize("listed", BY_IDS, ids=lambda listed: listed.path)
def test_a_list_takes_the_ids_of_its_own_examples(listed):
    documented = listed.documented
    ids = (documented.example[listed.view.key[0]], *documented.example_ids)

    assert documented.example_ids, "the document shows none"
    assert tuple(dict.fromkeys(ids)) == asked_ids(listed, *ids)


def test_the_ledger_takes_the_longest_ids_that_it_has_and_no_others():
    longest = "x" * ID_LENGTH_MAX
    credit = credit_expired(customer_id=longest, credit_id=composite(longest, longest), number=10**9)
    refund = manual_refund_recorded(payment_id=longest, refund_id=longest)
    ids = [row.posting_id for row in folded(ledger.LEDGER, credit, refund).values()]

    assert 4 == len(ids)
    assert tuple(ids) == asked_ids(LEDGER, *ids)
    for other in ("x" * 257, "pay-1~", "pay-1/2", "pay-1\n"):
        with pytest.raises(ProblemError, match="cannot be an id"):
            asked_ids(LEDGER, other)
