"""The policies' worker on a real log."""

from tests.commands.policies.running import (
    append,
    counted,
    eventually,
    outcomes,
    placed,
    received,
    running,
    stock_of,
)


def test_of_ten_thousand_units_demanded_exactly_the_thousand_there_are_are_promised(database_url):
    append(database_url, [received("A", 1_000)])
    append(database_url, [placed(f"o{number}", [("A", 1)]) for number in range(10_000)])

    with running(database_url):
        eventually(lambda: outcomes(database_url) == 1 + 2 * 10_000)

    found = counted(database_url)
    item = stock_of(database_url, "A")
    assert found["ordering.order_confirmed.v1"] == 1_000
    assert found["ordering.order_rejected.v1"] == 9_000
    assert item is not None
    assert (item.on_hand, item.reserved) == (1_000, 1_000)


def test_an_order_of_1500_lines_is_confirmed_in_one_append(database_url):
    codes = [f"code{number}" for number in range(1_500)]
    append(database_url, [received(sku, 2) for sku in codes])
    append(database_url, [placed("big", [(sku, 2) for sku in codes])])

    with running(database_url):
        eventually(lambda: counted(database_url).get("ordering.order_confirmed.v1") == 1)

    assert counted(database_url)["inventory.stock_reserved.v1"] == 1_500
