"""A read that waits until commands are settled, in a whole shop."""

import httpx
import pytest

from tests.acceptance.running import wait_until

pytestmark = pytest.mark.slow

SETTLED = {"Prefer": "wait=10, until=settled"}


def posted(shop, path, key, **body):
    answer = httpx.post(
        shop.url("command_api", path), json=body, headers={"Idempotency-Key": key}, timeout=60
    )
    assert answer.status_code == 201, answer.text
    return answer.headers["position"]


@pytest.mark.parametrize(("quantity", "status"), [(3, "confirmed"), (5_000, "rejected")])
def test_a_settled_read_shows_what_was_decided_about_an_order(sold, quantity, status):
    shop, order_id = sold[0], f"settled-{status}"
    product = {"title": "BELL", "stocked": True, "unit_price": "1.50", "currency": "GBP"}
    posted(shop, "/v1/products", "settled-product", sku="SETTLED", **product)
    posted(shop, "/v1/stock/SETTLED/receipts", "settled-receipt", quantity=10)
    lines = [{"sku": "SETTLED", "quantity": quantity}]
    token = posted(
        shop, "/v1/orders", order_id, order_id=order_id, country="France", currency="GBP", lines=lines
    )

    answers = []

    def settled():  # a busy machine may take longer than anybody may wait at once
        url, headers = shop.url("query_api", f"/v1/orders/{order_id}"), {"Min-Position": token, **SETTLED}
        answers.append(httpx.get(url, headers=headers, timeout=60))
        return answers[-1].status_code == 200 and answers[-1].headers["settled"] == "yes"

    wait_until(settled, within_s=120, what="the order is settled")
    answer = answers[-1]

    assert (200, status) == (answer.status_code, answer.json()["status"])
    assert ("yes", "wait=10, until=settled") == (
        answer.headers["settled"],
        answer.headers["preference-applied"],
    )
