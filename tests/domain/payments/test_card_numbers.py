"""What is taken for a card number, and what is not; wherever one is refused is shown by `test_payment`."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.payments.card_numbers import MASK, has_card_number, without_card_numbers
from tests.domain.payments.test_payment import create

NO_CARDS = (
    "4111111111111112 411111111111 pm_1MqLiJLkdIwHu7ixUEgbFdYF f31aeb00-4982-4407-8941-965096ee86ef "
    "4111111111111111123456 +44-20-7946-0958 2026-03-08T12:30:00 536365"
)


@pytest.mark.parametrize("text", NO_CARDS.split())
def test_what_is_no_card_number_is_taken(text):
    assert text == create(method_ref=text)[0].method_ref


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("4111111111111111", MASK),
        ("4111 1111 1111 1111 12/27", f"{MASK} 12/27"),
        ("4111111111111111 123", f"{MASK} 123"),
        ("receipt 12 4111 1111 1111 1111", f"receipt 12 {MASK}"),
        ("pm_4111111111111111-123", f"pm_{MASK}-123"),
        ("card 4111111111111111.99", f"card {MASK}.99"),
        ("3782-822463-10005 1236 5555.5555.5555.4444", f"{MASK} 1236 {MASK}"),
    ],
)
def test_a_card_number_next_to_other_digits_is_found_and_masked(text, masked):
    assert has_card_number(text)
    assert masked == without_card_numbers(text)


@st.composite
def written_cards(draw):
    """A card number, in groups."""
    digits = draw(st.text("0123456789", min_size=12, max_size=18))
    doubled = [int(each) * (2 - at % 2) for at, each in enumerate(reversed(digits))]
    number = f"{digits}{-sum(each // 10 + each % 10 for each in doubled) % 10}"
    separators = draw(st.lists(st.sampled_from(["", "", "", " ", "-", "."]), min_size=18, max_size=18))
    return "".join(f"{digit}{between}" for digit, between in zip(number, [*separators, ""], strict=False))


@given(
    card=written_cards().map(lambda card: card.rstrip(" -.")),
    before=st.sampled_from(["", "12 ", "0-", "7.2026 ", "1 2 3 ", "receipt 555-"]),
    after=st.sampled_from(["", " 123", "-12/27", ".99", " 12 2027 737", " and 1"]),
)
def test_no_digits_around_a_card_number_hide_it(card, before, after):
    text = f"{before}{card}{after}"

    masked = without_card_numbers(text)

    assert has_card_number(text)
    assert card not in masked
    assert not has_card_number(masked)
