"""What restock decides, and on which streams."""

from commands.processes.restock import RESTOCK, credited_stock
from counterfoil.testing.spec import given_streams
from domain.inventory.locations import ALL, LOCATIONS
from domain.inventory.stock_item import STOCK
from domain.money import Minor
from domain.ordering.events import SkuTotal
from tests.examples import NOW, POSTAGE, SKU, credit_note_issued, stock_returned


def test_credited_pieces_of_a_stocked_sku_come_back_on_the_shelf():
    given_streams().when(RESTOCK, credit_note_issued(), now=NOW).then((STOCK, SKU, stock_returned()))

    assert [(LOCATIONS, ALL), (STOCK, SKU)] == credited_stock(credit_note_issued())


def test_a_credited_service_comes_back_nowhere():
    postage = SkuTotal(sku=POSTAGE, units=1, total=Minor(500), stocked=False)

    given_streams().when(RESTOCK, credit_note_issued(skus=(postage,)), now=NOW).then()
