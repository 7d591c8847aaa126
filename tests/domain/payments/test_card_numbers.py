"""What is taken for a card number, and what is not; wherever one is refused is shown by `test_payment`."""

import pytest

from tests.domain.payments.test_payment import create

NO_CARDS = "4111111111111112 411111111111 pm_1MqLiJLkdIwHu7ixUEgbFdYF f31aeb00-4982-4407-8941-965096ee86ef"


@pytest.mark.parametrize("text", NO_CARDS.split())
def test_what_is_no_card_number_is_taken(text):
    assert text == create(method_ref=text)[0].method_ref
