"""Row A4 of the security checks: which passwords are refused, and that nothing else is asked of them."""

import pytest
from zxcvbn.frequency_lists import FREQUENCY_LISTS

from commands.identity.errors import WeakPassword
from commands.identity.passwords import CHARACTERS_MIN, common_passwords, require_strong

OWN = ("Ada.Lovelace@example.org", "clerk-17")


def test_a4_the_passwords_that_everybody_tries_first_are_refused():
    first = [each for each in FREQUENCY_LISTS["passwords"][:3_000] if len(each) >= CHARACTERS_MIN]
    assert len(first) > 500

    for password in first:
        with pytest.raises(WeakPassword, match="everybody tries first"):
            require_strong(password.upper())
    assert 10_000 < len(common_passwords())


@pytest.mark.parametrize(
    "password",
    ["ada.lovelace", "Ada.Lovelace1!", "ada.lovelace@example.org", "clerk-17clerk-17", "1example.org7"],
)
def test_a4_a_password_that_is_little_more_than_the_address_or_the_name_is_refused(password):
    with pytest.raises(WeakPassword, match="without your address and name"):
        require_strong(password, own=OWN)


@pytest.mark.parametrize("password", ["short", "a" * 257])
def test_a4_a_password_has_a_length(password):
    with pytest.raises(WeakPassword, match="8 to 256"):
        require_strong(password)


@pytest.mark.parametrize(
    "password",
    ["xk q vw z", "ünïcödé wörds", "9" * 64, "a" * 256, "ada.lovelace and the engine", "        x"],
)
def test_a4_nothing_is_asked_of_how_a_password_is_composed(password):
    require_strong(password, own=OWN)


@pytest.mark.parametrize("own", [("a@b.c",), ("",), ()])
def test_a_short_address_forbids_nothing(own):
    require_strong("abcdefg.a@b", own=own)
