"""What restock decides, and on which streams."""

from commands.policies.policy import Decision
from commands.policies.restock import issued_reads, when_credit_note_issued
from domain.money import Minor
from domain.ordering.events import SkuTotal
from tests.examples import NOW, POSTAGE, SKU, credit_note_issued, stock_returned

STOCK_STREAM = f"stock-{SKU}"


def test_credited_pieces_of_a_stocked_code_come_back_on_the_shelf():
    decision = when_credit_note_issued(credit_note_issued(), {STOCK_STREAM: None}, NOW)

    assert Decision(events=((STOCK_STREAM, stock_returned()),)) == decision


def test_a_credited_service_comes_back_nowhere():
    postage = SkuTotal(sku=POSTAGE, units=1, total=Minor(500), stocked=False)
    note = credit_note_issued(skus=(postage,))

    assert Decision() == when_credit_note_issued(note, {}, NOW)
    assert () == issued_reads(note)
