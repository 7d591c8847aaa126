"""A shop with accounts that is started again without them says that it is open to everybody."""

import pytest

from counterfoil import doctor, open_shops
from runtime.settings import Settings
from tests.acceptance.running import Up


def checked(settings):
    return [(each.verdict, each.message) for each in doctor.examine(settings) if each.name == "identity"]


@pytest.mark.parametrize("identity", [None, "anonymous"])
def test_the_doctor_warns_of_a_shop_with_an_owner_whose_callers_are_anonymous(owned, identity):
    assert [] == checked(owned)
    assert [("note", open_shops.WARNING)] == checked(owned.model_copy(update={"identity": identity}))
    assert "COUNTERFOIL_IDENTITY" in open_shops.WARNING


def test_a_shop_without_accounts_may_be_open(database_url, tmp_path):
    assert [] == checked(Settings(home=tmp_path, database_url=database_url))


@pytest.mark.slow
def test_up_warns_of_a_shop_with_an_owner_whose_callers_are_anonymous(owned, tmp_path):
    shop = Up(tmp_path / "home", COUNTERFOIL_DATABASE_URL=owned.database_url.get_secret_value())
    try:
        assert f"warning: {open_shops.WARNING}" in shop.output.read_text().splitlines()
    finally:
        assert 0 == shop.stop()
