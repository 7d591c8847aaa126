from datetime import timedelta

import pytest

from counterfoil.testing.spec import given, state_of
from domain.pricing import tax_table as tax_tables
from domain.pricing.tax_table import TAX_TABLE, MissingTaxRate, TaxRate, TooManyRates, required_rate
from tests.pricing_examples import BRITAIN, LONG_AGO, NOW, STANDARD, tax_rate_set

RATE = {
    "jurisdiction": BRITAIN,
    "tax_category": STANDARD,
    "rate_bp": 2_000,
    "included": True,
    "valid_from": LONG_AGO,
    "now": NOW,
}
TOMORROW = NOW + timedelta(days=1)


def test_a_rate_is_set_from_a_moment_on_and_not_set_again():
    given().when(tax_tables.set_tax_rate, **RATE).then(tax_rate_set())
    given(tax_rate_set()).when(tax_tables.set_tax_rate, **RATE).then()


def test_a_rate_is_corrected_under_its_own_moment():
    table = state_of(TAX_TABLE, tax_rate_set(), tax_rate_set(rate_bp=1_750))

    assert TaxRate(1_750, included=True) == table.applying(STANDARD, at=NOW)


def test_a_rate_is_valid_until_the_next_one_begins():
    table = state_of(TAX_TABLE, tax_rate_set(), tax_rate_set(rate_bp=500, valid_from=TOMORROW))

    assert [2_000, 2_000, 500] == [
        table.applying(STANDARD, at=at).rate_bp for at in (LONG_AGO, NOW, TOMORROW)
    ]


def test_a_table_has_so_many_rates(monkeypatch):
    monkeypatch.setattr(tax_tables, "RATES_MAX", 1)

    later = {**RATE, "valid_from": TOMORROW}
    given(tax_rate_set()).when(tax_tables.set_tax_rate, **later).then_refused(TooManyRates, limit=1_000)


@pytest.mark.parametrize("table", [None, state_of(TAX_TABLE, tax_rate_set(valid_from=TOMORROW))])
def test_a_rate_that_is_missing_is_not_guessed(table):
    with pytest.raises(MissingTaxRate, match="'GB' has no rate for 'standard'"):
        required_rate(table, jurisdiction=BRITAIN, tax_category=STANDARD, at=NOW)
