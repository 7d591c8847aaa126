"""From a question for a link to the mail that has it, and from the mail to an account."""

import asyncio
import re

import pytest
from pydantic import SecretStr

from commands.gateways.mail import mails
from commands.identity import address_book
from counterfoil import accounts
from tests.identity.conftest import opened
from tests.identity.shop import EMAIL, PASSWORD
from tests.mails.mailing import parsed

pytestmark = pytest.mark.anyio

ADA = "ada@example.org"


async def sent(shop, settings):
    """Hand over the newest mail that was requested."""
    mail = shop.mails()[-1]
    async with mails.gateway(address_book.opened).opened(settings) as port:
        return await port.ask(f"i:mail:mail-{mail.mail_id}:send:1", mail)


def linked(entry):
    """The token of the link in a mail that was taken."""
    return re.search(r"#token=(\S+)", parsed(entry).get_content()).group(1)


async def test_a_link_is_mailed_to_the_address_and_what_is_mailed_can_be_followed(
    mail_server, database_url, tmp_path, capfd
):
    settings = mail_server.settings(
        database_url=SecretStr(database_url),
        home=tmp_path,
        identity="accounts",
        password_memory_mb=19,
        login_failures_per_address=0,
    )
    await asyncio.to_thread(accounts.create_owner, settings, email=EMAIL, password=PASSWORD)
    async with opened(settings) as shop:
        await shop.asked("/v1/registrations", ADA)
        await sent(shop, settings)
        body = {"token": linked(mail_server.taken[-1]), "password": "staple and a candle"}
        assert 201 == (await shop.commands.post("/v1/registrations/completion", json=body)).status_code
        await shop.session(email=ADA, password=body["password"])
        await shop.asked("/v1/password-resets", ADA)
        await sent(shop, settings)
        reset = {"token": linked(mail_server.taken[-1]), "password": "another good one"}
        assert 204 == (await shop.commands.post("/v1/password-resets/completion", json=reset)).status_code
        await shop.session(email=ADA, password=reset["password"])
        pages = [(await client.get("/metrics")).text for client in (shop.commands, shop.queries)]
        written = "".join(capfd.readouterr()) + shop.everything() + "".join(pages)

    assert [[ADA], [ADA]] == [taken["to"] for taken in mail_server.taken]
    for secret in (ADA, body["token"], reset["token"], body["password"], reset["password"]):
        assert secret not in written
