"""The prices of a product over time, and tax tables, as both APIs know them."""

import pytest

from counterfoil.contexts import CATALOGUE, PRICING
from counterfoil.testing import queries
from tests.pricing_examples import (
    coupon_created,
    price_retired,
    price_set,
    promotion_defined,
    stream_of,
    tax_rate_set,
)

pytestmark = pytest.mark.anyio


async def test_prices_and_tax_rates_are_shown_as_they_are_and_as_they_were(database_url):
    async with queries.opened(database_url, CATALOGUE, PRICING) as shop:
        await shop.record(
            *((*stream_of(each), each) for each in (price_set(), price_retired(), tax_rate_set()))
        )
        await shop.carried()

        [now] = (await shop.get("/v1/prices/85123A")).body["prices"]
        [then] = (await shop.get("/v1/prices/85123A", params={"as_of": 1})).body["prices"]
        [rate] = (await shop.get("/v1/tax-tables/GB")).body["rates"]

    assert ("2026-03-01T12:00:00Z", None) == (now["valid_until"], then["valid_until"])
    assert ("standard", 2_000, True) == (rate["tax_category"], rate["rate_bp"], rate["included"])


async def test_case_and_spaces_of_a_coupon_s_code_do_not_matter(database_url):
    created = coupon_created()
    async with queries.opened(database_url, CATALOGUE, PRICING) as shop:
        await shop.record(*((*stream_of(each), each) for each in (promotion_defined(), created)))
        await shop.carried()

        for given in (created.code, created.code.lower(), f" {created.code[:2]} {created.code[2:]}"):
            answer = await shop.get(f"/v1/coupons/{given}")
            then = await shop.get(f"/v1/coupons/{given}", params={"as_of": 2})
            assert [created.code] * 2 == [answer.body.get("code"), then.body.get("code")]
        assert 404 == (await shop.get("/v1/coupons/%20")).status
