"""What the production profile refuses to generate: plain text to or from other machines."""

import pytest

from counterfoil.api_gateway import layout
from counterfoil.contexts import CONTEXTS
from runtime.settings import Settings, SettingsError

PRODUCTION = Settings(profile="production")


@pytest.mark.parametrize(
    ("places", "missing"),
    [
        (layout.Places(listen="0.0.0.0:8443"), "--certificate"),
        (layout.Places(command_api=["api-1.example:8080"]), "--upstream-ca"),
        (layout.Places(query_api=["127.0.0.1:8081", "api-2.example:8081"]), "--upstream-ca"),
    ],
)
def test_plain_text_between_machines_is_refused_with_the_missing_option(places, missing):
    with pytest.raises(SettingsError, match=missing):
        layout.layout(PRODUCTION, places, contexts=CONTEXTS)
