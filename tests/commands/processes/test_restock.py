"""What restock decides, and on which streams."""

from commands.decision import Decision
from commands.processes.restock import credited_stock, put_back
from domain.inventory.stock_item import STOCK
from domain.money import Minor
from domain.ordering.events import SkuTotal
from tests.commands.processes.viewing import after
from tests.examples import NOW, POSTAGE, SKU, credit_note_issued, stock_returned


def test_credited_pieces_of_a_stocked_sku_come_back_on_the_shelf():
    decision = put_back(credit_note_issued(), after(stock=()), NOW)

    assert Decision(((STOCK, SKU, stock_returned()),)) == decision
    assert [(STOCK, SKU)] == credited_stock(credit_note_issued())


def test_a_credited_service_comes_back_nowhere():
    postage = SkuTotal(sku=POSTAGE, units=1, total=Minor(500), stocked=False)
    note = credit_note_issued(skus=(postage,))

    assert Decision() == put_back(note, after(stock=()), NOW)
    assert [] == credited_stock(note)
