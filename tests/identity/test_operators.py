"""Acts of operators where callers are known: the role operator may, others are refused, and events name who it was."""

import pytest

from commands.identity.account_routes import ASSIGNABLE
from counterfoil.contexts import CONTEXTS
from projections import builds
from runtime import database
from runtime.http.access import PERMISSIONS
from tests.identity.shop import PASSWORD

pytestmark = pytest.mark.anyio

ACTS = {
    "/v1/operations/views/order_details/rebuilds": 201,
    "/v1/operations/views/order_details/promotions": 409,
    "/v1/operations/views/order_details/rollbacks": 409,
    "/v1/operations/views/order_details/drops": 409,
    "/v1/operations/consumers/relay/pauses": 201,
    "/v1/operations/consumers/relay/resumptions": 201,
    "/v1/operations/consumers/order_details/retries": 404,
    "/v1/operations/consumers/order_details/skips": 404,
}
"""What an operator is answered; others are 403, whatever the state of the shop is."""


async def token_of(shop, owner, role):
    account = {
        "account_id": f"one-{role}",
        "email": f"{role}@example.org",
        "password": PASSWORD,
        "roles": [role],
    }
    assert 201 == (await shop.post("/v1/accounts", account, owner)).status_code
    return (await shop.session(email=account["email"]))["access_token"]


async def answers(shop, token):
    found = {}
    for path in ACTS:
        needed = {"partition_key": "order-1"} if "order_details/retries" in path else {}
        if path.endswith("/skips"):
            needed = {"partition_key": "order-1", "position": 1}
        found[path] = (
            await shop.post(path, {**needed, "reason": "a drill", "operator": "somebody-else"}, token)
        ).status_code
    return found


async def test_the_role_operator_may_act_others_may_not_and_the_event_names_the_account(shop):
    with database.connect(shop.url, role="counterfoil_projector", name="test") as conn:
        builds.ensure_builds(conn, CONTEXTS.views)
    owner = (await shop.session())["access_token"]
    others = [role for role in ASSIGNABLE if "operate" not in PERMISSIONS[role]]
    operator = await token_of(shop, owner, "operator")

    assert ACTS == await answers(shop, operator)
    assert ACTS.keys() == {
        route.path.replace("{view}", "order_details").replace(
            "{consumer}", "relay" if route.path.endswith(("pauses", "resumptions")) else "order_details"
        )
        for _, route in shop.command_app.pipeline.table
        if route.requires == "operate"
    }
    for role in others:
        assert {403} == set((await answers(shop, await token_of(shop, owner, role))).values()), role
    assert {401} == set((await answers(shop, None)).values())
    (pause, resume) = shop.events("pauses-relay")
    assert ["account:one-operator"] * 2 == [pause.actor, resume.actor]
    assert ["account:one-operator"] * 2 == [each.actor for each in shop.metadata("pauses-relay")]
    (rebuild,) = shop.events("builds-order_details")
    assert ("account:one-operator", "a drill") == (rebuild.actor, rebuild.reason)
