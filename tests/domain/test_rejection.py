import importlib
import pkgutil
from collections.abc import Iterator

import pytest

import domain
from domain.ids import Sku
from domain.inventory.stock_refusals import InsufficientStock
from domain.ordering.lines import UnknownSku
from domain.rejection import Conflict, Rejection, Unacceptable, Unknown

FAMILIES = (Conflict, Unacceptable, Unknown)


def refusals() -> Iterator[type[Rejection]]:
    for module in pkgutil.walk_packages(domain.__path__, "domain."):
        for value in vars(importlib.import_module(module.name)).values():
            if isinstance(value, type) and issubclass(value, Rejection) and value.__module__ == module.name:
                yield value


REFUSALS = [refusal for refusal in refusals() if refusal not in (Rejection, *FAMILIES)]


def test_a_refusal_names_its_code_and_its_facts():
    refusal = InsufficientStock(sku=Sku("85123A"), requested=4, available=1)

    assert refusal.code == "insufficient-stock"
    assert refusal.facts() == {"sku": "85123A", "requested": 4, "available": 1}
    assert str(refusal) == "Of '85123A', 4 were asked for and 1 are available."


@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda refusal: refusal.__name__)
def test_every_refusal_says_whether_waiting_or_rewriting_helps(refusal):
    assert issubclass(refusal, FAMILIES)


def test_no_two_refusals_share_a_code():
    codes = [refusal.code for refusal in REFUSALS]

    assert sorted(set(codes)) == sorted(codes)


@pytest.mark.parametrize("left_out", ["title", "meaning", "remedy"])
def test_a_refusal_that_does_not_describe_itself_cannot_be_declared(left_out):
    said = {"title": "Shut", "meaning": "The shop is shut.", "remedy": "Come tomorrow."}
    del said[left_out]

    with pytest.raises(TypeError, match=f"Shut does not say its {left_out}"):
        type("Shut", (Conflict,), said)


def test_a_refusal_about_parts_of_the_input_names_them():
    refusal = UnknownSku(skus={3: Sku("X"), 4: Sku("X")})

    assert [("lines", 3, "sku"), ("lines", 4, "sku")] == [place.path for place in refusal.places()]
    assert {"skus": ["X"]} == refusal.facts()


@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda refusal: refusal.__name__)
def test_every_refusal_is_a_sentence_of_its_own(refusal):
    assert "__str__" in vars(refusal)
