"""A shop of which a role refuses its settings stops, and says what the role said."""

import pytest

from devservers import standalone
from runtime.settings import Settings, SettingsError


def test_a_role_that_refuses_its_settings_ends_the_start_with_its_reason(database_url, tmp_path, monkeypatch):
    given = standalone._Shop._role_settings
    monkeypatch.setattr(
        standalone._Shop, "_role_settings", lambda shop: {**given(shop), "COUNTERFOIL_PROFILE": "prod"}
    )
    ports = dict.fromkeys(standalone._PORTS.values(), 0)
    settings = Settings(home=tmp_path / "home", database_url=database_url, **ports)
    # Any of them may be the first to refuse.
    refused = pytest.raises(SettingsError, match=r"^[a-z-]+(, [a-z-]+)*: COUNTERFOIL_PROFILE: ")

    with refused, standalone.shop(settings, distributed=False, stop=standalone.Stop()):
        pytest.fail("came up")
