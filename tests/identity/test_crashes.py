"""Killed at each step: an account never lacks its password, and no password stays that is nobody's."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from commands.identity.recording import By
from counterfoil import accounts as cli
from tests.identity.conftest import opened
from tests.identity.shop import EMAIL, PASSWORD, REFUSED_WITHIN_S

pytestmark = pytest.mark.anyio

AT_ONCE = timedelta(0)


class Killed(BaseException):
    """The process is no more: no handler of errors runs."""


def killed_at(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, *, after: bool) -> None:
    """Have a step end the process, before it is done or after."""
    original = getattr(owner, name)

    async def step(self: Any, *given: Any, **named: Any) -> Any:
        if after:
            await original(self, *given, **named)
        raise Killed(name)

    monkeypatch.setattr(owner, name, step)


def steps() -> list[tuple[Any, str]]:
    from commands.identity.passwords import Passwords
    from commands.identity.recording import Recorder
    from commands.identity.vault import Vault

    return [
        (Passwords, "hash"),
        (Vault, "add_verifier"),
        (Recorder, "record"),
        (Vault, "name_verifier"),
    ]


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("step", range(4))
async def test_killed_at_each_step_an_account_has_one_password(with_accounts, step, after):
    owner, name = steps()[step]
    with pytest.MonkeyPatch.context() as patched:
        killed_at(patched, owner, name, after=after)
        with pytest.raises(Killed):
            await asyncio.to_thread(cli.create_owner, with_accounts, email=EMAIL, password=PASSWORD)

    async with opened(with_accounts) as shop:
        registered = shop.types()["identity.account_registered.v1"]
        await shop.sessions.accounts.sweep(older_than=AT_ONCE)
        with shop.vault() as vault:
            assert registered == len(vault.execute("select from vault.verifier").fetchall())
        assert (201 if registered else 401) == (await shop.log_in()).status_code
        if not registered:
            await asyncio.to_thread(cli.create_owner, with_accounts, email=EMAIL, password=PASSWORD)
            await shop.session()
        await shop.sessions.accounts.sweep(older_than=AT_ONCE)
        await shop.session()


@pytest.mark.parametrize("name", ["revoke", "recorded"])
async def test_a_session_that_ended_when_the_process_did_is_recorded_later(shop, name):
    from commands.identity.vault import Vault

    tokens = await shop.session()
    with pytest.MonkeyPatch.context() as patched:
        killed_at(patched, Vault, name, after=True)
        with pytest.raises(Killed):
            await shop.sessions.end(tokens["session_id"], cause="logout", by=By("operator:test", "c"))
    with shop.vault() as vault:
        vault.execute("update vault.session set revoked_at = revoked_at - interval '1 minute'")

    assert await shop.refused_everywhere(tokens["access_token"]) < REFUSED_WITHIN_S
    await shop.sessions.catch_up()
    await shop.sessions.catch_up()

    assert 1 == shop.types()["identity.session_revoked.v1"]
