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


REGISTERING = (
    "Passwords.hash",
    "Vault.add_verifier",
    "Recorder.record",
    "Vault.name_verifier",
    "LinkRows.used",
)
RESETTING = (
    "Passwords.hash",
    "Vault.add_verifier",
    "Recorder.record",
    "Vault.revoke",
    "Vault.recorded",
    "Vault.replace_verifier",
    "LinkRows.used",
)
HANDLING = ("LinkRows.assign", "Recorder.record", "LinkRows.handled")


def step_of(name: str) -> tuple[Any, str]:
    from commands.identity.link_rows import LinkRows
    from commands.identity.passwords import Passwords
    from commands.identity.recording import Recorder
    from commands.identity.vault import Vault

    owner, _, method = name.partition(".")
    return {each.__name__: each for each in (LinkRows, Passwords, Recorder, Vault)}[owner], method


async def tidied(shop: Any) -> None:
    """What the chores do when their time has come."""
    await shop.sessions.finish_passwords(older_than=AT_ONCE)
    await shop.sessions.accounts.sweep(older_than=AT_ONCE)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("step", REGISTERING)
async def test_killed_at_each_step_of_a_registration_there_is_one_account_with_its_password(
    shop, step, after
):
    token = await shop.asked("/v1/registrations", "ada@example.org")
    links = shop.command_app.state.identity.links
    follow = {"address": "", "correlation_id": "c"}
    with pytest.MonkeyPatch.context() as patched:
        killed_at(patched, *step_of(step), after=after)
        with pytest.raises(Killed):
            await links.complete_registration(token, "staple and a candle", **follow)
    registered = shop.types()["identity.account_registered.v1"] - 1
    await tidied(shop)

    body = {"token": token, "password": "another good one"}
    again = await shop.commands.post("/v1/registrations/completion", json=body)

    assert (400 if registered else 201) == again.status_code
    await shop.session(
        email="ada@example.org", password="staple and a candle" if registered else "another good one"
    )
    await tidied(shop)
    with shop.vault() as vault:
        assert 2 == len(vault.execute("select from vault.verifier").fetchall())
    assert 2 == shop.types()["identity.account_registered.v1"]


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("step", RESETTING)
async def test_killed_at_each_step_of_a_reset_one_password_is_good_and_sessions_of_the_other_end(
    shop, step, after
):
    tokens = await shop.session()
    token = await shop.asked("/v1/password-resets", EMAIL)
    links = shop.command_app.state.identity.links
    with pytest.MonkeyPatch.context() as patched:
        killed_at(patched, *step_of(step), after=after)
        with pytest.raises(Killed):
            await links.complete_reset(token, "staple and a candle", address="", correlation_id="c")
    was_reset = shop.types()["identity.password_reset.v1"]
    await tidied(shop)

    body = {"token": token, "password": "another good one"}
    again = await shop.commands.post("/v1/password-resets/completion", json=body)

    assert (400 if was_reset else 204) == again.status_code
    assert await shop.refused_everywhere(tokens["access_token"]) < REFUSED_WITHIN_S
    assert 400 == (await shop.refresh(tokens["refresh_token"])).status_code
    assert 401 == (await shop.log_in(password=PASSWORD)).status_code
    await shop.session(password="staple and a candle" if was_reset else "another good one")
    await tidied(shop)
    await shop.session(password="staple and a candle" if was_reset else "another good one")
    assert 1 == shop.types()["identity.password_reset.v1"]


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("step", HANDLING)
async def test_killed_at_each_step_of_handling_a_link_one_mail_is_requested(with_accounts, step, after):
    await asyncio.to_thread(cli.create_owner, with_accounts, email=EMAIL, password=PASSWORD)
    async with opened(with_accounts) as shop:
        links = shop.command_app.state.identity.links
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr("commands.identity.links.HANDLED_AFTER_S", (3600, 3600))
            await links.ask("reset", EMAIL, address="")
            killed_at(patched, *step_of(step), after=after)
            with pytest.raises(Killed):
                await links.handle()

    async with opened(with_accounts) as another:
        await another.command_app.state.identity.links.handle()
        await another.command_app.state.identity.links.handle()

        assert ["reset-password"] == [each.template for each in another.mails()]
