"""What the sender relies on of every `Recipients`: a context that requests mails adds its own to `KINDS`."""

import contextlib
from collections.abc import AsyncIterator

import pytest
from pydantic import SecretStr

from commands import recipients
from commands.identity import address_book, startup
from commands.recipients import Recipient, Recipients, RecipientsUnreachable, Unwanted
from domain.mail.templates import TEMPLATES, VERIFY_ADDRESS
from runtime import database
from runtime.settings import Settings
from tests.examples import mail_requested
from tests.mails.mailing import Book

pytestmark = pytest.mark.anyio


def book():
    """The double that tests of the sender use: it wants every mail but that to nobody."""
    found = Book()
    found.says["to-nobody"] = Unwanted("erased")
    return found


@contextlib.asynccontextmanager
async def doubled(_url, _directory):
    yield book()


@contextlib.asynccontextmanager
async def identitys(url, directory):
    """Those of accounts, by rows of the vault: a link, and the address of an account."""
    settings = Settings(database_url=SecretStr(url), home=directory)
    secrets = startup.secrets_of(url, settings.secrets_file)
    with database.connect(url, role="counterfoil_vault", name="test") as vault:
        vault.execute("insert into vault.secret (digest) values (%s)", [secrets.digest])
        vault.execute(
            "insert into vault.link (link_id, purpose, email, email_digest, expires_at)"
            " values ('m-1', 'register', 'ada@example.org', 'd', 'infinity')"
        )
        vault.execute(
            "insert into vault.verifier (credential_id, account_id, hash, email)"
            " values ('c-1', %s, '', 'ada@example.org')",
            [mail_requested().recipient_ref],
        )
    async with address_book.opened(settings) as found:
        yield found


KINDS = {"the double of tests": doubled, "those of accounts": identitys}


@pytest.fixture(params=KINDS)
async def kind(request, database_url, tmp_path) -> AsyncIterator[Recipients]:
    async with KINDS[request.param](database_url, tmp_path) as found:
        yield found


def requested(template, mail_id="m-1"):
    return mail_requested(
        mail_id=mail_id,
        template=template.name,
        template_version=template.version,
        parameters=dict.fromkeys(template.parameters, "x"),
    )


async def test_a_recipient_has_an_address_and_each_secret_of_the_template_the_same_each_time(kind):
    for template in TEMPLATES:
        first, second = [await kind.find(requested(template)) for _ in range(2)]

        assert isinstance(first, Recipient)
        assert "@" in first.address
        assert {*template.secrets} <= {*first.secrets}
        assert (first.address, first.secrets) == (second.address, second.secrets)


async def test_a_mail_that_nobody_wants_has_a_reason_that_names_nobody(kind):
    found = await kind.find(requested(TEMPLATES[0], mail_id="to-nobody"))

    assert isinstance(found, Unwanted)
    assert found.reason in {"expired", "superseded", "used", "erased"}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("update vault.link set expires_at = clock_timestamp()", "expired"),
        ("update vault.link set used_at = clock_timestamp()", "used"),
        (
            (
                "insert into vault.link (link_id, purpose, email, email_digest, expires_at)"
                " values ('m-2', 'register', 'ada@example.org', 'd', 'infinity')"
            ),
            "superseded",
        ),
        ("delete from vault.link", "erased"),
    ],
)
async def test_a_link_that_is_over_is_not_sent_any_more(database_url, tmp_path, change, reason):
    async with identitys(database_url, tmp_path) as found:
        with database.connect(database_url, role="counterfoil_vault", name="test") as vault:
            vault.execute(change)

        assert Unwanted(reason) == await found.find(requested(VERIFY_ADDRESS))


async def test_without_the_file_of_secrets_mails_with_links_wait_for_it(database_url, tmp_path):
    async with identitys(database_url, tmp_path) as found:
        file = Settings(home=tmp_path).secrets_file
        file.rename(tmp_path / "elsewhere")
        with pytest.raises(RecipientsUnreachable, match="cannot be read"):
            await found.find(requested(VERIFY_ADDRESS))
        file.write_bytes(bytes(32))
        file.chmod(0o600)
        with pytest.raises(RecipientsUnreachable, match="is not the file"):
            await found.find(requested(VERIFY_ADDRESS))


async def test_a_recipient_never_shows_what_it_holds():
    shown = repr(Recipient(address="ada@example.org", secrets={"token": "a secret"}))

    assert "ada" not in shown
    assert "a secret" not in shown


async def test_without_a_context_that_requests_mails_they_wait():
    async with recipients.nobody(Settings()) as nobody:
        with pytest.raises(RecipientsUnreachable, match="no context knows recipients of verify-address"):
            await nobody.find(requested(TEMPLATES[0]))
