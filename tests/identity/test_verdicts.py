"""Z1: every route of both routers asked as every role, alone and in a batch: what the table says is what happens."""

import re
from typing import Any, get_args

import pytest

from commands.routing import CommandRoute
from counterfoil.testing.http import new_key
from runtime.http.access import Role, verdict
from tests.identity.conftest import with_an_owner
from tests.identity.shop import bearer

pytestmark = pytest.mark.anyio

ROLES: tuple[Role, ...] = get_args(Role)


@pytest.fixture(scope="module")
async def shop(new_database, tmp_path_factory):
    async with with_an_owner(new_database(), home=tmp_path_factory.mktemp("shop")) as shop:
        yield shop


@pytest.fixture(scope="module")
async def tokens(shop):
    return {role: await shop.token_as(role) for role in ROLES}


async def test_z1_every_route_is_refused_to_those_roles_that_the_table_refuses(shop, tokens):
    wrong, asked = [], 0
    for app, client in ((shop.command_app, shop.commands), (shop.query_app, shop.queries)):
        for method, route in app.pipeline.table:
            for role, token in tokens.items():
                answer = await client.request(method, address(route.path), headers=bearer(token))
                asked += 1
                if (answer.status_code == 403) is not (verdict(role, route.requires) == "none"):
                    wrong.append((method, route.path, role, answer.status_code))

    assert [] == wrong
    assert asked > 700, "all routes of both APIs, as each of ten roles"


async def test_z1_every_command_of_a_batch_is_refused_to_the_same_roles(shop, tokens):
    commands = [route.command for route in shop.command_app.router.routes if isinstance(route, CommandRoute)]
    wrong = []
    for role, token in tokens.items():
        entries: list[dict[str, Any]] = [
            {"key": new_key(), "command": each.name, "body": {}} | ({"target": "none"} if each.target else {})
            for each in commands
        ]
        answer = await shop.post("/v1/commands", {"commands": entries}, token)
        for each, result in zip(commands, answer.json()["results"], strict=True):
            if (result["status"] == 403) is not (verdict(role, each.requires) == "none"):
                wrong.append((each.name, role, result["status"]))

    assert [] == wrong
    assert len(commands) > 10


async def test_auditors_may_read_everything_and_write_nothing(shop):
    verdicts = {
        method: {verdict("auditor", route.requires) for each, route in app.pipeline.table if each == method}
        for app in (shop.command_app, shop.query_app)
        for method in ("GET", "POST")
    }

    assert {"everybody", "all"} == verdicts["GET"]
    assert {"everybody", "known", "none"} >= verdicts["POST"]


def address(path: str) -> str:
    return re.sub(r"\{[^}]*\}", "1", path)
