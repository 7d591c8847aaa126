"""The table of roles and what routes require: each knows of the other."""

from collections.abc import Iterator

import pytest
from pydantic import SecretStr

from counterfoil import applications
from runtime.http.access import FAIL_CLOSED, PERMISSIONS, REVEAL, permissions_of
from runtime.http.principal import ANONYMOUS, NOBODY, Known, Owned, Principal, Public, confined_to, may_use
from runtime.settings import Settings

OF_NO_ROUTE = {REVEAL}
"""Permissions that decide what is shown, not which route may be used."""


def required() -> Iterator[str]:
    """The permissions that routes of both APIs require."""
    settings = Settings(
        database_url=SecretStr("postgresql://nowhere"), redis_url=SecretStr("redis://nowhere")
    )
    for app in (applications.command_app(settings), applications.query_app(settings)):
        for _, route in app.pipeline.table:
            if isinstance(route.requires, Owned):
                yield from (route.requires.permission, route.requires.own)
            elif isinstance(route.requires, str):
                yield route.requires


def test_every_permission_that_a_route_requires_is_the_owners():
    everybodys = {each for each in required() if not each.startswith("own-")}

    assert set() == everybodys - PERMISSIONS["owner"]


def test_who_may_use_own_objects_is_confined_to_them_unless_they_may_use_all():
    owned = Owned("orders:read")
    confined = Principal("guest", "g-1", frozenset(("own-orders:read",)))
    unconfined = Principal("account", "a-1", frozenset(("own-orders:read", "orders:read")))

    assert [True, True, False] == [may_use(each, owned) for each in (confined, unconfined, NOBODY)]
    assert ["g-1", None, None] == [confined_to(each, owned) for each in (confined, unconfined, ANONYMOUS)]
    assert confined_to(confined, "catalogue:read") is None


def test_no_role_has_a_permission_that_no_route_requires():
    granted = {permission for permissions in PERMISSIONS.values() for permission in permissions}

    assert OF_NO_ROUTE == granted - set(required())
    assert granted >= FAIL_CLOSED


def test_auditors_write_nothing():
    assert {"read"} == {permission.partition(":")[2] for permission in PERMISSIONS["auditor"]}


def test_roles_add_up_and_unknown_ones_add_nothing():
    assert PERMISSIONS["finance"] | PERMISSIONS["warehouse"] == permissions_of(
        ["finance", "warehouse", "astronaut"]
    )


@pytest.mark.parametrize("principal", [Principal("account", "a-1"), Principal("guest", "g-1")])
def test_who_is_known_may_use_what_asks_for_nothing_more(principal: Principal):
    assert may_use(principal, Known("a test"))
    assert (principal.kind == "account") is may_use(principal, Known("a test", only="account"))
    assert not may_use(principal, "orders:place")


def test_who_is_not_known_may_use_what_is_public():
    assert may_use(NOBODY, Public("a test"))
    assert not may_use(NOBODY, Known("a test"))


def test_an_actor_is_named_by_kind_and_id():
    assert ("anonymous", "account:a-1") == (NOBODY.actor, Principal("account", "a-1").actor)
