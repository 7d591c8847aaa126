"""What clients that are signed in add to the log: what happens to their sessions, and nothing for a rotation."""

import pytest

from tests import sizes

pytestmark = pytest.mark.anyio

CLIENTS = sizes.SIGNED_IN.chosen
REFRESHES = 24 * 6
"""In a day: a token is good for ten minutes."""
EVENTS_OF_A_CLIENT_MAX = 4
"""In a day; so those of 10,000 are 40,000 at most."""

_TEN_MINUTES_PASS = """
update vault.session
set rotated_at = rotated_at - interval '10 minutes', expires_at = expires_at - interval '10 minutes'
"""


async def test_a_client_that_is_signed_in_for_a_day_adds_four_events_at_most(shop):
    clients = [(await shop.session())["refresh_token"] for _ in range(CLIENTS)]
    before = shop.types().total() - CLIENTS
    with shop.vault() as vault:
        for _ in range(REFRESHES):
            vault.execute(_TEN_MINUTES_PASS)
            vault.commit()
            clients = [(await shop.refresh(each)).json()["refresh_token"] for each in clients]
    for token in clients:
        assert 200 == (await shop.commands.post("/oauth/revoke", data={"token": token})).status_code

    assert [str(REFRESHES + 1)] * CLIENTS == [each.split(".")[1] for each in clients]
    assert shop.types().total() - before <= CLIENTS * EVENTS_OF_A_CLIENT_MAX
