import pytest
from msgspec.structs import replace

from counterfoil.testing.spec import given
from domain.ids import PromotionGroupId
from domain.money import Minor
from domain.pricing import promotion as promotions
from domain.pricing.promotion import MalformedPromotion, PromotionIdTaken, PromotionUnknown, defined
from domain.promotion_terms import Action
from tests.pricing_examples import NOW, SPRING, promotion_defined, promotion_ended

TENTH_OFF = defined(promotion_defined())
A_GROUP = PromotionGroupId("any")


def test_a_promotion_is_defined_once():
    given().when(promotions.define, promotion=TENTH_OFF, now=NOW).then(promotion_defined())
    given(promotion_defined()).when(promotions.define, promotion=TENTH_OFF, now=NOW).then_refused(
        PromotionIdTaken, promotion_id=SPRING
    )


@pytest.mark.parametrize(
    "wrong",
    [
        replace(TENTH_OFF, action=Action(kind="fixed")),
        replace(TENTH_OFF, action=Action(kind="bxgy", buy=2)),
        replace(TENTH_OFF, action=Action(kind="free_shipping", amount=Minor(1))),
        replace(TENTH_OFF, group=A_GROUP),
        replace(TENTH_OFF, stacking="best_in_group"),
        replace(TENTH_OFF, budget=Minor(100)),
    ],
)
def test_a_promotion_whose_parts_do_not_fit_together_is_refused(wrong):
    given().when(promotions.define, promotion=wrong, now=NOW).then_refused(MalformedPromotion)


def test_a_promotion_is_ended_once():
    end = {"promotion_id": SPRING, "now": NOW}

    given(promotion_defined()).when(promotions.end, **end).then(promotion_ended())
    given(promotion_defined(), promotion_ended()).when(promotions.end, **end).then()
    given().when(promotions.end, **end).then_refused(PromotionUnknown, promotion_id=SPRING)


def test_what_is_ended_stands_no_more():
    known = promotions.unended({}, promotion_defined())

    assert {SPRING: TENTH_OFF} == known
    assert {} == promotions.unended(known, promotion_ended())
