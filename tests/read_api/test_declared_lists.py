"""What a list declares wrongly is said when its module is imported."""

from typing import Any

import pytest
from msgspec.structs import replace

from projections.errors import DeclarationError
from read_api.lists.declaring import Sort, by_number, by_value
from read_api.ordering import DAILY_SALES, ORDERS


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
